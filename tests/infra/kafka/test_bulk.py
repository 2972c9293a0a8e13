"""Records put into kafka-python's batches directly: what readers find is what `send` alone would have put there.

These tests are also what notices a version of kafka-python with other inner parts: where a batch is not found any more, each
record is a batch to check; where the parts are gone, nothing works at all.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from kafka.errors import KafkaError

from domain.envelope import CONTENT_TYPE
from infra.kafka import admin, clients
from infra.kafka.bulk import send_in_order
from producers.topics import Record, TopicLayout
from tests.infra.kafka.real import bootstrap, fresh_prefix, records_of

HEADERS = [("content-type", CONTENT_TYPE.encode())]
BATCH_BYTES = 256 * 1024


@pytest.fixture
def producer() -> Iterator[Any]:
    made = clients.transactional_producer(bootstrap(), fresh_prefix())
    made.init_transactions()
    yield made
    clients.discard(made)


def fresh_topic(**configuration: str) -> TopicLayout:
    topic = TopicLayout(f"{fresh_prefix()}.bulk", 2, configuration)
    admin.ensure_topics(bootstrap(), [topic])
    return topic


def records(count: int, length: int = 700) -> list[Record]:
    """Make records whose times run back now and then, as they may where a clock is set."""
    return [
        Record(b"partner:P-%d" % (number % 40), b"%d:" % number + b"x" * length, 1_700_000_000_000 + number * 7 % 31)
        for number in range(count)
    ]


def found(topic: TopicLayout) -> list[tuple[Any, ...]]:
    return [
        (each.partition, each.offset, each.key, each.value, each.timestamp, each.headers) for each in records_of(topic)
    ]


def test_readers_find_what_send_alone_would_have_put_there(producer: Any) -> None:
    ours, theirs = fresh_topic(), fresh_topic()
    told = records(1_000)
    told[500] = Record(b"large", b"y" * 1_000_000, told[500].timestamp_ms)  # more than a batch holds
    for part in (told[:3], told[3:]):
        producer.begin_transaction()
        for partition in (0, 1):
            sent = send_in_order(producer, ours.name, partition, part, HEADERS)
            for key, value, timestamp_ms in part:
                producer.send(theirs.name, value, key, HEADERS, partition, timestamp_ms)
            size = sum(len(value) for _, value, _ in part)
            assert len(sent) <= 2 + size // BATCH_BYTES, "the records of a batch share what is checked"
        producer.flush()
        for batch in sent:
            batch.check()
        producer.commit_transaction()
    assert found(ours) == found(theirs)
    assert [(each.key, each.value, each.timestamp) for each in records_of(ours) if each.partition == 1] == told


def test_a_batch_that_the_broker_finds_too_large_does_not_pass_for_sent(producer: Any) -> None:
    """The library splits it then and goes on with the parts, of which nobody would know whether they arrived."""
    topic = fresh_topic(**{"max.message.bytes": "20000"})
    producer.begin_transaction()
    sent = send_in_order(producer, topic.name, 0, records(200), HEADERS)

    def finish() -> None:
        producer.flush(timeout=20)
        for batch in sent:
            batch.check()

    with pytest.raises(KafkaError):
        finish()


def test_a_batch_that_is_not_acknowledged_yet_does_not_pass_for_sent(producer: Any) -> None:
    """Also where nothing failed: only what the broker has confirmed may be committed."""
    topic = fresh_topic()
    producer.begin_transaction()
    (sent,) = send_in_order(producer, topic.name, 0, records(2), HEADERS)
    clients.discard(producer)
    with pytest.raises(KafkaError):
        sent.check()
