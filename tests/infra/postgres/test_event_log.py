"""What the relay reads: a wake-up call that is never missed, and a lead that only one has."""

import threading
import time
from collections.abc import Iterator

import pytest

from domain.errors import ServiceUnreachable
from infra.postgres.event_log import PostgresEventLog
from infra.postgres.recorder import PostgresLedgerRecorder
from tests.infra.postgres.conftest import PostgresUrls, run, sales

END_SESSIONS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def event_log(postgres_urls: PostgresUrls) -> Iterator[PostgresEventLog]:
    made = PostgresEventLog(postgres_urls.application)
    yield made
    made.close()


def test_pages_by_position(recorder: PostgresLedgerRecorder, event_log: PostgresEventLog) -> None:
    assert (event_log.last_position(), event_log.read(0, 10)) == (0, [])
    recorder.insert_events(sales("partner:P1", 1, 5))
    assert event_log.last_position() == 5
    assert [row.position for row, _ in event_log.read(1, 3)] == [2, 3, 4]
    assert [row.position for row, _ in event_log.read(4, 3)] == [5]


def test_waiting_ends_with_an_append_or_the_timeout(
    recorder: PostgresLedgerRecorder, event_log: PostgresEventLog
) -> None:
    """The first call returns at once: what was appended before listening began would not have been heard."""
    assert event_log.wait(30) is True
    began = time.monotonic()
    assert event_log.wait(0.2) is False
    assert time.monotonic() - began >= 0.2
    recorder.insert_events(sales("partner:P1", 1))
    assert event_log.wait(30) is True
    assert event_log.wait(0) is False
    later = threading.Timer(0.3, lambda: recorder.insert_events(sales("partner:P1", 2)))
    later.start()
    assert event_log.wait(30) is True
    later.join()
    assert time.monotonic() - began < 20


def test_only_one_leads(event_log: PostgresEventLog, postgres_urls: PostgresUrls) -> None:
    """The lead ends with its connection, whoever ends that."""
    other = PostgresEventLog(postgres_urls.application)
    assert not event_log.still_leading()
    assert event_log.try_lead()
    assert event_log.try_lead()
    assert not other.try_lead()
    assert (event_log.still_leading(), other.still_leading()) == (True, False)
    event_log.close()
    assert other.try_lead()
    run(postgres_urls.superuser, END_SESSIONS)
    assert event_log.try_lead()
    assert not other.still_leading()
    assert not other.try_lead()
    other.close()


def test_ledgers_of_one_cluster_have_a_leader_each(make_ledger: object, postgres_urls: PostgresUrls) -> None:
    assert callable(make_ledger)
    logs = [PostgresEventLog(urls.application) for urls in (postgres_urls, make_ledger())]
    assert [log.try_lead() for log in logs] == [True, True]
    for log in logs:
        log.close()


def test_an_ended_session_is_said_and_the_next_call_connects_anew(
    recorder: PostgresLedgerRecorder, event_log: PostgresEventLog, postgres_urls: PostgresUrls
) -> None:
    """An idle connection that died is replaced unnoticed; the listener says so, because it may have missed a call."""
    event_log.wait(0)
    recorder.insert_events(sales("partner:P1", 1))
    event_log.read(0, 1)
    assert event_log.wait(30) is True
    run(postgres_urls.superuser, END_SESSIONS)
    assert len(event_log.read(0, 10)) == 1
    with pytest.raises(ServiceUnreachable, match="has gone away"):
        event_log.wait(5)
    assert event_log.wait(30) is True
