"""The ledger's topics for the relay: one transactional producer, and how far the topics are (port: `producers.relay`).

A transaction is sent and committed by a thread of its own, so that the relay makes the next one meanwhile. Its outcome counts as
known only if every batch was acknowledged *and* the commit was; kafka-python can report a commit as done although a
batch was lost before (it resets itself after some errors), so each batch's outcome is looked at. After anything else the producer
is discarded: `open` connects a new one, which aborts what was left open and shuts every earlier one out.
"""

import threading
import time
from functools import lru_cache
from typing import Any

import msgspec
from kafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    RecordListTooLargeError,
    RetriableError,
)
from kafka.partitioner.default import murmur2

from domain.envelope import CONTENT_TYPE, open_envelope
from domain.errors import IntegrityFault, LedgerError, ServiceUnreachable
from infra.kafka import admin, clients
from infra.kafka.bulk import Sent, send_in_order
from infra.kafka.tails import last_records
from producers.topics import DEFAULT_PARTITIONS, PREFIX, Checkpoint, Record, Relayed, TopicLayout, Transaction, layouts

COMMIT_WITHIN_S = 40.0
"""After this a transaction is given up; well before Kafka itself would abort it."""

_HEADERS = [("content-type", CONTENT_TYPE.encode())]
_CHECKPOINT_KEY = b"relay"


class _CheckpointValue(msgspec.Struct, frozen=True):
    position: int
    leaf_hash: str


class KafkaLedgerTopics:
    """The relay's topics on a Kafka. `topic_prefix` also names the transactional id; tests use one of their own."""

    def __init__(
        self,
        bootstrap: str,
        partitions: int = DEFAULT_PARTITIONS,
        replication_factor: int = 1,
        topic_prefix: str = PREFIX,
    ) -> None:
        self._bootstrap = bootstrap
        self._layouts = layouts(partitions, topic_prefix)
        self._replication_factor = replication_factor
        self._transactional_id = f"{topic_prefix}.relay"
        self._producer: Any = None
        self._commit: _Commit | None = None

    def open(self) -> Relayed:
        """Connect; abort what an earlier relay left open, shut it out, and read how far the topics are.

        Raises:
            ServiceUnreachable: Kafka does not answer.
            IntegrityFault: a topic is not as it must be.

        """
        self.close()
        admin.ensure_topics(self._bootstrap, self._layouts.all, self._replication_factor)
        self._producer = clients.transactional_producer(self._bootstrap, self._transactional_id)
        with clients.reachable(self._bootstrap):
            self._producer.init_transactions()
        return self._relayed()

    def send(self, content: Transaction) -> None:
        """Send a transaction and begin to commit it. The one sent before must be committed.

        Raises:
            ServiceUnreachable: Kafka is away; the transaction will not take effect.
            IntegrityFault: another relay has taken over, or an event is too large for the topic.

        """
        assert self._commit is None
        begun_at = time.time()
        try:
            self._producer.begin_transaction()
            sent = self._send_records(content)
        except KafkaError as error:
            raise self._fault(error, begun_at) from error
        self._commit = _Commit(self._producer, sent, begun_at)

    def committed(self, timeout_s: float) -> bool:
        """Wait for the transaction in hand; False if it is not committed yet. True where there is none.

        Raises:
            ServiceUnreachable: its outcome is unknown; `open` finds out.
            IntegrityFault: as for `send`.

        """
        commit = self._commit
        if commit is None:
            return True
        commit.join(timeout_s)
        if commit.is_alive():
            if time.time() - commit.begun_at > COMMIT_WITHIN_S:
                raise ServiceUnreachable(
                    f"Kafka at {self._bootstrap} did not confirm a transaction in {COMMIT_WITHIN_S:.0f} s."
                )
            return False
        self._commit = None
        if isinstance(commit.error, KafkaError):
            raise self._fault(commit.error, commit.begun_at) from commit.error
        if commit.error is not None:
            raise commit.error
        return True

    def close(self) -> None:
        """Leave at once; a transaction in hand is aborted or committed, which the next `open` finds out. Never raises."""
        if self._producer is not None:
            clients.discard(self._producer)
        self._producer = None
        self._commit = None

    def _send_records(self, content: Transaction) -> list[Sent]:
        sent = self._send_to(self._layouts.events, content.events)
        sent += self._send_to(self._layouts.tier_changes, content.tier_changes)
        checkpoint = _CheckpointValue(content.checkpoint.position, content.checkpoint.leaf_hash.hex())
        value = msgspec.json.encode(checkpoint)
        name = self._layouts.relay_checkpoint.name
        sent.append(Sent(self._producer.send(name, key=_CHECKPOINT_KEY, value=value, partition=0)))
        return sent

    def _send_to(self, topic: TopicLayout, records: tuple[Record, ...]) -> list[Sent]:
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(partition_of(record.key, topic.partitions), []).append(record)
        return [
            each
            for partition, its_records in by_partition.items()
            for each in send_in_order(self._producer, topic.name, partition, its_records, _HEADERS)
        ]

    def _relayed(self) -> Relayed:
        events, checkpoints = self._layouts.events.name, self._layouts.relay_checkpoint.name
        consumer = clients.read_committed_consumer(self._bootstrap)
        try:
            with clients.reachable(self._bootstrap):
                records = last_records(consumer, [events, checkpoints], _can_be_read)
        finally:
            consumer.close()
        checkpoint = next((_checkpoint(record) for tp, record in records.items() if tp.topic == checkpoints), None)
        positions = [open_envelope(record.value).position for tp, record in records.items() if tp.topic == events]
        return Relayed(checkpoint, max(positions, default=0))

    def _fault(self, error: KafkaError, begun_at: float) -> LedgerError:
        """Say what an error in a transaction means; whatever is not known to be for ever is tried again."""
        if (
            type(error) is KafkaError
        ):  # "a previous request has failed": with what is known on the producer's own thread
            error = self._producer._transaction_manager.last_error or error
        if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
            return IntegrityFault(
                f"Kafka does not take an event: {error}; raise max.message.bytes of the ledger's topics."
            )
        if isinstance(error, ProducerFencedError) and time.time() - begun_at < clients.TRANSACTION_TIMEOUT_MS / 1000:
            return IntegrityFault(
                f"Another relay with the transactional id {self._transactional_id} has taken over at Kafka {self._bootstrap}, so"
                " this one stops; nothing was sent twice. If two ledgers share this Kafka, give one its own."
            )
        if isinstance(error, RetriableError):
            return clients.unreachable(self._bootstrap, error)
        return ServiceUnreachable(f"Kafka at {self._bootstrap} did not complete a transaction ({error}).")


class _Commit(threading.Thread):
    """Flushes and commits a transaction. `error` is None only if it took effect as a whole."""

    def __init__(self, producer: Any, sent: list[Sent], begun_at: float) -> None:
        super().__init__(name="relay-commit", daemon=True)
        self.begun_at = begun_at
        self.error: Exception | None = None
        self._producer = producer
        self._sent = sent
        self.start()

    def run(self) -> None:
        try:
            self._producer.flush()
            for batch in self._sent:
                batch.check()
            self._producer.commit_transaction()
        except Exception as error:  # handed to the relay's thread, which raises it
            self.error = error


@lru_cache(maxsize=100_000)
def partition_of(key: bytes, partitions: int) -> int:
    """Give the partition of a key, as every Kafka client does (murmur2); kept, because computing it is a tenth of a send."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def relayed_position(bootstrap: str, topic_prefix: str = PREFIX) -> int:
    """Give the position up to which events are on Kafka, by the last committed checkpoint; 0 if there is none.

    Raises:
        ServiceUnreachable: Kafka does not answer.

    """
    checkpoint = read_checkpoint(bootstrap, layouts(prefix=topic_prefix).relay_checkpoint.name)
    return 0 if checkpoint is None else checkpoint.position


def read_checkpoint(bootstrap: str, topic: str) -> Checkpoint | None:
    """Give the last committed checkpoint; None if there is none.

    Raises:
        ServiceUnreachable: Kafka does not answer.

    """
    consumer = clients.read_committed_consumer(bootstrap)
    try:
        with clients.reachable(bootstrap):
            if not consumer.partitions_for_topic(topic):
                return None
            records = last_records(consumer, [topic])
    finally:
        consumer.close()
    return max(map(_checkpoint, records.values()), key=lambda found: found.position, default=None)


def _can_be_read(record: Any) -> bool:
    """Tell whether a record is an event or a checkpoint at all: what somebody else put behind them parks a stream, not the relay."""
    try:
        if record.key == _CHECKPOINT_KEY:
            _checkpoint(record)
        else:
            open_envelope(record.value or b"")
    except ValueError:  # msgspec's errors are
        return False
    return True


def _checkpoint(record: Any) -> Checkpoint:
    value = msgspec.json.decode(record.value, type=_CheckpointValue)
    return Checkpoint(value.position, bytes.fromhex(value.leaf_hash))
