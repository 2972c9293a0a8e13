"""Many records of one partition into kafka-python's producer, at a quarter of the cost of a `send` for each.

Nearly all of what `send` does is the same for each record of a batch: is the topic known, is the partition part of the
transaction, is there room, a lock, and an object to wait for. So the first record of each batch goes through `send`, with all of
its checks, and the others straight into the batch that it has begun, by the batch's own encoding. What is sent is the same, byte for
byte (`tests/infra/kafka/test_bulk.py`).

This reaches into the library's accumulator (kafka-python 3.0.12): `_accumulator._batches`, a queue of batches for each
partition, is read under the partition's lock, `_accumulator._tp_lock`, and `_produce_future` tells the batch of a record. The test
fails where a version has other ones.
"""

from collections.abc import Sequence
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from producers.topics import Record

Headers = list[tuple[str, bytes]]


class Sent:
    """A batch that was begun: whether all of it has arrived is told by `check`, once the producer is flushed."""

    __slots__ = ("_batch", "_first")

    def __init__(self, first: Any) -> None:
        self._first = first  # the future of its first record
        self._batch = first._produce_future  # and the one of the batch

    def is_of(self, batch: Any) -> bool:
        """Say whether it is this batch."""
        return batch.produce_future is self._batch

    def check(self) -> None:
        """Return if every record of it was acknowledged.

        Raises:
            KafkaError: what it failed with, or that it is not known to have arrived.

        """
        self._first.get(timeout=0)
        # The library splits a batch that the broker finds too large, and then the first record speaks for a part of it only.
        if self._first._produce_future is not self._batch:
            raise KafkaError(f"a batch for {self._batch.topic_partition} is larger than the broker takes")


def send_in_order(producer: Any, topic: str, partition: int, records: Sequence[Record], headers: Headers) -> list[Sent]:
    """Put records of one partition into the producer, in their order; gives what to check after flushing it.

    Raises:
        KafkaError: as `send` does.

    """
    topic_partition = TopicPartition(topic, partition)
    accumulator = producer._accumulator
    sent = []
    index = 0
    while index < len(records):
        key, value, timestamp_ms = records[index]
        begun = Sent(producer.send(topic, value, key, headers, partition, timestamp_ms))
        sent.append(begun)
        index += 1
        with accumulator._tp_lock(topic_partition):  # until it is released, the batch is not closed and sent
            waiting = accumulator._batches[topic_partition]
            if waiting and begun.is_of(waiting[-1]):  # otherwise it is under way already
                append = waiting[-1].records.append
                while index < len(records):
                    key, value, timestamp_ms = records[index]
                    if append(timestamp_ms, key, value, headers) is None:  # full: the next one begins another batch
                        break
                    index += 1
    return sent
