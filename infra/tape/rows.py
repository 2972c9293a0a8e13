"""A fact as a row of the tape: every field of `domain.envelope.EventRow`, so that its leaf hash can be made again from the row."""

import datetime as dt
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from domain.envelope import EventRow
from domain.retold import FACTS_OF_PARTNERS
from domain.streams import LEDGER, PROGRAMMES
from infra.tape.arrow import pyarrow

FACTS_OF_THE_LEDGER = frozenset({"ProgrammePublished", "LedgerAdvanced", "RecordDropped"})
"""The types of the events, in streams of their own, that record a fact about no partner."""
FACTS = FACTS_OF_PARTNERS | FACTS_OF_THE_LEDGER
LEDGERS_STREAMS = frozenset({PROGRAMMES, LEDGER})

DICTIONARIES = ("stream", "type", "actor")
"""The columns of few values, each kept once a row group."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST_DAY = dt.date(1970, 1, 1).toordinal()


class TapeRow(msgspec.Struct, frozen=True, gc=False):
    """A fact on its way to the tape, as an envelope has it: times and dates still text, in UTC and ISO 8601."""

    position: int
    stream: str = msgspec.field(name="subject")
    version: int = msgspec.field(name="streamversion")
    type: str
    schema_version: int = msgspec.field(name="schemaversion")
    business_date: str | None = msgspec.field(name="businessdate")
    recorded_at: str = msgspec.field(name="time")
    actor: str
    command_id: str = msgspec.field(name="commandid")
    envelope_version: int = msgspec.field(name="envelopeversion")
    data: msgspec.Raw


def tape_row(row: EventRow) -> TapeRow:
    """Give a stored event as a row of the tape."""
    return TapeRow(
        row.position,
        row.stream,
        row.version,
        row.type,
        row.schema_version,
        None if row.business_date is None else row.business_date.isoformat(),
        row.recorded_at.astimezone(dt.UTC).isoformat(),
        row.actor,
        row.command_id,
        row.envelope_version,
        msgspec.Raw(row.data),
    )


@cache
def schema() -> Any:
    """Give the Arrow schema of the tape's files of facts."""
    pa = pyarrow()
    return pa.schema(
        [
            pa.field("position", pa.int64(), nullable=False),
            pa.field("stream", pa.string(), nullable=False),
            pa.field("version", pa.int32(), nullable=False),
            pa.field("type", pa.string(), nullable=False),
            pa.field("schema_version", pa.int32(), nullable=False),
            pa.field("business_date", pa.date32()),
            pa.field("recorded_at", pa.timestamp("us", "UTC"), nullable=False),
            pa.field("actor", pa.string(), nullable=False),
            pa.field("command_id", pa.string(), nullable=False),
            pa.field("envelope_version", pa.int32(), nullable=False),
            pa.field("data", pa.binary(), nullable=False),
        ]
    )


def record_batch(rows: Sequence[TapeRow]) -> Any:
    """Give rows as an Arrow record batch."""
    pa = pyarrow()
    columns = [
        pa.array([row.position for row in rows], pa.int64()),
        pa.array([row.stream for row in rows], pa.string()),
        pa.array([row.version for row in rows], pa.int32()),
        pa.array([row.type for row in rows], pa.string()),
        pa.array([row.schema_version for row in rows], pa.int32()),
        pa.array([row.business_date for row in rows], pa.string()).cast(pa.date32()),
        pa.array([row.recorded_at for row in rows], pa.string()).cast(pa.timestamp("us", "UTC")),
        pa.array([row.actor for row in rows], pa.string()),
        pa.array([row.command_id for row in rows], pa.string()),
        pa.array([row.envelope_version for row in rows], pa.int32()),
        pa.array([bytes(row.data) for row in rows], pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema())


def event_rows(batch: Any) -> Iterator[EventRow]:
    """Give the rows of a record batch as the stored events that they were made of."""
    pa = pyarrow()
    columns = batch.to_pydict() | {
        "business_date": batch.column("business_date").cast(pa.int32()).to_pylist(),
        "recorded_at": batch.column("recorded_at").cast(pa.int64()).to_pylist(),
    }
    for values in zip(*(columns[name] for name in EventRow.__struct_fields__), strict=True):
        row = dict(zip(EventRow.__struct_fields__, values, strict=True))
        days, microseconds = row["business_date"], row["recorded_at"]
        row["business_date"] = None if days is None else dt.date.fromordinal(_FIRST_DAY + days)
        row["recorded_at"] = _EPOCH + dt.timedelta(microseconds=microseconds)
        yield EventRow(**row)
