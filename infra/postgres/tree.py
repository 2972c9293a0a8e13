"""The hash tree in PostgreSQL: stored hashes of complete subtrees, and what heads and proofs read of the events.

Leaves are `ledger.event.leaf_hash`; of larger subtrees those of 256, 65,536, … events are stored (`ledger.tree_node`), written by
`fill`. Any other one is put together from at most 128 rows of the stored level below. Everything is read in pages by key: no
snapshot is held while the ledger records. Port: `producers.tree_heads.Tree`, `infra.audit.proving.ProvenEvents`.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg2.extras import execute_values

from domain.envelope import EventRow
from domain.errors import IntegrityFault
from domain.merkle import Frontier, Subtree
from infra.postgres.connections import ConnectionPool
from infra.postgres.event_log import STORED, stored

STEP = 8
"""Every so many levels are stored: a row for 2^8 of the level below."""

_FAN_OUT = 1 << STEP
_PAGE_NODES = 64
"""Nodes that are made in one transaction, of 256 hashes each."""

_STREAMS_PAGE = 2_000
_EVENTS_PAGE = 256

# A loose index scan: from each stream to the next one by (stream, version), never through all events of a stream.
_LAST_VERSIONS = """
WITH RECURSIVE streams (stream, n) AS (
    (SELECT stream, 1 FROM ledger.event WHERE stream > %(after)s ORDER BY stream, version LIMIT 1)
    UNION ALL
    SELECT (SELECT event.stream FROM ledger.event WHERE event.stream > streams.stream ORDER BY event.stream, event.version LIMIT 1),
           n + 1
      FROM streams WHERE streams.stream IS NOT NULL AND n < %(limit)s
)
SELECT stream,
       (SELECT version FROM ledger.event
         WHERE event.stream = streams.stream AND position <= %(size)s ORDER BY version DESC LIMIT 1)
  FROM streams WHERE stream IS NOT NULL
"""

_RANGES_OF_LEAVES = """
SELECT n, leaf_hash FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS wanted (first, last, n)
  JOIN ledger.event ON position BETWEEN first + 1 AND last + 1 ORDER BY n, position
"""
_RANGES_OF_NODES = """
SELECT n, hash FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS wanted (first, last, n)
  JOIN ledger.tree_node ON level = {level} AND number BETWEEN first AND last ORDER BY n, number
"""


class PostgresTree:
    """The tree on the login of a URL: the reader's is enough for all but `fill`. Used by one thread."""

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool(url, max_connections=1)

    def ledger_id(self) -> UUID:
        """Give the ledger's id."""
        [(found,)] = self._rows("SELECT id::text FROM ledger.ledger_id")
        return UUID(found)

    def moment(self) -> tuple[int, dt.datetime]:
        """Give the last position, and the database's time as it was read."""
        [(position, now)] = self._rows("SELECT position, greatest(clock_timestamp(), recorded_at) FROM ledger.head")
        return int(position), now

    def fill(self, size: int, on_leaves: Callable[[int], None]) -> None:
        """Store what is complete of the first `size` events and not stored yet; `on_leaves` is told how many events are done.

        Killed at any moment, or run by several at once, the stored nodes stay right: a further run goes on behind them.
        """
        level = STEP
        while size >> level:
            self._fill_level(level, size >> level, on_leaves if level == STEP else _tell_nobody)
            level += STEP
        on_leaves(size)

    def hashes(self, subtrees: Sequence[Subtree]) -> Sequence[bytes]:
        """Give the hash of each subtree (port: `domain.merkle.SubtreeHashes`), with one query for each stored level.

        Raises:
            IntegrityFault: events or stored nodes are missing.

        """
        found: list[bytes] = [b""] * len(subtrees)
        for below in sorted({subtree.level // STEP * STEP for subtree in subtrees}):
            wanted = [n for n, subtree in enumerate(subtrees) if subtree.level // STEP * STEP == below]
            for n, each in zip(wanted, self._joined([subtrees[n] for n in wanted], below), strict=True):
                found[n] = each
        return found

    def last_versions(self, size: int) -> Iterator[tuple[str, int]]:
        """Give every stream of the first `size` events with its last version among them."""
        after = ""
        while True:
            page = self._rows(_LAST_VERSIONS, {"after": after, "limit": _STREAMS_PAGE, "size": size})
            yield from ((stream, version) for stream, version in page if version is not None)
            if len(page) < _STREAMS_PAGE:
                return
            after = max(stream for stream, _ in page)  # as bytes or as code points, the order is one

    def event(self, position: int) -> tuple[EventRow, bytes] | None:
        """Give the event at a position with its stored leaf hash; None where there is none."""
        rows = self._rows(f"SELECT {STORED} FROM ledger.event WHERE position = %s", (position,))
        return stored(rows[0]) if rows else None

    def of_stream(self, stream: str, size: int) -> Iterator[Sequence[tuple[EventRow, bytes]]]:
        """Give a stream's events among the first `size` with their leaf hashes, in order, in pages."""
        version = 0
        while True:
            rows = self._rows(
                f"SELECT {STORED} FROM ledger.event"
                " WHERE stream = %s AND version > %s AND position <= %s ORDER BY version LIMIT %s",
                (stream, version, size, _EVENTS_PAGE),
            )
            page = [stored(row) for row in rows]
            if page:
                yield page
                version = page[-1][0].version
            if len(page) < _EVENTS_PAGE:
                return

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()

    def _fill_level(self, level: int, nodes: int, on_leaves: Callable[[int], None]) -> None:
        [(done,)] = self._rows("SELECT coalesce(max(number) + 1, 0) FROM ledger.tree_node WHERE level = %s", (level,))
        while done < nodes:
            page = range(done, min(done + _PAGE_NODES, nodes))
            hashes = self._joined([Subtree(level, number) for number in page], level - STEP)
            rows = [(level, number, each) for number, each in zip(page, hashes, strict=True)]
            with self._pool.connection() as connection, connection.cursor() as cursor:
                # Where another `audit head` was faster, it has written the same.
                execute_values(
                    cursor,
                    "INSERT INTO ledger.tree_node (level, number, hash) VALUES %s ON CONFLICT (level, number) DO NOTHING",
                    rows,
                    page_size=len(rows),
                )
            done = page.stop
            on_leaves(done << level)

    def _joined(self, subtrees: Sequence[Subtree], below: int) -> list[bytes]:
        """Put subtrees together from the hashes of a stored level, which their own is not below."""
        ranges = [(number << (level - below), ((number + 1) << (level - below)) - 1) for level, number in subtrees]
        query = _RANGES_OF_LEAVES if below == 0 else _RANGES_OF_NODES.format(level=below)
        rows = self._rows(query, ([first for first, _ in ranges], [last for _, last in ranges]))
        by_range = {n: [bytes(each) for _, each in group] for n, group in groupby(rows, key=lambda row: row[0])}
        return [self._whole(by_range.get(n, []), *range_, below) for n, range_ in enumerate(ranges, 1)]

    @staticmethod
    def _whole(hashes: Sequence[bytes], first: int, last: int, below: int) -> bytes:
        if len(hashes) != last - first + 1:
            between = f"between the positions {(first << below) + 1} and {(last + 1) << below}"
            raise IntegrityFault(
                f"The store lacks events {between}: it was tampered with or damaged; `partner-ledger audit verify` says more."
                if below == 0
                else f"The hashes of events {between} are not stored: `partner-ledger audit head` stores them."
            )
        if len(hashes) == 1:
            return hashes[0]
        frontier = Frontier()
        frontier.extend(hashes)
        return frontier.root()

    def _rows(self, statement: str, values: Any = ()) -> list[tuple[Any, ...]]:
        with self._pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()


def _tell_nobody(_: int) -> None:
    """Say nothing: the levels above the first take a 256th of its time."""
