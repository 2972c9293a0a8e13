"""The library's aggregate recorder, for snapshots alone: events go nowhere but through `recorder`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import AggregateRecorder, IntegrityError, StoredEvent
from psycopg2.errors import UniqueViolation
from psycopg2.extras import execute_values

from infra.postgres.connections import ConnectionPool


class PostgresSnapshotRecorder(AggregateRecorder):
    """Keeps what is derived of events and may be thrown away at any time: no position, no envelope, no head row."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        """Insert snapshots, all or none of them.

        Raises:
            IntegrityError: there is one of the same stream and version.

        """
        if kwargs:
            raise TypeError(f"snapshots are stored with nothing beside them, not with {', '.join(kwargs)}")
        if not stored_events:
            return
        rows = [(event.originator_id, event.originator_version, event.topic, event.state) for event in stored_events]
        with self._pool.connection() as connection, connection.cursor() as cursor:
            try:
                statement = "INSERT INTO ledger.snapshot (stream, version, type, state) VALUES %s"
                execute_values(cursor, statement, rows, page_size=len(rows))
            except UniqueViolation as violation:
                raise IntegrityError(
                    f"There is such a snapshot already ({violation.diag.message_detail})."
                ) from violation

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> list[StoredEvent]:
        """Read the snapshots of a stream."""
        conditions, values = ["stream = %s"], list[Any]([originator_id])
        for condition, value in (("version > %s", gt), ("version <= %s", lte)):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        with self._pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(
                f"SELECT stream, version, type, state FROM ledger.snapshot WHERE {' AND '.join(conditions)}"
                f" ORDER BY version {'DESC' if desc else 'ASC'} LIMIT %s",
                (*values, limit),
            )
            return [StoredEvent(row[0], row[1], row[2], bytes(row[3])) for row in cursor.fetchall()]
