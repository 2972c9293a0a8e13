"""Filling a build that is not live: a projector on given partitions of the topic, each up to an end."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from consumers.projector import EventSource, Projector
from consumers.sequencing import Received, SourceRecord, claimed_position, receive


class Bounded(EventSource, Protocol):
    """Given partitions of the topic, each up to an end. Adapter: `infra.kafka.event_source.KafkaEventSource`."""

    def at_end(self) -> bool:
        """Tell whether all of it was read."""
        ...

    def end_at(self, partition: int, offset: int) -> None:
        """Let a partition end earlier."""
        ...


class Vouching(Protocol):
    """What knows the event store. Adapter: `infra.postgres.projections.store.PostgresProjectionStore`."""

    def not_in_store(self, records: Sequence[Received]) -> Collection[int]:
        """Give the indexes of those records that the event store does not hold byte for byte at their position."""
        ...


def fill(projector: Projector, source: Bounded, note: Callable[[int, int], None]) -> None:
    """Have a projector read a source to its end; `note` is called with the records handled and the last position.

    Raises:
        ServiceUnreachable: Kafka or PostgreSQL does not answer; a rebuild begins again then.

    """
    try:
        while not (source.at_end() and projector.finish()):
            projector.step()
            note(projector.handled, projector.last_position)
        note(projector.handled, projector.last_position)
    finally:
        projector.close()


class UpTo:
    """A source up to a position: each partition ends at the first record beyond it that the event store holds.

    So it is what a projector had read when it had applied all events up to there. A forged record may claim any position.
    """

    def __init__(self, source: Bounded, position: int, store: Vouching, topic: str) -> None:
        self._topic = topic
        self._source = source
        self._position = position
        self._store = store
        self.identity = source.identity
        self.assigned_anew = source.assigned_anew
        self.seek = source.seek
        self.close = source.close
        self.at_end = source.at_end
        self.end_at = source.end_at

    def poll(self) -> Mapping[int, Sequence[SourceRecord]]:
        """Wait a moment for records, as far as they do not go beyond the position."""
        kept = {partition: self._kept(partition, records) for partition, records in self._source.poll().items()}
        return {partition: records for partition, records in kept.items() if records}

    def _kept(self, partition: int, records: Sequence[SourceRecord]) -> Sequence[SourceRecord]:
        for index, record in enumerate(records):
            claimed = claimed_position(record.value)
            if claimed is None or claimed <= self._position:
                continue
            if not self._store.not_in_store([receive(self._topic, partition, record)]):
                self._source.end_at(partition, record.offset)
                return records[:index]
        return records
