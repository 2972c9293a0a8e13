"""Builds beside the live one: made, filled, compared, switched to, kept and dropped. Port `consumers.rebuild.Builds`.

One rebuild at a time holds an advisory lock for as long as its connection lives, so however it ends the next one can begin; what
it left is a schema `projection_<n>` that is not live, which the next one drops.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names classes in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from consumers.projector import TopicIdentity
from consumers.rebuild import CannotIndex, Comparison, LiveBuild, Plan, Totals
from domain.errors import Refused, ServiceUnreachable
from domain.recording import TopicRecord
from infra.postgres.connections import connect
from infra.postgres.projections import builds
from infra.postgres.projections.builds import TABLES_VERSION, create_build, index_statements, live_version, schema
from infra.postgres.projections.comparison import Comparing, Found, comparison, totals
from infra.postgres.projections.connection import AWAY
from infra.postgres.projections.store import NOT_WRITABLE
from infra.postgres.projections.tables import BOOKKEEPING, PROJECTIONS

REBUILD_LOCK = 0x70726F6A_6275696C
"""The advisory lock of the one rebuild: 'projbuil' in ASCII."""

READERS_WITHIN_S = 20.0
"""So long a switch waits for those who read the live build in one transaction; between two tries others may begin."""

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
            return _live(cursor)

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

    def compare(self, name: str, live: LiveBuild, plan: Plan, note: Callable[[int, int], None]) -> Comparison:
        """Compare what both builds have by position, a page to a transaction."""
        comparing = Comparing(name, schema(live.number), plan)
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as cursor:
            up_to = comparing.up_to(cursor, same_topic=_topic(cursor, name) == live.topic)
            new, old = (totals(cursor, each, plan.projections, up_to) for each in (name, schema(live.number)))
        with self._connected().cursor() as cursor:
            found = comparing.pages(lambda: cursor, 0, up_to, note)
        return comparison(up_to, found, 0, old, new)

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
            return _next_offsets(cursor, name)

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
            for table in _tables_but(plan.projections):
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
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (REBUILD_LOCK,))
            return bool(_one(cursor))

    def _drop(self, name: str) -> None:
        with self._transaction() as cursor:
            live, _ = live_version(cursor)  # which cannot change until the end of the transaction
            if live is None or name != schema(live):
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


class PostgresSwitching:
    """The time when no projector writes: port `consumers.rebuild.Switching`."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def live(self) -> LiveBuild | None:
        """Give the live build as it is now."""
        return _live(self._cursor)

    def compare_rest(self, name: str, live: LiveBuild, plan: Plan, before: Comparison) -> Comparison:
        """Compare what came since, and what has no position; gives both together."""
        cursor, comparing = self._cursor, Comparing(name, schema(live.number), plan)
        same_topic = _topic(cursor, name) == live.topic
        up_to = comparing.up_to(cursor, same_topic=same_topic)
        rest = comparing.pages(lambda: cursor, before.up_to, up_to, lambda _done, _of: None)
        if same_topic:
            rest = rest.together(comparing.without_position(cursor, self._read_alike(name, live)))
        elif _last_position(cursor, name) == _last_position(cursor, schema(live.number)) == up_to:
            everywhere = _next_offsets(cursor, name)
            rest = rest.together(comparing.without_position(cursor, everywhere, ("balance", "stream_version")))
        found = Found()
        found.differing, found.differences = dict(before.differing), list(before.differences)
        both = found.together(rest)
        return comparison(up_to, both, comparing.applied_anew(cursor), before.live, before.new)._replace(
            up_to=max(up_to, before.up_to)
        )

    def bookkeeping_differs(self, name: str, live: LiveBuild) -> bool:
        """Tell whether the builds have read, applied or parked otherwise."""
        comparing = Comparing(name, schema(live.number), Plan((), 1, whole=False))
        everywhere = {*live.next_offsets, *_next_offsets(self._cursor, name)}
        return bool(comparing.without_position(self._cursor, everywhere, parked_too=True).differing)

    def switch(self, name: str, live: LiveBuild | None, plan: Plan, *, keep: bool) -> str | None:
        """Make the new build live; the other one is dropped, or kept under the name that is given.

        Raises:
            Refused: somebody reads the live build and does not come to an end.

        """
        give_up_at = time.monotonic() + READERS_WITHIN_S
        cursor = self._cursor
        cursor.execute("SET LOCAL lock_timeout = '500ms'; SAVEPOINT before")
        while True:
            try:
                return self._switch(name, live, plan, keep=keep)
            except psycopg2.errors.LockNotAvailable:
                cursor.execute("ROLLBACK TO SAVEPOINT before")
                if time.monotonic() > give_up_at:
                    raise Refused(
                        f"Somebody has read the live build of the projections for {READERS_WITHIN_S:.0f} s in one transaction"
                        f" ({_readers(cursor, live)}), so it could not be switched: end that, then rebuild once more."
                    ) from None
                time.sleep(0.2)

    def _switch(self, name: str, live: LiveBuild | None, plan: Plan, *, keep: bool) -> str | None:
        cursor = self._cursor
        cursor.execute(builds.NO_READER)
        builds.make_live(cursor, int(name.rpartition("_")[2]))
        if live is None:
            return None
        old = schema(live.number)
        if not plan.whole:
            _move_the_others(cursor, old, name, plan.projections)
        if keep:
            evidence = f"evidence_{live.number}"
            cursor.execute(f"ALTER SCHEMA {old} RENAME TO {evidence}")
            return evidence
        cursor.execute(f"DROP SCHEMA {old} CASCADE")
        return None

    def _read_alike(self, name: str, live: LiveBuild) -> list[int]:
        here = _next_offsets(self._cursor, name)
        return [partition for partition, offset in here.items() if live.next_offsets.get(partition) == offset]


def _move_the_others(cursor: Cursor, old: str, new: str, projections: Sequence[str]) -> None:
    """Move what was not rebuilt into the new build's schema, with the views that rest on it."""
    for table in (*_tables_but(projections), *BOOKKEEPING):
        cursor.execute(f"DROP TABLE {new}.{table} CASCADE; ALTER TABLE {old}.{table} SET SCHEMA {new}")
    for name, projection in PROJECTIONS.items():
        for view in projection.views:
            if name not in projections:
                cursor.execute(f"ALTER VIEW {old}.{view} SET SCHEMA {new}")


def _tables_but(projections: Sequence[str]) -> list[str]:
    return [table for name, each in PROJECTIONS.items() if name not in projections for table in each.tables]


def _all_tables() -> list[str]:
    return [*_tables_but(()), *BOOKKEEPING]


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


def _live(cursor: Cursor) -> LiveBuild | None:
    number, version = live_version(cursor)
    if number is None:
        return None
    name = schema(number)
    return LiveBuild(number, version, _topic(cursor, name), _next_offsets(cursor, name))


def _topic(cursor: Cursor, name: str) -> TopicIdentity | None:
    cursor.execute(f"SELECT topic, cluster_id, topic_id FROM {name}.partition_progress LIMIT 1")
    row = cursor.fetchone()
    return None if row is None else TopicIdentity(*row)


def _next_offsets(cursor: Cursor, name: str) -> dict[int, int]:
    cursor.execute(f"SELECT partition, next_offset FROM {name}.partition_progress ORDER BY partition")
    return dict(cursor.fetchall())


def _last_position(cursor: Cursor, name: str) -> int:
    cursor.execute(f"SELECT coalesce(max(last_position), 0) FROM {name}.partition_progress")
    return int(str(_one(cursor)))


def _schemas(cursor: Cursor, kind: str) -> list[str]:
    cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ %s ORDER BY 1", (f"^{kind}_[0-9]+$",))
    return [name for (name,) in cursor.fetchall()]


def _readers(cursor: Cursor, live: LiveBuild | None) -> str:
    """Name the sessions that hold what a switch needs."""
    cursor.execute(
        "SELECT DISTINCT l.pid FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n"
        " ON n.oid = c.relnamespace WHERE n.nspname IN ('projection', %s) AND l.pid <> pg_backend_pid() ORDER BY 1",
        (schema(live.number) if live else "",),
    )
    return "pid " + ", ".join(str(pid) for (pid,) in cursor.fetchall())


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
