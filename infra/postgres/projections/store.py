"""The projections' write side on PostgreSQL: port `consumers.projector.ProjectionStore` and `consumers.parked.ParkedStore`.

It writes the live build, or one that a rebuild fills beside it, by the same statements.

Bulk goes by COPY, what changes in place by one set-based upsert each. Everything of a batch is one transaction whose first
statements take the shared switch lock and move the partitions' offsets; then the event store is asked whether it holds what
is to be applied. What is known of streams outside of a batch is read on a connection of its own.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from consumers.applying import CannotApply, Folded
from consumers.parked import ParkedRecord, Retry
from consumers.projector import Move, PartitionMoved, Place, TopicIdentity
from consumers.sequencing import Applied, Parked, ParkedStream, Received, StreamState
from domain.errors import IntegrityFault
from domain.recording import TopicRecord
from infra.postgres.projections.builds import SHARED, ensure_live_build, live_build, schema
from infra.postgres.projections.connection import Reconnecting
from infra.postgres.projections.copy_csv import array, csv_lines
from infra.postgres.projections.tables import BY_FIELD, PROJECTIONS, fields_of
from projections.fold import Rows
from projections.progress import Partition, Progress

NOT_WRITABLE = (psycopg2.DataError, psycopg2.IntegrityError, psycopg2.errors.ProgramLimitExceeded)
"""What PostgreSQL says where the values are to blame: out of range, doubled, too long for an index."""

_MOVE = """
WITH moved AS (
    SELECT p.partition, m.next_offset
    FROM partition_progress p
    JOIN unnest(%(partition)s::int[], %(started_from)s::bigint[], %(retries)s::bigint[], %(next_offset)s::bigint[])
        AS m (partition, started_from, retries, next_offset) USING (partition)
    WHERE p.topic = %(topic)s AND p.next_offset = m.started_from AND p.retries = m.retries
        AND (%(live)s::int IS NULL OR EXISTS (SELECT FROM projection.live WHERE build = %(live)s))
    ORDER BY p.partition FOR UPDATE OF p
)
UPDATE partition_progress p SET next_offset = moved.next_offset
FROM moved WHERE p.topic = %(topic)s AND p.partition = moved.partition
"""

_HOLDS = r"""
SELECT count(*), sha256(convert_to(string_agg('\x' || encode(leaf_hash, 'hex'), '' ORDER BY position), 'UTF8'))
FROM ledger.event WHERE position = ANY (%s::bigint[])
"""

_NOT_IN_STORE = """
SELECT asked.n FROM unnest(%s::int[], %s::bigint[], %s::text[]) AS asked (n, position, leaf_hash)
LEFT JOIN ledger.event AS held USING (position) WHERE held.leaf_hash IS DISTINCT FROM decode(asked.leaf_hash, 'hex')
"""

_DROPPED = """
SELECT asked.n FROM unnest(%s::int[], %s::text[], %s::int[], %s::bigint[], %s::text[])
    AS asked (n, topic, partition, record_offset, leaf_hash)
JOIN dropped USING (topic, partition, record_offset)
WHERE dropped.leaf_hash IS NOT DISTINCT FROM decode(nullif(asked.leaf_hash, '-'), 'hex')
"""

_STREAMS = """
INSERT INTO stream_version (stream, partition, version, leaf_hash)
SELECT s, p, v, decode(h, 'hex') FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[]) AS new (s, p, v, h)
ON CONFLICT (stream) DO UPDATE SET version = excluded.version, leaf_hash = excluded.leaf_hash
"""

_BALANCES = """
INSERT INTO balance AS b (partner, currency, posting_month, accrued, clawed_back, paid, lines)
SELECT * FROM unnest(%s::text[], %s::text[], %s::date[], %s::numeric[], %s::numeric[], %s::numeric[], %s::int[])
ON CONFLICT (partner, currency, posting_month) DO UPDATE SET accrued = b.accrued + excluded.accrued,
    clawed_back = b.clawed_back + excluded.clawed_back, paid = b.paid + excluded.paid, lines = b.lines + excluded.lines
"""

_PROGRESS = """
UPDATE partition_progress SET applied = applied + %s, last_position = greatest(last_position, %s),
    ledger_date = greatest(ledger_date, %s), latest_business_date = greatest(latest_business_date, %s)
WHERE topic = %s AND partition = %s
"""


class _Payload(NamedTuple):
    """A fold's rows as they are sent: made before the batch's transaction, so that it does not wait for them."""

    copies: Sequence[tuple[str, BytesIO]]
    balances: Sequence[str] | None
    progress: Mapping[Partition, Progress]
    positions: str
    leaf_hashes: bytes
    """SHA-256 over the events' leaf hashes as text, in order of position."""
    events: int


class Beside(NamedTuple):
    """A build that is not live: its schema, the projections that are filled, and the records that the ledger has dropped."""

    schema: str
    projections: Sequence[str] = tuple(PROJECTIONS)
    dropped: Collection[TopicRecord] = ()


def filling(schema: str) -> str:
    """Give the beginning of the names under which sessions are known that fill a build which is not live."""
    return f"partner-ledger filling {schema}"


class PostgresProjectionStore:
    """One build, written by one process (the projector's login): the live one, or one that is filled beside it."""

    def __init__(self, url: str, beside: Beside | None = None) -> None:
        named = "partner-ledger projector" if beside is None else filling(beside.schema)
        self._database = Reconnecting(url, named)
        self._reading = Reconnecting(url, f"{named}, reading")
        self._beside = beside
        self._fields = fields_of(tuple(PROJECTIONS) if beside is None else beside.projections)
        self._live: int | None = None

    def start(self, topic: TopicIdentity, partitions: Collection[int]) -> Mapping[int, Place]:
        """Give the places to read from, checking that they are this topic's; creates the first build if there is none."""
        with self._current() as cursor:
            cursor.execute(
                "INSERT INTO partition_progress (topic, partition, cluster_id, topic_id, next_offset)"
                " SELECT %s, partition, %s, %s, 0 FROM unnest(%s::int[]) AS partition ORDER BY partition"
                " ON CONFLICT DO NOTHING",
                (topic.topic, topic.cluster_id, topic.topic_id, sorted(partitions)),
            )
            cursor.execute(
                "SELECT topic, cluster_id, topic_id, partition, next_offset, retries FROM partition_progress"
            )
            rows = cursor.fetchall()
        for *stored, _, _, _ in rows:
            if tuple(stored) != topic:
                raise IntegrityFault(
                    f"Build {self._live or self._schema} of the projections was filled from topic {stored[0]} with id {stored[2]}"
                    f" of cluster {stored[1]}, but Kafka has topic {topic.topic} with id {topic.topic_id} of cluster {topic.cluster_id}:"
                    " point the projector at that cluster, or build the projections anew (`partner-ledger replay rebuild`)."
                )
        return {partition: Place(offset, retries) for *_, partition, offset, retries in rows if partition in partitions}

    def committed(self) -> Applied:
        """Give what is known of the streams outside of any batch."""
        return _Committed(self._reading, self._schema)

    def payload(self, rows: Rows) -> _Payload:
        """Give a fold's rows in the form in which they are sent."""
        events = sorted([(row.position, row.leaf_hash) for row in rows.audit])
        return _Payload(
            [
                (table.statement, csv_lines(new))
                for field, table in BY_FIELD.items()
                if field in self._fields and (new := getattr(rows, field))
            ],
            [array(column) for column in zip(*rows.balances, strict=True)]
            if rows.balances and "balances" in self._fields
            else None,
            rows.progress,
            array(position for position, _ in events),
            hashlib.sha256("".join([leaf_hash for _, leaf_hash in events]).encode()).digest(),
            len(events),
        )

    @contextmanager
    def batch(self, topic: str, moves: Sequence[Move]) -> Iterator["PostgresWriting"]:
        """Open a batch's transaction by moving the partitions' offsets."""
        begin = "BEGIN" if self._beside else SHARED
        with _there(self._database.transaction(f"{begin}; SET LOCAL search_path = {self._schema}")) as cursor:
            cursor.execute(
                _MOVE,
                {
                    "topic": topic,
                    "live": None if self._beside else self._live,
                    "partition": [move.partition for move in moves],
                    "started_from": [move.started_from.next_offset for move in moves],
                    "retries": [move.started_from.retries for move in moves],
                    "next_offset": [move.next_offset for move in moves],
                },
            )
            if cursor.rowcount != len(moves):
                raise PartitionMoved
            yield self._writing(cursor)

    @contextmanager
    def retry(self, stream: str) -> Iterator[Retry]:
        """Take a stream's parked records out, holding the rows of their partitions as a batch would."""
        with self._current() as cursor:
            cursor.execute(
                "SELECT FROM partition_progress WHERE (topic, partition) IN"
                " (SELECT topic, partition FROM parked WHERE stream = %s) ORDER BY topic, partition FOR UPDATE",
                (stream,),
            )
            cursor.execute(
                "WITH taken AS (DELETE FROM parked WHERE stream = %s"
                " RETURNING topic, partition, record_offset, record_key, value), moved AS"
                " (UPDATE partition_progress SET retries = retries + 1"
                " WHERE (topic, partition) IN (SELECT topic, partition FROM taken)) SELECT * FROM taken",
                (stream,),
            )
            records = [
                ParkedRecord(topic, partition, offset, _bytes(key), _bytes(value))
                for topic, partition, offset, key, value in cursor.fetchall()
            ]
            yield Retry(records, self._writing(cursor))

    def streams_behind_dropped(self) -> Collection[str]:
        """Give the parked streams of which the ledger has dropped a parked record."""
        with self._current() as cursor:
            cursor.execute(
                "SELECT DISTINCT stream FROM parked JOIN dropped USING (topic, partition, record_offset)"
                " WHERE parked.leaf_hash IS NOT DISTINCT FROM dropped.leaf_hash AND parked.position IS NULL"
            )
            return {stream for (stream,) in cursor.fetchall()}

    def not_in_store(self, records: Sequence[Received]) -> Collection[int]:
        """Give the indexes of those records that the event store does not hold byte for byte at their position."""
        with self._reading.transaction("BEGIN READ ONLY") as cursor:
            return self._writing(cursor).not_in_store(records)

    @contextmanager
    def _current(self) -> Iterator[Cursor]:
        """Open a transaction on the build, the one that is live now and stays so until it ends."""
        if self._beside is None:
            ensure_live_build(self._database)
        with _there(self._database.transaction("BEGIN" if self._beside else SHARED)) as cursor:
            if self._beside is None:
                self._live = live_build(cursor)
            cursor.execute(f"SET LOCAL search_path = {self._schema}")
            yield cursor

    @property
    def _schema(self) -> str:
        if self._beside is not None:
            return self._beside.schema
        if self._live is None:
            raise IntegrityFault("The projections were not started: read the stored offsets before the first batch.")
        return schema(self._live)

    def _writing(self, cursor: Cursor) -> "PostgresWriting":
        return PostgresWriting(cursor, () if self._beside is None else self._beside.dropped)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()
        self._reading.close()


@contextmanager
def _there(transaction: AbstractContextManager[Cursor]) -> Iterator[Cursor]:
    """Tell a build that was switched away, its tables with it, as what it means to a projector."""
    try:
        with transaction as cursor:
            yield cursor
    except psycopg2.errors.UndefinedTable as error:
        raise PartitionMoved from error


class _Committed:
    """What is known of the streams, read outside of a batch: port `consumers.sequencing.Applied`."""

    def __init__(self, database: Reconnecting, name: str) -> None:
        self._database = database
        self._begin = f"BEGIN READ ONLY; SET LOCAL search_path = {name}"

    def stream_states(self, streams: Collection[str]) -> Mapping[str, StreamState]:
        """Give the last applied version of those streams that have one."""
        with _there(self._database.transaction(self._begin)) as cursor:
            return _stream_states(cursor, streams)

    def parked_streams(self, partitions: Collection[int]) -> Collection[ParkedStream]:
        """Give the streams that are parked in these partitions."""
        with _there(self._database.transaction(self._begin)) as cursor:
            return _parked_streams(cursor, partitions)

    def applied_hashes(self, positions: Collection[int]) -> Mapping[int, bytes]:
        """Give the leaf hashes of the events applied at these positions."""
        with _there(self._database.transaction(self._begin)) as cursor:
            return _applied_hashes(cursor, positions)


def _stream_states(cursor: Cursor, streams: Collection[str]) -> Mapping[str, StreamState]:
    cursor.execute(
        "SELECT stream, partition, version, leaf_hash FROM stream_version WHERE stream = ANY (%s::text[])",
        (array(streams),),
    )
    return {
        stream: StreamState(partition, version, bytes(leaf_hash))
        for stream, partition, version, leaf_hash in cursor.fetchall()
    }


def _parked_streams(cursor: Cursor, partitions: Collection[int]) -> Collection[ParkedStream]:
    cursor.execute("SELECT DISTINCT partition, stream FROM parked WHERE partition = ANY (%s)", (list(partitions),))
    return set(cursor.fetchall())


def _applied_hashes(cursor: Cursor, positions: Collection[int]) -> Mapping[int, bytes]:
    """Ask the event store: nothing is applied that it does not hold byte for byte, and a build being filled has no index yet."""
    cursor.execute(
        "SELECT position, leaf_hash FROM ledger.event WHERE position = ANY (%s::bigint[])", (array(sorted(positions)),)
    )
    return {position: bytes(leaf_hash) for position, leaf_hash in cursor.fetchall()}


class PostgresWriting:
    """Writing within one batch's transaction: port `consumers.applying.Writing`."""

    def __init__(self, cursor: Cursor, known_drops: Collection[TopicRecord] = ()) -> None:
        self._cursor = cursor
        self._known_drops = known_drops

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Undo what was written inside, and that alone, if something in it cannot be applied."""
        self._cursor.execute("SAVEPOINT trial")
        try:
            yield
        except CannotApply:
            self._cursor.execute("ROLLBACK TO SAVEPOINT trial; RELEASE SAVEPOINT trial")
            raise
        self._cursor.execute("RELEASE SAVEPOINT trial")

    def stream_states(self, streams: Collection[str]) -> Mapping[str, StreamState]:
        """Give the last applied version of those streams that have one."""
        return _stream_states(self._cursor, streams)

    def parked_streams(self, partitions: Collection[int]) -> Collection[ParkedStream]:
        """Give the streams that are parked in these partitions."""
        return _parked_streams(self._cursor, partitions)

    def applied_hashes(self, positions: Collection[int]) -> Mapping[int, bytes]:
        """Give the leaf hashes of the events applied at these positions."""
        return _applied_hashes(self._cursor, positions)

    def not_in_store(self, records: Sequence[Received]) -> Collection[int]:
        """Give the indexes of those records that the event store does not hold byte for byte at their position."""
        asked = [
            (index, record.position, record.leaf_hash.hex())
            for index, record in enumerate(records)
            if record.position is not None and record.leaf_hash is not None
        ]
        unknown = set(range(len(records))) - {index for index, _, _ in asked}
        if asked:
            self._cursor.execute(_NOT_IN_STORE, [array(column) for column in zip(*asked, strict=True)])
            unknown |= {index for (index,) in self._cursor.fetchall()}
        return unknown

    def dropped(self, records: Sequence[Received]) -> Collection[int]:
        """Give the indexes of those records that the ledger has dropped, as far as it is known here."""
        asked = [
            (index, r.topic, r.partition, r.offset, "-" if r.leaf_hash is None else r.leaf_hash.hex())
            for index, r in enumerate(records)
        ]
        self._cursor.execute(_DROPPED, [array(column) for column in zip(*asked, strict=True)])
        known = self._known_drops
        before = {n for n, r in enumerate(records) if TopicRecord(r.topic, r.partition, r.offset, r.leaf_hash) in known}
        return before.union(index for (index,) in self._cursor.fetchall())

    def parked_records(self, stream: str) -> int:
        """Count the records that a stream has parked now."""
        self._cursor.execute("SELECT count(*) FROM parked WHERE stream = %s", (stream,))
        [(count,)] = self._cursor.fetchall()
        return int(count)

    def write(self, folded: Folded) -> None:
        """Write what follows from a batch, count its events as applied, keep what it parks."""
        payload = folded.payload
        assert isinstance(payload, _Payload), "made by the store itself"
        if payload.events:
            self._check_held(payload)
            try:
                for statement, data in payload.copies:
                    self._cursor.copy_expert(statement, data, size=1 << 20)
                if payload.balances:
                    self._cursor.execute(_BALANCES, payload.balances)
                self._write_streams(folded.streams)
                self._count(payload.progress)
            except NOT_WRITABLE as error:
                raise CannotApply(" ".join(str(error).split())) from error
        self._park(folded.park)

    def _check_held(self, payload: _Payload) -> None:
        self._cursor.execute(_HOLDS, (payload.positions,))
        [(events, leaf_hashes)] = self._cursor.fetchall()
        if events != payload.events or bytes(leaf_hashes) != payload.leaf_hashes:
            raise CannotApply("the event store does not hold all of it")

    def _write_streams(self, streams: Mapping[str, StreamState]) -> None:
        names = sorted(streams)
        states = [streams[name] for name in names]
        self._cursor.execute(
            _STREAMS,
            (
                array(names),
                array(state.partition for state in states),
                array(state.version for state in states),
                array(state.leaf_hash.hex() for state in states),
            ),
        )

    def _count(self, progress: Mapping[Partition, Progress]) -> None:
        for (topic, partition), new in progress.items():
            self._cursor.execute(
                _PROGRESS,
                (new.applied, new.last_position, new.ledger_date, new.latest_business_date, topic, partition),
            )

    def _park(self, parked: Sequence[Parked]) -> None:
        for record, reason in parked:
            key, value, leaf_hash = record.source.key, record.source.value, record.leaf_hash
            self._cursor.execute(
                "INSERT INTO parked (topic, partition, record_offset, stream, record_key, value, leaf_hash, position, reason)"
                " VALUES (%(topic)s, %(partition)s, %(offset)s, %(stream)s, %(key)s, %(value)s, %(leaf_hash)s,"
                " (SELECT position FROM ledger.event WHERE position = %(position)s AND leaf_hash = %(leaf_hash)s), %(reason)s)",
                {
                    "topic": record.topic,
                    "partition": record.partition,
                    "offset": record.offset,
                    "stream": record.stream,
                    "key": _binary(key),
                    "value": _binary(value),
                    "leaf_hash": _binary(leaf_hash),
                    "position": record.position,
                    "reason": reason.replace("\x00", "\\x00"),
                },
            )


def _binary(value: bytes | None) -> object:
    return None if value is None else psycopg2.Binary(value)


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
