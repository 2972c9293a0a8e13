"""A deal as a reversal needs it: what is left of it, and its instant lines at their original rates.

A partner's standing does not grow with its deals; a deal is put together from its recorded events when it is reversed.
"""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from domain import events as e
from domain.errors import IntegrityFault
from domain.money import currency_digits, minor_of


class ClosedDeal(Protocol):
    """What deciding a deal needs to know of it: a `RecordSale`, or as much as a reader has made of a recorded one."""

    @property
    def deal_id(self) -> str:
        """The deal."""
        ...

    @property
    def closed_on(self) -> dt.date:
        """The day the deal was closed."""
        ...

    @property
    def family(self) -> str:
        """The product family."""
        ...

    @property
    def amount(self) -> Decimal:
        """The amount as told."""
        ...

    @property
    def currency(self) -> str:
        """The amount's currency (ISO 4217)."""
        ...

    def minor(self, digits: int) -> int:
        """Give the amount in minor units of its currency, which has so many digits.

        Raises:
            InvalidInput: it is finer than that, or too large to be meant.

        """
        ...

    @property
    def source_ref(self) -> str | None:
        """Where it was told from."""
        ...


class Deal:
    """One deal: amounts in minor units of its currency (`net`) and of the base currency (`qualifying`)."""

    __slots__ = ("lines", "net", "posted", "qualifying", "sale")

    def __init__(self, sale: e.SaleRecorded) -> None:
        self.sale = sale
        self.net = minor_of(sale.amount, currency_digits(sale.currency))
        self.qualifying = minor_of(sale.qualifying, currency_digits(sale.base_currency))
        self.lines: list[e.Line] = []
        """The lines that the deal earned as it closed, in order."""
        self.posted: dict[str, int] = {}
        """What is posted of each line by now, by scheme."""

    @property
    def closed_on(self) -> dt.date:
        """The day the deal was closed."""
        return self.sale.closed_on

    def apply(self, event: e.Event) -> None:
        """Apply an event that came of the deal's sale or of one of its reversals."""
        if isinstance(event, e.BonusAccrued):
            self.lines = list(event.lines)
            self._post(event.lines)
        elif isinstance(event, e.BonusClawedBack):
            self._post(event.lines)
        elif isinstance(event, e.SaleReversed):
            self.net = minor_of(event.net, currency_digits(event.currency))
            self.qualifying = minor_of(event.qualifying, currency_digits(event.base_currency))

    def _post(self, lines: Iterable[e.Line]) -> None:
        for line in lines:
            minor = minor_of(line.amount, currency_digits(line.currency))
            self.posted[line.scheme] = self.posted.get(line.scheme, 0) + minor


def deal_from(events: Iterable[e.Event]) -> Deal:
    """Put a deal together from its events, in order; events of other deals among them are passed over.

    Raises:
        IntegrityFault: the first event of the deal is not its sale.

    """
    deal: Deal | None = None
    for event in events:
        if isinstance(event, e.SaleRecorded):
            if deal is None:
                deal = Deal(event)
        elif deal is not None and getattr(event, "deal_id", None) == deal.sale.deal_id:
            deal.apply(event)
    if deal is None:
        raise IntegrityFault("A deal's identity does not lead to its SaleRecorded: the event store contradicts itself.")
    return deal
