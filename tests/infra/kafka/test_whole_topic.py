"""A topic read whole: to where it ends, and not before what was written there is committed or given up."""

import itertools
import os
import threading
import time

from infra.kafka.admin import ensure_topics
from infra.kafka.clients import transactional_producer
from infra.kafka.whole_topic import WholeTopic
from producers.topics import TopicLayout
from tests.infra.kafka.real import bootstrap

PARTITIONS = 3
_numbers = itertools.count(1)


def fresh_topic() -> str:
    topic = f"whole-{os.getpid()}-{next(_numbers)}"
    ensure_topics(bootstrap(), [TopicLayout(topic, PARTITIONS, {})])
    return topic


def read(topic: str) -> list[bytes | None]:
    whole = WholeTopic(bootstrap(), topic)
    values = []
    while len(whole.ended()) < PARTITIONS:
        values += [record.value for records in whole.poll().values() for record in records]
    whole.close()
    return sorted(values, key=str)


def test_a_transaction_that_is_about_to_be_committed_is_waited_for() -> None:
    """Whoever reads just then would miss what others have read as committed in another partition already."""
    topic = fresh_topic()
    producer = transactional_producer(bootstrap(), f"{topic}-writer")
    producer.init_transactions()
    producer.begin_transaction()
    for number in range(PARTITIONS):
        producer.send(topic, value=b"%d" % number, partition=number)
    producer.flush()

    def commit() -> None:
        time.sleep(1)
        producer.commit_transaction()

    committing = threading.Thread(target=commit)
    committing.start()
    assert read(topic) == [b"0", b"1", b"2"]
    committing.join()
    producer.close()


def test_what_was_aborted_is_not_there_and_an_empty_topic_ends_at_once() -> None:
    """Its records are passed over, also at the end of a partition."""
    topic = fresh_topic()
    assert read(topic) == []
    producer = transactional_producer(bootstrap(), f"{topic}-writer")
    producer.init_transactions()
    for value in (b"committed", b"aborted"):
        producer.begin_transaction()
        producer.send(topic, value=value, partition=0)
        producer.flush()
        if value == b"committed":
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.close()
    assert read(topic) == [b"committed"]


def test_a_partition_that_was_held_in_the_midst_of_its_records_is_read_on() -> None:
    """However many were given before: held, all others read to their ends, then let go, it gives the rest."""
    topic, each = fresh_topic(), 50
    producer = transactional_producer(bootstrap(), f"{topic}-writer")
    producer.init_transactions()
    producer.begin_transaction()
    for number in range(PARTITIONS * each):
        producer.send(topic, value=b"%d" % number, partition=number % PARTITIONS)
    producer.commit_transaction()
    producer.close()
    whole = WholeTopic(bootstrap(), topic, max_records=20)
    seen: dict[int, int] = dict.fromkeys(range(PARTITIONS), 0)

    def poll() -> None:
        for partition, records in whole.poll().items():
            seen[partition] += len(records)

    while not any(0 < count < each for count in seen.values()):
        poll()
    held = next(partition for partition, count in seen.items() if 0 < count < each)
    whole.hold({held})
    deadline = time.monotonic() + 20
    while set(whole.ended()) != set(range(PARTITIONS)) - {held} and time.monotonic() < deadline:
        poll()
    whole.hold(set())
    while len(whole.ended()) < PARTITIONS and time.monotonic() < deadline:
        poll()
    whole.close()
    assert seen == dict.fromkeys(range(PARTITIONS), each)
