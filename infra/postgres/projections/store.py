"""The projections' write side on PostgreSQL: port `consumers.projector.ProjectionStore` and `consumers.parked.ParkedStore`.

Bulk goes by COPY, what changes in place by one set-based upsert each. Everything of a batch is one transaction whose first
statements take the shared switch lock and move the partitions' offsets.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from consumers.parked import ParkedRecord, Retry
from consumers.projector import CannotApply, Move, PartitionMoved, TopicIdentity
from consumers.sequencing import Parked, StreamState
from domain.errors import IntegrityFault
from infra.postgres.projections.builds import SWITCH_LOCK, ensure_live_build, schema
from infra.postgres.projections.connection import Reconnecting
from infra.postgres.projections.copy_text import array
from infra.postgres.projections.tables import BY_FIELD
from projections.fold import Rows
from projections.progress import Partition, Progress

NOT_WRITABLE = (psycopg2.DataError, psycopg2.IntegrityError, psycopg2.errors.ProgramLimitExceeded)
"""What PostgreSQL says where the values are to blame: out of range, doubled, too long for an index."""

_MOVE = """
WITH moved AS (
    SELECT p.partition, m.next_offset
    FROM partition_progress p JOIN unnest(%(partition)s::int[], %(started_from)s::bigint[], %(next_offset)s::bigint[])
        AS m (partition, started_from, next_offset) USING (partition)
    WHERE p.topic = %(topic)s AND p.next_offset = m.started_from AND EXISTS (SELECT FROM projection.live WHERE build = %(build)s)
    ORDER BY p.partition FOR UPDATE OF p
)
UPDATE partition_progress p SET next_offset = moved.next_offset
FROM moved WHERE p.topic = %(topic)s AND p.partition = moved.partition
"""

_STREAMS = """
INSERT INTO stream_version (stream, partition, version, leaf_hash)
SELECT s, p, v, decode(h, 'hex') FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[]) AS new (s, p, v, h)
ON CONFLICT (stream) DO UPDATE SET version = excluded.version, leaf_hash = excluded.leaf_hash
"""

_BALANCES = """
INSERT INTO balance AS b (partner, currency, posting_date, accrued, clawed_back, paid, lines)
SELECT * FROM unnest(%s::text[], %s::text[], %s::date[], %s::numeric[], %s::numeric[], %s::numeric[], %s::int[])
ON CONFLICT (partner, currency, posting_date) DO UPDATE SET accrued = b.accrued + excluded.accrued,
    clawed_back = b.clawed_back + excluded.clawed_back, paid = b.paid + excluded.paid, lines = b.lines + excluded.lines
"""

_PROGRESS = """
UPDATE partition_progress SET applied = applied + %s, last_position = greatest(last_position, %s),
    ledger_date = greatest(ledger_date, %s), latest_business_date = greatest(latest_business_date, %s)
WHERE topic = %s AND partition = %s
"""


class PostgresProjectionStore:
    """The live build, written by one process of the projector (its own login), or by a retry of parked events."""

    def __init__(self, url: str) -> None:
        self._database = Reconnecting(url, "partner-ledger projector")
        self._build: int | None = None

    def start(self, topic: TopicIdentity, partitions: Collection[int]) -> Mapping[int, int]:
        """Give the offsets to read from, checking that they are this topic's; creates the first build if there is none."""
        with self._database.transaction() as cursor:
            self._build = ensure_live_build(cursor)
            cursor.execute(f"SET LOCAL search_path = {schema(self._build)}")
            cursor.execute(
                "INSERT INTO partition_progress (topic, partition, cluster_id, topic_id, next_offset)"
                " SELECT %s, partition, %s, %s, 0 FROM unnest(%s::int[]) AS partition ORDER BY partition"
                " ON CONFLICT DO NOTHING",
                (topic.topic, topic.cluster_id, topic.topic_id, sorted(partitions)),
            )
            cursor.execute("SELECT topic, cluster_id, topic_id, partition, next_offset FROM partition_progress")
            rows = cursor.fetchall()
        for *stored, _, _ in rows:
            if tuple(stored) != topic:
                raise IntegrityFault(
                    f"Build {self._build} of the projections was filled from topic {stored[0]} with id {stored[2]} of cluster"
                    f" {stored[1]}, but Kafka has topic {topic.topic} with id {topic.topic_id} of cluster {topic.cluster_id}:"
                    " point the projector at that cluster, or build the projections anew."
                )
        return {partition: offset for *_, partition, offset in rows if partition in partitions}

    @contextmanager
    def batch(self, topic: str, moves: Sequence[Move]) -> Iterator["PostgresWriting"]:
        """Open a batch's transaction by moving the partitions' offsets."""
        partition, started_from, next_offset = zip(*moves, strict=True)
        with self._database.transaction(self._begin()) as cursor:
            cursor.execute(
                _MOVE,
                {
                    "topic": topic,
                    "build": self._build,
                    "partition": list(partition),
                    "started_from": list(started_from),
                    "next_offset": list(next_offset),
                },
            )
            if cursor.rowcount != len(moves):
                raise PartitionMoved
            yield PostgresWriting(cursor)

    @contextmanager
    def retry(self, stream: str) -> Iterator[Retry]:
        """Take a stream's parked records out, holding the rows of their partitions as a batch would."""
        if self._build is None:
            with self._database.transaction() as cursor:
                self._build = ensure_live_build(cursor)
        with self._database.transaction(self._begin()) as cursor:
            cursor.execute(
                "SELECT FROM partition_progress WHERE (topic, partition) IN"
                " (SELECT topic, partition FROM parked WHERE stream = %s) ORDER BY topic, partition FOR UPDATE",
                (stream,),
            )
            cursor.execute(
                "DELETE FROM parked WHERE stream = %s RETURNING topic, partition, record_offset, record_key, value",
                (stream,),
            )
            records = [
                ParkedRecord(topic, partition, offset, _bytes(key), _bytes(value))
                for topic, partition, offset, key, value in cursor.fetchall()
            ]
            yield Retry(records, PostgresWriting(cursor))

    def _begin(self) -> str:
        if self._build is None:
            raise IntegrityFault("The projections were not started: read the stored offsets before the first batch.")
        return (
            f"BEGIN; SET LOCAL search_path = {schema(self._build)}; SELECT pg_advisory_xact_lock_shared({SWITCH_LOCK})"
        )

    def close(self) -> None:
        """Close the connection."""
        self._database.close()


class PostgresWriting:
    """Writing within one batch's transaction: port `consumers.projector.Writing`."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

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
        self._cursor.execute(
            "SELECT stream, partition, version, leaf_hash FROM stream_version WHERE stream = ANY (%s::text[])",
            (array(streams),),
        )
        return {
            stream: StreamState(partition, version, bytes(leaf_hash))
            for stream, partition, version, leaf_hash in self._cursor.fetchall()
        }

    def parked_streams(self, streams: Collection[str]) -> Collection[str]:
        """Give those of the streams that are parked."""
        self._cursor.execute("SELECT DISTINCT stream FROM parked WHERE stream = ANY (%s::text[])", (array(streams),))
        return {stream for (stream,) in self._cursor.fetchall()}

    def applied_hashes(self, versions: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], bytes]:
        """Give the leaf hashes under which versions of streams were applied."""
        if not versions:
            return {}
        streams, numbers = zip(*versions, strict=True)
        self._cursor.execute(
            "SELECT stream, version, leaf_hash FROM audit JOIN unnest(%s::text[], %s::int[])"
            " AS asked (stream, version) USING (stream, version)",
            (array(streams), array(numbers)),
        )
        return {(stream, version): bytes(leaf_hash) for stream, version, leaf_hash in self._cursor.fetchall()}

    def write(self, rows: Rows, streams: Mapping[str, StreamState]) -> None:
        """Write a fold's rows and the new state of its streams, and count its events as applied."""
        if not rows.audit:
            return
        try:
            for field, table in BY_FIELD.items():
                if new := getattr(rows, field):
                    self._cursor.copy_expert(table.statement, table.data(new), size=1 << 20)
            if rows.balances:
                self._cursor.execute(_BALANCES, [array(column) for column in zip(*rows.balances, strict=True)])
            self._write_streams(streams)
            self._count(rows.progress)
        except NOT_WRITABLE as error:
            raise CannotApply(" ".join(str(error).split())) from error

    def _write_streams(self, streams: Mapping[str, StreamState]) -> None:
        names = sorted(streams)
        states = [streams[name] for name in names]
        partitions, versions, hashes = zip(*states, strict=True)
        self._cursor.execute(
            _STREAMS, (array(names), array(partitions), array(versions), array([h.hex() for h in hashes]))
        )

    def _count(self, progress: Mapping[Partition, Progress]) -> None:
        for (topic, partition), new in progress.items():
            self._cursor.execute(
                _PROGRESS,
                (new.applied, new.last_position, new.ledger_date, new.latest_business_date, topic, partition),
            )

    def park(self, parked: Sequence[Parked]) -> None:
        """Keep records for a retry."""
        for record, reason in parked:
            self._cursor.execute(
                "INSERT INTO parked (topic, partition, record_offset, stream, record_key, value, reason)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    record.topic,
                    record.partition,
                    record.offset,
                    record.stream,
                    None if record.key is None else psycopg2.Binary(record.key),
                    None if record.value is None else psycopg2.Binary(record.value),
                    reason.replace("\x00", "\\x00"),
                ),
            )


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
