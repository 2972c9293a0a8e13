"""Records that cannot be applied: parked with the reason, their stream waits, others go on; retried in order."""

import os
from collections.abc import Iterator

import pytest

from consumers.parked import RetryOutcome, retry_parked
from domain.streams import partner_stream
from infra.postgres.projections.read_models import PostgresReadModels
from infra.postgres.projections.store import PostgresProjectionStore
from tests.consumers.conftest import Bench
from tests.projections import histories as a
from tests.projections.histories import History, Told, make_value

A, B = partner_stream("CH-A"), partner_stream("CH-B")


def told(stream: str, partner: str, deals: int, start: int = 1) -> list[Told]:
    """One partner's enrolment and deals; positions from `start`."""
    history = History()
    for _ in range(start - 1):
        history.tell("ledger", a.enrolled("x", "2012-01-01"))
    history.tell(stream, a.enrolled(partner, "2012-01-01"))
    for deal in range(deals):
        history.tell(stream, a.sale(f"D-{partner}-{deal}", "2012-02-01", "10.00"))
    return history.told[start - 1 :]


@pytest.fixture
def store(bench: Bench) -> Iterator[PostgresProjectionStore]:
    store = PostgresProjectionStore(bench.endpoints.projector_database_url)
    yield store
    store.close()


def applied(bench: Bench, stream: str) -> list[object]:
    return [
        version for (version,) in bench.rows(f"SELECT version FROM audit WHERE stream = '{stream}' ORDER BY version")
    ]


def parked(bench: Bench) -> list[tuple[object, ...]]:
    return bench.rows("SELECT stream, reason FROM parked ORDER BY partition, record_offset")


def test_a_record_delivered_again_is_skipped(bench: Bench) -> None:
    """A repeat is known by its hash, in the same batch and long after; it changes no sum."""
    one = told(A, "CH-A", 3)
    bench.put(*one, *one[1:3])
    bench.put(*one)
    assert applied(bench, A) == [1, 2, 3, 4]
    assert parked(bench) == []
    assert bench.rows("SELECT sum(amount)::text FROM sale") == [("30.00",)]
    assert bench.rows("SELECT sum(applied) FROM partition_progress") == [(4,)]


def test_a_hole_parks_the_stream_until_it_is_filled_and_others_go_on(
    bench: Bench, store: PostgresProjectionStore
) -> None:
    one, other = told(A, "CH-A", 4), told(B, "CH-B", 2, start=100)
    bench.put(one[0], other[0], one[2], one[3], other[1])
    bench.put(other[2], one[1], one[4])
    assert applied(bench, A) == [1]
    assert applied(bench, B) == [1, 2, 3]
    reasons = [str(reason) for _, reason in parked(bench)]
    assert len(reasons) == 4
    assert "what is between them is missing" in reasons[0]
    assert all("waits" in reason for reason in reasons[1:])
    assert retry_parked(store, A) == RetryOutcome(4, 4)
    assert applied(bench, A) == [1, 2, 3, 4, 5]
    assert parked(bench) == []
    assert retry_parked(store, A) == RetryOutcome(0, 0)
    bench.put(*told(A, "CH-A", 5)[5:])
    assert applied(bench, A) == [1, 2, 3, 4, 5, 6]


def test_a_forged_record_parks_its_stream_and_changes_nothing(bench: Bench, store: PostgresProjectionStore) -> None:
    one = told(A, "CH-A", 3)
    forged = make_value(A, 2, 2, a.sale("D-CH-A-0", "2012-02-01", "99999.00"))
    bench.put(*one[:3])
    bench.put_raw((A.encode(), forged))
    bench.put(one[3], one[1])
    assert applied(bench, A) == [1, 2, 3]
    assert bench.rows("SELECT sum(amount)::text FROM sale") == [("20.00",)]
    reasons = [str(reason) for _, reason in parked(bench)]
    assert "another hash" in reasons[0]
    assert "waits" in reasons[1]
    assert len(reasons) == 2, "the honest repeat of version 2 is no reason to park"
    assert retry_parked(store, A) == RetryOutcome(0, 2)
    assert len(parked(bench)) == 2


def test_a_forged_version_ahead_of_the_honest_one_parks_the_honest_one(bench: Bench) -> None:
    """Nobody can tell which of two first versions is honest: the second parks, loudly, and nothing is overwritten."""
    one = told(A, "CH-A", 0)
    bench.put_raw((A.encode(), make_value(A, 1, 1, a.enrolled("CH-A", "2011-01-01"))), (one[0].key, one[0].value))
    assert applied(bench, A) == [1]
    assert "another hash" in str(parked(bench)[0][1])


def test_a_position_used_twice_parks_the_second_stream_alone(bench: Bench) -> None:
    """The database refuses the rows of the whole batch; the record at fault is found by halves."""
    one, other = told(A, "CH-A", 5), told(B, "CH-B", 2, start=100)
    clash = make_value(B, 2, 3, a.sale("D-CH-B-0", "2012-02-01", "10.00"))
    bench.put(*one, other[0])
    bench.put_raw((B.encode(), clash))
    bench.put(other[2])
    assert applied(bench, A) == [1, 2, 3, 4, 5, 6]
    assert applied(bench, B) == [1]
    assert "cannot be applied" in str(parked(bench)[0][1])
    assert bench.rows("SELECT sum(applied) FROM partition_progress") == [(7,)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"not json",
        b"[" * 100_000,
        make_value(A, 2, 2, a.sale("D", "2012-02-01", "10.00")).replace(b'"SaleRecorded"', b'"SaleImagined"'),
        make_value(A, 2, 2, a.sale("D", "2012-02-01", "10.00")).replace(b'"schemaversion":1', b'"schemaversion":2'),
        make_value(A, 2, 2, a.sale("D", "2012-02-01", "NaN")),
        make_value(A, 2, 2, a.sale("D\x00", "2012-02-01", "10.00")),
        make_value(A, 2, 2, a.sale(os.urandom(9000).hex(), "2012-02-01", "10.00")),
        make_value(A, 2, 2**64, a.sale("D", "2012-02-01", "10.00")),
        make_value(A, 2**40, 2, a.sale("D", "2012-02-01", "10.00")),
        make_value(B, 2, 2, a.sale("D", "2012-02-01", "10.00")),
    ],
    ids=["tombstone", "empty", "no-json", "deep", "type", "schema", "nan", "nul", "long", "position", "version", "key"],
)
def test_what_cannot_be_read_or_applied_parks_its_stream_and_is_kept_whole(
    bench: Bench, store: PostgresProjectionStore, value: bytes | None
) -> None:
    one, other = told(A, "CH-A", 2), told(B, "CH-B", 1, start=100)
    real = [(each.key, each.value) for each in (*one[:1], other[0])]
    bench.put_raw(*real, (A.encode(), value), (one[2].key, one[2].value), (other[1].key, other[1].value))
    assert applied(bench, A) == [1]
    assert applied(bench, B) == [1, 2]
    streams = [stream for stream, _ in parked(bench)]
    assert streams == [A, A]
    kept = bench.rows("SELECT value FROM parked ORDER BY record_offset LIMIT 1")[0][0]
    assert (None if kept is None else bytes(kept)) == value  # type: ignore[call-overload]  # a bytea
    assert retry_parked(store, A) == RetryOutcome(0, 2)
    assert [stream for stream, _ in parked(bench)] == [A, A]


@pytest.mark.parametrize("key", [None, b"", b"\x00", b"\xff\xfe", b"k" * 5000])
def test_a_key_that_is_no_stream_parks_alone(bench: Bench, key: bytes | None) -> None:
    one = told(A, "CH-A", 1)
    bench.put_raw((one[0].key, one[0].value), (key, one[1].value))
    bench.put(one[1])
    assert applied(bench, A) == [1, 2]
    assert len(parked(bench)) == 1


def test_an_event_of_a_newer_version_is_applied_by_the_version_that_knows_it(
    bench: Bench, store: PostgresProjectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from domain import events

    one = told(A, "CH-A", 3)
    with monkeypatch.context() as older:
        known = {name: cls for name, cls in events.EVENT_TYPES.items() if name != "SaleRecorded"}
        older.setattr(events, "EVENT_TYPES", known)
        bench.put(*one)
    assert applied(bench, A) == [1]
    models = PostgresReadModels(bench.endpoints.read_database_url)
    (summary,) = models.parked()
    assert (summary.stream, summary.records) == (A, 3)
    assert "SaleRecorded" in summary.reason
    assert (models.standing().applied, models.standing().parked, models.standing().position) == (1, 3, 1)
    assert retry_parked(store, A) == RetryOutcome(3, 3)
    assert (models.standing().applied, models.standing().parked, models.standing().position) == (4, 0, 4)
    models.close()
