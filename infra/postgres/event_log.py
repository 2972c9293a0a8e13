"""What the relay reads: events by position with their stored leaf hashes, a wake-up call, and the lead (port: producers.relay)."""

from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names classes in lower case

from domain.envelope import EventRow
from infra.postgres.connections import ConnectionPool, Listener, connect, errors_translated

LEAD_LOCK = 0x72656C61_796C6564
"""The advisory lock of the one relay that leads: 'relayled' in ASCII."""

STORED = f"{', '.join(EventRow.__struct_fields__)}, leaf_hash"
"""The columns that `stored` takes."""

_READ = f"SELECT {STORED} FROM ledger.event WHERE position > %s ORDER BY position LIMIT %s"


class PostgresEventLog:
    """The store by position. Used by one thread; every method raises `ServiceUnreachable` while PostgreSQL is away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = ConnectionPool(url, max_connections=1)
        self._listener = Listener(url)
        self._lead: Connection | None = None

    def read(self, after: int, limit: int) -> list[tuple[EventRow, bytes]]:
        """Give events and their leaf hashes after a position, in order; fewer than `limit` only at the end."""
        with self._pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute(_READ, (after, limit))
            return [stored(row) for row in cursor.fetchall()]

    def last_position(self) -> int:
        """Give the last position; 0 for a ledger without events."""
        with self._pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT position FROM ledger.head")
            [(position,)] = cursor.fetchall()
            return int(position)

    def wait(self, timeout_s: float) -> bool:
        """Return True as soon as something was appended since the last call, False after the timeout.

        True at once where listening has only just begun, also after a lost connection: read once more then.
        """
        return self._listener.wait(timeout_s)

    def try_lead(self) -> bool:
        """Become the one leader of this database if nobody is; True also where this object leads already.

        The lead is a lock of a connection of its own: it ends with it, at the latest when this process dies.
        """
        if self._lead is not None:
            if self.still_leading():
                return True
            self._end_lead()
        connection = connect(self._url, "partner-ledger relay lead")
        with errors_translated(connection, self._url), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (LEAD_LOCK,))
            [(leads,)] = cursor.fetchall()
        if leads:
            self._lead = connection
        else:
            connection.close()
        return bool(leads)

    def still_leading(self) -> bool:
        """Tell, by a round trip, whether the connection that holds the lead is alive."""
        if self._lead is None:
            return False
        try:
            with self._lead.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error:
            self._end_lead()
        return self._lead is not None

    def close(self) -> None:
        """Let the lead go and close all connections."""
        self._end_lead()
        self._listener.close()
        self._pool.close()

    def _end_lead(self) -> None:
        connection, self._lead = self._lead, None
        if connection is not None:
            connection.close()


def stored(row: tuple[Any, ...]) -> tuple[EventRow, bytes]:
    """Make of a row an event and its leaf hash."""
    position, stream, version, type_name, schema_version, business_date, recorded_at, actor, command_id, *rest = row
    envelope_version, data, leaf_hash = rest
    event = EventRow(  # field by field: in a third of the time of **dict(zip(…))
        position=position,
        stream=stream,
        version=version,
        type=type_name,
        schema_version=schema_version,
        business_date=business_date,
        recorded_at=recorded_at,
        actor=actor,
        command_id=command_id,
        envelope_version=envelope_version,
        data=bytes(data),
    )
    return event, bytes(leaf_hash)
