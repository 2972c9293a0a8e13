"""Records that cannot be applied: parked with the reason, their stream waits, others go on; retried in order."""

import os
from collections.abc import Iterator

import pytest

from consumers.parked import RetryOutcome, retry_parked
from domain.events import RecordDropped
from domain.streams import LEDGER, partner_stream
from infra.postgres.projections.read_models import PostgresReadModels
from infra.postgres.projections.store import PostgresProjectionStore
from tests.consumers import real
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
    assert retry_parked(store, A) == RetryOutcome(4, 4, 0)
    assert applied(bench, A) == [1, 2, 3, 4, 5]
    assert parked(bench) == []
    assert retry_parked(store, A) == RetryOutcome(0, 0, 0)
    bench.put(*told(A, "CH-A", 5)[5:])
    assert applied(bench, A) == [1, 2, 3, 4, 5, 6]


def drop(bench: Bench, reason: str = "forged", schema: str = "projection_1") -> None:
    """Have the ledger drop the parked record that its store does not hold, and its relay publish that."""
    ((partition, offset, leaf_hash, last),) = bench.rows(
        "SELECT partition, record_offset, encode(leaf_hash, 'hex'), (SELECT max(position) FROM ledger.event)"
        f" FROM {schema}.parked WHERE position IS NULL ORDER BY partition, record_offset LIMIT 1"
    )
    dropped = RecordDropped(
        topic=bench.topic,
        partition=int(str(partition)),
        offset=int(str(offset)),
        leaf_hash=None if leaf_hash is None else str(leaf_hash),
        reason=reason,
        dropped_on=a.day("2012-03-01"),
    )
    ((version,),) = bench.rows("SELECT count(*) + 1 FROM ledger.event WHERE stream = 'ledger'")
    position = int(str(last)) + 1
    bench.put(Told(LEDGER, int(str(version)), position, make_value(LEDGER, int(str(version)), position, dropped)))


FORGED = {
    "a version applied before": make_value(A, 2, 2, a.sale("D-CH-A-0", "2012-02-01", "99999.00")),
    "the next version, with another content": make_value(A, 3, 3, a.sale("D-CH-A-1", "2012-02-01", "99999.00")),
    "the next version, at a position to come": make_value(A, 3, 3000, a.sale("D-X", "2012-02-01", "99999.00")),
    "the next version, at another stream's position": make_value(A, 3, 100, a.sale("D-X", "2012-02-01", "9.00")),
    "a version far ahead": make_value(A, 30, 30, a.sale("D-X", "2012-02-01", "99999.00")),
    "no JSON": b"not json",
    "no value": None,
    "a type unknown": make_value(A, 3, 3, a.sale("D", "2012-02-01", "1.00")).replace(b'"SaleRecorded"', b'"SaleMade"'),
}


@pytest.mark.parametrize("value", FORGED.values(), ids=FORGED)
def test_a_forged_record_parks_its_stream_until_the_ledger_drops_it(
    bench: Bench, store: PostgresProjectionStore, value: bytes | None
) -> None:
    """Nothing of it is ever applied; once it is dropped the genuine events follow, and all is as if it had not been."""
    one, other = told(A, "CH-A", 3), told(B, "CH-B", 2, start=100)
    real.hold(bench.endpoints, [*one, *other])
    bench.put(*one[:2], other[0])
    bench.put_raw((A.encode(), value), *real.keyed([one[2], other[1]]))
    bench.put(one[3], one[1], other[2])
    assert applied(bench, A) == [1, 2]
    assert applied(bench, B) == [1, 2, 3], "other streams go on"
    assert bench.rows("SELECT position IS NULL FROM parked ORDER BY record_offset") == [(True,), (False,), (False,)]
    reasons = [str(reason) for _, reason in parked(bench)]
    assert "store" in reasons[0]
    assert "waits" in reasons[1]
    assert len(reasons) == 3, "the honest repeat of version 2 is no reason to park"
    models = PostgresReadModels(bench.endpoints.read_database_url)
    assert (models.standing().applied, models.standing().parked, models.standing().waiting) == (5, 3, 2)
    again = retry_parked(store, A)
    assert again.still_parked > 0, "a retry alone does not make it genuine"
    drop(bench)
    real.step_to(bench.projector, lambda: not parked(bench))
    assert applied(bench, A) == [1, 2, 3, 4]
    models.close()
    bench.put(*told(A, "CH-A", 4)[4:])
    assert applied(bench, A) == [1, 2, 3, 4, 5], "the projector notices that a retry was here"
    check_rebuilt(bench)


def check_rebuilt(bench: Bench) -> None:
    """Delete the projections; made again from the topic they honour what was dropped, and are equal."""
    real.check_as_if_undisturbed(bench.endpoints, bench.topic, real.applied(bench.endpoints), but=("retries",))


def test_a_forged_first_version_never_becomes_a_partner(bench: Bench) -> None:
    one = told(A, "CH-A", 0)
    bench.put_raw((A.encode(), make_value(A, 1, 1, a.enrolled("CH-A", "2011-01-01"))))
    bench.put(*one)
    assert applied(bench, A) == []
    assert parked(bench)[0][1] == (
        f"Version 1 of {A} at partition {partition_of(bench, A)}, offset 0 is forged: at position 1 the event store holds another"
        " event, or none."
    )
    drop(bench)
    real.step_to(bench.projector, lambda: applied(bench, A) == [1])
    assert bench.rows("SELECT enrolled_on::text FROM partner") == [("2012-01-01",)]


def unknown(bench: Bench) -> object:
    """Count the parked records that the store does not hold."""
    return bench.rows("SELECT count(*) FROM parked WHERE position IS NULL")[0][0]


def partition_of(bench: Bench, stream: str) -> object:
    return bench.rows(f"SELECT partition FROM parked WHERE stream = '{stream}' LIMIT 1")[0][0]


def test_forged_records_one_after_the_other_are_dropped_one_by_one(bench: Bench) -> None:
    one = told(A, "CH-A", 2)
    real.hold(bench.endpoints, one)
    forged = [(A.encode(), make_value(A, 2, 2, a.sale(f"D-{n}", "2012-02-01", "9.00"))) for n in range(3)]
    bench.put_raw(*real.keyed(one[:1]), *forged, *real.keyed(one[1:]))
    for left in (2, 1, 0):
        drop(bench)
        real.step_to(bench.projector, lambda left=left: unknown(bench) == left)  # type: ignore[misc]  # the default binds
        assert applied(bench, A) == ([1] if left else [1, 2, 3])
    check_rebuilt(bench)


def test_a_record_like_a_dropped_one_at_another_offset_parks_again(bench: Bench) -> None:
    """What is dropped is one record, not its content for ever; and a genuine event is never passed over."""
    one = told(A, "CH-A", 2)
    real.hold(bench.endpoints, one)
    forged = (A.encode(), make_value(A, 2, 2, a.sale("D", "2012-02-01", "9.00")))
    bench.put_raw(*real.keyed(one[:1]), forged)
    drop(bench)
    real.step_to(bench.projector, lambda: not parked(bench))
    bench.put_raw(forged)
    bench.put(one[1])
    assert [stream for stream, _ in parked(bench)] == [A, A]
    assert applied(bench, A) == [1]


def test_an_event_that_the_database_refuses_parks_its_stream_alone(bench: Bench) -> None:
    """The rows of the whole batch are refused; the record at fault is found by halves."""
    one, other = told(A, "CH-A", 5), told(B, "CH-B", 2, start=100)
    clash = Told(B, 2, 101, make_value(B, 2, 101, a.sale("D-CH-A-0", "2012-02-01", "10.00")))
    bench.put(*one, other[0], clash, other[2])
    assert applied(bench, A) == [1, 2, 3, 4, 5, 6]
    assert applied(bench, B) == [1]
    assert "cannot be applied" in str(parked(bench)[0][1])
    assert bench.rows("SELECT sum(applied) FROM partition_progress") == [(7,)]
    assert bench.rows("SELECT position FROM parked ORDER BY record_offset") == [(101,), (102,)]


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
    genuine = value is not None and b'"position":2,' in value and value.count(A.encode()) == 1
    second = [Told(A, 2, 2, value)] if genuine and value is not None else [one[1]]
    real.hold(bench.endpoints, [one[0], *second, one[2], *other])
    bench.put_raw(*real.keyed([one[0], other[0]]), (A.encode(), value), *real.keyed([one[2], other[1]]))
    assert applied(bench, A) == [1]
    assert applied(bench, B) == [1, 2]
    streams = [stream for stream, _ in parked(bench)]
    assert streams == [A, A]
    kept = bench.rows("SELECT value FROM parked ORDER BY record_offset LIMIT 1")[0][0]
    assert (None if kept is None else bytes(kept)) == value  # type: ignore[call-overload]  # a bytea
    assert bench.rows("SELECT position FROM parked ORDER BY record_offset LIMIT 1") == [(2 if genuine else None,)]
    assert retry_parked(store, A) == RetryOutcome(0, 2, 2)
    assert [stream for stream, _ in parked(bench)] == [A, A]


@pytest.mark.parametrize("key", [None, b"", b"\x00", b"\xff\xfe", b"k" * 5000])
def test_a_key_that_is_no_stream_parks_alone(bench: Bench, key: bytes | None) -> None:
    one = told(A, "CH-A", 1)
    real.hold(bench.endpoints, one)
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
    first, *others = models.parked()
    assert [record.stream for record in (first, *others)] == [A] * 3
    assert "SaleRecorded" in first.reason
    assert (models.standing().applied, models.standing().waiting, models.standing().position) == (1, 3, 1)
    assert retry_parked(store, A) == RetryOutcome(3, 3, 0)
    assert (models.standing().applied, models.standing().parked, models.standing().position) == (4, 0, 4)
    models.close()
