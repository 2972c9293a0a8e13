"""The server goes away, or its answer does: nothing is recorded twice, nothing is lost, and it is said in one sentence."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from threading import Event

import psycopg2
import pytest
from eventsourcing.persistence import InterfaceError, OperationalError

from domain.errors import ServiceUnreachable
from domain.recording import Append, Head, Identity, ImportProgress
from infra.embedded.postgres_server import PostgresServer
from infra.postgres.connections import ConnectionPool
from infra.postgres.projections.connection import Reconnecting
from infra.postgres.recorder import PostgresLedgerRecorder
from tests.infra.postgres.conftest import PostgresUrls, run, sales
from tests.infra.postgres.lossy import LossyWay
from tests.waiting import eventually


@pytest.fixture
def way(postgres_urls: PostgresUrls) -> Iterator[LossyWay]:
    made = LossyWay(postgres_urls.application)
    yield made
    made.close()


@pytest.mark.parametrize("count", [1, 100])
def test_an_append_whose_commit_answer_was_lost_is_recorded_once(way: LossyWay, count: int) -> None:
    """The append is told again, as the application does on OperationalError, and gets the positions it has."""
    recorder = PostgresLedgerRecorder(ConnectionPool(way.url), timezone="UTC")
    recorder.insert_events(sales("partner:P0", 1))
    append = Append(
        identities=[Identity("deal", "D1", "partner:P1", 1, b"")],
        persons={"anna": "p-1"},
        progress=ImportProgress("run/1", 1, 1, 0, count, finished=False),
    )
    way.lose_next_commit = True
    with pytest.raises(OperationalError, match="has gone away"):
        recorder.insert_events(sales("partner:P1", 1, count), append=append)
    assert way.lost == 1
    expected = list(range(2, count + 2))
    assert recorder.insert_events(sales("partner:P1", 1, count), append=append) == expected
    assert [notification.id for notification in recorder.select_notifications(None, 1000)] == [1, *expected]
    recorder.close()


def test_progress_whose_commit_answer_was_lost_counts_once(way: LossyWay, postgres_urls: PostgresUrls) -> None:
    recorder = PostgresLedgerRecorder(ConnectionPool(way.url), timezone="UTC")
    append = Append(progress=ImportProgress("run/1", 3, 0, 3, 0, finished=True))
    way.lose_next_commit = True
    with pytest.raises(OperationalError):
        recorder.insert_events([], append=append)
    assert recorder.insert_events([], append=append) == []
    assert run(postgres_urls.application, "SELECT done, duplicates FROM ledger.import_progress") == [(3, 3)]
    recorder.close()


def test_a_server_restarted_between_two_appends_is_not_noticed(
    recorder: PostgresLedgerRecorder, postgres_server: PostgresServer
) -> None:
    """Killed with SIGKILL and started again: idle connections are replaced, what was recorded is there."""
    recorder.insert_events(sales("partner:P1", 1))
    pid = postgres_server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    postgres_server.up(Event())
    assert recorder.insert_events(sales("partner:P1", 2)) == [2]
    assert recorder.head().position == 2


def test_a_server_that_is_away_is_said_in_one_sentence(recorder: PostgresLedgerRecorder, tmp_path: object) -> None:
    """The library's class, which it retries on, and ours, which a command says, at once; never a password."""
    away = PostgresLedgerRecorder(ConnectionPool(f"postgresql://app:secret@/ledger?host={tmp_path}"), timezone="UTC")
    calls: list[Callable[[], object]] = [
        away.head,
        lambda: away.look_up([("deal", "D1")]),
        lambda: away.select_streams(["partner:P1"]),
        lambda: away.select_events("partner:P1"),
        lambda: away.insert_events(sales("partner:P1", 1)),
    ]
    for call in calls:
        with pytest.raises(
            ServiceUnreachable, match=r"^PostgreSQL at .*/ledger cannot be reached \(.*\): start it"
        ) as raised:
            call()
        assert isinstance(raised.value, OperationalError)
        assert "secret" not in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_session_ended_within_an_append_leaves_nothing(
    recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls
) -> None:
    """Between the two round trips, while it holds the head: the next one is not held up and finds no hole."""

    def judge(head: Head) -> None:
        run(
            postgres_urls.superuser,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE state = 'idle in transaction' AND datname = current_database()",
        )

    with pytest.raises(ServiceUnreachable, match="has gone away"):
        recorder.insert_events(sales("partner:P1", 1), append=Append(judge=judge))
    began = time.monotonic()
    assert recorder.insert_events(sales("partner:P1", 1)) == [1]
    assert time.monotonic() - began < 10


def test_a_pool_takes_connections_back_clean(postgres_urls: PostgresUrls) -> None:
    """A block that fails in a transaction leaves nothing of it on the pool's one connection."""
    pool = ConnectionPool(postgres_urls.application, max_connections=1)

    def fail() -> None:
        with pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; CREATE TEMPORARY TABLE mine (n int)")
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass('mine'), count(*) FROM pg_stat_activity"
            " WHERE application_name = 'partner-ledger' AND datname = current_database()"
        )
        assert cursor.fetchall() == [(None, 1)]
    pool.close()
    with pytest.raises(InterfaceError, match="was closed"):
        pool.connection().__enter__()


def test_a_projector_whose_idle_session_ended_with_another_ones_crash_connects_anew(
    postgres_urls: PostgresUrls,
) -> None:
    """The server ends all sessions with a farewell; psycopg2 gives what comes of it no class, and thinks to be connected."""
    database = Reconnecting(postgres_urls.projector, "a projector")
    with database.transaction():
        pass
    other = psycopg2.connect(postgres_urls.application)
    os.kill(other.get_backend_pid(), signal.SIGKILL)

    def is_back_without_the_session() -> bool:
        try:
            sessions = run(
                postgres_urls.superuser, "SELECT pid FROM pg_stat_activity WHERE application_name = 'a projector'"
            )
        except psycopg2.OperationalError:
            return False  # ending, or recovering
        return sessions == []

    eventually(is_back_without_the_session, within_s=30)
    with pytest.raises(ServiceUnreachable, match="does not answer"), database.transaction():
        raise AssertionError("its session has ended")
    with database.transaction() as cursor:
        cursor.execute("SELECT 1")
    database.close()
    other.close()
