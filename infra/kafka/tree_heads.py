"""The topic of tree heads on kafka-python: port `producers.tree_heads.HeadsTopic`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from domain.errors import InvalidInput, ServiceUnreachable
from domain.heads import SignedHead, parse_head
from infra.kafka import admin, clients
from producers.topics import TopicLayout

_POLL_MS = 200
_SILENCE_S = 20.0
_HEADERS = [("content-type", b"text/plain; charset=UTF-8")]


class KafkaTreeHeads:
    """One topic of one partition; every method raises `ServiceUnreachable` while Kafka is away."""

    def __init__(self, bootstrap: str, layout: TopicLayout, replication_factor: int) -> None:
        self._bootstrap = bootstrap
        self._layout = layout
        self._partition = TopicPartition(layout.name, 0)
        self._replication_factor = replication_factor

    def heads(self, on_other: Callable[[str], None]) -> Iterator[SignedHead]:
        """Give every head, in the order they were put there; what is no head is passed over, and `on_other` told why."""
        with self._reading() as consumer:
            consumer.assign([self._partition])
            consumer.seek_to_beginning(self._partition)
            end = consumer.end_offsets([self._partition])[self._partition]
            heard_at = time.monotonic()
            while consumer.position(self._partition) < end:
                for record in (each for records in consumer.poll(timeout_ms=_POLL_MS).values() for each in records):
                    heard_at = time.monotonic()
                    what = f"The record at offset {record.offset} of the topic {self._layout.name}"
                    try:
                        yield parse_head(record.value or b"", what)
                    except InvalidInput as error:
                        on_other(str(error))
                if time.monotonic() - heard_at > _SILENCE_S:
                    raise ServiceUnreachable(
                        f"Kafka at {self._bootstrap} does not give all of the topic {self._layout.name}."
                    )

    def publish(self, signed: SignedHead) -> None:
        """Put a head on the topic, acknowledged by all replicas."""
        self._ensure()
        producer = clients.idempotent_producer(self._bootstrap)
        try:
            with clients.reachable(self._bootstrap):
                producer.send(
                    self._layout.name,
                    key=signed.head.origin.encode(),
                    value=signed.text.encode(),
                    headers=_HEADERS,
                    partition=0,
                    timestamp_ms=int(signed.head.time.timestamp() * 1000),
                ).get(timeout=clients.DELIVERY_TIMEOUT_MS / 1000)
        except KafkaError as error:
            raise ServiceUnreachable(
                f"Kafka at {self._bootstrap} did not take the tree head ({error}); try again."
            ) from error
        finally:
            producer.close(timeout=1)

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """Lend a consumer of the topic."""
        self._ensure()
        consumer = clients.read_committed_consumer(self._bootstrap)
        try:
            with clients.reachable(self._bootstrap):
                yield consumer
        finally:
            consumer.close(autocommit=False)

    def _ensure(self) -> None:
        """Make the topic where it is missing: a ledger that ran before there were tree heads goes on running without it."""
        admin.ensure_topics(self._bootstrap, [self._layout], self._replication_factor)
