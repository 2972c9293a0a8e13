"""Appends that wait for the head at the same time share a transaction, and nothing else."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg2
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent

from domain.errors import Refused, StaleTerms
from domain.recording import Append, Head, Identity, LedgerStoredEvent
from infra.postgres.connections import ConnectionPool
from infra.postgres.recorder import PostgresLedgerRecorder
from tests.infra.postgres.conftest import MAY, PostgresUrls, run, sales
from tests.infra.postgres.lossy import LossyWay
from tests.waiting import eventually

Told = tuple[list[StoredEvent], Append]
Outcome = list[int] | BaseException


@contextmanager
def held(url: str) -> Iterator[None]:
    """Hold the head, so that appends gather behind it."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM ledger.head FOR UPDATE")
        yield
    finally:
        connection.close()


def gathered(recorder: PostgresLedgerRecorder, urls: PostgresUrls, first: Told, *others: Told) -> list[Outcome]:
    """Append all: `first` waits for the head, the others for it, in this order."""
    group = recorder._group
    with ThreadPoolExecutor(1 + len(others)) as pool:
        with held(urls.application):
            futures = [pool.submit(outcome_of, lambda: recorder.insert_events(first[0], append=first[1]))]
            eventually(lambda: group._is_led and not group._queue)
            for number, told in enumerate(others, 1):
                futures.append(pool.submit(outcome_of, lambda t=told: recorder.insert_events(t[0], append=t[1])))  # type: ignore[misc]  # the default binds
                eventually(lambda n=number: len(group._queue) == n)  # type: ignore[misc]  # the default binds
        return [future.result(timeout=30) for future in futures]


def outcome_of(call: Callable[[], list[int]]) -> Outcome:
    try:
        return call()
    except BaseException as error:
        return error


def told(partner: str, version: int = 1, count: int = 1, **append: object) -> Told:
    return sales(f"partner:{partner}", version, count), Append(**append)  # type: ignore[arg-type]  # its own fields


def transactions(urls: PostgresUrls) -> list[object]:
    """The positions written together."""
    return [
        positions
        for (positions,) in run(
            urls.reader, "SELECT array_agg(position ORDER BY position) FROM ledger.event GROUP BY xmin::text ORDER BY 1"
        )
    ]


def test_what_waits_is_written_in_one_transaction(
    recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls
) -> None:
    """The first one alone, then all that came meanwhile, in the order in which they came."""
    outcomes = gathered(recorder, postgres_urls, told("A"), told("B", count=2), told("C"), told("D", count=40))
    assert outcomes == [[1], [2, 3], [4], list(range(5, 45))]
    assert transactions(postgres_urls) == [[1], list(range(2, 45))]


def test_recorders_of_one_login_share_their_transactions(
    recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls
) -> None:
    """Each ledger of a process has a recorder of its own."""
    other = PostgresLedgerRecorder(ConnectionPool(postgres_urls.application), timezone="Europe/Zurich")
    assert other._group is recorder._group
    other.close()


def test_each_append_has_its_own_outcome(recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls) -> None:
    """Conflicts with the store and within the group, a judge that says no: the others are recorded, without a hole."""

    def no(_: Head) -> None:
        raise Refused("not today")

    def stale(_: Head) -> None:
        raise StaleTerms

    deal = Identity("deal", "D1", "partner:B", 1, b"1")
    recorder.insert_events(
        sales("partner:Z", 1), append=Append(identities=[Identity("deal", "D0", "partner:Z", 1, b"")])
    )
    outcomes = gathered(
        recorder,
        postgres_urls,
        told("A"),
        told("B", identities=[deal], persons={"anna": "p-1"}),
        (sales("partner:A", 1, command_id="another"), Append()),  # the version that the first one took
        told("C", identities=[Identity("deal", "D1", "partner:C", 1, b"2")]),  # an identity taken within the group
        told("D", identities=[Identity("deal", "D0", "partner:D", 1, b"3")]),  # an identity taken long before
        told("E", persons={"anna": "p-2"}),  # a person known by now
        told("F", judge=no),
        told("G", judge=stale),
        told("H"),
    )
    kinds = [outcome if isinstance(outcome, list) else type(outcome) for outcome in outcomes]
    conflict = IntegrityError
    assert kinds == [[2], [3], conflict, conflict, conflict, conflict, Refused, StaleTerms, [4]]
    assert transactions(postgres_urls) == [[1], [2], [3, 4]]
    assert recorder.look_up([("deal", "D1")], ["anna"]).persons == {"anna": "p-1"}


def test_a_publication_and_an_advance_are_alone(recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls) -> None:
    """They change the terms that the others were decided under."""
    outcomes = gathered(
        recorder,
        postgres_urls,
        told("A"),
        told("B"),
        told("C", ledger_date=MAY),
        told("D"),
        told("E"),
        told("F", publishes=1),
    )
    assert outcomes == [[1], [2], [3], [4], [5], [6]]
    assert transactions(postgres_urls) == [[1], [2], [3], [4, 5], [6]]


def test_a_fault_of_one_does_not_touch_the_others(
    recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls
) -> None:
    """What the database cannot take at all is told to the one who told it."""
    broken: Told = ([LedgerStoredEvent("partner:B", 1, "Sale\x00Recorded", b"{}", 1, MAY, "c-1")], Append())
    outcomes = gathered(recorder, postgres_urls, told("A"), told("C"), broken, told("D"))
    assert isinstance(outcomes[2], Exception)
    assert [outcomes[0], outcomes[1], outcomes[3]] == [[1], [2], [3]]


def test_a_group_whose_commit_answer_was_lost_is_recorded_once(postgres_urls: PostgresUrls) -> None:
    """Each append finds its own events in the store, and gives their positions."""
    way = LossyWay(postgres_urls.application)
    recorder = PostgresLedgerRecorder(ConnectionPool(way.url), timezone="UTC")
    recorder.insert_events(sales("partner:Z", 1))

    def lose_once(_: Head) -> None:
        way.lose_next_commit = way.lost == 0

    deal = Identity("deal", "D1", "partner:B", 1, b"")
    outcomes = gathered(
        recorder,
        postgres_urls,
        told("A"),
        (sales("partner:B", 1), Append(judge=lose_once, identities=[deal])),
        told("C"),
    )
    assert way.lost == 1
    assert outcomes == [[2], [3], [4]]
    assert run(postgres_urls.reader, "SELECT count(*) FROM ledger.event") == [(4,)]
    recorder.close()
    way.close()


def test_the_interruption_of_one_caller_leaves_the_others_free(
    recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls
) -> None:
    """Ctrl-C in the thread that writes for all: its group hears that it is unknown, and whoever comes next is served."""

    def interrupted(_: Head) -> None:
        raise KeyboardInterrupt

    outcomes = gathered(recorder, postgres_urls, told("A"), told("B", judge=interrupted), told("C"))
    assert outcomes[0] == [1]
    assert isinstance(outcomes[1], KeyboardInterrupt)
    assert isinstance(outcomes[2], OperationalError)
    assert recorder.insert_events(sales("partner:C", 1)) == [2]


def test_one_who_gives_up_waiting_appends_nothing(
    recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted before its turn, an append is taken out of the queue."""
    group = recorder._group
    with ThreadPoolExecutor(3) as pool, held(postgres_urls.application):
        first = pool.submit(outcome_of, lambda: recorder.insert_events(sales("partner:A", 1)))
        eventually(lambda: group._is_led and not group._queue)

        class Interrupted(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                raise KeyboardInterrupt

        monkeypatch.setattr("infra.postgres.group_commit.Event", Interrupted)
        gone = pool.submit(outcome_of, lambda: recorder.insert_events(sales("partner:B", 1)))
        assert isinstance(gone.result(timeout=10), KeyboardInterrupt)
        monkeypatch.undo()
    assert first.result(timeout=10) == [1]
    assert recorder.insert_events(sales("partner:B", 1)) == [2]
