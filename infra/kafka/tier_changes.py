"""The public topic of tier changes, read by a subscriber without a group: port `consumers.tier_changes.TierChanges`."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from kafka import TopicPartition

from consumers.tier_changes import Start
from domain.errors import ServiceUnreachable
from infra.kafka.clients import reachable, read_committed_consumer

POLL_MS = 300


class KafkaTierChanges:
    """One topic; nothing is remembered of what was read."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic

    def follow(self, start: Start, *, to_the_end: bool) -> Iterator[Sequence[bytes]]:
        """Give committed records as they come, a batch at a time; stop at what is there now if `to_the_end`.

        Raises:
            ServiceUnreachable: Kafka does not answer, or does not have the topic yet.

        """
        consumer = read_committed_consumer(self._bootstrap)
        try:
            with reachable(self._bootstrap):
                numbers = consumer.partitions_for_topic(self._topic)
                if not numbers:
                    raise ServiceUnreachable(
                        f"Kafka at {self._bootstrap} has no topic {self._topic} (yet); the relay makes it."
                    )
                partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
                consumer.assign(partitions)
                ends = consumer.end_offsets(partitions)
                for partition, offset in self._offsets(consumer, start, partitions, ends).items():
                    consumer.seek(partition, offset)
                while not to_the_end or any(consumer.position(each) < ends[each] for each in partitions):
                    polled = consumer.poll(timeout_ms=POLL_MS).values()
                    values = [record.value for records in polled for record in records]
                    if values:
                        yield values
        finally:
            consumer.close(autocommit=False)

    @staticmethod
    def _offsets(consumer: Any, start: Start, partitions: Sequence[Any], ends: dict[Any, int]) -> dict[Any, int]:
        if start == "latest":
            return ends
        if start == "earliest":
            beginnings: dict[Any, int] = consumer.beginning_offsets(partitions)
            return beginnings
        assert isinstance(start, dt.datetime)
        found = consumer.offsets_for_times(dict.fromkeys(partitions, int(start.timestamp() * 1000)))
        return {each: ends[each] if found[each] is None else found[each].offset for each in partitions}
