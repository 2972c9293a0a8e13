"""The relay between the real PostgreSQL and the real Kafka: where it goes on, and what it refuses."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka.admin import KafkaAdminClient

from domain.errors import IntegrityFault
from infra.embedded.servers import Endpoints
from infra.kafka import admin
from infra.kafka.ledger_topics import relayed_position
from infra.relay_process import run_relay
from infra.settings import Settings
from producers.topics import layouts
from tests.infra.kafka.real import (
    Checkpoints,
    Ledger,
    assert_relayed_exactly_once,
    bootstrap,
    fresh_prefix,
)
from tests.servers import fresh_database
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)


@contextmanager
def relaying(endpoints: Endpoints, prefix: str, batch_events: int = 50) -> Iterator[list[BaseException]]:
    """Run a relay in a thread; what it stopped with is in the list."""
    stop, stopped_with = threading.Event(), []

    def run() -> None:
        try:
            run_relay(Settings(relay_batch_events=batch_events, topic_prefix=prefix), endpoints, stop)
        except BaseException as error:
            stopped_with.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield stopped_with
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def relay_all(ledger: Ledger, prefix: str) -> None:
    last = ledger.query("SELECT position FROM ledger.head")[0][0]
    with relaying(ledger.endpoints, prefix) as stopped_with, Checkpoints(prefix) as checkpoints:
        eventually(lambda: bool(stopped_with) or checkpoints.position() == last)
    if stopped_with:
        raise stopped_with[0]


def delete_topic(name: str) -> None:
    client = KafkaAdminClient(bootstrap_servers=bootstrap())
    client.delete_topics([name])
    client.close()
    eventually(lambda: admin.topic_id(bootstrap(), name) is None)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(fresh_database())


@pytest.fixture
def relayed(ledger: Ledger) -> tuple[Ledger, str]:
    """A ledger whose events are on Kafka, and its topic prefix."""
    prefix = fresh_prefix()
    ledger.append(commands=60)
    relay_all(ledger, prefix)
    return ledger, prefix


def test_everything_is_relayed_once_and_the_relay_goes_on_where_it_was(relayed: tuple[Ledger, str]) -> None:
    ledger, prefix = relayed
    assert_relayed_exactly_once(ledger, prefix)
    ledger.append(commands=300)
    relay_all(ledger, prefix)
    assert_relayed_exactly_once(ledger, prefix)


def test_an_event_is_on_kafka_soon_after_its_append(relayed: tuple[Ledger, str]) -> None:
    ledger, prefix = relayed
    with relaying(ledger.endpoints, prefix), Checkpoints(prefix) as checkpoints:
        for _ in range(3):
            checkpoints.reach(ledger.append(), within_s=5)
    assert_relayed_exactly_once(ledger, prefix)


def test_an_empty_kafka_is_filled_again_from_the_first_position(relayed: tuple[Ledger, str]) -> None:
    ledger, prefix = relayed
    for topic in layouts(prefix=prefix).all:
        delete_topic(topic.name)
    relay_all(ledger, prefix)
    assert_relayed_exactly_once(ledger, prefix)


def test_a_missing_checkpoint_beside_records_is_refused(relayed: tuple[Ledger, str]) -> None:
    ledger, prefix = relayed
    delete_topic(f"{prefix}.relay-checkpoint")
    with pytest.raises(IntegrityFault, match=r"events up to position \d+ but no relay checkpoint"):
        relay_all(ledger, prefix)


def test_a_checkpoint_ahead_of_the_topic_is_refused(relayed: tuple[Ledger, str]) -> None:
    ledger, prefix = relayed
    delete_topic(f"{prefix}.events")
    with pytest.raises(IntegrityFault, match=r"checkpoint says position \d+, but the events topic ends at position 0"):
        relay_all(ledger, prefix)


def test_the_kafka_of_another_ledger_is_refused(relayed: tuple[Ledger, str]) -> None:
    _, prefix = relayed
    other = Ledger(fresh_database(), seed="other-")
    other.append(commands=200)
    with pytest.raises(IntegrityFault, match="belongs to another ledger"):
        relay_all(other, prefix)


def test_a_store_restored_from_an_older_backup_is_refused(relayed: tuple[Ledger, str]) -> None:
    _, prefix = relayed
    older = Ledger(fresh_database())
    older.append(commands=2)
    with pytest.raises(IntegrityFault, match="but the event store ends at position 2"):
        relay_all(older, prefix)


def test_a_follower_takes_over_when_the_leader_leaves(
    relayed: tuple[Ledger, str], caplog: pytest.LogCaptureFixture
) -> None:
    ledger, prefix = relayed
    caplog.set_level(logging.INFO)
    with relaying(ledger.endpoints, prefix) as first:
        eventually(lambda: "Relaying from" in caplog.text)
        follower = relaying(ledger.endpoints, prefix)
        second = follower.__enter__()
        eventually(lambda: "Another relay leads" in caplog.text)
    last = ledger.append(commands=5)
    with Checkpoints(prefix) as checkpoints:
        checkpoints.reach(last)
    assert relayed_position(bootstrap(), prefix) == last
    follower.__exit__(None, None, None)
    assert first + second == []
    assert_relayed_exactly_once(ledger, prefix)


def test_a_leader_that_lost_its_lead_starts_over(relayed: tuple[Ledger, str], caplog: pytest.LogCaptureFixture) -> None:
    ledger, prefix = relayed
    caplog.set_level(logging.INFO)
    with relaying(ledger.endpoints, prefix) as stopped_with, Checkpoints(prefix) as checkpoints:
        eventually(lambda: "Relaying from" in caplog.text)
        ledger.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = session_user AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        last = ledger.append(commands=5)
        eventually(lambda: bool(stopped_with) or checkpoints.position() == last)
    assert stopped_with == []
    assert_relayed_exactly_once(ledger, prefix)
