"""Parked events: kept whole, with the reason, and tried again in order when somebody has done something about it.

A stream is parked as one: behind the record that could not be applied, the stream's later records wait. A retry takes the
partition's row first, as a batch does, so the two cannot meet.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from consumers.applying import Writing, apply_one_by_one
from consumers.sequencing import Received, receive
from projections.fold import Rows


class ParkedRecord(NamedTuple):
    """A record as it was read from Kafka and kept; it has what a record from Kafka has."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Retry(NamedTuple):
    """A retry under way: the stream's records, taken out of the parked ones, and the transaction to apply them in."""

    records: Sequence[ParkedRecord]
    writing: Writing


class RetryOutcome(NamedTuple):
    """How many of a stream's parked events could be applied, and how many records were parked before and after."""

    applied: int
    of: int
    still_parked: int


class ParkedStore(Protocol):
    """Where parked records are kept. Adapter: `infra.postgres.projections.store.PostgresProjectionStore`."""

    def retry(self, stream: str) -> AbstractContextManager[Retry]:
        """Take a stream's parked records out, holding its partitions; puts all back if the block does not end well."""
        ...

    def streams_behind_dropped(self) -> Collection[str]:
        """Give the parked streams of which the ledger has dropped a parked record."""
        ...

    def payload(self, rows: Rows) -> object:
        """Give a fold's rows in the form in which `Writing.write` writes them; no I/O."""
        ...


def retry_parked(store: ParkedStore, stream: str) -> RetryOutcome:
    """Apply a stream's parked events in order of version; those that still cannot be are parked again.

    A record that still cannot be read has no version: it stays in front, and all others wait behind it, until it is dropped.

    Raises:
        ServiceUnreachable: the database does not answer; everything is as it was.

    """
    with store.retry(stream) as retry:
        records = [receive(record.topic, record.partition, record) for record in retry.records]
        records.sort(key=_order)
        applied = apply_one_by_one(records, retry.writing, store.payload)
        still_parked = retry.writing.parked_records(stream)
    return RetryOutcome(applied, len(records), still_parked)


def retry_dropped(store: ParkedStore) -> None:
    """Retry the streams that wait behind records which the ledger has dropped."""
    for stream in sorted(store.streams_behind_dropped()):
        retry_parked(store, stream)


def _order(record: Received) -> tuple[int, int, int]:
    version = 0 if record.recorded is None else record.recorded.envelope.streamversion
    return version, record.partition, record.offset
