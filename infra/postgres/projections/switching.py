"""The switch to a new build: projectors are held, the rest is compared, the tables and the live row change in one transaction.

Port `consumers.rebuild.Switching`.
"""

import time
from collections.abc import Sequence

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from consumers.projector import TopicIdentity
from consumers.rebuild import Comparison, LiveBuild, Plan
from domain.errors import Refused
from infra.postgres.projections import builds
from infra.postgres.projections.builds import live_version, schema
from infra.postgres.projections.comparison import Comparing, Found, comparison
from infra.postgres.projections.tables import BOOKKEEPING, PROJECTIONS

READERS_WITHIN_S = 20.0
"""So long a switch waits for those who read the live build in one transaction; between two tries others may begin."""


class PostgresSwitching:
    """The time when no projector writes: port `consumers.rebuild.Switching`."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def live(self) -> LiveBuild | None:
        """Give the live build as it is now."""
        return live_now(self._cursor)

    def compare_rest(self, name: str, live: LiveBuild, plan: Plan, before: Comparison) -> Comparison:
        """Compare what came since, and what has no position; gives both together."""
        cursor, comparing = self._cursor, Comparing(name, schema(live.number), plan)
        same_topic = topic_of(cursor, name) == live.topic
        up_to = comparing.up_to(cursor, same_topic=same_topic)
        rest = comparing.pages(cursor, before.up_to, up_to, lambda _done, _of: None)
        if same_topic:
            rest = rest.together(comparing.without_position(cursor, self._read_alike(name, live)))
        elif _last_position(cursor, name) == _last_position(cursor, schema(live.number)) == up_to:
            everywhere = offsets_of(cursor, name)
            rest = rest.together(comparing.without_position(cursor, everywhere, ("balance", "stream_version")))
        found = Found.of(before).together(rest)
        anew = comparing.applied_anew(cursor)
        return comparison(max(up_to, before.up_to), found, anew, before.live, before.new)

    def bookkeeping_differs(self, name: str, live: LiveBuild) -> bool:
        """Tell whether the builds have read, applied or parked otherwise."""
        comparing = Comparing(name, schema(live.number), Plan((), 1, whole=False))
        everywhere = {*live.next_offsets, *offsets_of(self._cursor, name)}
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
        here = offsets_of(self._cursor, name)
        return [partition for partition, offset in here.items() if live.next_offsets.get(partition) == offset]


def _move_the_others(cursor: Cursor, old: str, new: str, projections: Sequence[str]) -> None:
    """Move what was not rebuilt into the new build's schema, with the views that rest on it."""
    for table in (*tables_but(projections), *BOOKKEEPING):
        cursor.execute(f"DROP TABLE {new}.{table} CASCADE; ALTER TABLE {old}.{table} SET SCHEMA {new}")
    for name, projection in PROJECTIONS.items():
        for view in projection.views:
            if name not in projections:
                cursor.execute(f"ALTER VIEW {old}.{view} SET SCHEMA {new}")


def tables_but(projections: Sequence[str]) -> list[str]:
    """Name the tables of all projections but these."""
    return [table for name, each in PROJECTIONS.items() if name not in projections for table in each.tables]


def live_now(cursor: Cursor) -> LiveBuild | None:
    """Give the live build, which stays until the transaction ends."""
    number, version = live_version(cursor)
    if number is None:
        return None
    name = schema(number)
    return LiveBuild(number, version, topic_of(cursor, name), offsets_of(cursor, name))


def topic_of(cursor: Cursor, name: str) -> TopicIdentity | None:
    """Tell which topic a build was filled from; None where it has read nothing."""
    cursor.execute(f"SELECT topic, cluster_id, topic_id FROM {name}.partition_progress LIMIT 1")
    row = cursor.fetchone()
    return None if row is None else TopicIdentity(*row)


def offsets_of(cursor: Cursor, name: str) -> dict[int, int]:
    """Give how far a build has read its partitions."""
    cursor.execute(f"SELECT partition, next_offset FROM {name}.partition_progress ORDER BY partition")
    return dict(cursor.fetchall())


def _last_position(cursor: Cursor, name: str) -> int:
    cursor.execute(f"SELECT coalesce(max(last_position), 0) FROM {name}.partition_progress")
    return int(cursor.fetchall()[0][0])


def _readers(cursor: Cursor, live: LiveBuild | None) -> str:
    """Name the sessions that hold what a switch needs."""
    cursor.execute(
        "SELECT DISTINCT l.pid FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n"
        " ON n.oid = c.relnamespace WHERE n.nspname IN ('projection', %s) AND l.pid <> pg_backend_pid() ORDER BY 1",
        (schema(live.number) if live else "",),
    )
    return "pid " + ", ".join(str(pid) for (pid,) in cursor.fetchall())
