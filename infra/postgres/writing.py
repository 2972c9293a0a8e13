"""How an append is written: one transaction in two round trips, its first statement the head row's update.

The head's lock is the only serialisation, and is taken before anything else so that it cannot deadlock with unique indexes.
Between the round trips the caller judges the head, and envelopes and leaf hashes are made of what the database said.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import psycopg2
from eventsourcing.persistence import IntegrityError, StoredEvent
from psycopg2.errors import UniqueViolation
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names classes in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from domain.envelope import CURRENT_VERSION, EventRow, envelope, leaf_hash
from domain.errors import IntegrityFault
from domain.recording import Append, Head, ImportProgress, LedgerStoredEvent
from domain.streams import PARTNER_PREFIX
from infra.postgres.connections import CHANNEL, ConnectionPool, roll_back
from infra.postgres.copying import NULL, bytea, copy_lines, text
from infra.postgres.prepared import Statement, insert, prepare

COPY_FROM_ROWS = 30
"""From so many rows on COPY, a round trip of its own, beats INSERT (measured: they cross at 20 to 40)."""

HEAD_COLUMNS = """
    position, recorded_at, session_user::text AS actor, programmes_version, ledger_date, latest_business_date,
    (clock_timestamp() AT TIME ZONE %s)::date AS today
"""

_TAKE_POSITIONS = Statement(
    "take_positions",
    ("bigint", "int", "date", "date", "text"),
    f"""
UPDATE ledger.head
   SET position = position + $1, recorded_at = greatest(clock_timestamp(), recorded_at),
       programmes_version = programmes_version + $2, ledger_date = greatest(ledger_date, $3),
       latest_business_date = greatest(latest_business_date, $4)
RETURNING {HEAD_COLUMNS % "$5"}
""",
)
_NO_HEAD = ", ".join(["NULL"] * len(fields(Head)))
_LOCK_AND_LOOK = f"""
BEGIN;
SELECT FROM ledger.head FOR NO KEY UPDATE;
SELECT NULL AS what, NULL AS one, NULL AS two, NULL::int AS version, head.* FROM (SELECT {HEAD_COLUMNS} FROM ledger.head) AS head
UNION ALL
SELECT 'event', asked.stream, NULL, asked.version, {_NO_HEAD}
  FROM unnest(%s::text[], %s::int[]) AS asked (stream, version)
 -- OFFSET 0: always by the index, key by key, even where the planner would rather read the whole table
 CROSS JOIN LATERAL (SELECT FROM ledger.event AS e WHERE e.stream = asked.stream AND e.version = asked.version OFFSET 0) AS found
UNION ALL
SELECT 'identity', asked.kind, asked.key, NULL, {_NO_HEAD}
  FROM unnest(%s::text[], %s::text[]) AS asked (kind, key)
 CROSS JOIN LATERAL (SELECT FROM ledger.identity AS i WHERE i.kind = asked.kind AND i.key = asked.key OFFSET 0) AS found
UNION ALL
SELECT 'person', person_id, '', NULL, {_NO_HEAD} FROM ledger.person WHERE person_id = ANY (%s::text[])
"""
_EVENTS = """ledger.event (position, recorded_at, version, business_date, schema_version, envelope_version, stream, type,
    actor, command_id, data, leaf_hash)"""
_EVENT_TYPES = (
    *("bigint", "timestamptz", "int", "date", "smallint", "smallint", "text", "text", "text", "text"),
    *("bytea", "bytea"),
)
_IDENTITIES = "ledger.identity (kind, key, stream, version, content_hash, refers_to)"
_IDENTITY_TYPES = ("text", "text", "text", "int", "bytea", "text")
_PERSONS = "ledger.person (person_id, pseudonym)"
_SNAPSHOTS = "ledger.snapshot (stream, version, type, state)"
_PROGRESS = "ledger.import_progress AS so_far (digest, done, recorded, duplicates, events, finished)"
# A page told twice (its commit was made, the answer lost) is counted once: `done` tells the pages of a run apart.
_ADD_PROGRESS = """
ON CONFLICT (digest) DO UPDATE
   SET done = excluded.done, recorded = so_far.recorded + excluded.recorded,
       duplicates = so_far.duplicates + excluded.duplicates, events = so_far.events + excluded.events,
       finished = excluded.finished, updated_at = clock_timestamp()
 WHERE so_far.done < excluded.done OR so_far.finished <> excluded.finished
"""
_REFUSALS = "ledger.import_refusal (digest, seq, file, line, reason)"
_JUDGED_ANEW = (
    "ON CONFLICT (digest, seq) DO UPDATE SET file = excluded.file, line = excluded.line, reason = excluded.reason"
)


Outcome = list[int] | Exception
"""Of one append: the positions of its events, or what is raised where it was called for."""


def write_alone(stored_events: Sequence[StoredEvent], append: Append, pool: ConnectionPool, timezone: str) -> list[int]:
    """Write an append in a transaction of its own; give the positions of its events.

    Raises:
        IntegrityError: another append was first, to the same stream or with the same identity; nothing was recorded.
        StoreUnreachable: whether it was recorded may be unknown; the same append told again is recorded once only.
        Exception: what `append.judge` raised; nothing was recorded.

    """
    with pool.connection() as connection:
        try:
            return _write(connection, stored_events, append, timezone)
        except UniqueViolation as violation:
            failure: Exception = _conflict(violation)
            failure.__cause__ = violation
        except Exception as error:
            if connection.closed or append.judge is None:
                raise
            failure = error
        # The store says no: to an append that it has made already, but could not confirm?
        roll_back(connection)
        positions = positions_if_written(connection, stored_events)
        if positions is None:
            raise failure
        return positions


def _write(connection: Connection, stored_events: Sequence[StoredEvent], append: Append, timezone: str) -> list[int]:
    if append.identities and not stored_events:
        raise ValueError("identities stand for events, and this append has none")
    events: list[EventRow] = []
    with connection.cursor() as cursor:
        takes_positions = bool(stored_events) or bool(append.publishes) or append.ledger_date is not None
        prepare(cursor, _statements(len(stored_events), len(append.identities), takes_positions=takes_positions))
        if takes_positions:
            head = _take_positions(cursor, stored_events, append, timezone)
            if append.judge is not None:
                append.judge(head)
            events = compose(stored_events, head)
            begin = b""
        else:
            begin = b"BEGIN;"
        _insert_and_commit(cursor, begin, events, append)
    return [event.position for event in events]


def _insert_and_commit(cursor: Cursor, begin: bytes, events: Sequence[EventRow], beside: Append) -> None:
    rest = [begin]
    if 0 < len(events) < COPY_FROM_ROWS:
        rest.append(_insert_events(len(events)).call(cursor, [value for row in _event_rows(events) for value in row]))
    elif events:
        copy_lines(cursor, _EVENTS, _event_lines(events))
    identities = beside.identities
    if 0 < len(identities) < COPY_FROM_ROWS:
        values = [
            each for i in identities for each in (i.kind, i.key, i.stream, i.version, i.content_hash, i.refers_to)
        ]
        rest.append(_insert_identities(len(identities)).call(cursor, values))
    elif identities:
        copy_lines(cursor, _IDENTITIES, _identity_lines(beside))
    # In order of id: two appends of the same new persons wait for one another instead of deadlocking.
    rest += _inserts(cursor, _PERSONS, sorted(beside.persons.items()))
    rest += _inserts(cursor, _SNAPSHOTS, map(_snapshot_row, beside.snapshots))
    if beside.progress is not None:
        rest += _progress(cursor, beside.progress)
    if events:
        rest.append(f"NOTIFY {CHANNEL};".encode())
    cursor.execute(b"".join([*rest, b"COMMIT"]))


def _insert_events(rows: int) -> Statement:
    return insert("insert_events", _EVENTS, _EVENT_TYPES, rows)


def _insert_identities(rows: int) -> Statement:
    return insert("insert_identities", _IDENTITIES, _IDENTITY_TYPES, rows)


def _statements(events: int, identities: int, *, takes_positions: bool = True) -> Iterator[Statement]:
    """Give what appending so much executes; more of it goes by COPY."""
    if takes_positions:
        yield _TAKE_POSITIONS
    if 0 < events < COPY_FROM_ROWS:
        yield _insert_events(events)
    if 0 < identities < COPY_FROM_ROWS:
        yield _insert_identities(identities)


def write_group(
    appends: Sequence[tuple[Sequence[StoredEvent], Append]], pool: ConnectionPool, timezone: str
) -> list[Outcome | None]:
    """Write appends in one transaction, each judged for itself; their outcomes, None for one that is to be written alone.

    First as if none conflicted, which is two round trips; where one does, once more with those that do not. Whatever else
    goes wrong, an append's own fault or a lost connection, concerns each: they are written alone then, and one that was
    committed though its answer was lost is recognised.
    """
    try:
        with pool.connection() as connection, connection.cursor() as cursor:
            return _write_all(cursor, appends, timezone) or _write_survivors(cursor, appends, timezone)
    except Exception:
        return [None] * len(appends)


_Told = tuple[Sequence[StoredEvent], Append]


def _write_all(cursor: Cursor, appends: Sequence[_Told], timezone: str) -> list[Outcome | None] | None:
    """Write all of the appends; None, and nothing is written, where one conflicts or is judged not to be recorded."""
    keys = [key for events, append in appends for key in _unique_keys(events, append)]
    if len(set(keys)) < len(keys):
        return None
    try:
        together = [event for events, _ in appends for event in events]
        beside = _beside([append for _, append in appends])
        prepare(cursor, _statements(len(together), len(beside.identities)))
        head = _take_positions(cursor, together, Append(), timezone)
        for _, append in appends:
            if append.judge is not None:
                append.judge(head)
        rows = compose(together, head)
        _insert_and_commit(cursor, b"", rows, beside)
    except psycopg2.OperationalError:
        raise
    except Exception:  # whose fault it is, and what is to be raised there, is found out one by one
        if cursor.connection.closed:
            raise
        roll_back(cursor.connection)
        return None
    return _places([events for events, _ in appends], rows)


def _beside(appends: Sequence[Append]) -> Append:
    """Give what goes with the events of all of the appends."""
    return Append(
        identities=[identity for append in appends for identity in append.identities],
        persons={person_id: pseudonym for append in appends for person_id, pseudonym in append.persons.items()},
        snapshots=[snapshot for append in appends for snapshot in append.snapshots],
    )


def _places(events: Sequence[Sequence[StoredEvent]], rows: Sequence[EventRow]) -> list[Outcome | None]:
    """Give each append the positions of its events."""
    positions = iter([row.position for row in rows])
    return [[next(positions) for _ in each] for each in events]


def _write_survivors(cursor: Cursor, appends: Sequence[_Told], timezone: str) -> list[Outcome | None]:
    """Write those appends that do not conflict: under the head's lock nobody else appends, so that is known beforehand."""
    outcomes: list[Outcome | None] = [None] * len(appends)
    head, taken = _take_head(cursor, appends, timezone)
    accepted: list[int] = []
    for n, (events, append) in enumerate(appends):
        keys = _unique_keys(events, append)
        if not taken.isdisjoint(keys):
            continue  # alone it is told what is in its way, or that it was written before
        try:
            if append.judge is not None:
                append.judge(head)
        except Exception as refusal:
            if any(isinstance(event, LedgerStoredEvent) and event.command_id for event in events):
                continue  # alone it is looked whether it was written before its terms changed
            outcomes[n] = refusal
            continue
        taken.update(keys)
        accepted.append(n)
    if not accepted:
        return outcomes
    together = [event for n in accepted for event in appends[n][0]]
    beside = _beside([appends[n][1] for n in accepted])
    prepare(cursor, _statements(len(together), len(beside.identities)))
    rows = compose(together, _take_positions(cursor, together, Append(), timezone, begin=b""))
    _insert_and_commit(cursor, b"", rows, beside)
    for n, positions in zip(accepted, _places([appends[n][0] for n in accepted], rows), strict=True):
        outcomes[n] = positions
    return outcomes


_Key = tuple[str, str, Any]
"""What only one append may write: an event's stream and version, an identity, a person."""


def _unique_keys(events: Sequence[StoredEvent], append: Append) -> list[_Key]:
    return [
        *(("event", _text_id(event), event.originator_version) for event in events),
        *(("identity", identity.kind, identity.key) for identity in append.identities),
        *(("person", person_id, "") for person_id in append.persons),
    ]


def _take_head(
    cursor: Cursor, appends: Sequence[tuple[Sequence[StoredEvent], Append]], timezone: str
) -> tuple[Head, set[_Key]]:
    """Lock the head; give it, and those keys of the appends that the store has already."""
    events = [event for stored, _ in appends for event in stored]
    identities = [identity for _, append in appends for identity in append.identities]
    persons = [person_id for _, append in appends for person_id in append.persons]
    cursor.execute(
        _LOCK_AND_LOOK,
        (
            timezone,
            [_text_id(event) for event in events],
            [event.originator_version for event in events],
            [identity.kind for identity in identities],
            [identity.key for identity in identities],
            persons,
        ),
    )
    head_row, *found = cursor.fetchall()
    return Head(*head_row[4:]), {
        (what, one, two if version is None else version) for what, one, two, version, *_ in found
    }


def _take_positions(
    cursor: Cursor, stored_events: Sequence[StoredEvent], append: Append, timezone: str, begin: bytes = b"BEGIN;"
) -> Head:
    latest = max(
        (
            event.business_date
            for event in stored_events
            if isinstance(event, LedgerStoredEvent)
            and event.business_date is not None
            and str(event.originator_id).startswith(PARTNER_PREFIX)
        ),
        default=None,
    )
    values = (len(stored_events), append.publishes, append.ledger_date, latest, timezone)
    cursor.execute(begin + _TAKE_POSITIONS.call(cursor, values))
    row = cursor.fetchone()
    assert row is not None
    return Head(*row)


def compose(stored_events: Sequence[StoredEvent], head: Head) -> list[EventRow]:
    """Give events their place: the positions that end at the head's, and the database's time and actor."""
    first = head.position - len(stored_events) + 1
    return [
        EventRow(
            position=position,
            stream=_text_id(event),
            version=event.originator_version,
            type=event.topic,
            schema_version=event.schema_version if isinstance(event, LedgerStoredEvent) else 1,
            business_date=event.business_date if isinstance(event, LedgerStoredEvent) else None,
            recorded_at=head.recorded_at,
            actor=head.actor,
            command_id=event.command_id if isinstance(event, LedgerStoredEvent) else "",
            envelope_version=CURRENT_VERSION,
            data=event.state,
        )
        for position, event in enumerate(stored_events, first)
    ]


def _text_id(event: StoredEvent) -> str:
    if not isinstance(event.originator_id, str):
        raise TypeError(f"streams of the ledger have names, not ids like {event.originator_id!r}")
    return event.originator_id


def _event_rows(events: Iterable[EventRow]) -> Iterable[Sequence[Any]]:
    for row in events:
        yield (
            *(row.position, row.recorded_at, row.version, row.business_date, row.schema_version, row.envelope_version),
            *(row.stream, row.type, row.actor, row.command_id, row.data, leaf_hash(envelope(row))),
        )


def _event_lines(events: Sequence[EventRow]) -> Iterable[str]:
    recorded_at, actor = events[0].recorded_at.isoformat(), text(events[0].actor)  # one append's have both in common
    for row in events:
        yield (
            f"{row.position}\t{recorded_at}\t{row.version}\t{_date(row.business_date)}\t{row.schema_version}"
            f"\t{row.envelope_version}\t{text(row.stream)}\t{text(row.type)}\t{actor}\t{text(row.command_id)}"
            f"\t{bytea(row.data)}\t\\\\x{leaf_hash(envelope(row)).hex()}\n"
        )


def _snapshot_row(snapshot: StoredEvent) -> Sequence[Any]:
    return _text_id(snapshot), snapshot.originator_version, snapshot.topic, snapshot.state


def _date(date: dt.date | None) -> str:
    return NULL if date is None else date.isoformat()


def _identity_lines(append: Append) -> Iterable[str]:
    for i in append.identities:
        yield (
            f"{i.kind}\t{text(i.key)}\t{text(i.stream)}\t{i.version}\t\\\\x{i.content_hash.hex()}\t{text(i.refers_to)}\n"
        )


def _progress(cursor: Cursor, progress: ImportProgress) -> list[bytes]:
    counts = (progress.done, progress.recorded, progress.duplicates, progress.events, progress.finished)
    refused = [(progress.digest, row.seq, row.file, row.line, row.reason) for row in progress.refused]
    return [
        *_inserts(cursor, _PROGRESS, [(progress.digest, *counts)], _ADD_PROGRESS),
        *_inserts(cursor, _REFUSALS, refused, _JUDGED_ANEW),
    ]


def _inserts(cursor: Cursor, target: str, rows: Iterable[Sequence[Any]], on_conflict: str = "") -> list[bytes]:
    """Make one INSERT of rows, to be sent with what else there is; of no rows, none."""
    values = [cursor.mogrify("(" + ",".join(["%s"] * len(row)) + ")", row) for row in rows]
    if not values:
        return []
    return [f"INSERT INTO {target} VALUES ".encode(), b",".join(values), f" {on_conflict};".encode()]


def _conflict(violation: UniqueViolation) -> Exception:
    detail = (violation.diag.message_detail or str(violation)).rstrip(".")
    if violation.diag.constraint_name == "event_pkey":
        return IntegrityFault(
            f"The head of the ledger is behind its events ({detail}): stop appending and look into it."
        )
    return IntegrityError(f"Another append was first ({detail}): look again, then decide again.")


def positions_if_written(connection: Connection, stored_events: Sequence[StoredEvent]) -> list[int] | None:
    """Give the positions of an append that was committed though its answer was lost; None where it was not.

    It was, if the very same events of the same command stand in the store, next to each other. An event without a command
    is never taken for a repetition.
    """
    events = [event for event in stored_events if isinstance(event, LedgerStoredEvent) and event.command_id]
    if not events or len(events) != len(stored_events):
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT e.position, e.stream, e.version, e.type, e.data, e.schema_version, e.business_date, e.command_id
              FROM unnest(%s::text[], %s::int[]) WITH ORDINALITY AS wanted (stream, version, place)
              JOIN ledger.event AS e USING (stream, version)
             WHERE e.actor = session_user
             ORDER BY place
            """,
            ([event.originator_id for event in events], [event.originator_version for event in events]),
        )
        rows = cursor.fetchall()
    same = len(rows) == len(events) and all(
        (row[1], row[2], row[3], bytes(row[4]), *row[5:])
        == (
            *(event.originator_id, event.originator_version, event.topic, event.state),
            *(event.schema_version, event.business_date, event.command_id),
        )
        for row, event in zip(rows, events, strict=True)
    )
    positions = [row[0] for row in rows]
    return positions if same and positions == list(range(positions[0], positions[0] + len(rows))) else None
