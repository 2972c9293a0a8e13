"""Migrations: bring a database to the schema that this version needs; run with the owner's login, repeatable, by anybody at once.

The files in `migrations/` are applied in the order of their names, once each, in one transaction; `ledger.migration` keeps
their SHA-256, so a file that was changed after it was applied is refused by name: change the schema by a further file.

Rights hang on three group roles, which the logins are members of. Roles belong to the whole cluster, databases do not: each
ledger lets in its own logins only.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any

import psycopg2
from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names classes in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from domain.errors import IntegrityFault, LedgerError
from infra.postgres.connections import connect, errors_translated

MIGRATION_LOCK = 0x6D696772_61746521
"""The advisory lock of migrating: 'migrate!' in ASCII."""

GROUPS = {
    "application": "partner_ledger_application",
    "reader": "partner_ledger_reader",
    "projector": "partner_ledger_projector",
}

_ROLE_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Migration:
    """A file of migrations."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of its bytes, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrate(
    admin_url: str, *, logins: Mapping[str, str], migrations: Sequence[Migration] | None = None
) -> Sequence[str]:
    """Bring the database up to date and let the logins in; give the names of the files applied now.

    `logins` has the login names of `application`, `reader` and `projector`; one may be several of them, or the owner. Where
    nothing is to be done this is one cheap query.

    Raises:
        StoreUnreachable: the server does not answer.
        IntegrityFault: a file was changed after it was applied, or the database was migrated by a newer version.
        LedgerError: the owner's login lacks a right, or a login does not exist.

    """
    if set(logins) != set(GROUPS):
        raise ValueError(f"logins must be of {', '.join(GROUPS)}, not of {', '.join(logins) or 'none'}")
    files = packaged() if migrations is None else migrations
    connection = connect(admin_url, "partner-ledger migrate")
    try:
        with errors_translated(connection, admin_url), connection.cursor() as cursor:
            if _is_up_to_date(cursor, files, logins):
                return []
            # Until this connection is closed: a second process waits here, and then finds nothing to do.
            cursor.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            _let_in(cursor, logins)
            return _apply(connection, cursor, files)
    finally:
        connection.close()


def is_prepared(read_url: str) -> bool:
    """Tell whether a database was ever migrated, with a login that only reads.

    Raises:
        StoreUnreachable: the server does not answer.

    """
    connection = connect(read_url, "partner-ledger status")
    try:
        with errors_translated(connection, read_url), connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('projection.live') IS NOT NULL")
            return bool(_one(cursor)[0])
    finally:
        connection.close()


def packaged() -> Sequence[Migration]:
    """Give the migrations of this version, in order."""
    folder = resources.files("infra.postgres").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(name, folder.joinpath(name).read_text("utf-8")) for name in names]


def _is_up_to_date(cursor: Cursor, files: Sequence[Migration], logins: Mapping[str, str]) -> bool:
    """Ask in one query whether all files are applied and all logins let in."""
    try:
        cursor.execute(
            """
            SELECT (SELECT array_agg(ARRAY[name, sha256] ORDER BY name) FROM ledger.migration),
                   has_database_privilege('partner_ledger_projector', current_database(), 'CREATE')
                   AND (SELECT bool_and(has_database_privilege(login, current_database(), 'CONNECT')
                                        AND (login = current_user OR pg_has_role(login, role, 'USAGE')))
                          FROM unnest(%s::text[], %s::text[]) AS wanted (login, role))
            """,
            ([logins[group] for group in GROUPS], list(GROUPS.values())),
        )
    except (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedObject):
        return False  # never migrated, or a role does not exist: the steps that follow say which
    applied, let_in = _one(cursor)
    _check_applied(dict(applied or []), files)
    return len(applied or []) == len(files) and bool(let_in)


def _check_applied(applied: Mapping[str, str], files: Sequence[Migration]) -> None:
    known = {file.name: file for file in files}
    for name, sha256 in applied.items():
        if name not in known:
            raise IntegrityFault(
                f"The database has the migration {name}, which this version does not know: update partner-ledger."
            )
        if known[name].sha256 != sha256:
            raise IntegrityFault(
                f"The migration {name} was changed after it was applied to this database: put the file back as it was, and"
                " change the schema by a further file."
            )


def _apply(connection: Connection, cursor: Cursor, files: Sequence[Migration]) -> Sequence[str]:
    """Apply what is missing, in one transaction."""
    try:
        cursor.execute("BEGIN; SELECT to_regclass('ledger.migration') IS NOT NULL")
        applied: dict[str, str] = {}
        if _one(cursor)[0]:
            cursor.execute("SELECT name, sha256 FROM ledger.migration")
            applied = dict(cursor.fetchall())
        _check_applied(applied, files)
        missing = [file for file in files if file.name not in applied]
        for file in missing:
            cursor.execute(file.text)
        if missing:
            _record(cursor, missing)
        cursor.execute("COMMIT")
    except errors.InsufficientPrivilege as error:
        raise LedgerError(
            f"The login of the migrations lacks a right ({_sentence(error)}): let it own the database, or GRANT CREATE on it."
        ) from error
    finally:
        if not connection.closed and connection.get_transaction_status() != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            cursor.execute("ROLLBACK")
    return [file.name for file in missing]


def _record(cursor: Cursor, files: Sequence[Migration]) -> None:
    cursor.execute(
        """
        CREATE TABLE IF NOT EXISTS ledger.migration (
            name       text COLLATE "C" PRIMARY KEY,
            sha256     text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        GRANT SELECT ON ledger.migration TO partner_ledger_application, partner_ledger_reader, partner_ledger_projector
        """
    )
    for file in files:
        cursor.execute("INSERT INTO ledger.migration (name, sha256) VALUES (%s, %s)", (file.name, file.sha256))


def _let_in(cursor: Cursor, logins: Mapping[str, str]) -> None:
    """Make the group roles, put the logins into them, and let these into the database."""
    for group in GROUPS.values():
        _settled(partial(_make_group, cursor, group))
    for name, group in GROUPS.items():
        _settled(partial(_join, cursor, logins[name], group))
    _settled(partial(_open_database, cursor, sorted(set(logins.values()))))


def _settled(change: Callable[[], None]) -> None:
    """Change roles. They are the cluster's, and no lock keeps other ledgers' migrations out: begin anew where these were faster."""
    for attempt in range(_ROLE_ATTEMPTS):
        try:
            return change()
        except (errors.DuplicateObject, errors.UniqueViolation, errors.InternalError_):
            if attempt == _ROLE_ATTEMPTS - 1:
                raise
            time.sleep(0.05)
    return None


def _make_group(cursor: Cursor, group: str) -> None:
    cursor.execute("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (group,))
    if _one(cursor)[0]:
        return
    try:
        cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(group)))
    except errors.InsufficientPrivilege as error:
        raise LedgerError(
            f"The role {group} does not exist, and the login of the migrations may not make it: give it CREATEROLE, or make the"
            " role and grant it to that login WITH ADMIN OPTION."
        ) from error


def _join(cursor: Cursor, login: str, group: str) -> None:
    """Make a login a member of a group, unless it is one or owns the tables anyway."""
    cursor.execute(
        "SELECT rolname = current_user OR pg_has_role(oid, %s, 'USAGE') FROM pg_roles WHERE rolname = %s",
        (group, login),
    )
    row = cursor.fetchone()
    if row is None:
        raise LedgerError(
            f"The login {login!r} does not exist on this server: make it, or correct the URL that names it."
        )
    if row[0]:
        return
    try:
        cursor.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(login)))
    except errors.InsufficientPrivilege as error:
        raise LedgerError(
            f"The login of the migrations may not grant {group} to {login!r} (another ledger's owner made that role): let an"
            f" administrator GRANT {group} TO {login}, or to the login of the migrations WITH ADMIN OPTION."
        ) from error


def _open_database(cursor: Cursor, logins: Sequence[str]) -> None:
    """Let the logins into this database, and nobody else's: the groups are the same for all ledgers of a cluster."""
    cursor.execute(
        "SELECT current_database(), pg_has_role(current_user, datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
    )
    name, owned = _one(cursor)
    if not owned:
        return
    database = sql.Identifier(name)
    cursor.execute(
        sql.SQL(
            "REVOKE CONNECT ON DATABASE {} FROM PUBLIC; GRANT CONNECT ON DATABASE {} TO {}, CURRENT_USER; GRANT CREATE ON DATABASE {} TO {}"
        ).format(
            database,
            database,
            sql.SQL(", ").join(map(sql.Identifier, logins)),
            database,
            sql.Identifier(GROUPS["projector"]),
        )
    )


def _one(cursor: Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    return row


def _sentence(error: psycopg2.Error) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
