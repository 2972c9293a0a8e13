"""The live projections as `audit verify` reads them: by the login that only reads, each statement a short transaction.

Rows come as COPY writes them, in the very bytes that `copy_csv.csv_lines` makes of a fold's rows: where the bytes are equal
the rows are, at the speed of the disk. Only rows that differ are read as values.
"""

import datetime as dt
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from domain.errors import ServiceUnreachable
from infra.postgres.projections.builds import live_build, schema
from infra.postgres.projections.connection import Reconnecting
from infra.postgres.projections.copy_csv import COLUMN_NAMES, Table
from infra.postgres.projections.tables import BY_FIELD
from projections.row import Row, in_hex

KEYS_A_PAGE = 5_000
MOST_ROWS = 1_000
"""So many rows of one fault are read; the report keeps fewer."""

_TIME = "to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS {column}"

_BALANCES = f"""
WITH page AS (
    SELECT DISTINCT partner FROM (SELECT partner FROM balance UNION ALL SELECT partner FROM partner) AS named
     WHERE partner > %(after)s ORDER BY partner LIMIT {KEYS_A_PAGE}
), kept AS (
    SELECT b.* FROM balance AS b JOIN page USING (partner)
), summed AS (
    SELECT l.partner, l.currency, date_trunc('month', l.posting_date)::date AS posting_month,
           coalesce(sum(l.amount) FILTER (WHERE l.category = 'accrued'), 0) AS accrued,
           coalesce(sum(l.amount) FILTER (WHERE l.category = 'clawed_back'), 0) AS clawed_back,
           coalesce(sum(l.amount) FILTER (WHERE l.category = 'paid'), 0) AS paid,
           count(*) AS lines, max(l.position) AS position
      FROM bonus_line AS l JOIN page USING (partner) GROUP BY 1, 2, 3
), both_sides AS (
    SELECT partner, currency, posting_month, summed.position, kept.partner IS NULL AS missing, summed.partner IS NULL AS added,
           kept.accrued AS kept_accrued, kept.clawed_back AS kept_clawed_back, kept.paid AS kept_paid, kept.lines AS kept_lines,
           summed.accrued, summed.clawed_back, summed.paid, summed.lines
      FROM kept FULL JOIN summed USING (partner, currency, posting_month)
)
SELECT (SELECT max(partner) FROM page), (SELECT count(*) FROM kept), b.*
  FROM (SELECT) AS always
  LEFT JOIN both_sides AS b
    ON (kept_accrued, kept_clawed_back, kept_paid, kept_lines) IS DISTINCT FROM (accrued, clawed_back, paid, lines)
 ORDER BY position LIMIT {MOST_ROWS}
"""

_STREAMS = f"""
SELECT s.stream, s.partition, s.version, e.leaf_hash IS NOT DISTINCT FROM s.leaf_hash, e.position
  FROM (SELECT * FROM stream_version WHERE stream > %s ORDER BY stream LIMIT {KEYS_A_PAGE}) AS s
  LEFT JOIN ledger.event AS e USING (stream, version) ORDER BY s.stream
"""

_PROGRESS = """
WITH further AS (
    SELECT topic, partition, count(*) AS events, max(position) AS position, max(record_offset) AS record_offset,
           max(business_date) FILTER (WHERE type = 'LedgerAdvanced') AS ledger_date,
           max(business_date) FILTER (WHERE starts_with(stream, 'partner:')) AS latest_business_date
      FROM audit WHERE position > %s GROUP BY topic, partition
)
SELECT p.topic, p.partition, p.cluster_id, p.topic_id, p.next_offset, p.applied, p.last_position, p.ledger_date,
       p.latest_business_date, coalesce(f.events, 0), coalesce(f.position, 0), coalesce(f.record_offset, -1), f.ledger_date,
       f.latest_business_date
  FROM partition_progress AS p LEFT JOIN further AS f USING (topic, partition) ORDER BY p.topic, p.partition
"""

_PARKED = f"""
SELECT p.partition, p.record_offset, p.stream, p.position, p.reason
  FROM parked AS p
 WHERE NOT EXISTS (SELECT FROM dropped AS d WHERE (d.topic, d.partition, d.record_offset)
           = (p.topic, p.partition, p.record_offset) AND d.leaf_hash IS NOT DISTINCT FROM p.leaf_hash AND p.position IS NULL)
 ORDER BY p.partition, p.record_offset LIMIT {MOST_ROWS}
"""

_JOURNAL = """
SELECT currency, sum(amount) FILTER (WHERE amount > 0), -sum(amount) FILTER (WHERE amount < 0), count(*)
  FROM journal WHERE position > %s AND position <= %s GROUP BY currency ORDER BY currency
"""


class BalanceFault(NamedTuple):
    """A balance that is not the sum of its lines: what is kept, and what the lines add up to; None where there is nothing."""

    partner: str
    currency: str
    posting_month: dt.date
    position: int | None
    kept: tuple[Decimal, Decimal, Decimal, int] | None
    summed: tuple[Decimal, Decimal, Decimal, int] | None


class StreamRow(NamedTuple):
    """What is kept of a stream; `position` is that of its event in the store, None where it holds none of that version."""

    stream: str
    partition: int
    version: int
    is_stored_hash: bool
    position: int | None


class ProgressRow(NamedTuple):
    """What is kept of a partition, and what the events behind a position have added to it."""

    topic: str
    partition: int
    cluster_id: str
    topic_id: str
    next_offset: int
    applied: int
    last_position: int
    ledger_date: dt.date | None
    latest_business_date: dt.date | None
    further_events: int
    further_position: int
    further_offset: int
    further_ledger_date: dt.date | None
    further_business_date: dt.date | None


class ParkedRow(NamedTuple):
    """A record that waits; `position` is None where the store does not hold it."""

    partition: int
    offset: int
    stream: str
    position: int | None
    reason: str


class PostgresAuditedProjections:
    """The build that was live when this was made. Used by one thread."""

    def __init__(self, url: str) -> None:
        self._database = Reconnecting(url, "partner-ledger audit")
        with self._database.transaction("BEGIN READ ONLY") as cursor:
            self.build = live_build(cursor)

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    # --- rows by position ---

    def lines(self, table: Table, after: int | None, last: int) -> bytes:
        """Give a table's rows behind a position up to another, as `csv_lines` gives rows; None: from the very first."""
        written = BytesIO()
        with self._reading() as cursor:
            statement = cursor.mogrify(_statement(table, bounded=after is not None), {"after": after, "last": last})
            cursor.copy_expert(statement, written, size=1 << 16)
        return written.getvalue()

    def rows(self, table: Table, after: int | None, last: int) -> list[Row]:
        """Give the same rows as values."""
        statement = f"SELECT {table.names} FROM {table.name} {_where(table, bounded=after is not None)}"
        with self._reading() as cursor:
            cursor.execute(statement, {"after": after, "last": last})
            return [table.row(*map(_plain, row)) for row in cursor.fetchall()]

    def journal(self, after: int, last: int) -> list[tuple[str, Decimal, Decimal, int]]:
        """Give the journal's debits and credits by currency, and the number of its sides, behind a position up to another."""
        return self._fetch(_JOURNAL, (after, last))

    def beyond(self, table: Table, last: int) -> list[int]:
        """Give the positions behind the last one that a table has rows of, although the audit trail does not have them.

        The audit trail's own: those that the store does not hold with the same hash.
        """
        held = "audit AS a WHERE a.position = t.position"
        if table.name == "audit":
            held = "ledger.event AS e WHERE e.position = t.position AND e.leaf_hash = t.leaf_hash"
        rows = self._fetch(
            f"SELECT t.position FROM {table.name} AS t WHERE t.position > %s AND NOT EXISTS (SELECT FROM {held})"
            f" ORDER BY 1 LIMIT {MOST_ROWS}",
            (last,),
        )
        return [position for (position,) in rows]

    # --- what is kept beside ---

    def balances(self) -> Iterator[tuple[int, list[BalanceFault]]]:
        """Compare balances with their lines, page by page of partners: how many were looked at, and what is wrong with them."""
        after: str | None = ""
        while after is not None:
            rows = self._fetch(_BALANCES, {"after": after})
            after, looked_at = rows[0][:2]
            faults = []
            for row in rows:
                partner, currency, month, position, missing, added, *amounts = row[2:]
                if partner is not None:
                    kept = None if missing else tuple(amounts[:4])
                    faults.append(
                        BalanceFault(partner, currency, month, position, kept, None if added else tuple(amounts[4:]))
                    )
            yield looked_at, faults

    def streams(self) -> Iterator[StreamRow]:
        """Give what is kept of the streams, in order, in pages by key."""
        after = ""
        while rows := self._fetch(_STREAMS, (after,)):
            yield from (StreamRow(*row) for row in rows)
            after = rows[-1][0]

    def progress(self, last: int) -> list[ProgressRow]:
        """Give what is kept of the partitions, with what was added behind a position."""
        return [ProgressRow(*row) for row in self._fetch(_PROGRESS, (last,))]

    def parked(self) -> tuple[int, list[ParkedRow]]:
        """Give how many records are parked, and those of them that were not dropped."""
        rows = self._fetch(_PARKED, None)
        [(count,)] = self._fetch("SELECT count(*) FROM parked", None)
        return count, [ParkedRow(*row) for row in rows]

    def row_counts(self, last: int) -> dict[str, int]:
        """Give how many rows each table has up to a position."""
        counts = {}
        for table in BY_FIELD.values():
            [(counts[table.name],)] = self._fetch(f"SELECT count(*) FROM {table.name} WHERE position <= %s", (last,))
        return counts

    def _fetch(self, statement: str, values: Sequence[Any] | Mapping[str, Any] | None) -> list[tuple[Any, ...]]:
        with self._reading() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    @contextmanager
    def _reading(self) -> Iterator[Cursor]:
        assert self.build is not None, "there is a live build where something was projected"
        begin = f"BEGIN READ ONLY; SET LOCAL search_path = {schema(self.build)}"
        try:
            with self._database.transaction(begin) as cursor:
                yield cursor
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName) as error:
            raise ServiceUnreachable(
                f"Build {self.build} of the projections is not there any more: they were made anew meanwhile; run the same"
                " command again."
            ) from error


def _plain(value: Any) -> Any:
    return in_hex(bytes(value)) if isinstance(value, memoryview) else value


@cache
def _statement(table: Table, *, bounded: bool) -> str:
    """Make the COPY of a table's rows in the bytes of `csv_lines`: JSON's own forms, everything quoted but numbers and truths."""
    columns, quoted = [], []
    hints = typing.get_type_hints(table.row)
    for field in table.row.__struct_fields__:
        column = COLUMN_NAMES.get(field, field)
        if hints[field] is bool:
            columns.append(f"{column}::text AS {column}")
            continue
        columns.append(_TIME.format(column=column) if hints[field] is dt.datetime else column)
        if hints[field] is not int:
            quoted.append(column)
    query = f"SELECT {', '.join(columns)} FROM {table.name} {_where(table, bounded=bounded)}"
    return f"COPY ({query}) TO STDOUT (FORMAT csv, ESCAPE '\\', NULL 'null', FORCE_QUOTE ({', '.join(quoted)}))"


def _where(table: Table, *, bounded: bool) -> str:
    after = "position > %(after)s AND " if bounded else ""
    order = "position, n" if "n" in table.row.__struct_fields__ else "position"
    return f"WHERE {after}position <= %(last)s ORDER BY {order}"
