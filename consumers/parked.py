"""Parked events: kept whole, with the reason, and tried again in order when somebody has done something about it.

A stream is parked as one: behind the record that could not be applied, the stream's later records wait. A retry takes the
partition's row first, as a batch does, so the two cannot meet.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from consumers.projector import Writing, apply
from consumers.sequencing import Received, receive


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
    """How many of a stream's parked events could be applied, and how many records were parked before."""

    applied: int
    of: int


class ParkedStore(Protocol):
    """Where parked records are kept. Adapter: `infra.postgres.projections.store.PostgresProjectionStore`."""

    def retry(self, stream: str) -> AbstractContextManager[Retry]:
        """Take a stream's parked records out, holding its partitions; puts all back if the block does not end well."""
        ...


def retry_parked(store: ParkedStore, stream: str) -> RetryOutcome:
    """Apply a stream's parked events in order of version; those that still cannot be are parked again.

    A record that still cannot be read has no version: it stays in front, and all others wait behind it.

    Raises:
        ServiceUnreachable: the database does not answer; everything is as it was.

    """
    with store.retry(stream) as retry:
        records = [receive(record.topic, record.partition, record) for record in retry.records]
        records.sort(key=_order)
        applied = apply(records, retry.writing) if records else 0
    return RetryOutcome(applied, len(records))


def _order(record: Received) -> tuple[int, int, int]:
    version = 0 if record.envelope is None else record.envelope.streamversion
    return version, record.partition, record.offset
