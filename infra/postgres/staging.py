"""Staged feed rows: sorted by PostgreSQL, so that feeds may be larger than memory (port: producers.importer.FeedStaging).

The rows lie in a temporary table of this connection: killed, they are gone, and the next run stages them again; what
must last (how far the import is) is written with the facts. Rows are read in pages by key, because a snapshot held
through a long import would slow every append down.
"""

from collections.abc import Iterable, Iterator, Sequence

import psycopg2

from domain.errors import LedgerError, ServiceUnreachable
from domain.recording import RefusedRow
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
    """One folder's staging; use a new one for the next folder."""

    def __init__(self, database_url: str) -> None:
        try:
            self._connection = psycopg2.connect(database_url, application_name="partner-ledger import")
        except psycopg2.OperationalError as error:
            raise ServiceUnreachable(f"PostgreSQL does not answer: {str(error).strip()}.") from error
        self._connection.autocommit = True

    def stage(self, rows: Iterable[FeedRow]) -> None:
        """Take all rows of a folder in."""
        with self._connection.cursor() as cursor:
            cursor.execute(_CREATE)
            copy_rows(cursor, _COLUMNS, _columns(rows))

    def begin(self, digest: str) -> ImportStart:
        """Put the rows in order and find the run to go on with, or begin a new one.

        Raises:
            LedgerError: another process imports the same folder.

        """
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", ["import " + digest])
            if not _one(cursor):
                raise LedgerError(
                    "The same folder is being imported by another process just now; wait for it to finish."
                )
            cursor.execute(_ORDER)
            rows = _one(cursor)
            cursor.execute(
                "SELECT split_part(digest, '/', 2)::int, done, finished FROM ledger.import_progress"
                " WHERE digest LIKE %s ORDER BY 1 DESC LIMIT 1",
                [digest + "/%"],
            )
            last = cursor.fetchone()
        if last is None:
            return ImportStart(f"{digest}/1", rows, 0)
        run, done, finished = last
        return ImportStart(f"{digest}/{run + 1}", rows, 0) if finished else ImportStart(f"{digest}/{run}", rows, done)

    def page(self, after: int, limit: int) -> Sequence[StagedRow]:
        """Give the next rows in order."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT seq, kind, file, line, content, reason FROM in_order WHERE seq > %s ORDER BY seq LIMIT %s",
                [after, limit],
            )
            return [StagedRow(*row) for row in cursor]

    def summary(self, key: str) -> ImportSummary:
        """Give what a run has come to so far."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT recorded, duplicates, events FROM ledger.import_progress WHERE digest = %s", [key])
            recorded, duplicates, events = cursor.fetchone() or (0, 0, 0)
            cursor.execute(
                "SELECT seq, file, line, reason FROM ledger.import_refusal WHERE digest = %s ORDER BY seq", [key]
            )
            return ImportSummary(recorded, duplicates, events, [RefusedRow(*row) for row in cursor])

    def close(self) -> None:
        """Let the staged rows go."""
        self._connection.close()


def _columns(rows: Iterable[FeedRow]) -> Iterator[Sequence[str | None]]:
    for row in rows:
        date = None if row.date is None else row.date.isoformat()
        yield str(row.phase), date, str(row.rank), row.kind, row.file, str(row.line), row.content, row.reason


def _one(cursor: "psycopg2.extensions.cursor") -> int:
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])
