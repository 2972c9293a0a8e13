"""The events topic as the projector reads it: port `consumers.projector.EventSource` on kafka-python.

The projector shares the partitions with its group; a rebuild is given its partitions, and where each of them ends for it.

A consumer that was assigned a partition does not know where to read it from before it has been told (`seek`): until
then the partition is paused, so nothing is read from a place of Kafka's choosing. Rebalances happen on the client's own
thread; here they are only noted, and the projector asks for them after each poll.
"""

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from consumers.projector import TopicIdentity
from consumers.sequencing import SourceRecord
from domain.errors import IntegrityFault, ServiceUnreachable
from infra.kafka.admin import cluster_id, topic_id
from infra.kafka.clients import reachable, read_committed_consumer, unreachable
from infra.kafka.lean_records import read_lean

POLL_MS = 200
"""How long a poll waits where nothing is there; also how soon a stop or a rebalance is noticed."""

SILENCE_S = 3.0
"""After so long without a record, whether Kafka is there at all is asked."""

JOIN_S = 30.0
"""A group lets a member in within the session timeout of those it replaces; after this long the client itself is stuck."""

FETCH = {"max_partition_fetch_bytes": 2 * 1024 * 1024, "fetch_max_bytes": 12 * 1024 * 1024}
"""What is fetched ahead, for each partition and in all; a larger record still comes, alone. What the client allows by default
took 100 MB more memory and was no faster (docs/benchmarks.md)."""

ANSWER_MS = 5_000
CLOSE_MS = 3_000


class KafkaEventSource:
    """One topic, read as a member of the projector's consumer group; or without one, up to the `ends` of given partitions."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        group_id: str | None = None,
        ends: Mapping[int, int] | None = None,
        max_records: int,
        session_timeout_ms: int = 6_000,
    ) -> None:
        assert (group_id is None) != (ends is None), "partitions are shared with a group, or given"
        self._bootstrap = bootstrap
        self._topic = topic
        self._group_id = group_id
        self._ends = None if ends is None else dict(ends)
        self._max_records = max_records
        self._session_timeout_ms = session_timeout_ms
        self._consumer: KafkaConsumer | None = None
        self._assignment = _Assignment()
        self._heard_at = 0.0

    def identity(self) -> TopicIdentity:
        """Ask Kafka which topic this is now."""
        return topic_identity(self._bootstrap, self._topic)

    def poll(self) -> Mapping[int, Sequence[SourceRecord]]:
        """Wait a moment for committed records, by partition."""
        try:
            consumer = self._opened()
            polled = consumer.poll(timeout_ms=POLL_MS)
            if polled:
                self._heard_at = time.monotonic()
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            raise IntegrityFault(
                f"Kafka has no record at an offset that topic {self._topic} was read up to ({error!r}):"
                " the topic has lost records; compare it with the store before anything else."
            ) from error
        except KafkaError as error:
            self._drop()
            raise unreachable(self._bootstrap, error) from error
        if self._assignment.awaited_s():
            _look_at_the_join_again(consumer)
        if self._assignment.awaited_s() > JOIN_S:
            self._drop()
            raise ServiceUnreachable(
                f"Kafka at {self._bootstrap} has given this projector no place in group {self._group_id}"
                f" for {JOIN_S:.0f} s; it joins anew."
            )
        if not polled and time.monotonic() - self._heard_at > SILENCE_S:
            self._ask(consumer)
        return self._up_to_the_ends({partition.partition: records for partition, records in polled.items()})

    def _up_to_the_ends(self, polled: Mapping[int, Sequence[SourceRecord]]) -> Mapping[int, Sequence[SourceRecord]]:
        ends = self._ends
        if ends is None:
            return polled
        within = {
            partition: records
            if records[-1].offset < ends[partition]
            else [each for each in records if each.offset < ends[partition]]
            for partition, records in polled.items()
        }
        return {partition: records for partition, records in within.items() if records}

    def at_end(self) -> bool:
        """Tell whether the given partitions have been read to their ends."""
        consumer, ends = self._consumer, self._ends
        assert ends is not None, "the partitions of a group have no end"
        try:
            return consumer is not None and all(
                consumer.position(TopicPartition(self._topic, partition), timeout_ms=ANSWER_MS) >= end
                for partition, end in ends.items()
            )
        except KafkaError as error:
            raise unreachable(self._bootstrap, error) from error

    def end_at(self, partition: int, offset: int) -> None:
        """Let a given partition end earlier."""
        assert self._ends is not None, "the partitions of a group have no end"
        self._ends[partition] = min(offset, self._ends[partition])
        if self._consumer is not None:
            self._consumer.pause(TopicPartition(self._topic, partition))

    def assigned_anew(self) -> Collection[int] | None:
        """Give the partitions assigned, if the assignment changed since this was asked last; otherwise None."""
        return self._assignment.taken()

    def seek(self, next_offsets: Mapping[int, int]) -> None:
        """Read on from these offsets; a partition that is not ours any more is left alone."""
        consumer = self._consumer
        if consumer is None:
            return
        for partition, offset in next_offsets.items():
            ours = TopicPartition(self._topic, partition)
            try:
                consumer.seek(ours, offset)
                consumer.resume(ours)
            except (ValueError, KeyError):
                # Taken away meanwhile, on the client's thread: that is noted, and the projector seeks again.
                continue

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._drop()

    def _opened(self) -> KafkaConsumer:
        if self._consumer is None:
            consumer = read_committed_consumer(
                self._bootstrap, self._group_id, self._session_timeout_ms, **FETCH, max_poll_records=self._max_records
            )
            read_lean(consumer)
            self._assignment = _Assignment()
            listener = _Listener(consumer, self._assignment)
            if self._ends is None:
                consumer.subscribe([self._topic], listener=listener)
            else:
                given = [TopicPartition(self._topic, partition) for partition in self._ends]
                consumer.assign(given)
                listener.on_partitions_assigned(given)
            self._consumer = consumer
            self._heard_at = time.monotonic()
        return self._consumer

    def _ask(self, consumer: KafkaConsumer) -> None:
        """Tell silence from absence: the client itself waits for a broker for ever and says nothing."""
        partition = TopicPartition(self._topic, 0)
        try:
            consumer.end_offsets([partition], timeout_ms=ANSWER_MS)
        except KafkaError as error:  # the consumer is kept: it finds its way back by itself
            raise unreachable(self._bootstrap, error) from error
        self._heard_at = time.monotonic()

    def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            self._assignment.now(())


def topic_identity(bootstrap: str, topic: str) -> TopicIdentity:
    """Ask Kafka which topic has a name now.

    Raises:
        ServiceUnreachable: Kafka does not answer, or has no such topic (yet).

    """
    cluster, found = cluster_id(bootstrap), topic_id(bootstrap, topic)
    if found is None:
        raise _no_topic(bootstrap, topic)
    return TopicIdentity(topic, cluster, found)


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Give the offset behind the last committed record of each partition.

    Raises:
        ServiceUnreachable: Kafka does not answer, or has no such topic (yet).

    """
    consumer = read_committed_consumer(bootstrap)
    try:
        with reachable(bootstrap):
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise _no_topic(bootstrap, topic)
            ends = consumer.end_offsets([TopicPartition(topic, number) for number in numbers], timeout_ms=ANSWER_MS)
            return {partition.partition: end for partition, end in ends.items()}
    except KafkaError as error:
        raise unreachable(bootstrap, error) from error
    finally:
        consumer.close()


def _no_topic(bootstrap: str, topic: str) -> ServiceUnreachable:
    return ServiceUnreachable(f"Kafka at {bootstrap} has no topic {topic} (yet); the relay makes it.")


def _look_at_the_join_again(consumer: KafkaConsumer) -> None:
    """Ask for a place again where the client believes that it has one, although no assignment has come.

    Once the leader of a group has worked out the assignment after a change of metadata, `need_rejoin` is false; if a poll
    ends just then, while the group's answer is under way, no later poll looks at that answer, no heartbeat is sent, and the
    client waits for ever (kafka-python 3.0.12).
    """
    if not consumer._coordinator.need_rejoin():
        consumer._coordinator.request_rejoin()


class _Assignment:
    """The partitions assigned, noted on the client's thread and taken on the projector's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._partitions: frozenset[int] | None = None
        self._awaited_since: float | None = time.monotonic()

    def now(self, partitions: Collection[int], *, awaited: bool = False) -> None:
        with self._lock:
            self._partitions = frozenset(partitions)
            self._awaited_since = time.monotonic() if awaited else None

    def awaited_s(self) -> float:
        """For how long the group has owed us an assignment (which may well be one of no partitions)."""
        with self._lock:
            return 0.0 if self._awaited_since is None else time.monotonic() - self._awaited_since

    def taken(self) -> frozenset[int] | None:
        with self._lock:
            partitions, self._partitions = self._partitions, None
        return partitions


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python has no types
    def __init__(self, consumer: KafkaConsumer, assignment: _Assignment) -> None:
        self._consumer = consumer
        self._assignment = assignment

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Nothing is ours until the next assignment."""
        self._assignment.now((), awaited=True)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Hold the partitions until the projector has said where to read them from."""
        for partition in assigned:
            self._consumer.seek(partition, 0)
        self._consumer.pause(*assigned)
        self._assignment.now([partition.partition for partition in assigned])
