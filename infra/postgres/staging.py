"""Staged feed rows: sorted by PostgreSQL, so that feeds may be larger than memory (port: producers.importer.FeedStaging).

The rows lie in a temporary table of this connection: killed, they are gone, and the next run stages them again; what
must last (how far the import is) is written with the facts. Rows are read in pages by key, because a snapshot held
through a long import would slow every append down.

A run of an import is open until its result was told: whatever cuts it off before, the next command goes on with it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names classes in lower case

from domain.errors import LedgerError
from domain.recording import RefusedRow
from infra.postgres.connections import connect, errors_translated
from infra.postgres.copying import copy_rows
from producers.feeds import FeedRow
from producers.importer import ImportStart, ImportSummary, StagedRow

_CREATE = """
CREATE TEMPORARY TABLE staged (
    phase smallint NOT NULL, business_date date, rank smallint NOT NULL, place bigserial,
    kind text NOT NULL, file text NOT NULL, line bigint NOT NULL, content text NOT NULL, reason text
)
"""
_COLUMNS = "staged (phase, business_date, rank, kind, file, line, content, reason)"
_ORDER = """
CREATE TEMPORARY TABLE in_order AS
    SELECT row_number() OVER (ORDER BY phase, business_date NULLS LAST, rank, place) AS seq, kind, file, line, content, reason
      FROM staged;
ALTER TABLE in_order ADD PRIMARY KEY (seq);
ANALYZE in_order;
DROP TABLE staged;
SELECT count(*) FROM in_order
"""


class PostgresFeedStaging:
    """One folder's staging; use a new one for the next folder, and after PostgreSQL was away.

    Every method raises StoreUnreachable where PostgreSQL does not answer; the rows are gone then, nothing else is.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection = connect(database_url, "partner-ledger import")

    def stage(self, rows: Iterable[FeedRow]) -> None:
        """Take all rows of a folder in; what reading them raises is raised as it is."""
        reading = _Columns(rows)
        with self._cursor() as cursor:
            cursor.execute(_CREATE)
            try:
                copy_rows(cursor, _COLUMNS, reading)
            except psycopg2.Error:
                if reading.fault is not None:  # psycopg2 makes of it a cancelled query
                    raise reading.fault from None
                raise

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
            rows = _one(cursor)
            cursor.execute(
                "SELECT digest, done, finished FROM ledger.import_progress WHERE digest LIKE %s"
                " ORDER BY split_part(digest, '/', 2)::int",
                [digest + "/%"],
            )
            runs = cursor.fetchall()
        for key, done, finished in runs:
            if not finished and key not in told:
                return ImportStart(key, rows, done)
        return ImportStart(f"{digest}/{len(runs) + 1}", rows, 0)

    def page(self, after: int, limit: int) -> Sequence[StagedRow]:
        """Give the next rows in order."""
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT seq, kind, file, line, content, reason FROM in_order WHERE seq > %s ORDER BY seq LIMIT %s",
                [after, limit],
            )
            return [StagedRow(*row) for row in cursor]

    def summary(self, key: str) -> ImportSummary:
        """Give what a run has come to so far."""
        with self._cursor() as cursor:
            cursor.execute("SELECT recorded, duplicates, events FROM ledger.import_progress WHERE digest = %s", [key])
            recorded, duplicates, events = cursor.fetchone() or (0, 0, 0)
            cursor.execute(
                "SELECT seq, file, line, reason FROM ledger.import_refusal WHERE digest = %s ORDER BY seq", [key]
            )
            return ImportSummary(key, recorded, duplicates, events, [RefusedRow(*row) for row in cursor])

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


class _Columns:
    """The rows as COPY takes them. Remembers what reading raised, because psycopg2 does not let it through."""

    def __init__(self, rows: Iterable[FeedRow]) -> None:
        self._rows = rows
        self.fault: BaseException | None = None

    def __iter__(self) -> Iterator[Sequence[str | None]]:
        try:
            for row in self._rows:
                date = None if row.date is None else row.date.isoformat()
                yield str(row.phase), date, str(row.rank), row.kind, row.file, str(row.line), row.content, row.reason
        except BaseException as fault:
            self.fault = fault
            raise


def _one(cursor: Cursor) -> int:
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])
