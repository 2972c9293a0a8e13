"""Migrations: from nothing to this version, by anybody, at any time, as often as one likes."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import resources
from typing import Any

import psycopg2
import pytest

from domain.errors import IntegrityFault, LedgerError, ServiceUnreachable
from infra.embedded.postgres_server import PostgresServer
from infra.postgres.connections import ConnectionPool
from infra.postgres.migrate import Migration, migrate, packaged
from infra.postgres.recorder import PostgresLedgerRecorder
from tests.infra.postgres.conftest import LOGINS, PostgresUrls, run, sales

FILES = [file.name for file in packaged()]


@pytest.fixture
def empty(make_database: Callable[[str], PostgresUrls]) -> PostgresUrls:
    return make_database("template0")


def test_an_empty_database_becomes_a_ledger(empty: PostgresUrls) -> None:
    """All files are applied, in order, and recorded with their hashes; then the application can append."""
    assert migrate(empty.admin, logins=LOGINS) == FILES
    folder = resources.files("infra.postgres") / "migrations"
    assert run(empty.reader, "SELECT name, sha256 FROM ledger.migration ORDER BY name") == [
        (name, hashlib.sha256((folder / name).read_bytes()).hexdigest()) for name in FILES
    ]
    recorder = PostgresLedgerRecorder(ConnectionPool(empty.application), timezone="UTC")
    assert recorder.insert_events(sales("partner:P1", 1)) == [1]
    recorder.close()


def test_migrating_again_is_one_query(postgres_urls: PostgresUrls, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on a database that is up to date takes no lock and changes nothing: its one query is all it sends."""
    statements: list[str] = []

    class Counting(psycopg2.extensions.cursor):
        def execute(self, query: Any, vars: Any = None) -> None:
            statements.append(str(query))
            super().execute(query, vars)

    connect = psycopg2.connect
    monkeypatch.setattr(psycopg2, "connect", lambda *args, **kwargs: connect(*args, cursor_factory=Counting, **kwargs))
    assert migrate(postgres_urls.admin, logins=LOGINS) == []
    assert len(statements) == 1
    assert "SELECT" in statements[0]


def test_eight_processes_migrating_at_once_are_harmless(make_database: Callable[[str], PostgresUrls]) -> None:
    """Two new ledgers of one cluster, four migrations each: every file is applied once to each, all logins are let in."""
    ledgers = [make_database("template0"), make_database("template0")]
    with ThreadPoolExecutor(8) as pool:
        applied = list(pool.map(lambda n: (n % 2, migrate(ledgers[n % 2].admin, logins=LOGINS)), range(8)))
    for which in (0, 1):
        assert sorted(list(names) for ledger, names in applied if ledger == which) == [[], [], [], FILES]
        assert run(ledgers[which].application, "SELECT position FROM ledger.head") == [(0,)]


def test_a_changed_file_is_refused_by_name(postgres_urls: PostgresUrls) -> None:
    files = packaged()
    changed = [replace(files[0], text=files[0].text + "\n-- and one more thing"), *files[1:]]
    with pytest.raises(IntegrityFault, match=r"The migration 0001_event_store\.sql was changed after it was applied"):
        migrate(postgres_urls.admin, logins=LOGINS, migrations=changed)


def test_a_database_of_a_newer_version_is_refused(postgres_urls: PostgresUrls) -> None:
    migrate(postgres_urls.admin, logins=LOGINS, migrations=[*packaged(), Migration("9999_later.sql", "SELECT 1")])
    with pytest.raises(IntegrityFault, match=r"9999_later\.sql, which this version does not know: update"):
        migrate(postgres_urls.admin, logins=LOGINS)


def test_a_further_file_is_applied_alone_and_a_failing_one_leaves_nothing(postgres_urls: PostgresUrls) -> None:
    """Files of one run are one transaction: the good one before the bad one is not applied either."""
    good = Migration("9001_good.sql", "CREATE TABLE ledger.good ()")
    bad = Migration("9002_bad.sql", "CREATE TABLE ledger.bad (")
    with pytest.raises(Exception, match="syntax error"):
        migrate(postgres_urls.admin, logins=LOGINS, migrations=[*packaged(), good, bad])
    assert migrate(postgres_urls.admin, logins=LOGINS, migrations=[*packaged(), good]) == ["9001_good.sql"]


def test_one_login_may_do_everything(empty: PostgresUrls) -> None:
    """The owner as application: no group is needed, appends work, and history is immutable all the same."""
    migrate(empty.admin, logins=dict.fromkeys(LOGINS, "ledger_owner"))
    recorder = PostgresLedgerRecorder(ConnectionPool(empty.admin), timezone="UTC")
    assert recorder.insert_events(sales("partner:P1", 1)) == [1]
    recorder.close()
    with pytest.raises(Exception, match=r"never changes: DELETE on ledger\.event is refused"):
        run(empty.admin, "DELETE FROM ledger.event")


def test_a_login_let_in_later_only_needs_another_run(postgres_urls: PostgresUrls) -> None:
    run(postgres_urls.admin, "DROP ROLE IF EXISTS late_reader", "CREATE ROLE late_reader LOGIN")
    url = postgres_urls.reader.replace("ledger_reader@", "late_reader@")
    with pytest.raises(Exception, match="permission denied for database"):
        run(url, "SELECT 1")
    assert migrate(postgres_urls.admin, logins={**LOGINS, "reader": "late_reader"}) == []
    assert run(url, "SELECT position FROM ledger.head") == [(0,)]


def test_an_owner_of_another_ledger_is_told_what_to_grant(
    postgres_server: PostgresServer, make_database: Callable[[str], PostgresUrls]
) -> None:
    """The group roles belong to whoever came first; another owner may use them once an administrator lets it."""
    urls = make_database("template0")
    name = urls.admin.split("@/")[1].split("?")[0]
    run(
        urls.superuser,
        "DROP ROLE IF EXISTS other_owner, other_app",
        "CREATE ROLE other_owner LOGIN CREATEROLE",
        f"ALTER DATABASE {name} OWNER TO other_owner",
        "CREATE ROLE other_app LOGIN",
    )
    admin = urls.admin.replace("ledger_owner@", "other_owner@")
    logins = dict.fromkeys(LOGINS, "other_app")
    with pytest.raises(LedgerError, match="may not grant partner_ledger_application to 'other_app'"):
        migrate(admin, logins=logins)
    groups = "partner_ledger_application, partner_ledger_reader, partner_ledger_projector"
    run(urls.superuser, f"GRANT {groups} TO other_owner WITH ADMIN OPTION")
    assert migrate(admin, logins=logins) == FILES
    with pytest.raises(Exception, match="permission denied for database"):
        run(urls.application, "SELECT 1")  # the first ledger's application is in the same group, but not let in here


def test_what_is_missing_is_said_in_a_sentence(empty: PostgresUrls, tmp_path: object) -> None:
    with pytest.raises(LedgerError, match="The login 'nobody_there' does not exist on this server"):
        migrate(empty.admin, logins={**LOGINS, "reader": "nobody_there"})
    with pytest.raises(LedgerError, match="lacks a right"):
        migrate(empty.application, logins=LOGINS)
    with pytest.raises(ServiceUnreachable, match="cannot be reached"):
        migrate(f"postgresql://ledger_owner@/ledger?host={tmp_path}", logins=LOGINS)
    with pytest.raises(ValueError, match="logins must be of application, reader, projector"):
        migrate(empty.admin, logins={"application": "ledger_app"})
