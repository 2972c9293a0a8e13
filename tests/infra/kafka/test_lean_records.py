"""The lean way of unpacking records gives what the client library's own gives, whatever is on the topic."""

import itertools
import os
from collections.abc import Sequence
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from infra.kafka.admin import ensure_topics
from infra.kafka.clients import read_committed_consumer
from infra.kafka.lean_records import LeanRecord, _unpacked, read_lean
from producers.topics import TopicLayout
from tests.infra.kafka.real import bootstrap

PARTITIONS = 2
_numbers = itertools.count(1)

RECORDS: Sequence[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
    (b"k", b"v", []),
    (None, b"no key", [("content-type", b"application/json")]),
    (b"no value", None, [("a", b""), ("b", b"x" * 300)]),
    (b"", b"", []),
    (b"long " + b"k" * 200, b"v" * 70_000, []),
    *[(f"key {n}".encode(), f"value {n}".encode() * (n % 50), []) for n in range(400)],
]


def filled(compression: str | None) -> str:
    """A topic with committed and aborted transactions in turns, in batches of several sizes."""
    topic = f"lean-{os.getpid()}-{next(_numbers)}"
    ensure_topics(bootstrap(), [TopicLayout(topic, PARTITIONS, {})])
    producer: Any = KafkaProducer(
        bootstrap_servers=bootstrap(),
        transactional_id=f"{topic}-writer",
        enable_idempotence=True,
        acks="all",
        compression_type=compression,
        batch_size=2_000,
        retry_backoff_ms=5,
    )
    producer.init_transactions()
    for part in range(0, len(RECORDS), 40):
        for aborted in (True, False):
            producer.begin_transaction()
            for number, (key, value, headers) in enumerate(RECORDS[part : part + 40]):
                producer.send(topic, key=key, value=value, headers=headers, partition=number % PARTITIONS)
            producer.flush()
            if aborted:
                producer.abort_transaction()
            else:
                producer.commit_transaction()
    producer.close()
    return topic


def read(topic: str, *, lean: bool, starts: Sequence[int] = (0, 0), most: int = 7) -> list[tuple[Any, ...]]:
    consumer = read_committed_consumer(bootstrap(), max_poll_records=most)
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    if lean:
        read_lean(consumer)
    ends = consumer.end_offsets(partitions)
    for partition, start in zip(partitions, starts, strict=True):
        consumer.seek(partition, start)
    found = []
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for partition, records in consumer.poll(timeout_ms=200).items():
            assert all(isinstance(record, LeanRecord) == lean for record in records)
            time = "timestamp_ms" if lean else "timestamp"
            found += [
                (partition.partition, record.offset, getattr(record, time), record.key, record.value)
                for record in records
            ]
    consumer.close()
    return sorted(found, key=lambda record: record[:2])


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_the_same_records_as_by_the_librarys_own_way(compression: str | None) -> None:
    """Keys and values that are missing, empty, long; headers; aborted transactions; polls that end within a batch."""
    topic = filled(compression)
    plain = read(topic, lean=False)
    assert len(plain) == len(RECORDS)
    assert read(topic, lean=True) == plain
    middle = [
        next(offset for part, offset, *_ in plain[len(plain) // 4 :] if part == partition) for partition in (0, 1)
    ]
    assert read(topic, lean=True, starts=middle, most=500) == [r for r in plain if r[1] >= middle[r[0]]]


def batch(*values: bytes) -> bytearray:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1_000, key=b"k", value=value, headers=[])
    return bytearray(builder.build())


def test_a_batch_that_was_cut_or_goes_on_is_corrupt() -> None:
    """As its checksum would have said before; no record of it is made up."""
    whole = batch(b"one", b"two")
    assert [record.value for record in _unpacked(DefaultRecordBatch(whole))] == [b"one", b"two"]
    for damaged in (whole[:-2], whole[:-8], whole + b"more"):
        with pytest.raises(CorruptRecordError):
            list(_unpacked(DefaultRecordBatch(damaged)))
