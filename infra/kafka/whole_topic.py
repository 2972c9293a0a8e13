"""A topic read to where it ends now, from its beginning or from offsets, by a consumer without a group: nothing is left on Kafka."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from domain.errors import IntegrityFault, ServiceUnreachable
from infra.kafka.clients import reachable, read_committed_consumer, unreachable
from infra.kafka.lean_records import LeanRecord, read_lean, read_on_what_was_held

POLL_MS = 200
SILENCE_S = 5.0
"""After so long without a record, whether Kafka is there at all is asked."""
ANSWER_MS = 5_000
CLOSE_MS = 1_000
FETCH_BYTES = 512 * 1024
"""Of a partition at a time: partitions come evenly then, and what waits for others stays small."""


SETTLED_WITHIN_S = 75.0
"""Kafka aborts a transaction that nobody ends after 60 s (`clients.TRANSACTION_TIMEOUT_MS`)."""
SETTLE_PAUSE_S = 0.05


def settled_ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Give where a topic's partitions end now, once every transaction that has written there by now has ended.

    A commit's markers reach one partition after the other: what is committed may not be readable as such in all of them yet.

    Raises:
        ServiceUnreachable: Kafka does not answer, or does not have the topic yet.

    """
    written = read_committed_consumer(bootstrap, isolation_level="read_uncommitted")
    committed = read_committed_consumer(bootstrap)
    try:
        with reachable(bootstrap):
            numbers = written.partitions_for_topic(topic)
            if not numbers:
                raise ServiceUnreachable(f"Kafka at {bootstrap} has no topic {topic} (yet); the relay makes it.")
            partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
            ends = written.end_offsets(partitions)
            give_up_at = time.monotonic() + SETTLED_WITHIN_S
            while True:
                stable = committed.end_offsets(partitions)
                if all(stable[each] >= ends[each] for each in partitions) or time.monotonic() > give_up_at:
                    return {each.partition: min(ends[each], stable[each]) for each in partitions}
                time.sleep(SETTLE_PAUSE_S)
    finally:
        for consumer in (written, committed):
            consumer.close(autocommit=False, timeout_ms=CLOSE_MS)


class WholeTopic:
    """One reading of a topic, whole or from the offsets in `begin`. Used by one thread; close it."""

    def __init__(
        self, bootstrap: str, topic: str, *, max_records: int = 4_000, begin: Mapping[int, int] | None = None
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self.ends = settled_ends(bootstrap, topic)
        self._consumer = read_committed_consumer(
            bootstrap, max_poll_records=max_records, max_partition_fetch_bytes=FETCH_BYTES
        )
        read_lean(self._consumer)
        self._paused: set[int] = set()
        try:
            with reachable(bootstrap):
                partitions = self._named(self.ends)
                self._consumer.assign(partitions)
                self._consumer.seek_to_beginning(*partitions)
                for partition, offset in (begin or {}).items():
                    self._consumer.seek(TopicPartition(topic, partition), offset)
        except BaseException:
            self.close()
            raise
        self._heard_at = time.monotonic()

    @property
    def partitions(self) -> Collection[int]:
        """The partitions, by number."""
        return sorted(self.ends)

    def poll(self) -> Mapping[int, Sequence[LeanRecord]]:
        """Wait a moment for records before the end, by partition.

        Raises:
            ServiceUnreachable: Kafka does not answer.

        """
        read_on_what_was_held(self._consumer)
        try:
            polled = self._consumer.poll(timeout_ms=POLL_MS)
            if polled:
                self._heard_at = time.monotonic()
            elif time.monotonic() - self._heard_at > SILENCE_S:
                self._consumer.end_offsets([TopicPartition(self._topic, 0)], timeout_ms=ANSWER_MS)
                self._heard_at = time.monotonic()
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            raise IntegrityFault(
                f"Kafka has no record at an offset that topic {self._topic} was read up to ({error!r}):"
                " the topic has lost records; compare it with the store before anything else."
            ) from error
        except KafkaError as error:
            raise unreachable(self._bootstrap, error) from error
        before_end: dict[int, Sequence[LeanRecord]] = {}
        for each, records in polled.items():
            end = self.ends[each.partition]
            before_end[each.partition] = (
                records if records[-1].offset < end else [record for record in records if record.offset < end]
            )
        return before_end

    def look_again(self) -> None:
        """Let each partition end where it ends by now, and read on from where it ended before."""
        ends = settled_ends(self._bootstrap, self._topic)
        with reachable(self._bootstrap):
            for each in self._named(self.ends):
                before = self.ends[each.partition]
                if self._consumer.position(each) > before:
                    self._consumer.seek(each, before)  # what was polled behind the end was not given
        self.ends = ends

    def ended(self) -> Collection[int]:
        """Give the partitions that were read to where they ended when that was looked at last."""
        with reachable(self._bootstrap):
            return [
                number
                for number, end in self.ends.items()
                if self._consumer.position(TopicPartition(self._topic, number)) >= end
            ]

    def hold(self, partitions: Collection[int]) -> None:
        """Read no more of these partitions for now, and of all others again."""
        wanted = set(partitions)
        if wanted != self._paused:
            self._consumer.resume(*self._named(self._paused - wanted))
            self._consumer.pause(*self._named(wanted - self._paused))
            self._paused = wanted

    def has_record(self, partition: int, offset: int) -> bool:
        """Tell whether a committed record stands at an offset now; what was to be read further is lost by asking."""
        if offset < 0:
            return False
        where = TopicPartition(self._topic, partition)
        with reachable(self._bootstrap):
            if offset >= self._consumer.end_offsets([where])[where]:
                return False
            self._consumer.assign([where])
            self._consumer.seek(where, offset)
            while self._consumer.position(where) <= offset:
                for records in self._consumer.poll(timeout_ms=POLL_MS).values():
                    return bool(records[0].offset == offset)
        return False

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close(autocommit=False, timeout_ms=CLOSE_MS)

    def _named(self, partitions: Collection[int]) -> list[Any]:
        return [TopicPartition(self._topic, number) for number in partitions]
