"""Events read back from the store with a login that only reads: the sources that explanations and histories cite."""

import datetime as dt
from collections.abc import Iterator

from domain.events import decode
from infra.postgres.connections import ConnectionPool
from projections.recorded import CitedEvent

_FIELDS = "position, stream, version, recorded_at, actor, command_id, type, schema_version, data"
_PAGE = 2000


class PostgresEvents:
    """The port `projections.recorded.Events` on PostgreSQL."""

    def __init__(self, read_url: str) -> None:
        self._pool = ConnectionPool(read_url, max_connections=1)

    def at(self, position: int) -> CitedEvent | None:
        """Give the event at a position, None where there is none."""
        with self._pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT {_FIELDS} FROM ledger.event WHERE position = %s", (position,))
            row = cursor.fetchone()
        return None if row is None else _cited(row)

    def of_stream(self, stream: str, up_to_position: int | None = None) -> Iterator[CitedEvent]:
        """Give a stream's events in order, in pages by key, up to a position if wanted."""
        version = 0
        while True:
            with self._pool.connection() as connection, connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT {_FIELDS} FROM ledger.event WHERE stream = %s AND version > %s"
                    " AND (%s IS NULL OR position <= %s) ORDER BY version LIMIT %s",
                    (stream, version, up_to_position, up_to_position, _PAGE),
                )
                rows = cursor.fetchall()
            yield from map(_cited, rows)
            if len(rows) < _PAGE:
                return
            version = rows[-1][2]

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


def _cited(row: tuple[int, str, int, dt.datetime, str, str, str, int, memoryview]) -> CitedEvent:
    position, stream, version, recorded_at, actor, command_id, type_name, schema_version, data = row
    event = decode(type_name, schema_version, bytes(data))
    return CitedEvent(position, stream, version, recorded_at, actor, command_id, event)
