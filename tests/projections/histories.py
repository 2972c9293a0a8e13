"""Histories for tests: events told to streams, with the envelopes that the store would have made of them."""

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from domain.envelope import EventRow, envelope, open_envelope
from domain.events import (
    BonusAccrued,
    BonusClawedBack,
    Event,
    KickbackSettled,
    LedgerAdvanced,
    Line,
    MembershipEnded,
    MembershipResumed,
    MembershipSuspended,
    PartnerEnrolled,
    SaleRecorded,
    SaleReversed,
    SpecialisationAwarded,
    SpecialisationLapsed,
    TierChanged,
    decode,
    encode,
)
from domain.streams import LEDGER, partner_stream

RECORDED_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Told(NamedTuple):
    """One record's key and value, and where its event stands."""

    stream: str
    version: int
    position: int
    value: bytes

    @property
    def key(self) -> bytes:
        return self.stream.encode()


@dataclass
class History:
    """Events in the order told; one second passes between two of them."""

    told: list[Told] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)

    def tell(self, stream: str, *events: Event) -> "History":
        for event in events:
            position = len(self.told) + 1
            self.versions[stream] += 1
            value = make_value(stream, self.versions[stream], position, event)
            self.told.append(Told(stream, self.versions[stream], position, value))
        return self


def make_value(stream: str, version: int, position: int, event: Event, *, actor: str = "ledger_app") -> bytes:
    return envelope(
        EventRow(
            position=position,
            stream=stream,
            version=version,
            type=type(event).__name__,
            schema_version=event.SCHEMA_VERSION,
            business_date=event.business_date,
            recorded_at=RECORDED_AT + dt.timedelta(seconds=position % 1_000_000),
            actor=actor,
            command_id=f"command-{position // 4}",
            envelope_version=1,
            data=encode(event),
        )
    )


def decode_value(value: bytes) -> Event:
    opened = open_envelope(value)
    return decode(opened.type, opened.schemaversion, opened.data)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def enrolled(
    partner: str, on: str, *, country: str = "CH", currency: str = "CHF", tier: str = "bronze"
) -> PartnerEnrolled:
    return PartnerEnrolled(
        partner_id=partner,
        name=f"Partner {partner}",
        country=country,
        currency=currency,
        enrolled_on=day(on),
        tier=tier,
        programme="partner-2012",
    )


def tier_changed(to: str, on: str, reason: str = "promotion", *, before: str = "bronze") -> TierChanged:
    return TierChanged(
        country="CH",
        from_tier=before,
        to_tier=to,
        to_awarded=False,
        reason=reason,  # type: ignore[arg-type] # one of the literals
        effective_on=day(on),
        by_fact=True,
        programme="partner-2012",
    )


def suspended(on: str) -> MembershipSuspended:
    return MembershipSuspended(on=day(on), effective_on=day(on))


def resumed(on: str) -> MembershipResumed:
    return MembershipResumed(on=day(on), effective_on=day(on))


def ended(on: str) -> MembershipEnded:
    return MembershipEnded(on=day(on), effective_on=day(on), country="CH", tier="bronze", programme="partner-2012")


def awarded(specialisation: str, on: str) -> SpecialisationAwarded:
    return SpecialisationAwarded(
        specialisation=specialisation, effective_on=day(on), by_fact=True, programme="partner-2012", evidence=()
    )


def lapsed(specialisation: str, on: str) -> SpecialisationLapsed:
    return SpecialisationLapsed(
        specialisation=specialisation, effective_on=day(on), by_fact=False, programme="partner-2012", evidence=()
    )


def sale(deal: str, on: str, amount: str, currency: str = "CHF") -> SaleRecorded:
    return SaleRecorded(
        deal_id=deal,
        closed_on=day(on),
        family="servers",
        amount=Decimal(amount),
        currency=currency,
        earning=True,
        qualifying=Decimal(amount),
        base_currency="EUR",
        programme="partner-2012",
        clock=day(on),
        source_ref=f"order-{deal}",
    )


def reversal(name: str, deal: str, on: str, amount: str, net: str, currency: str = "CHF") -> SaleReversed:
    return SaleReversed(
        reversal_id=name,
        deal_id=deal,
        reversed_on=day(on),
        amount=Decimal(amount),
        net=Decimal(net),
        currency=currency,
        closed_on=day(on),
        family="servers",
        earning=True,
        qualifying=Decimal(net),
        qualifying_change=-Decimal(amount),
        whole=not Decimal(net),
        base_currency="EUR",
        programme="partner-2012",
        clock=day(on),
    )


def line(scheme: str, amount: str, currency: str = "CHF") -> Line:
    return Line(
        scheme=scheme,
        amount=Decimal(amount),
        currency=currency,
        basis=Decimal(amount) * 100,
        rate_bp=100,
        before=Decimal(0),
        tier="bronze",
    )


def accrued(deal: str, on: str, *lines: Line) -> BonusAccrued:
    return BonusAccrued(deal_id=deal, closed_on=day(on), posting_date=day(on), programme="partner-2012", lines=lines)


def clawed_back(name: str, deal: str, on: str, *lines: Line) -> BonusClawedBack:
    return BonusClawedBack(
        reversal_id=name,
        deal_id=deal,
        reversed_on=day(on),
        posting_date=day(on),
        programme="partner-2012",
        lines=lines,
    )


def settled(quarter: str, on: str, cause: str, *lines: Line) -> KickbackSettled:
    return KickbackSettled(
        quarter=day(quarter),
        settled_on=day(on),
        posting_date=day(on),
        cause=cause,  # type: ignore[arg-type] # one of the literals
        cause_id=None if cause == "time" else f"{cause}-1",
        programme="partner-2012",
        base_currency="EUR",
        qualifying={},
        minimum={},
        lines=lines,
    )


def network(partners: int, sales_each: int) -> History:
    """A network of partners whose deals come in turns: the realistic flow of sales with two bonus lines each."""
    history = History()
    names = [f"CH-{number:04d}" for number in range(partners)]
    for name in names:
        history.tell(partner_stream(name), enrolled(name, "2012-01-01"))
    first = dt.date(2012, 1, 2)
    for turn in range(sales_each):
        on = (first + dt.timedelta(days=turn)).isoformat()
        for name in names:
            deal = f"D-{name}-{turn}"
            history.tell(
                partner_stream(name),
                sale(deal, on, "1234.50"),
                accrued(deal, on, line("instant", "18.52"), line("loyalty", "3.09")),
            )
    return history.tell(LEDGER, LedgerAdvanced(to=first + dt.timedelta(days=sales_each)))
