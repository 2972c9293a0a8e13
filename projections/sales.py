"""Deals and their reversals, as recorded, so that sales can be summed on any date and as known at any position."""

import datetime as dt
from decimal import Decimal

from domain.errors import IntegrityFault
from domain.events import SaleRecorded, SaleReversed
from projections.recorded import Recorded
from projections.row import Row


class SaleRow(Row, frozen=True, array_like=True, gc=False):
    """A deal as it was closed; what is left of it is its amount less its reversals."""

    position: int
    deal_id: str
    partner: str
    closed_on: dt.date
    family: str
    currency: str
    amount: Decimal
    earning: bool
    qualifying: Decimal
    base_currency: str
    programme: str
    source_ref: str | None


class ReversalRow(Row, frozen=True, array_like=True, gc=False):
    """A reversal: `amount` is what was taken back, `net` what was left of the deal afterwards."""

    position: int
    reversal_id: str
    deal_id: str
    partner: str
    reversed_on: dt.date
    currency: str
    amount: Decimal
    net: Decimal
    qualifying_change: Decimal
    reason: str | None


def sale_row(at: Recorded, partner: str, event: SaleRecorded) -> SaleRow:
    """Give the row of a deal.

    Raises:
        IntegrityFault: the amount is not a number (JSON has no such thing, but its strings have).

    """
    if not event.amount.is_finite():
        raise IntegrityFault(f"Deal {event.deal_id} at position {at.envelope.position} has the amount {event.amount}.")
    return SaleRow(
        at.envelope.position,
        event.deal_id,
        partner,
        event.closed_on,
        event.family,
        event.currency,
        event.amount,
        event.earning,
        event.qualifying,
        event.base_currency,
        event.programme,
        event.source_ref,
    )


def reversal_row(at: Recorded, partner: str, event: SaleReversed) -> ReversalRow:
    """Give the row of a reversal."""
    return ReversalRow(
        at.envelope.position,
        event.reversal_id,
        event.deal_id,
        partner,
        event.reversed_on,
        event.currency,
        event.amount,
        event.net,
        event.qualifying_change,
        event.reason,
    )
