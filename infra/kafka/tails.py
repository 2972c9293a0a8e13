"""Reading the end of topics: the last committed record of each partition.

A partition rarely ends with a record: each transaction leaves a marker there, and an aborted one leaves its records too,
which a read-committed consumer skips. So the end is searched backwards, in windows that grow until a record is found.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

_FIRST_WINDOW = 16
_GROWTH = 16
_POLL_MS = 200
_READ_WITHIN_S = 20.0


def last_records(
    consumer: Any, topics: Sequence[str], counts: Callable[[Any], bool] = lambda _: True
) -> dict[TopicPartition, Any]:
    """Give the last committed record that counts of each partition of the topics; partitions without one are left out.

    The consumer is a `clients.read_committed_consumer`; what it was assigned before is lost.

    Raises:
        kafka.errors.RetriableError: Kafka does not answer, or a topic does not exist (yet).

    """
    partitions = [TopicPartition(topic, number) for topic in topics for number in _partitions(consumer, topic)]
    begins = consumer.beginning_offsets(partitions)
    ends = consumer.end_offsets(partitions)  # of a read-committed consumer: before the first open transaction
    found: dict[TopicPartition, Any] = {}
    searched = {partition: end for partition, end in ends.items() if end > begins[partition]}
    window = _FIRST_WINDOW
    while searched:
        starts = {partition: max(begins[partition], ends[partition] - window) for partition in searched}
        found |= _last_between(consumer, starts, ends, counts)
        searched = {p: start for p, start in starts.items() if p not in found and start > begins[p]}
        window *= _GROWTH
    return found


def _partitions(consumer: Any, topic: str) -> Sequence[int]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise KafkaTimeoutError(f"Topic {topic} is not there.")
    return sorted(numbers)


def _last_between(
    consumer: Any, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int], counts: Callable[[Any], bool]
) -> dict[TopicPartition, Any]:
    """Read each partition from its start to its end and keep the last record that counts."""
    consumer.assign(list(starts))
    for partition, start in starts.items():
        consumer.seek(partition, start)
    last: dict[TopicPartition, Any] = {}
    give_up_at = time.monotonic() + _READ_WITHIN_S
    while any(consumer.position(partition) < ends[partition] for partition in starts):
        if time.monotonic() > give_up_at:
            raise KafkaTimeoutError(f"The end of {starts} could not be read.")
        for partition, records in consumer.poll(timeout_ms=_POLL_MS).items():
            before_end = [record for record in records if record.offset < ends[partition] and counts(record)]
            if before_end:
                last[partition] = before_end[-1]
    return last
