"""Staged feed rows: sorted by PostgreSQL, so that feeds may be larger than memory (port: producers.importer.FeedStaging).

The rows lie with this connection, on the server's disk: killed, they are gone, and the next run stages them again; what
must last (how far the import is) is written with the facts. Sorted, they are a cursor whose transaction has ended: it
holds no snapshot, which through a long import would slow every append down.

A run of an import is open until its result was told: whatever cuts it off before, the next command goes on with it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names classes in lower case

from domain.errors import LedgerError
from domain.recording import RefusedRow
from infra.postgres.connections import connect, errors_translated
from infra.postgres.copying import NULL, copy_lines, text
from producers.feeds import FeedRow
from producers.importer import ImportStart, ImportSummary, StagedRow

REFUSED_A_PAGE = 1000

_CREATE = """
CREATE TEMPORARY TABLE staged (
    phase smallint NOT NULL, business_date date, rank smallint NOT NULL, place bigint NOT NULL,
    kind text NOT NULL, file text NOT NULL, line bigint NOT NULL, content text NOT NULL, reason text
)
"""
_COLUMNS = "staged (phase, business_date, rank, place, kind, file, line, content, reason)"
_ORDER = """
SET work_mem = '32MB';
DECLARE in_order SCROLL CURSOR WITH HOLD FOR
    SELECT kind, file, line, content, reason FROM staged ORDER BY phase, business_date NULLS LAST, rank, place
"""


class PostgresFeedStaging:
    """One folder's staging; use a new one for the next folder, and after PostgreSQL was away.

    Every method raises StoreUnreachable where PostgreSQL does not answer; the rows are gone then, nothing else is.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection = connect(database_url, "partner-ledger import")
        self._rows = 0
        self._at = 0

    def stage(self, rows: Iterable[FeedRow]) -> None:
        """Take all rows of a folder in; what reading them raises is raised as it is."""
        reading = _Lines(rows)
        with self._cursor() as cursor:
            cursor.execute(_CREATE)
            try:
                copy_lines(cursor, _COLUMNS, reading)
            except psycopg2.Error:
                if reading.fault is not None:  # psycopg2 makes of it a cancelled query
                    raise reading.fault from None
                raise
        self._rows = reading.count

    def begin(self, digest: str, told: Collection[str] = ()) -> ImportStart:
        """Put the rows in order and find the run to go on with, the first open one, or begin a new one.

        `told` are the keys of runs whose result this very command has already.

        Raises:
            LedgerError: another process imports the same folder.

        """
        with self._cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", ["import " + digest])
            if not _one(cursor):
                raise LedgerError(
                    "The same folder is being imported by another process just now; wait for it to finish."
                )
            cursor.execute(_ORDER)
            cursor.execute("DROP TABLE staged")
            cursor.execute(
                "SELECT digest, done, finished FROM ledger.import_progress WHERE digest LIKE %s"
                " ORDER BY split_part(digest, '/', 2)::int",
                [digest + "/%"],
            )
            runs = cursor.fetchall()
        for key, done, finished in runs:
            if not finished and key not in told:
                return ImportStart(key, self._rows, done)
        return ImportStart(f"{digest}/{len(runs) + 1}", self._rows, 0)

    def page(self, after: int, limit: int) -> Sequence[StagedRow]:
        """Give the next rows in order."""
        with self._cursor() as cursor:
            if after != self._at:
                cursor.execute("MOVE ABSOLUTE %s FROM in_order", [after])
            cursor.execute("FETCH %s FROM in_order", [limit])
            rows = [StagedRow(seq, *row) for seq, row in enumerate(cursor.fetchall(), after + 1)]
        self._at = after + len(rows)
        return rows

    def summary(self, key: str) -> ImportSummary:
        """Give what a run has come to so far."""
        with self._cursor() as cursor:
            cursor.execute("SELECT recorded, duplicates, events FROM ledger.import_progress WHERE digest = %s", [key])
            recorded, duplicates, events = cursor.fetchone() or (0, 0, 0)
            cursor.execute("SELECT count(*) FROM ledger.import_refusal WHERE digest = %s", [key])
            return ImportSummary(key, recorded, duplicates, events, refused=_one(cursor))

    def refused_rows(self, key: str) -> Iterator[RefusedRow]:
        """Give what a run has refused so far, in order."""
        after = 0
        while True:
            with self._cursor() as cursor:
                cursor.execute(
                    "SELECT seq, file, line, reason FROM ledger.import_refusal WHERE digest = %s AND seq > %s"
                    " ORDER BY seq LIMIT %s",
                    [key, after, REFUSED_A_PAGE],
                )
                page = [RefusedRow(*row) for row in cursor]
            if not page:
                return
            yield from page
            after = page[-1].seq

    def finish(self, keys: Collection[str]) -> None:
        """Close runs whose result was told: the same folder told again begins a new one."""
        with self._cursor() as cursor:
            cursor.execute(
                "UPDATE ledger.import_progress SET finished = true, updated_at = clock_timestamp() WHERE digest = ANY (%s)",
                [list(keys)],
            )

    def close(self) -> None:
        """Let the staged rows go."""
        self._connection.close()

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        with errors_translated(self._connection, self._url), self._connection.cursor() as cursor:
            yield cursor


class _Lines:
    """The rows as COPY takes them. Remembers what reading raised, because psycopg2 does not let it through."""

    def __init__(self, rows: Iterable[FeedRow]) -> None:
        self._rows = rows
        self.count = 0
        self.fault: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for place, (phase, date, rank, kind, file, line, content, reason) in enumerate(self._rows, start=1):
                day = NULL if date is None else date.isoformat()
                self.count = place
                yield f"{phase}\t{day}\t{rank}\t{place}\t{kind}\t{text(file)}\t{line}\t{text(content)}\t{text(reason)}\n"
        except BaseException as fault:
            self.fault = fault
            raise


def _one(cursor: Cursor) -> int:
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])
