"""The recorder: what an append writes, what is read back, and that whatever goes wrong leaves neither half an append nor a hole."""

import datetime as dt
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from eventsourcing.persistence import IntegrityError, PersistenceError, StoredEvent

from domain.envelope import envelope, leaf_hash
from domain.errors import Refused, StaleTerms
from domain.recording import Append, Head, Identity, ImportProgress, LedgerStoredEvent, RefusedRow
from infra.postgres import writing
from infra.postgres.event_log import PostgresEventLog
from infra.postgres.recorder import PostgresLedgerRecorder
from tests.infra.postgres.conftest import MAY, PostgresUrls, run, sales


@pytest.fixture
def event_log(postgres_urls: PostgresUrls) -> Iterator[PostgresEventLog]:
    made = PostgresEventLog(postgres_urls.reader)
    yield made
    made.close()


def deal(key: str, stream: str, version: int) -> Identity:
    return Identity("deal", key, stream, version, key.encode())


def positions(recorder: PostgresLedgerRecorder) -> list[int]:
    return [notification.id for notification in recorder.select_notifications(None, 10_000)]


@pytest.mark.parametrize("count", [3, writing.COPY_FROM_ROWS + 3])
def test_an_append_is_read_back_as_it_was(
    recorder: PostgresLedgerRecorder, event_log: PostgresEventLog, count: int
) -> None:
    """By INSERT or by COPY: the same events, identities, persons; texts may hold anything."""
    odd = 'tab\t, line\r\n, back\\slash, \\N, "quotes" \u2019 \U0001f600'
    stored = [
        LedgerStoredEvent("partner:" + odd, n, "SaleRecorded", b'{"odd":"\\t\x01\\\\"}\n' * 2, 2, MAY, odd)
        for n in range(1, count + 1)
    ]
    identities = [
        Identity("deal", f"{odd} {n}", "partner:" + odd, n, b"\x00\xff", odd if n % 2 else None) for n in range(count)
    ]
    recorder.insert_events(stored, append=Append(identities=identities, persons={odd: "p-1"}))

    assert recorder.select_events("partner:" + odd) == stored
    assert recorder.select_streams(["partner:" + odd, "partner:none"]) == {"partner:" + odd: stored}
    found = recorder.look_up([(i.kind, i.key) for i in identities] + [("deal", "none")], [odd, "nobody"])
    assert found.identities == {(i.kind, i.key): i for i in identities}
    assert found.persons == {odd: "p-1"}
    rows = event_log.read(0, 1000)
    assert [row.position for row, _ in rows] == list(range(1, count + 1))
    assert {(row.actor, row.command_id, row.business_date, row.schema_version) for row, _ in rows} == {
        ("ledger_app", odd, MAY, 2)
    }
    assert all(leaf_hash(envelope(row)) == stored_hash for row, stored_hash in rows)


def test_an_events_data_is_kept_byte_by_byte(recorder: PostgresLedgerRecorder) -> None:
    """Whatever the bytes are, also those that COPY or bytea's own text form would read as something else."""
    contents = [b'{"n":"plain"}', rb'"\x41"', rb"\x41", rb"\\", rb"\.", rb"\N", b'"\xc3\xa9"', b"\t\n\r", b" ' ", b""]
    contents += [bytes([value]) for value in range(256)]
    stored = [
        LedgerStoredEvent("partner:P1", n, "SaleRecorded", content, 1, MAY, "c-1")
        for n, content in enumerate(contents, start=1)
    ]
    recorder.insert_events(stored)
    assert len(stored) >= writing.COPY_FROM_ROWS
    assert recorder.select_events("partner:P1") == stored


def test_the_head_is_the_databases_word(recorder: PostgresLedgerRecorder) -> None:
    """`judge` sees the head as the append's first statement left it; only partners' events move the latest business date."""
    heads: list[Head] = []
    before = dt.datetime.now(dt.UTC)
    recorder.insert_events(
        [*sales("partner:P1", 1, 2), *sales("programmes", 1, on=dt.date(2012, 1, 1))],
        append=Append(judge=heads.append, publishes=1, ledger_date=dt.date(2011, 6, 1)),
    )
    [head] = heads
    assert (head.position, head.programmes_version, head.ledger_date) == (3, 1, dt.date(2011, 6, 1))
    assert (head.actor, head.latest_business_date) == ("ledger_app", MAY)
    assert abs(head.recorded_at - before) < dt.timedelta(seconds=60)
    assert abs(head.today - dt.datetime.now(ZoneInfo("Europe/Zurich")).date()) <= dt.timedelta(days=1)
    assert recorder.head() == recorder.look_up([]).head == head
    recorder.insert_events(
        sales("partner:P1", 3, on=dt.date(2010, 1, 1)), append=Append(ledger_date=dt.date(2011, 1, 1))
    )
    assert (recorder.head().ledger_date, recorder.head().latest_business_date) == (dt.date(2011, 6, 1), MAY)


@pytest.mark.parametrize("count", [1, 100])
def test_a_judge_that_raises_leaves_nothing_and_no_hole(recorder: PostgresLedgerRecorder, count: int) -> None:
    for error in (StaleTerms(), Refused("no")):

        def judge(head: Head, error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error)) as raised:
            recorder.insert_events(
                sales("partner:P1", 1, count),
                append=Append(judge=judge, identities=[deal("D1", "partner:P1", 1)], persons={"a": "p-1"}, publishes=1),
            )
        assert raised.value is error
    assert (recorder.head().position, recorder.head().programmes_version) == (0, 0)
    assert recorder.look_up([("deal", "D1")], ["a"]).identities == {}
    assert recorder.insert_events(sales("partner:P1", 1, 2)) == [1, 2]


@pytest.mark.parametrize("count", [1, 100])
def test_a_conflict_of_streams_identities_or_persons_leaves_nothing_and_no_hole(
    recorder: PostgresLedgerRecorder, count: int
) -> None:
    """The library's IntegrityError, which the application takes as: look again, decide again."""
    first = Append(identities=[deal("D1", "partner:P1", 1)], persons={"anna": "p-1"})
    recorder.insert_events(sales("partner:P1", 1), append=first)
    others = [deal(f"D{n}", "partner:P2", n) for n in range(2, 2 + count)]
    for stored, append in (
        (sales("partner:P1", 1, count, command_id="c-2"), Append()),
        (sales("partner:P2", 1, count), Append(identities=[*others, deal("D1", "partner:P2", 1)])),
        (sales("partner:P2", 1, count), Append(identities=others, persons={"bea": "p-2", "anna": "p-3"})),
        (sales("partner:P2", 1, count), Append(identities=others, persons={"bea": "p-1"})),
    ):
        with pytest.raises(IntegrityError, match=r"Another append was first \(Key .* already exists\)"):
            recorder.insert_events(stored, append=append)
    assert recorder.look_up([("deal", "D2")], ["bea"]).identities == {}
    assert recorder.insert_events(sales("partner:P2", 1)) == [2]
    assert positions(recorder) == [1, 2]


def test_the_same_append_told_again_is_recorded_once(recorder: PostgresLedgerRecorder) -> None:
    """The very same events of the same command; one that differs in anything, or has no command, is a conflict."""
    stored = sales("partner:P1", 1, 3)
    append = Append(identities=[deal("D1", "partner:P1", 1)])
    assert recorder.insert_events(stored, append=append) == [1, 2, 3]
    assert recorder.insert_events(stored, append=append) == [1, 2, 3]
    different = sales("partner:P1", 1, 3)
    different[1] = LedgerStoredEvent("partner:P1", 2, "SaleRecorded", b'{"n":7}', 1, MAY, "c-1")
    for other in (different, sales("partner:P1", 1, 3, command_id="c-2"), sales("partner:P1", 1, 4), stored[::-1]):
        with pytest.raises(IntegrityError):
            recorder.insert_events(other, append=append)
    anonymous = [StoredEvent("partner:P2", 1, "SaleRecorded", b"{}")]
    recorder.insert_events(anonymous)
    with pytest.raises(IntegrityError):
        recorder.insert_events(anonymous)
    assert positions(recorder) == [1, 2, 3, 4]


def test_a_publication_told_again_is_recognised_before_it_is_judged_stale(recorder: PostgresLedgerRecorder) -> None:
    """Its own first time has moved the programmes version: the judge's no is not the last word."""

    def judge(head: Head) -> None:
        if head.programmes_version != 1:
            raise StaleTerms

    append = Append(judge=judge, publishes=1)
    assert recorder.insert_events(sales("programmes", 1), append=append) == [1]
    assert recorder.insert_events(sales("programmes", 1), append=append) == [1]
    with pytest.raises(StaleTerms):
        recorder.insert_events(sales("programmes", 2), append=append)
    assert recorder.head().programmes_version == 1


def progress_of(done: int, *refused: RefusedRow, finished: bool = False, recorded: int = 2) -> Append:
    return Append(progress=ImportProgress("run/1", done, recorded, 1, recorded, finished, refused))


def test_progress_accumulates_and_a_page_told_again_counts_once(
    recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls
) -> None:
    first, second = RefusedRow(2, "sales.csv", 3, "bad date"), RefusedRow(5, "sales.csv", 6, "bad\tamount")
    for _ in range(2):
        recorder.insert_events(sales("partner:P1", 1, 2), append=progress_of(3, first))
    for _ in range(2):
        recorder.insert_events([], append=progress_of(5, second, recorded=0))
    for _ in range(2):
        recorder.insert_events([], append=progress_of(6, finished=True, recorded=0))
    columns = "done, recorded, duplicates, events, finished"
    assert run(postgres_urls.application, f"SELECT {columns} FROM ledger.import_progress") == [(6, 2, 3, 2, True)]
    assert run(postgres_urls.application, "SELECT seq, file, line, reason FROM ledger.import_refusal ORDER BY seq") == [
        (2, "sales.csv", 3, "bad date"),
        (5, "sales.csv", 6, "bad\tamount"),
    ]


def test_progress_of_refusals_only_does_not_touch_the_head(
    recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls
) -> None:
    """It takes no lock: written while another transaction holds the head."""
    before = run(postgres_urls.admin, "SELECT ctid, recorded_at FROM ledger.head")
    with closing(psycopg2.connect(postgres_urls.application)) as holding, holding.cursor() as cursor:
        cursor.execute("SELECT FROM ledger.head FOR UPDATE")
        recorder.insert_events([], append=Append(progress=progress_of(1).progress, persons={"anna": "p-1"}))
    assert run(postgres_urls.admin, "SELECT ctid, recorded_at FROM ledger.head") == before
    assert recorder.known_pseudonyms(["p-1", "p-2"]) == {"p-1"}


def test_terms_change_with_an_event_only(recorder: PostgresLedgerRecorder) -> None:
    with pytest.raises(PersistenceError, match="moves on with events only"):
        recorder.insert_events([], append=Append(ledger_date=MAY))
    assert recorder.insert_events(sales("partner:P1", 1), append=Append(ledger_date=MAY)) == [1]
    assert (recorder.head().position, recorder.head().ledger_date) == (1, MAY)


def test_a_forgotten_person_is_unknown(recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls) -> None:
    recorder.insert_events(sales("partner:P1", 1), append=Append(persons={"anna": "p-1", "bea": "p-2"}))
    run(postgres_urls.admin, "DELETE FROM ledger.person WHERE person_id = 'anna'")
    assert recorder.look_up([], ["anna", "bea"]).persons == {"bea": "p-2"}
    assert recorder.known_pseudonyms(["p-1", "p-2"]) == {"p-2"}


def test_a_deal_is_its_sale_its_reversals_and_what_comes_right_after_each(recorder: PostgresLedgerRecorder) -> None:
    identities = [
        deal("D1", "partner:P1", 2),
        Identity("reversal", "R1", "partner:P1", 3, b"", "D1"),
        Identity("reversal", "R2", "partner:P1", 9, b"", "D1"),
        Identity("reversal", "R3", "partner:P1", 6, b"", "D2"),
        Identity("training", "D1", "partner:P1", 5, b"", "D1"),
        deal("D3", "partner:P2", 1),
    ]
    recorder.insert_events(
        [*sales("partner:P1", 1, 9), *sales("partner:P2", 1, 3)], append=Append(identities=identities)
    )
    deals = recorder.select_deals(["D1", "D3", "none"])
    assert {key: [event.originator_version for event in events] for key, events in deals.items()} == {
        "D1": [2, 3, 4, 9],
        "D3": [1, 2],
    }
    assert list(deals["D3"]) == sales("partner:P2", 1, 2)


def test_what_others_appended_since(recorder: PostgresLedgerRecorder) -> None:
    recorder.insert_events([*sales("partner:P1", 1, 3), *sales("partner:P2", 1, 2), *sales("ledger", 1)])
    assert set(recorder.streams_since(0, 6) or ()) == {"partner:P1", "partner:P2", "ledger"}
    assert set(recorder.streams_since(3, 6) or ()) == {"partner:P2", "ledger"}
    assert list(recorder.streams_since(6, 6) or ()) == []
    assert recorder.streams_since(0, 5) is None


def test_partner_ids_come_in_pages_in_order_of_their_characters(recorder: PostgresLedgerRecorder) -> None:
    ids = ["a", "B", "ä", "Z1", "Z-1", "0"]
    identities = [Identity("partner", key, f"partner:{key}", 1, b"") for key in ids] + [deal("C", "partner:a", 1)]
    recorder.insert_events(sales("partner:a", 1), append=Append(identities=identities))
    pages = [recorder.partner_ids(None, 4)]
    while pages[-1]:
        pages.append(recorder.partner_ids(pages[-1][-1], 4))
    assert [key for page in pages for key in page] == sorted(ids)
    assert [len(page) for page in pages] == [4, 2, 0]


def test_misuse_is_an_error_of_ours(recorder: PostgresLedgerRecorder) -> None:
    with pytest.raises(TypeError, match="nothing but 'append', not causation"):
        recorder.insert_events([], causation="x")
    with pytest.raises(TypeError, match="streams of the ledger have names"):
        recorder.insert_events([StoredEvent(uuid4(), 1, "SaleRecorded", b"")])
    with pytest.raises(ValueError, match="identities stand for events"):
        recorder.insert_events([], append=Append(identities=[deal("D1", "partner:P1", 1)]))
    assert recorder.insert_events(sales("partner:P1", 1)) == [1]
