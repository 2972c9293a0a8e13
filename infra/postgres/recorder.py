"""The event store's recorder: the event-sourcing library's ApplicationRecorder and the port `domain.recording.LedgerStore`.

Positions are gapless and in commit order, so a reader that has seen a position has seen all before it. How an append is
written stands in `writing`; the tables, and what they refuse, in `migrations/0001_event_store.sql`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, Notification, StoredEvent

from domain.recording import Append, Head, Identity, IdentityKey, LedgerStoredEvent, LookUp
from infra.postgres import writing
from infra.postgres.connections import ConnectionPool
from infra.postgres.group_commit import group_commit
from infra.postgres.subscription import PostgresSubscription

_NOTHING_BESIDE = Append()
_STORED = "stream, version, type, data, schema_version, business_date, command_id"

_LOOK_UP = f"""
WITH head AS (SELECT {writing.HEAD_COLUMNS} FROM ledger.head)
SELECT NULL AS kind, NULL AS key, NULL AS stream, NULL::int AS version, NULL::bytea AS content_hash, NULL AS refers_to, head.*
  FROM head
UNION ALL
SELECT found.*, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM unnest(%s::text[], %s::text[]) AS asked (kind, key)
 -- OFFSET 0: always by the index, key by key, even where the planner would rather read the whole table
 CROSS JOIN LATERAL (SELECT kind, key, stream, version, content_hash, refers_to
                       FROM ledger.identity AS i WHERE i.kind = asked.kind AND i.key = asked.key OFFSET 0) AS found
UNION ALL
SELECT NULL, person_id, pseudonym, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM ledger.person WHERE person_id = ANY (%s)
"""

_DEALS = """
WITH place AS (
    SELECT deal_id, found.stream, found.version
      FROM unnest(%s::text[]) AS asked (deal_id)
     CROSS JOIN LATERAL (SELECT stream, version FROM ledger.identity WHERE kind = 'deal' AND key = deal_id
                         UNION ALL
                         SELECT stream, version FROM ledger.identity WHERE kind = 'reversal' AND refers_to = deal_id
                         OFFSET 0) AS found
), wanted AS (
    SELECT DISTINCT deal_id, stream, version + after AS version FROM place, (VALUES (0), (1)) AS next (after)
)
SELECT wanted.deal_id, stream, version, type, data, schema_version, business_date, command_id
  FROM wanted JOIN ledger.event USING (stream, version) ORDER BY wanted.deal_id, version
"""


_STREAMS = f"""
WITH asked AS (
    SELECT asked.stream, latest.version, latest.type, latest.state
      FROM unnest(%s::text[]) AS asked (stream)
      LEFT JOIN LATERAL (SELECT version, type, state FROM ledger.snapshot AS s
                          WHERE s.stream = asked.stream AND type = %s ORDER BY version DESC LIMIT 1) AS latest ON true
)
SELECT stream, version, type, state AS data, 0 AS schema_version, NULL AS business_date, '' AS command_id
  FROM asked WHERE version IS NOT NULL
UNION ALL
SELECT found.*
  FROM asked
 -- OFFSET 0: always by the index, stream by stream, even where the planner would rather read the whole table
 CROSS JOIN LATERAL (SELECT {_STORED} FROM ledger.event AS e
                      WHERE e.stream = asked.stream AND e.version > coalesce(asked.version, 0) OFFSET 0) AS found
 ORDER BY stream, version
"""


class PostgresLedgerRecorder(ApplicationRecorder):
    """Records and reads events. Its methods may be called by many threads at once.

    All of them raise `StoreUnreachable` (the library's OperationalError and `domain.errors.ServiceUnreachable` at once) where
    PostgreSQL is away; a later call connects anew.
    """

    def __init__(self, pool: ConnectionPool, *, timezone: str) -> None:
        self._pool = pool
        self._timezone = timezone
        self._group = group_commit(pool.url, timezone)

    # --- writing ---

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        append: Append = _NOTHING_BESIDE,
        tracking: None = None,
        **unknown: Any,
    ) -> list[int]:
        """Append events with what goes with them, in one transaction; give their positions.

        Appends of several threads at once share a transaction where they can, each with its own outcome (`group_commit`).

        Raises:
            IntegrityError: another append was first, to the same stream or with the same identity; nothing was recorded.
            StoreUnreachable: whether it was recorded may be unknown; the same append told again is recorded once only.
            Exception: what `append.judge` raised; nothing was recorded.

        """
        if tracking is not None or unknown:
            raise TypeError(f"the ledger's recorder takes nothing but 'append', not {', '.join(unknown) or 'tracking'}")
        return self._group.append(self._pool, stored_events, append)

    # --- reading, as the library asks ---

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> list[LedgerStoredEvent]:
        """Read a stream, or the part of it after version `gt` and up to `lte`."""
        conditions, values = ["stream = %s"], list[Any]([originator_id])
        for condition, value in (("version > %s", gt), ("version <= %s", lte)):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        return [
            _stored(row)
            for row in self._rows(
                f"SELECT {_STORED} FROM ledger.event WHERE {' AND '.join(conditions)}"
                f" ORDER BY version {'DESC' if desc else 'ASC'} LIMIT %s",
                (*values, limit),
            )
        ]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> list[Notification]:
        """Read by position, from `start` (or after it) up to `stop`, of all types or of some."""
        conditions, values = ["true"], list[Any]()
        for condition, value in (
            (f"position {'>=' if inclusive_of_start else '>'} %s", start),
            ("position <= %s", stop),
            ("type = ANY (%s)", list(topics) or None),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        rows = self._rows(
            f"SELECT position, stream, version, type, data FROM ledger.event WHERE {' AND '.join(conditions)}"
            " ORDER BY position LIMIT %s",
            (*values, limit),
        )
        return [
            Notification(id=row[0], originator_id=row[1], originator_version=row[2], topic=row[3], state=bytes(row[4]))
            for row in rows
        ]

    def max_notification_id(self) -> int | None:
        """Give the last position, None where there is none."""
        [(last,)] = self._rows("SELECT max(position) FROM ledger.event")
        return None if last is None else int(last)

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> PostgresSubscription:
        """Iterate over what is and what will be recorded after a position."""
        return PostgresSubscription(self, self._pool.url, gt=gt, topics=topics)

    # --- reading, as the application asks (domain.recording.LedgerStore) ---

    def head(self) -> Head:
        """Read the head row."""
        [row] = self._rows(f"SELECT {writing.HEAD_COLUMNS} FROM ledger.head", (self._timezone,))
        return Head(*row)

    def look_up(self, identities: Collection[IdentityKey], person_ids: Collection[str] = ()) -> LookUp:
        """Read identities, persons and the head, all of one moment."""
        kinds, keys = [kind for kind, _ in identities], [key for _, key in identities]
        head_row, *rows = self._rows(_LOOK_UP, (self._timezone, kinds, keys, list(person_ids)))
        found: dict[IdentityKey, Identity] = {}
        persons: dict[str, str] = {}
        for kind, key, stream, version, content_hash, refers_to, *_ in rows:
            if kind is None:
                persons[key] = stream
            else:
                found[kind, key] = Identity(kind, key, stream, version, bytes(content_hash), refers_to)
        return LookUp(Head(*head_row[6:]), found, persons)

    def known_pseudonyms(self, pseudonyms: Collection[str]) -> frozenset[str]:
        """Give those of the pseudonyms that still stand for somebody."""
        rows = self._rows("SELECT pseudonym FROM ledger.person WHERE pseudonym = ANY (%s)", (list(pseudonyms),))
        return frozenset(pseudonym for (pseudonym,) in rows)

    def select_streams(
        self, streams: Collection[str], snapshot_format: str = ""
    ) -> Mapping[str, Sequence[LedgerStoredEvent]]:
        """Read many streams, each in order of version: whole, or from its latest snapshot of a format on."""
        rows = self._rows(_STREAMS, (sorted(streams), snapshot_format))
        return _grouped((row[0], row) for row in rows)

    def select_deals(self, deal_ids: Collection[str]) -> Mapping[str, Sequence[LedgerStoredEvent]]:
        """Read of each deal the sale, its reversals, and the event right after each of them, in order of version."""
        return _grouped((row[0], row[1:]) for row in self._rows(_DEALS, (list(deal_ids),)))

    def streams_since(self, position: int, limit: int) -> Collection[str] | None:
        """Give the streams appended to after a position; None where those are more events than the limit."""
        rows = self._rows(
            "SELECT stream, count(*) FROM (SELECT stream FROM ledger.event WHERE position > %s ORDER BY position LIMIT %s) AS new"
            " GROUP BY stream",
            (position, limit + 1),
        )
        return None if sum(count for _, count in rows) > limit else [stream for stream, _ in rows]

    def partner_ids(self, after: str | None, limit: int) -> Sequence[str]:
        """Give a page of partner ids, in order (by their characters' code points)."""
        rows = self._rows(
            "SELECT key FROM ledger.identity WHERE kind = 'partner' AND key > %s ORDER BY key LIMIT %s",
            (after or "", limit),
        )
        return [partner_id for (partner_id,) in rows]

    def position_of(self, leaf_hash: bytes) -> int | None:
        """Give the position of the event with this leaf hash. There is no index: it reads all of the store."""
        rows = self._rows("SELECT position FROM ledger.event WHERE leaf_hash = %s LIMIT 1", (leaf_hash,))
        return rows[0][0] if rows else None

    def close(self) -> None:
        """Close its connections."""
        self._pool.close()

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()


def _stored(row: tuple[Any, ...]) -> LedgerStoredEvent:
    stream, version, event_type, data, schema_version, business_date, command_id = row
    return LedgerStoredEvent(stream, version, event_type, bytes(data), schema_version, business_date, command_id)


def _grouped(rows: Iterable[tuple[str, tuple[Any, ...]]]) -> Mapping[str, Sequence[LedgerStoredEvent]]:
    groups: dict[str, list[LedgerStoredEvent]] = {}
    for key, row in rows:
        groups.setdefault(key, []).append(_stored(row))
    return groups
