"""Connections of the event store to PostgreSQL: a small pool, a listener for NOTIFY, and psycopg2's errors made ours.

A connection that has died (the server was restarted) is noticed before it is used, and replaced; transactions are written
out in the statements, which spares round trips, so all connections are in autocommit.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import eventsourcing.persistence as library
import psycopg2
from psycopg2.extensions import (
    TRANSACTION_STATUS_IDLE,
    TRANSACTION_STATUS_INERROR,
    TRANSACTION_STATUS_INTRANS,
    parse_dsn,
)
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names classes in lower case

from domain.errors import ServiceUnreachable

CHANNEL = "ledger_events"
"""What an append notifies."""

CONNECT_TIMEOUT_S = 10

SESSION = "-c TimeZone=UTC -c idle_in_transaction_session_timeout=30000"
"""A writer that was stopped while it holds the head row stops all others: the server ends its session after 30 s."""


class StoreUnreachable(ServiceUnreachable, library.OperationalError):
    """PostgreSQL cannot be reached, or could not finish: the library's class and ours at once, one sentence."""


def connect(url: str, application_name: str = "partner-ledger") -> Connection:
    """Open a connection in autocommit, its times in UTC.

    Raises:
        StoreUnreachable: the server does not answer or does not let this login in.

    """
    options = f"{parse_dsn(url).get('options', '')} {SESSION}".strip()
    try:
        connection = psycopg2.connect(
            url,
            options=options,
            fallback_application_name=application_name,
            connect_timeout=CONNECT_TIMEOUT_S,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except psycopg2.OperationalError as error:
        raise StoreUnreachable(
            f"PostgreSQL at {where(url)} cannot be reached ({_first_line(error)}): start it or correct its URL, then try again."
        ) from error
    connection.autocommit = True
    return connection


def where(url: str) -> str:
    """Name the database of a URL for a person, without its password."""
    parts = parse_dsn(url)
    host = parts.get("host", "localhost")
    port = f":{parts['port']}" if "port" in parts else ""
    return f"{host}{port}/{parts.get('dbname', '')}"


@contextmanager
def errors_translated(connection: Connection, url: str) -> Iterator[None]:
    """Raise psycopg2's errors as the library's classes; a lost connection as `StoreUnreachable`."""
    try:
        yield
    except psycopg2.Error as error:
        raise _translated(error, connection, url) from error


def _translated(error: psycopg2.Error, connection: Connection, url: str) -> library.PersistenceError:
    text = _first_line(error)
    # A bare DatabaseError without a code is libpq's when a connection breaks in the middle of COPY.
    if connection.closed or (type(error) is psycopg2.DatabaseError and error.pgcode is None):
        return StoreUnreachable(f"PostgreSQL at {where(url)} has gone away ({text}): try again when it is back.")
    if isinstance(error, psycopg2.OperationalError):
        return StoreUnreachable(f"PostgreSQL at {where(url)} could not finish ({text}): see to that, then try again.")
    for theirs, ours in _CLASSES:
        if isinstance(error, theirs):
            return ours(text)
    return library.PersistenceError(text)


_CLASSES: tuple[tuple[type[psycopg2.Error], type[library.PersistenceError]], ...] = (
    (psycopg2.InterfaceError, library.InterfaceError),
    (psycopg2.IntegrityError, library.IntegrityError),
    (psycopg2.DataError, library.DataError),
    (psycopg2.InternalError, library.InternalError),
    (psycopg2.NotSupportedError, library.NotSupportedError),
    (psycopg2.ProgrammingError, library.ProgrammingError),
    (psycopg2.DatabaseError, library.DatabaseError),
)


def _first_line(error: psycopg2.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__


class ConnectionPool:
    """Connections to one database for the threads of one process: made when needed, kept, replaced when dead."""

    def __init__(self, url: str, *, max_connections: int = 10) -> None:
        self.url = url
        self._slots = threading.BoundedSemaphore(max_connections)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection; a transaction left open by the block is rolled back.

        Raises:
            StoreUnreachable: no connection can be made, or it broke within the block.
            PersistenceError: other errors of psycopg2 within the block, as the library's classes.

        """
        with self._slots:
            connection = self._take()
            try:
                with errors_translated(connection, self.url):
                    yield connection
            finally:
                self._give_back(connection)

    def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back."""
        with self._lock:
            self._closed = True
        self._drop_idle()

    def _take(self) -> Connection:
        while True:
            with self._lock:
                if self._closed:
                    raise library.InterfaceError("The event store was closed: open it anew to go on.")
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return connect(self.url)
            if _is_alive(connection):
                return connection
            self._drop_idle()  # the others are of the same server, which went away

    def _give_back(self, connection: Connection) -> None:
        roll_back(connection)
        if connection.closed:
            self._drop_idle()
            return
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._lock:
            dropped, self._idle = self._idle, []
        for connection in dropped:
            connection.close()


def _is_alive(connection: Connection) -> bool:
    """Tell, without a round trip, that the server has not closed the connection since it was used last.

    A server has nothing to say to an idle connection but that it is ending it.
    """
    if _is_readable(connection, 0):
        connection.close()
    return not connection.closed


def _is_readable(connection: Connection, timeout_s: float) -> bool:
    ready = select.poll()  # not select(): that knows the first 1024 files only
    ready.register(connection, select.POLLIN)
    return bool(ready.poll(timeout_s * 1000))


def roll_back(connection: Connection) -> None:
    """End what the block left open; where that fails, closing the connection makes the server do it."""
    if connection.closed:
        return
    status = connection.get_transaction_status()
    if status == TRANSACTION_STATUS_IDLE:
        return
    if status not in (TRANSACTION_STATUS_INTRANS, TRANSACTION_STATUS_INERROR):
        connection.close()
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")
    except psycopg2.Error:
        connection.close()


class Listener:
    """A connection of its own that hears when something was appended. Used by one thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None

    def wait(self, timeout_s: float) -> bool:
        """Wait for an append: True as soon as there was one since the last call, False after the timeout.

        True also where listening has only just begun: what was appended before that was not heard, so look once more.

        Raises:
            StoreUnreachable: the server is away; a later call connects anew.

        """
        if self._connection is None:
            connection = connect(self._url)
            with errors_translated(connection, self._url), connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
            self._connection = connection
            return True
        connection = self._connection
        deadline = time.monotonic() + timeout_s
        try:
            with errors_translated(connection, self._url):
                connection.poll()
                while not connection.notifies and _is_readable(connection, max(0, deadline - time.monotonic())):
                    connection.poll()
        except library.PersistenceError:
            self.close()
            raise
        heard = bool(connection.notifies)
        connection.notifies.clear()
        return heard

    def close(self) -> None:
        """Stop listening."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
