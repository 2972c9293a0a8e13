"""Rows of an event store for pure tests: real events in real envelopes, at positions 1, 2, 3, …"""

import datetime as dt
from collections.abc import Sequence

from domain import events, streams
from domain.envelope import EventRow, envelope, leaf_hash
from producers.batches import Read, StoredRow

RECORDED_AT = dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)

ENROLLED = events.PartnerEnrolled(
    partner_id="P-1",
    name="Alpenrad AG",
    country="CH",
    currency="CHF",
    enrolled_on=dt.date(2020, 1, 15),
    tier="bronze",
    programme="affinity-2011",
)


def row_of(
    event: events.Event, position: int = 1, stream: str = streams.partner_stream("P-1"), command: str = "c"
) -> EventRow:
    return EventRow(
        position=position,
        stream=stream,
        version=position,
        type=type(event).__name__,
        schema_version=1,
        business_date=event.business_date,
        recorded_at=RECORDED_AT,
        actor="ledger_app",
        command_id=command,
        envelope_version=1,
        data=events.encode(event),
    )


def stored(row: EventRow) -> StoredRow:
    return row, leaf_hash(envelope(row))


def store_of(command_sizes: Sequence[int]) -> list[StoredRow]:
    """A store with one event after the other, so many to each command."""
    commands = [f"command-{number}" for number, size in enumerate(command_sizes) for _ in range(size)]
    event = events.LedgerAdvanced(to=dt.date(2026, 1, 1))
    return [stored(row_of(event, at, streams.LEDGER, command)) for at, command in enumerate(commands, start=1)]


def reading(rows: Sequence[StoredRow]) -> Read:
    return lambda after, limit: rows[after : after + limit]
