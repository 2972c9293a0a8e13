"""A connection of the projections' to PostgreSQL that is made when needed and made anew after it broke.

psycopg2's errors become ours here: a lost connection is `ServiceUnreachable` (nothing of the transaction was written, or
its commit's answer was lost, which the offsets tell on the next try); what the data are to blame for stays psycopg2's
until the store, which knows the records, makes it `CannotApply`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names classes in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from domain.errors import ServiceUnreachable
from infra.postgres.connections import connect

AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError)
"""A bare DatabaseError without a code is libpq's, where a connection breaks in the middle of an answer."""


class Reconnecting:
    """One connection, in autocommit; transactions are written out in the statements, which saves round trips."""

    def __init__(self, url: str, application_name: str) -> None:
        self._url = url
        self._application_name = application_name
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self, begin: str = "BEGIN") -> Iterator[Cursor]:
        """Open a transaction; it commits if the block ends well, and is rolled back if not.

        Raises:
            ServiceUnreachable: the server cannot be reached or went away.

        """
        try:
            connection = self._connected()
            with connection.cursor() as cursor:
                try:
                    cursor.execute(begin)
                    yield cursor
                except BaseException:
                    if not connection.closed:
                        cursor.execute("ROLLBACK")
                    raise
                cursor.execute("COMMIT")
        except psycopg2.Error as error:
            if not (isinstance(error, AWAY) or (type(error) is psycopg2.DatabaseError and error.pgcode is None)):
                raise
            self.close()
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ServiceUnreachable(f"PostgreSQL does not answer or gave up: {reason.rstrip('.')}.") from error

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, self._application_name)
        return self._connection

    def close(self) -> None:
        """Close the connection; the next transaction makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
