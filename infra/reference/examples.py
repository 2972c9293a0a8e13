"""The stored events that the examples of the reference pages are made from, by the code that makes the real ones."""

import datetime as dt
from decimal import Decimal

from domain.envelope import CURRENT_VERSION, EventRow
from domain.events import Event, PartnerEnrolled, SaleRecorded, TierChanged, encode
from domain.streams import partner_stream

_RECORDED_AT = dt.datetime(2012, 5, 3, 9, 41, 7, 123456, tzinfo=dt.UTC)

SALE = SaleRecorded(
    deal_id="D-1042",
    closed_on=dt.date(2012, 5, 2),
    family="cloud",
    amount=Decimal("1250.00"),
    currency="CHF",
    earning=True,
    qualifying=Decimal("1025.00"),
    base_currency="EUR",
    programme="partner-2012",
    clock=dt.date(2012, 5, 2),
    source_ref="ERP 2012/00417",
)

ENROLMENT = PartnerEnrolled(
    partner_id="CH-0001",
    name="Föhrenstieg Informatik AG",
    country="CH",
    currency="CHF",
    enrolled_on=dt.date(2012, 5, 2),
    tier="bronze",
    programme="partner-2012",
)

PROMOTION = TierChanged(
    country="CH",
    from_tier="bronze",
    to_tier="silver",
    to_awarded=False,
    reason="promotion",
    effective_on=dt.date(2012, 5, 2),
    by_fact=True,
    programme="partner-2012",
)


def stored(event: Event, position: int = 313, version: int = 17) -> EventRow:
    """Give an event as the store would hold it, in the stream of partner CH-0001."""
    return EventRow(
        position=position,
        stream=partner_stream("CH-0001"),
        version=version,
        type=type(event).__name__,
        schema_version=event.SCHEMA_VERSION,
        business_date=event.business_date,
        recorded_at=_RECORDED_AT,
        actor="ledger_app",
        command_id="import:5f0c2d9a41be:sales.csv:42",
        envelope_version=CURRENT_VERSION,
        data=encode(event),
    )
