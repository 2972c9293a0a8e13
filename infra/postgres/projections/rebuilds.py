"""Builds beside the live one: made, filled, compared, switched to, kept and dropped. Port `consumers.rebuild.Builds`.

One rebuild at a time holds an advisory lock for as long as its connection lives, so however it ends the next one can begin; what
it left is a schema `projection_<n>` that is not live, which the next one drops.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names classes in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from consumers.rebuild import CannotIndex, Comparison, LiveBuild, Plan, Totals
from domain.errors import Refused, ServiceUnreachable
from domain.recording import TopicRecord
from infra.postgres.connections import connect
from infra.postgres.projections import builds
from infra.postgres.projections.builds import TABLES_VERSION, create_build, index_statements, live_version, schema
from infra.postgres.projections.comparison import Comparing, Found, comparison, totals
from infra.postgres.projections.connection import AWAY
from infra.postgres.projections.store import NOT_WRITABLE, filling
from infra.postgres.projections.switching import PostgresSwitching, live_now, offsets_of, tables_but, topic_of
from infra.postgres.projections.tables import BOOKKEEPING

REBUILD_LOCK = 0x70726F6A_6275696C
"""The advisory lock of the one rebuild: 'projbuil' in ASCII."""

MAINTENANCE_MEMORY = "128MB"

KINDS = {"projection": "unfinished", "past": "past state", "evidence": "evidence"}
"""Of the schemas, by what their names begin with."""


class Build(NamedTuple):
    """A build as it is listed; how far it is, is None where it has only some of the tables."""

    name: str
    kind: str
    position: int | None
    events: int | None
    parked: int | None
    size_bytes: int


LET_GO_S = 2.0
"""So long a session may take to end after its client has."""


class PostgresBuilds:
    """The builds, on the projector's login, which owns them."""

    tables_version = TABLES_VERSION

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None

    def begin(self) -> None:
        """Be the one rebuild, and clear away what one that ended before its end has left."""
        if not self._is_the_one():
            raise Refused("Another rebuild is at work; wait until it ends, or stop it.")
        with self._transaction() as cursor:
            live, _ = live_version(cursor)
            left = [name for name in _schemas(cursor, "projection") if live is None or name != schema(live)]
        for name in left:
            self.clear(name)

    def live(self) -> LiveBuild | None:
        """Give the live build; None where there is none."""
        with self._transaction() as cursor:
            return live_now(cursor)

    def create(self, *, indexed: bool) -> str:
        """Create a build; gives its schema."""
        with self._transaction(builds.ALONE) as cursor:  # a projector may be about to make one, with the same number
            name = schema(builds.next_number(cursor))
            create_build(cursor, name, indexed=indexed)
        return name

    def index(self, name: str, say: Callable[[str], None]) -> None:
        """Make the indexes where they are not there yet, and have the tables' statistics taken.

        Raises:
            CannotIndex: some rows do not fit them.

        """
        with self._transaction() as cursor:
            cursor.execute("SELECT count(*) FROM pg_indexes WHERE schemaname = %s AND tablename = 'audit'", (name,))
            wanted = [] if _one(cursor) else index_statements()
        wanted += [f"ANALYZE {table}" for table in _all_tables()]
        for number, statement in enumerate(wanted, 1):
            say(f"Making the indexes ({number} of {len(wanted)})")
            self._at_length(name, statement)

    def compare(
        self, name: str, live: LiveBuild, plan: Plan, before: Comparison | None, note: Callable[[int, int], None]
    ) -> Comparison:
        """Compare what both builds have by position and was not compared before, a page to a transaction."""
        comparing = Comparing(name, schema(live.number), plan)
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as cursor:
            up_to = comparing.up_to(cursor, same_topic=topic_of(cursor, name) == live.topic)
            new, old = (totals(cursor, each, plan.projections, up_to) for each in (name, schema(live.number)))
        first = 0 if before is None else before.up_to
        with _errors(), self._connected().cursor() as cursor:  # in autocommit: each page sees its own moment
            rest = comparing.pages(cursor, first, up_to, note)
        return comparison(max(first, up_to), Found.of(before).together(rest), 0, old, new)

    @contextmanager
    def switching(self) -> Iterator["PostgresSwitching"]:
        """Hold the projectors, and let them go on at the end."""
        connection = connect(self._url, "partner-ledger rebuild, switching")
        try:
            with _errors(), connection.cursor() as cursor:
                cursor.execute(builds.ALONE)
                yield PostgresSwitching(cursor)
                cursor.execute("COMMIT")
        finally:
            connection.close()

    def standing(self, name: str) -> tuple[int, int, int]:
        """Give a build's last position, the events applied and the records parked."""
        with self._transaction() as cursor:
            cursor.execute(
                f"SELECT coalesce(max(last_position), 0), coalesce(sum(applied), 0)::bigint,"
                f" (SELECT count(*) FROM {name}.parked) FROM {name}.partition_progress"
            )
            ((position, applied, parked),) = cursor.fetchall()
        return int(position), int(applied), int(parked)

    def next_offsets(self, name: str) -> Mapping[int, int]:
        """Give how far a build has read."""
        with self._transaction() as cursor:
            return offsets_of(cursor, name)

    def totals(self, name: str, plan: Plan) -> Totals:
        """Give a build's control totals."""
        with self._transaction() as cursor:
            return totals(cursor, name, plan.projections, None)

    def dropped_records(self) -> frozenset[TopicRecord]:
        """Give the records that the ledger has dropped, as its store says: a rebuild meets them before it meets their events."""
        with self._transaction() as cursor:
            cursor.execute(
                "SELECT data ->> 'topic', (data ->> 'partition')::int, (data ->> 'offset')::bigint,"
                " decode(data ->> 'leaf_hash', 'hex') FROM ledger.event_json WHERE stream = 'ledger' AND type = 'RecordDropped'"
            )
            return frozenset(
                TopicRecord(topic, partition, offset, None if leaf_hash is None else bytes(leaf_hash))
                for topic, partition, offset, leaf_hash in cursor.fetchall()
            )

    def keep_as(self, name: str, past: str, plan: Plan) -> None:
        """Give a build of a past state the name it is asked for by; tables that were not wanted go."""
        with self._transaction() as cursor:
            for table in tables_but(plan.projections):
                cursor.execute(f"DROP TABLE {name}.{table} CASCADE")
            cursor.execute(f"ALTER SCHEMA {name} RENAME TO {past}")

    def clear(self, name: str) -> None:
        """Drop a build, unless it is live: it may be so already where something went wrong after the switch."""
        try:
            self._drop(name)
        except ServiceUnreachable:  # perhaps only the connection was lost, and the lock with it
            self.close()
            if self._is_the_one():
                self._drop(name)

    def _is_the_one(self) -> bool:
        """Take the lock of rebuilds; one that has just ended holds it until the server has noticed."""
        give_up_at = time.monotonic() + LET_GO_S
        while True:
            with self._transaction() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (REBUILD_LOCK,))
                if _one(cursor):
                    return True
            if time.monotonic() > give_up_at:
                return False
            time.sleep(0.05)

    def _drop(self, name: str) -> None:
        with self._transaction() as cursor:
            live, _ = live_version(cursor)  # which cannot change until the end of the transaction
            if live is None or name != schema(live):
                # A process that was killed leaves a session behind, which holds the tables for as long as its statement takes.
                cursor.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name IN (%(name)s,"
                    " %(name)s || ', reading') AND datname = current_database() AND usename = current_user",
                    {"name": filling(name)},
                )
                cursor.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")

    def all(self) -> list[Build]:
        """List the builds: the live one first, then past states, what was kept as evidence, and what a rebuild fills."""
        with self._transaction() as cursor:
            number, _ = live_version(cursor)
            live = None if number is None else schema(number)
            return [
                _build(cursor, name, "live" if name == live else kind)
                for prefix, kind in KINDS.items()
                for name in sorted(_schemas(cursor, prefix), key=lambda each: (each != live, int(each.split("_")[1])))
            ]

    def drop(self, name: str) -> None:
        """Drop a past state, what was kept as evidence, or what a rebuild has left.

        Raises:
            Refused: there is none of this name, it is the live one, or it is being filled.

        """
        found = {build.name: build for build in self.all()}
        if name not in found:
            raise Refused(f"There is no build {name!r}; `partner-ledger replay builds` lists them.")
        if found[name].kind == "live":
            raise Refused(f"{name} is the live build, which answers; only a rebuild replaces it.")
        if found[name].kind == KINDS["projection"] and not self._is_the_one():
            raise Refused(f"{name} is being filled by a rebuild; stop that, which drops it.")
        self._drop(name)

    def close(self) -> None:
        """Let the connection go, and the lock with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self._url, "partner-ledger rebuild")
        return self._connection

    @contextmanager
    def _transaction(self, begin: str = "BEGIN") -> Iterator[Cursor]:
        connection = self._connected()
        with _errors(), connection.cursor() as cursor:
            try:
                cursor.execute(begin)
                yield cursor
            except BaseException:
                if not connection.closed:
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def _at_length(self, name: str, statement: str) -> None:
        """Run a statement that may take minutes, so that Ctrl-C ends it at once."""

        def run() -> None:
            with self._transaction() as cursor:
                cursor.execute(
                    f"SET LOCAL search_path = {name}; SET LOCAL maintenance_work_mem = '{MAINTENANCE_MEMORY}'"
                )
                cursor.execute(statement)

        connection = self._connected()
        with ThreadPoolExecutor(1, "rebuild-statement") as beside:
            running = beside.submit(run)
            try:
                running.result()
            except KeyboardInterrupt:
                connection.cancel()
                raise
            except NOT_WRITABLE as error:
                raise CannotIndex(" ".join(str(error).split())) from error


def _all_tables() -> list[str]:
    return [*tables_but(()), *BOOKKEEPING]


def _build(cursor: Cursor, name: str, kind: str) -> Build:
    cursor.execute(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint, coalesce(bool_or(relname = 'partition_progress'), false)"
        " FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace",
        (name,),
    )
    ((size, whole),) = cursor.fetchall()
    if not whole:  # the evidence of one projection: how far it was, the live build has taken with it
        return Build(name, kind, None, None, None, int(size))
    cursor.execute(
        "SELECT coalesce(max(last_position), 0), coalesce(sum(applied), 0)::bigint,"
        f" (SELECT count(*) FROM {name}.parked) FROM {name}.partition_progress"
    )
    ((position, events, parked),) = cursor.fetchall()
    return Build(name, kind, int(position), int(events), int(parked), int(size))


def _schemas(cursor: Cursor, kind: str) -> list[str]:
    cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ %s ORDER BY 1", (f"^{kind}_[0-9]+$",))
    return [name for (name,) in cursor.fetchall()]


def _one(cursor: Cursor) -> object:
    row = cursor.fetchone()
    return None if row is None else row[0]


@contextmanager
def _errors() -> Iterator[None]:
    """Say what a rebuild cannot go on with; what the data are to blame for is passed on."""
    try:
        yield
    except psycopg2.errors.DiskFull as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    except (psycopg2.errors.QueryCanceled, psycopg2.errors.LockNotAvailable):
        raise
    except psycopg2.Error as error:
        if not (isinstance(error, AWAY) or (type(error) is psycopg2.DatabaseError and error.pgcode is None)):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ServiceUnreachable(
            f"PostgreSQL does not answer or gave up: {reason.rstrip('.')}. The live build is as it was."
        ) from error
