"""The relay's topics on the real Kafka."""

import json
import time
from collections.abc import Iterator

import pytest
from kafka.partitioner import DefaultPartitioner

from domain import events
from domain.envelope import CONTENT_TYPE, open_envelope
from domain.errors import IntegrityFault, ServiceUnreachable
from infra.kafka import admin, clients
from infra.kafka.ledger_topics import KafkaLedgerTopics, partition_of, relayed_position
from producers.batches import transaction
from producers.topics import Relayed, TopicLayout, Transaction, layouts
from tests.consumers.real import produce
from tests.infra.kafka.real import bootstrap, fresh_prefix, records_of
from tests.producers.rows import ENROLLED, row_of, store_of, stored
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def prefix() -> str:
    return fresh_prefix()


@pytest.fixture
def topics(prefix: str) -> Iterator[KafkaLedgerTopics]:
    opened = KafkaLedgerTopics(bootstrap(), topic_prefix=prefix)
    yield opened
    opened.close()


def enrolments(first: int, last: int) -> Transaction:
    return transaction([stored(row_of(ENROLLED, position)) for position in range(first, last + 1)])


def commit(topics: KafkaLedgerTopics, content: Transaction) -> None:
    topics.send(content)
    while not topics.committed(timeout_s=0.5):
        pass


def test_topics_are_created_as_laid_out_and_found_again(topics: KafkaLedgerTopics, prefix: str) -> None:
    assert topics.open() == Relayed(None, 0)
    assert topics.open() == Relayed(None, 0)
    assert relayed_position(bootstrap(), prefix) == 0
    identity = admin.topic_id(bootstrap(), f"{prefix}.events")
    assert identity is not None
    assert len(identity) == 36
    assert admin.topic_id(bootstrap(), f"{prefix}.nothing") is None
    assert len(admin.cluster_id(bootstrap())) == 22


def test_an_existing_topic_with_another_partition_count_is_refused(prefix: str) -> None:
    admin.ensure_topics(bootstrap(), layouts(3, prefix).all)
    with pytest.raises(IntegrityFault, match=r"\.events has 3 partitions, but 6 are set"):
        KafkaLedgerTopics(bootstrap(), partitions=6, topic_prefix=prefix).open()


def test_an_existing_topic_that_forgets_is_refused(prefix: str) -> None:
    admin.ensure_topics(bootstrap(), [TopicLayout(f"{prefix}.events", 6, {"retention.ms": "604800000"})])
    with pytest.raises(IntegrityFault, match=r"retention\.ms=604800000 where -1 is needed"):
        KafkaLedgerTopics(bootstrap(), topic_prefix=prefix).open()


def test_a_transaction_carries_events_tier_changes_and_the_checkpoint(topics: KafkaLedgerTopics, prefix: str) -> None:
    topics.open()
    content = transaction([stored(row_of(ENROLLED, 1)), *store_of([1, 1, 1])[1:]])
    commit(topics, content)
    layout = layouts(prefix=prefix)
    seen = sorted(records_of(layout.events), key=lambda record: open_envelope(record.value).position)
    assert [(each.key, each.value, each.timestamp) for each in seen] == list(content.events)
    assert {tuple(map(tuple, each.headers)) for each in seen} == {(("content-type", CONTENT_TYPE.encode()),)}
    (public,) = records_of(layout.tier_changes)
    assert (public.key, public.value) == (b"P-1", content.tier_changes[0].value)
    eventually(lambda: relayed_position(bootstrap(), prefix) == 3)
    assert topics.open() == Relayed(content.checkpoint, 3)


def test_records_are_where_every_kafka_client_looks_for_their_key(topics: KafkaLedgerTopics, prefix: str) -> None:
    class SixPartitions:
        def topics(self) -> list[str]:
            return ["t"]

        def partitions_for_topic(self, topic: str) -> set[int]:
            return set(range(6))

        def available_partitions_for_topic(self, topic: str) -> set[int]:
            return set(range(6))

    for number in range(50):
        key = f"partner:P-{number}".encode()
        assert partition_of(key, 6) == DefaultPartitioner().partition("t", None, key, None, b"", SixPartitions())


def test_an_aborted_transaction_shows_neither_events_nor_tier_changes(topics: KafkaLedgerTopics, prefix: str) -> None:
    topics.open()
    commit(topics, enrolments(1, 2))
    producer = topics._producer
    producer.begin_transaction()
    topics._send_records(enrolments(3, 60))
    producer.flush()
    producer.abort_transaction()
    layout = layouts(prefix=prefix)
    for topic in (layout.events, layout.tier_changes):
        assert [json.loads(record.value)["id"] for record in records_of(topic)] == ["1", "2"]
    eventually(lambda: relayed_position(bootstrap(), prefix) == 2)


def test_what_a_dead_relay_left_open_is_aborted_and_the_end_found_behind_it(
    topics: KafkaLedgerTopics, prefix: str
) -> None:
    topics.open()
    first = enrolments(1, 2)
    commit(topics, first)
    topics._producer.begin_transaction()
    topics._send_records(enrolments(3, 700))  # more than the windows that look for the end begin with
    topics._producer.flush()
    successor = KafkaLedgerTopics(bootstrap(), topic_prefix=prefix)
    assert successor.open() == Relayed(first.checkpoint, 2)
    commit(successor, enrolments(3, 4))
    assert successor.open().highest_position == 4
    successor.close()


def test_a_zombie_is_fenced_and_puts_nothing_on_kafka(topics: KafkaLedgerTopics, prefix: str) -> None:
    topics.open()
    commit(topics, enrolments(1, 1))
    successor = KafkaLedgerTopics(bootstrap(), topic_prefix=prefix)
    successor.open()
    with pytest.raises(IntegrityFault, match="has taken over"):
        commit(topics, enrolments(2, 3))
    commit(successor, enrolments(2, 2))
    assert [open_envelope(record.value).id for record in records_of(layouts(prefix=prefix).events)] == ["1", "2"]
    successor.close()


def test_a_zombie_is_fenced_in_the_middle_of_a_transaction_too(topics: KafkaLedgerTopics, prefix: str) -> None:
    topics.open()
    topics._producer.begin_transaction()
    topics._send_records(enrolments(1, 1))
    topics._producer.flush()
    successor = KafkaLedgerTopics(bootstrap(), topic_prefix=prefix)
    assert successor.open() == Relayed(None, 0)
    with pytest.raises(Exception, match=r"(?i)fenced|epoch"):
        topics._producer.commit_transaction()
    assert records_of(layouts(prefix=prefix).events) == []
    successor.close()


def test_a_zombie_that_was_fenced_while_it_sends_gives_way(topics: KafkaLedgerTopics, prefix: str) -> None:
    """The client hears of it on a thread of its own: what is called next must not take it for a fault to try again after."""
    topics.open()
    successor = KafkaLedgerTopics(bootstrap(), topic_prefix=prefix)
    successor.open()
    topics._producer.begin_transaction()
    topics._producer.send(f"{prefix}.events", b"the zombie's", partition=0)
    eventually(topics._producer._transaction_manager.has_error)
    with pytest.raises(IntegrityFault, match="has taken over"):
        topics.send(enrolments(2, 2))
    successor.close()


def test_an_event_larger_than_a_record_may_be_is_refused(topics: KafkaLedgerTopics) -> None:
    topics.open()
    huge = events.ProgrammePublished(programme="p", effective_from=ENROLLED.enrolled_on, content={"x": "x" * 9_000_000})
    with pytest.raises(IntegrityFault, match="does not take an event"):
        commit(topics, transaction([stored(row_of(huge))]))


def test_an_event_of_several_megabytes_is_taken(topics: KafkaLedgerTopics, prefix: str) -> None:
    topics.open()
    large = events.ProgrammePublished(
        programme="p", effective_from=ENROLLED.enrolled_on, content={"x": "x" * 5_000_000}
    )
    commit(topics, transaction([stored(row_of(large))]))
    assert len(records_of(layouts(prefix=prefix).events)) == 1


def test_a_kafka_that_is_not_there_is_named() -> None:
    began = time.monotonic()
    with pytest.raises(ServiceUnreachable, match=r"Kafka at 127\.0\.0\.1:1 does not answer"):
        KafkaLedgerTopics("127.0.0.1:1").open()
    with pytest.raises(ServiceUnreachable, match=r"127\.0\.0\.1:1"):
        relayed_position("127.0.0.1:1")
    assert time.monotonic() - began < 15


def test_a_discarded_producer_leaves_no_thread_behind(topics: KafkaLedgerTopics, prefix: str) -> None:
    topics.open()
    producer = topics._producer
    topics._producer.begin_transaction()
    topics._send_records(enrolments(1, 50))
    clients.discard(producer)
    eventually(lambda: not producer._sender.is_alive())
    eventually(lambda: producer._closed)
    topics._producer = None


@pytest.mark.parametrize("forged", [b"no JSON", b'{"specversion": "1.0"}', None])
def test_a_record_that_is_no_event_behind_the_last_one_keeps_no_relay_from_starting(
    topics: KafkaLedgerTopics, prefix: str, forged: bytes | None
) -> None:
    """Whoever may write to the topic could otherwise stop the ledger with one record; how far it is stands before."""
    topics.open()
    commit(topics, enrolments(1, 3))
    produce(bootstrap(), layouts(prefix=prefix).events.name, [(f"key-{n}".encode(), forged) for n in range(100)])
    assert topics.open().highest_position == 3
