"""Builds of the projections: one schema each, and the row that names the live one.

A batch holds the shared advisory lock until it commits; a switch of builds takes the exclusive one, so that no batch is
under way while it compares offsets and flips the row. (Row locks instead would starve the switch: measured.) Whoever reads
holds the row's table until the end of the transaction: a switch takes it alone for a moment, so no tables are taken away
from under a reader. Both take the advisory lock first, so they cannot deadlock.
"""

from importlib import resources

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from domain.errors import IntegrityFault
from infra.postgres.projections.connection import Reconnecting

SWITCH_LOCK = 0x70726F6A_6C697665
"""The advisory lock of batches (shared) and switches (exclusive): 'projlive' in ASCII."""

TABLES_VERSION = 3
"""Of `build.sql` and `indexes.sql`, and of what the folds put into its tables: a live build of another version is filled anew from
Kafka. 3: pages of positions are found by an index in every table."""

READER = "partner_ledger_reader"

SHARED = f"BEGIN; SELECT pg_advisory_xact_lock_shared({SWITCH_LOCK})"
"""Begins a transaction that no switch of builds comes into."""
ALONE = f"BEGIN; SELECT pg_advisory_xact_lock({SWITCH_LOCK})"
"""Begins a switch of builds: no batch is under way and none begins."""
NO_READER = "LOCK TABLE projection.live IN ACCESS EXCLUSIVE MODE"
"""Waits for the pages that are being read of the live build, and lets no other one begin; at the end of a switch."""


def schema(build: int) -> str:
    """Give the schema's name of a build."""
    return f"projection_{build:d}"


def create_build(cursor: Cursor, name: str, *, indexed: bool) -> None:
    """Create the schema and tables of a build, within a transaction, and let the reader's login read them.

    Without indexes it is for a rebuild, which makes them when the tables are full (`index_statements`).
    """
    cursor.execute(f"CREATE SCHEMA {name}")
    cursor.execute(f"SET LOCAL search_path = {name}")
    cursor.execute(_sql("build.sql"))
    if indexed:
        cursor.execute(_sql("indexes.sql"))
    cursor.execute("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (READER,))
    if _one(cursor):  # on a server where one login does everything there is no reader to grant to
        cursor.execute(
            f"GRANT USAGE ON SCHEMA {name} TO {READER}; GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {READER}"
        )


def index_statements() -> list[str]:
    """Give the statements that make the indexes, one by one."""
    lines = [line for line in _sql("indexes.sql").splitlines() if not line.startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


def _sql(file: str) -> str:
    return resources.files("infra.postgres.projections").joinpath(file).read_text("utf-8")


def live_build(cursor: Cursor) -> int | None:
    """Give the number of the live build, None where there is none yet; its tables stay until the transaction ends.

    Where the transaction keeps one snapshot, this has to come first: the lock is taken before the snapshot.

    Raises:
        IntegrityFault: the database has not been migrated.

    """
    try:
        cursor.execute("LOCK TABLE projection.live IN ACCESS SHARE MODE")
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
        raise IntegrityFault("This database has no table projection.live: run the migrations first.") from None
    cursor.execute("SELECT build FROM projection.live")
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def ensure_live_build(database: Reconnecting) -> int:
    """Give the live build; make an empty one where there is none, or one of another tables' version.

    Raises:
        IntegrityFault: the live build was made by a newer version of the program.

    """
    with database.transaction() as cursor:
        build, tables_version = live_version(cursor)
    if build is not None and tables_version == TABLES_VERSION:
        return build
    with database.transaction(ALONE) as cursor:
        build, tables_version = live_version(cursor)  # another process may have made it meanwhile
        if build is not None and tables_version == TABLES_VERSION:
            return build
        if tables_version > TABLES_VERSION:
            raise IntegrityFault(
                f"Build {build} of the projections has tables of version {tables_version}, newer than this program's"
                f" {TABLES_VERSION}: update partner-ledger."
            )
        new = next_number(cursor)
        create_build(cursor, schema(new), indexed=True)
        if build is not None:
            cursor.execute(f"SET LOCAL lock_timeout = '5s'; {NO_READER}")  # behind a long reader all others would wait
            cursor.execute(f"DROP SCHEMA {schema(build)} CASCADE")
        make_live(cursor, new)
        return new


def next_number(cursor: Cursor) -> int:
    """Give a number that no build has or had: also those that a rebuild fills, left behind or kept count."""
    cursor.execute(
        "SELECT coalesce(max(substring(nspname FROM '[0-9]+$')::bigint), 0) + 1 FROM pg_namespace"
        " WHERE nspname ~ '^(projection|evidence)_[0-9]{1,9}$'"
    )
    return int(str(_one(cursor)))


def make_live(cursor: Cursor, build: int) -> None:
    """Flip the row to a build of this program's tables."""
    cursor.execute(
        "INSERT INTO projection.live (build, tables_version) VALUES (%(build)s, %(version)s) ON CONFLICT (only_row)"
        " DO UPDATE SET build = %(build)s, tables_version = %(version)s, switched_at = clock_timestamp()",
        {"build": build, "version": TABLES_VERSION},
    )


def live_version(cursor: Cursor) -> tuple[int | None, int]:
    """Give the live build and its tables' version; None and 0 where there is none."""
    build = live_build(cursor)
    if build is None:
        return None, 0
    cursor.execute("SELECT tables_version FROM projection.live")
    return build, int(str(_one(cursor)))


def _one(cursor: Cursor) -> object:
    row = cursor.fetchone()
    return None if row is None else row[0]
