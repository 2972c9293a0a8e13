"""Builds of the projections: one schema each, and the row that names the live one.

A batch holds the shared advisory lock until it commits; a switch of builds takes the exclusive one, so that no batch is
under way while it compares offsets and flips the row. (Row locks instead would starve the switch: measured.)
"""

from importlib import resources

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from domain.errors import IntegrityFault

SWITCH_LOCK = 0x70726F6A_6C697665
"""The advisory lock of batches (shared) and switches (exclusive): 'projlive' in ASCII."""

TABLES_VERSION = 3
"""Of `build.sql`, and of what the folds put into its tables: a live build of another version is filled anew from Kafka."""

READER = "partner_ledger_reader"


def schema(build: int) -> str:
    """Give the schema's name of a build."""
    return f"projection_{build:d}"


def create_build(cursor: Cursor, build: int) -> None:
    """Create the schema and tables of a build, within a transaction, and let the reader's login read them."""
    name = schema(build)
    cursor.execute(f"CREATE SCHEMA {name}")
    cursor.execute(f"SET LOCAL search_path = {name}")
    cursor.execute(resources.files("infra.postgres.projections").joinpath("build.sql").read_text("utf-8"))
    cursor.execute("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (READER,))
    if _one(cursor):  # on a server where one login does everything there is no reader to grant to
        cursor.execute(
            f"GRANT USAGE ON SCHEMA {name} TO {READER}; GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {READER}"
        )


def live_build(cursor: Cursor) -> int | None:
    """Give the number of the live build, None where there is none yet.

    Raises:
        IntegrityFault: the database has not been migrated.

    """
    cursor.execute("SELECT to_regclass('projection.live') IS NOT NULL")
    if not _one(cursor):
        raise IntegrityFault("This database has no table projection.live: run the migrations first.")
    cursor.execute("SELECT build FROM projection.live")
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def ensure_live_build(cursor: Cursor) -> int:
    """Give the live build; make an empty one where there is none, or one of another tables' version; within a transaction.

    Raises:
        IntegrityFault: the live build was made by a newer version of the program.

    """
    build, tables_version = _live(cursor)
    if build is not None and tables_version == TABLES_VERSION:
        return build
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SWITCH_LOCK,))
    build, tables_version = _live(cursor)  # another process may have made it meanwhile
    if build is not None and tables_version == TABLES_VERSION:
        return build
    if tables_version > TABLES_VERSION:
        raise IntegrityFault(
            f"Build {build} of the projections has tables of version {tables_version}, newer than this program's"
            f" {TABLES_VERSION}: update partner-ledger."
        )
    new = 1 if build is None else build + 1
    create_build(cursor, new)
    cursor.execute(
        "INSERT INTO projection.live (build, tables_version) VALUES (%(build)s, %(version)s) ON CONFLICT (only_row)"
        " DO UPDATE SET build = %(build)s, tables_version = %(version)s, switched_at = clock_timestamp()",
        {"build": new, "version": TABLES_VERSION},
    )
    if build is not None:
        cursor.execute(f"DROP SCHEMA {schema(build)} CASCADE")
    return new


def _live(cursor: Cursor) -> tuple[int | None, int]:
    build = live_build(cursor)
    if build is None:
        return None, 0
    cursor.execute("SELECT tables_version FROM projection.live")
    return build, int(str(_one(cursor)))


def _one(cursor: Cursor) -> object:
    row = cursor.fetchone()
    return None if row is None else row[0]
