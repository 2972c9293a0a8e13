"""Staged rows: sorted, read page by page from any place, gone when let go."""

import datetime as dt
from collections.abc import Iterator

import pytest

from domain.errors import LedgerError
from domain.recording import Append, ImportProgress
from infra.postgres.recorder import PostgresLedgerRecorder
from infra.postgres.staging import PostgresFeedStaging
from producers.feeds import ENROLMENTS, NO_FACT, OTHER_FACTS, FeedRow
from tests.infra.postgres.conftest import PostgresUrls, run

DAY = dt.date(2012, 2, 1)


@pytest.fixture
def staging(postgres_urls: PostgresUrls) -> Iterator[PostgresFeedStaging]:
    made = PostgresFeedStaging(postgres_urls.application)
    yield made
    made.close()


def row(phase: int, days: int | None, rank: int, line: int, content: str = "{}", reason: str | None = None) -> FeedRow:
    date = None if days is None else DAY + dt.timedelta(days)
    return FeedRow(phase, date, rank, "deal", "sales.csv", line, content, reason)


ODD = 'tab\t, line\r\n, back\\slash, \\N, "quotes" ’ \U0001f600'
TOLD = [
    row(NO_FACT, None, 0, 1, "", ODD),
    row(OTHER_FACTS, 5, 1, 2),
    row(OTHER_FACTS, 1, 2, 3),
    row(OTHER_FACTS, 1, 1, 4, ODD),
    row(ENROLMENTS, 9, 0, 5),
    row(OTHER_FACTS, 1, 1, 6),
]
IN_ORDER = [5, 4, 6, 3, 2, 1]


def test_rows_are_given_in_order_from_any_place(staging: PostgresFeedStaging) -> None:
    """By phase, date, file and place in it, rows without a date last; a page may be asked for again."""
    staging.stage(TOLD)
    assert staging.begin("digest").rows == len(TOLD)
    rows = [*staging.page(0, 4), *staging.page(4, 4)]
    assert [each.line for each in rows] == IN_ORDER
    assert [each.seq for each in rows] == [1, 2, 3, 4, 5, 6]
    assert (rows[1].content, rows[1].reason) == (ODD, None)
    assert (rows[5].content, rows[5].reason) == ("", ODD)
    assert staging.page(6, 4) == []
    assert staging.page(1, 2) == rows[1:3]
    assert staging.page(5, 9) == rows[5:]


def test_many_rows_hold_no_snapshot(staging: PostgresFeedStaging, postgres_urls: PostgresUrls) -> None:
    """More than the server sorts in memory; one would slow every append down for as long as the import takes."""
    count, content = 9_000, "x" * 4_000
    staging.stage(row(OTHER_FACTS, -number, 0, number, content) for number in range(count))
    staging.begin("digest")
    assert [each.line for each in staging.page(0, 2)] == [count - 1, count - 2]
    assert [(each.seq, each.line) for each in staging.page(count - 1, 2)] == [(count, 0)]
    held = "SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
    assert run(postgres_urls.superuser, held + " AND datname = current_database()") == [(0,)]
    assert run(postgres_urls.superuser, "SELECT count(*) FROM pg_class WHERE relname = 'staged'") == [(0,)]


def test_an_open_run_is_gone_on_with(
    staging: PostgresFeedStaging, recorder: PostgresLedgerRecorder, postgres_urls: PostgresUrls
) -> None:
    """From where it was; another process cannot import the same folder meanwhile."""
    recorder.insert_events([], append=Append(progress=ImportProgress("digest/1", 4, 4, 0, 9, finished=False)))
    staging.stage(TOLD)
    start = staging.begin("digest")
    assert (start.key, start.rows, start.done) == ("digest/1", 6, 4)
    assert [each.line for each in staging.page(start.done, 9)] == IN_ORDER[4:]
    second = PostgresFeedStaging(postgres_urls.application)
    second.stage(TOLD)
    with pytest.raises(LedgerError, match="being imported by another process"):
        second.begin("digest")
    second.close()
