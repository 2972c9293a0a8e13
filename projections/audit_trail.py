"""The audit trail: each event once, with where it stands in the store and on Kafka, who recorded it when, and its hash."""

import datetime as dt

from projections.recorded import Recorded
from projections.row import Row, in_hex


class AuditRow(Row, frozen=True, array_like=True, gc=False):
    """One event. `leaf_hash`, in hex, was recomputed from what Kafka held, to be compared with the store's."""

    position: int
    stream: str
    version: int
    type: str
    business_date: dt.date | None
    recorded_at: dt.datetime
    actor: str
    command_id: str
    topic: str
    partition: int
    offset: int
    leaf_hash: str
    programme: str | None


def audit_row(at: Recorded) -> AuditRow:
    """Give the audit trail's row of an event."""
    envelope = at.envelope
    return AuditRow(
        envelope.position,
        envelope.subject,
        envelope.streamversion,
        envelope.type,
        envelope.businessdate,
        envelope.time,
        envelope.actor,
        envelope.commandid,
        at.topic,
        at.partition,
        at.offset,
        in_hex(at.leaf_hash),
        getattr(at.event, "programme", None),
    )
