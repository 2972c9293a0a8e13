"""The store as `audit verify` reads it: by the login that only reads, in pages by key, no snapshot held between two of them.

Every statement is a transaction of its own, so recording goes on meanwhile; what is compared stands at positions, which
never change. A page that was asked for is fetched by a thread while the one before is looked at.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from domain import events as e
from domain.envelope import EventRow
from domain.errors import LedgerError
from domain.merkle import Subtree
from domain.recorded_identity import WITH_IDENTITY
from domain.recording import Head, Identity
from domain.streams import LEDGER
from infra.postgres.connections import ConnectionPool
from infra.postgres.event_log import STORED, stored
from infra.postgres.projections.copy_csv import array
from infra.postgres.writing import HEAD_COLUMNS

EVENTS_A_PAGE = 4_000
KEYS_A_PAGE = 5_000
BEFORE_ALL = -(2**63)

_PAGE = (
    f"SELECT {STORED} FROM ledger.event WHERE position > %s AND position <= %s ORDER BY position LIMIT {EVENTS_A_PAGE}"
)

_IDENTITIES = """
SELECT asked.n::int, found.stream, found.version, found.content_hash, found.refers_to
  FROM unnest(%s::text[], %s::text[], %s::text[], %s::int[], %s::text[], %s::text[])
       WITH ORDINALITY AS asked (kind, key, stream, version, content_hash, refers_to, n)
 -- OFFSET 0: always by the index, key by key, even where the planner would rather read the whole table
  LEFT JOIN LATERAL (SELECT stream, version, content_hash, refers_to FROM ledger.identity AS i
                      WHERE i.kind = asked.kind AND i.key = asked.key OFFSET 0) AS found ON true
 WHERE (found.stream, found.version, found.content_hash, coalesce(found.refers_to, ''))
       IS DISTINCT FROM (asked.stream, asked.version, decode(asked.content_hash, 'hex'), asked.refers_to)
"""

_COUNT_IDENTITIES = """
SELECT (SELECT count(*) FROM ledger.identity),
       (SELECT count(*) FROM ledger.event WHERE position > %s AND position <= (SELECT position FROM ledger.head)
           AND type = ANY (%s))
"""

_IDENTITY_PAGE = f"""
SELECT i.kind, i.key, i.stream, i.version, e.position, e.type, e.schema_version, e.data
  FROM (SELECT kind, key, stream, version FROM ledger.identity WHERE (kind, key) > (%s, %s)
         ORDER BY kind, key LIMIT {KEYS_A_PAGE}) AS i
  LEFT JOIN ledger.event AS e USING (stream, version) ORDER BY i.kind, i.key
"""

_SNAPSHOT_PAGE = f"""
SELECT s.stream, s.version, s.type, e.position
  FROM (SELECT stream, version, type FROM ledger.snapshot WHERE (stream, version) > (%s, %s)
         ORDER BY stream, version LIMIT {KEYS_A_PAGE}) AS s
  LEFT JOIN ledger.event AS e USING (stream, version) ORDER BY s.stream, s.version
"""

_STATES = """
SELECT stream, version, state FROM ledger.snapshot
  JOIN unnest(%s::text[], %s::int[]) AS asked (stream, version) USING (stream, version)
"""


OtherIdentity = tuple[int, tuple[str, int, bytes, str | None] | None]
"""The index of an identity asked for, and what the store has instead: stream, version, content hash, reference; or nothing."""


class Page(NamedTuple):
    """Events in order of position, with the leaf hashes stored beside them."""

    rows: list[EventRow]
    stored: list[bytes]


class StoredIdentity(NamedTuple):
    """An identity, and the event that it stands for; `position` is None where there is no such event."""

    kind: str
    key: str
    stream: str
    version: int
    position: int | None
    event: e.Event | None


class Snapshot(NamedTuple):
    """Where a snapshot stands; `position` is that of its last event, None where there is no such event."""

    stream: str
    version: int
    format: str
    position: int | None


class PostgresAuditedStore:
    """Used by one thread, and one more for identities. Every method raises `ServiceUnreachable` while PostgreSQL is away."""

    def __init__(self, url: str, timezone: str) -> None:
        self._pool = ConnectionPool(url, max_connections=3)
        self._timezone = timezone

    def head(self) -> tuple[Head, int]:
        """Give the head row, and the highest position that the store has at that moment (0: none)."""
        [row] = self._rows(
            f"SELECT {HEAD_COLUMNS}, (SELECT coalesce(max(position), 0) FROM ledger.event) FROM ledger.head",
            (self._timezone,),
        )
        return Head(*row[:-1]), row[-1]

    def pages(self, last: int) -> Iterator[Page]:
        """Give all events up to a position, those of no regular position included, page by page."""
        with ThreadPoolExecutor(1, "audit-pages") as reader:
            page = self._page(BEFORE_ALL, last)
            while page.rows:
                more = len(page.rows) == EVENTS_A_PAGE
                following = reader.submit(self._page, page.rows[-1].position, last) if more else None
                yield page
                page = following.result() if following else Page([], [])

    def _page(self, after: int, last: int) -> Page:
        pairs = [stored(row) for row in self._rows(_PAGE, (after, last))]
        return Page([row for row, _ in pairs], [leaf_hash for _, leaf_hash in pairs])

    def at(self, positions: Sequence[int]) -> Mapping[int, EventRow]:
        """Give the events at positions, those that there are."""
        rows = self._rows(f"SELECT {STORED} FROM ledger.event WHERE position = ANY (%s)", (list(positions),))
        return {row.position: row for row, _ in map(stored, rows)}

    def of_stream(self, stream: str, up_to_position: int) -> Iterable[EventRow]:
        """Give the events of a stream up to a position, in order of version."""
        version = 0
        while True:
            rows = self._rows(
                f"SELECT {STORED} FROM ledger.event WHERE stream = %s AND version > %s AND position <= %s"
                f" ORDER BY version LIMIT {EVENTS_A_PAGE}",
                (stream, version, up_to_position),
            )
            for row, _ in map(stored, rows):
                yield row
                version = row.version
            if len(rows) < EVENTS_A_PAGE:
                return

    def reversed_deals(self) -> frozenset[str]:
        """Give the deals that a reversal names."""
        return frozenset(
            deal for (deal,) in self._rows("SELECT refers_to FROM ledger.identity WHERE kind = 'reversal'") if deal
        )

    # --- identities ---

    def other_identities(self, expected: Sequence[Identity]) -> list[OtherIdentity]:
        """Give the indexes of those identities that the store has otherwise, with what it has: None for none at all."""
        columns = (
            array(i.kind for i in expected),
            array(i.key for i in expected),
            array(i.stream for i in expected),
            array(i.version for i in expected),
            array(i.content_hash.hex() for i in expected),
            array(i.refers_to or "" for i in expected),
        )
        return [
            (n - 1, None if stream is None else (stream, version, bytes(content_hash), refers_to))
            for n, stream, version, content_hash, refers_to in self._rows(_IDENTITIES, columns)
        ]

    def identities(self, after_position: int) -> tuple[int, int]:
        """Count the identities, and of the events after a position those that leave one; both at one moment."""
        [(identities, further)] = self._rows(_COUNT_IDENTITIES, (after_position, sorted(WITH_IDENTITY)))
        return identities, further

    def every_identity(self) -> Iterator[StoredIdentity]:
        """Give every identity with its event, in pages by key."""
        after = ("", "")
        while rows := self._rows(_IDENTITY_PAGE, after):
            for kind, key, stream, version, position, type_name, schema_version, data in rows:
                event = None if position is None else _event(type_name, schema_version, bytes(data))
                yield StoredIdentity(kind, key, stream, version, position, event)
            after = rows[-1][:2]

    # --- snapshots ---

    def snapshots(self) -> Iterator[Snapshot]:
        """Give where snapshots stand, in pages by key."""
        after = ("", 0)
        while rows := self._rows(_SNAPSHOT_PAGE, after):
            yield from (Snapshot(*row) for row in rows)
            after = rows[-1][:2]

    def states(self, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], bytes]:
        """Give what the snapshots at these streams and versions hold."""
        rows = self._rows(_STATES, (array(stream for stream, _ in places), array(version for _, version in places)))
        return {(stream, version): bytes(state) for stream, version, state in rows}

    # --- the hash tree ---

    def tree_nodes(self, subtrees: Sequence[Subtree]) -> dict[Subtree, bytes]:
        """Give the stored hashes of those subtrees that have one."""
        rows = self._rows(
            "SELECT level, number, hash FROM ledger.tree_node"
            " JOIN unnest(%s::smallint[], %s::bigint[]) AS asked (level, number) USING (level, number)",
            (array(subtree.level for subtree in subtrees), array(subtree.number for subtree in subtrees)),
        )
        return {Subtree(level, number): bytes(stored_hash) for level, number, stored_hash in rows}

    # --- for what is compared with Kafka ---

    def leaf_hashes(self, first: int, last: int) -> list[bytes | None]:
        """Give the stored leaf hashes of positions, first and last included; None where there is no event."""
        [(count, joined)] = self._rows(
            "SELECT count(*), string_agg(leaf_hash, '' ORDER BY position) FROM ledger.event WHERE position BETWEEN %s AND %s",
            (first, last),
        )
        size = last - first + 1
        if count == size and len(joined) == 32 * size:
            whole = bytes(joined)
            return [whole[at : at + 32] for at in range(0, 32 * size, 32)]
        rows = self._rows(
            "SELECT position, leaf_hash FROM ledger.event WHERE position BETWEEN %s AND %s", (first, last)
        )
        held = {position: bytes(leaf_hash) for position, leaf_hash in rows}
        return [held.get(position) for position in range(first, last + 1)]

    def count_types(self, first: int, last: int, types: Sequence[str]) -> int:
        """Count the events of some types between two positions, both included."""
        [(count,)] = self._rows(
            "SELECT count(*) FROM ledger.event WHERE position BETWEEN %s AND %s AND type = ANY (%s)",
            (first, last, list(types)),
        )
        return int(count)

    def hashes_at(self, positions: Sequence[int]) -> list[tuple[int, bytes]]:
        """Give the stored leaf hashes of positions, of those that there are."""
        rows = self._rows("SELECT position, leaf_hash FROM ledger.event WHERE position = ANY (%s)", (list(positions),))
        return [(position, bytes(leaf_hash)) for position, leaf_hash in rows]

    def dropped_records(self) -> list[e.RecordDropped]:
        """Give the records on Kafka that the ledger has dropped."""
        rows = self._rows(
            "SELECT type, schema_version, data FROM ledger.event WHERE stream = %s AND type = 'RecordDropped' ORDER BY version",
            (LEDGER,),
        )
        events = [_event(type_name, schema_version, bytes(data)) for type_name, schema_version, data in rows]
        return [event for event in events if isinstance(event, e.RecordDropped)]

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall()


def _event(type_name: str, schema_version: int, data: bytes) -> e.Event | None:
    try:
        return e.decode(type_name, schema_version, data)
    except (ValueError, LedgerError):
        return None  # said by the check that reads every event
