"""Snapshots: a partner's standing as its stream made it up to a version, so that a long stream is not read from its start.

What is kept is exactly what folding the events gives, never more, so a snapshot changes no decision. It is derived: without
any, all is as before, only slower. `FORMAT` is raised with every change of what is kept or of what events do to a standing
(`tests/domain/test_snapshots.py` notices); snapshots of another format are left unread.
"""

import datetime as dt
from array import array

import msgspec
from eventsourcing.persistence import StoredEvent

from domain.aggregates import PartnerAggregate
from domain.loyalty import Suspension
from domain.standing import Completion, Promotion, Quarter, Revenue, SpecialisationEntry, Standing, TierEntry

FORMAT = "PartnerSnapshot/1"
"""Stored as the snapshot's type."""

EVERY = 200
"""A partner's snapshot is taken with the first append that ends so many events behind the last one.

Reading back and folding so many events takes about as long as one append (`docs/benchmarks.md`, `deal`).
"""

_Sums = tuple[str, str, int, int]
"""Family, currency, net and qualifying amount."""
_Settled = tuple[str, str, int]
"""Scheme, currency, amount."""


class _State(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a snapshot keeps: ints of minor units, days as ordinals where there are many."""

    partner_id: str
    name: str
    country: str
    currency: str
    enrolled_on: dt.date
    clock: dt.date
    programme: str
    tier: str
    awarded: bool
    tier_changes: list[TierEntry]
    kickback_tiers: list[tuple[dt.date, str]]
    promotions: list[Promotion]
    protected_from: dt.date
    missed: int
    suspensions: list[Suspension]
    suspended_since: dt.date | None
    ended_on: dt.date | None
    completions: dict[str, Completion]
    held: dict[str, dt.date]
    specialisation_changes: dict[str, list[SpecialisationEntry]]
    revenue_days: list[int]
    revenue_amounts: list[int]
    quarters: list[tuple[dt.date, list[_Sums], list[_Settled]]]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_State).decode
_KEPT_AS_THEY_ARE = tuple(
    name for name in _State.__struct_fields__ if name not in ("revenue_days", "revenue_amounts", "quarters")
)


def snapshot_of(partner: PartnerAggregate) -> StoredEvent:
    """Take a partner's snapshot at its version."""
    standing = partner.standing
    days, amounts = standing.revenue.by_day()
    quarters = [
        (
            first,
            [(family, currency, net, qualifying) for (family, currency), (net, qualifying) in quarter.sales.items()],
            [(scheme, currency, amount) for (scheme, currency), amount in quarter.settled.items()],
        )
        for first, quarter in standing.quarters.items()
    ]
    kept = {name: getattr(standing, name) for name in _KEPT_AS_THEY_ARE}
    state = _State(**kept, revenue_days=list(days), revenue_amounts=amounts, quarters=quarters)
    return StoredEvent(partner.id, partner.version, FORMAT, _encode(state))


def partner_from(snapshot: StoredEvent) -> PartnerAggregate:
    """Give the partner back as it was at the snapshot's version."""
    state = _decode(snapshot.state)
    standing = object.__new__(Standing)
    for name in _KEPT_AS_THEY_ARE:
        setattr(standing, name, getattr(state, name))
    standing.revenue = Revenue(array("l", state.revenue_days), state.revenue_amounts)
    standing.quarters = {}
    for first, sums, settled in state.quarters:
        quarter = standing.quarters[first] = Quarter()
        quarter.sales = {(family, currency): [net, qualifying] for family, currency, net, qualifying in sums}
        quarter.settled = {(scheme, currency): amount for scheme, currency, amount in settled}
    standing.processed = standing.enrolled_on
    standing.due = standing.due_under = None
    partner = PartnerAggregate(str(snapshot.originator_id))
    partner.standing = standing
    partner.version = partner.snapshot_version = snapshot.originator_version
    partner.seat = partner.seat_now()
    return partner
