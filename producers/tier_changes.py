"""The public topic of tier changes: which events become a record there, and what the record says.

Downstream services (price lists, the partner portal) need to know who holds which tier and since when, and nothing of
how the ledger decided. A record is a CloudEvents 1.0 document in structured JSON mode, key = partner id. It is public API: these names
and meanings never change; a field may be added, another meaning is a new type.

    specversion      "1.0"
    id               the position of the ledger event it follows from, as a string: unique, and rising for one partner
    source           "/partner-ledger"
    type             "partner-ledger.tier-change.v1"
    subject          the partner id
    time             when the ledger recorded it (RFC 3339, UTC)
    datacontenttype  "application/json"
    data.partner         the partner id
    data.country         ISO 3166-1 alpha-2
    data.from            tier before; null for an enrolment
    data.to              tier from now on; null for the end of a membership
    data.reason          "enrolled", "promotion", "demotion", "migration", "withdrawal", "award" or "ended"
    data.effective_date  the day from which `to` counts (ISO 8601); for "ended", the day the membership ended
    data.programme       identity of the programme version in force
    data.position        the position in the ledger, as a number

A "withdrawal" takes promotions back that a reversed deal had brought about; the records of those promotions stay, as
immutable as the ledger itself, and the withdrawal follows them.
"""

import datetime as dt
from typing import Any

import msgspec

from domain import events, streams
from domain.envelope import TIER_CHANGE, EventRow
from domain.errors import IntegrityFault

TOLD = frozenset({"PartnerEnrolled", "TierChanged", "MembershipEnded"})
"""The types of the events that are told."""
_ENCODER = msgspec.json.Encoder()


class _Claim(msgspec.Struct, frozen=True):
    position: int


class _Claims(msgspec.Struct, frozen=True):
    data: _Claim


_CLAIMS = msgspec.json.Decoder(_Claims)


def tier_change(row: EventRow) -> tuple[str, bytes] | None:
    """Give the public record of an event, (partner id, CloudEvents document), or None where it is no tier change."""
    if row.type not in TOLD:
        return None
    partner_id = streams.partner_id_of(row.stream)
    if partner_id is None:
        raise IntegrityFault(
            f"Event {row.position} is a {row.type} in stream {row.stream!r}, which is no partner's: it was not written by"
            " the ledger; find out who wrote it before the relay is started again."
        )
    change = _change(events.decode(row.type, row.schema_version, row.data))
    document = {
        "specversion": "1.0",
        "id": str(row.position),
        "source": "/partner-ledger",
        "type": TIER_CHANGE,
        "subject": partner_id,
        "time": row.recorded_at.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {"partner": partner_id, **change, "position": row.position},
    }
    return partner_id, _ENCODER.encode(document)


def claimed_position(value: bytes | None) -> int | None:
    """Give the position that a record on the public topic claims to follow from; None where it claims none."""
    try:
        position = _CLAIMS.decode(value or b"").data.position
    except (msgspec.MsgspecError, RecursionError):
        return None
    return position if 0 < position < 2**63 else None


def _change(event: events.Event) -> dict[str, Any]:
    match event:
        case events.PartnerEnrolled(tier=tier, enrolled_on=enrolled_on):
            what = {"from": None, "to": tier, "reason": "enrolled", "effective_date": enrolled_on}
        case events.TierChanged(from_tier=before, to_tier=after, reason=reason, effective_on=effective_on):
            what = {"from": before, "to": after, "reason": reason, "effective_date": effective_on}
        case events.MembershipEnded(tier=tier, effective_on=effective_on):
            what = {"from": tier, "to": None, "reason": "ended", "effective_date": effective_on}
        case _:
            raise TypeError(type(event).__name__)
    return {"country": event.country, **what, "programme": event.programme}
