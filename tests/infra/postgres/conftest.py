"""A real PostgreSQL 18 for the tests of this folder, and in it a ledger of its own for every test that asks."""

import datetime as dt
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import psycopg2
import pytest
from eventsourcing.persistence import StoredEvent

from domain.recording import LedgerStoredEvent
from infra.embedded.postgres_server import PostgresServer
from infra.postgres.connections import ConnectionPool
from infra.postgres.migrate import migrate
from infra.postgres.recorder import PostgresLedgerRecorder
from infra.settings import Settings

LOGINS = {"application": "ledger_app", "reader": "ledger_reader", "projector": "ledger_projector"}
MAY = dt.date(2011, 5, 31)


@dataclass(frozen=True)
class PostgresUrls:
    """One database by its logins; the superuser is the tests' alone."""

    admin: str
    application: str
    reader: str
    projector: str
    superuser: str


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements one by one, each its own transaction; give the last one's rows."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server; a test that stops it starts it again.

    Not under pytest's folder: started by root, PostgreSQL runs as another user, whom each further pytest on this machine
    would shut out by making that folder private again.
    """
    home = Path(tempfile.mkdtemp(prefix="ledger-"))
    server = PostgresServer(Settings(home=home), print)
    try:
        server.up(Event())
        yield server
    finally:
        server.down()
        shutil.rmtree(home)


MakeDatabase = Callable[[str], PostgresUrls]


@pytest.fixture(scope="session")
def make_database(postgres_server: PostgresServer) -> MakeDatabase:
    """Make databases of the content of another one."""
    numbers = itertools.count(1)

    def make(template: str) -> PostgresUrls:
        name = f"ledger_{next(numbers)}"
        superuser = postgres_server.url("postgres", "postgres")
        run(superuser, f"CREATE DATABASE {name} OWNER ledger_owner TEMPLATE {template} ENCODING 'UTF8'")
        logins = ("ledger_owner", "ledger_app", "ledger_reader", "ledger_projector", "postgres")
        return PostgresUrls(*(postgres_server.url(login, name) for login in logins))

    return make


@pytest.fixture(scope="session")
def make_ledger(make_database: MakeDatabase) -> Callable[[], PostgresUrls]:
    """Make ledgers without events."""
    migrated = make_database("template0")
    migrate(migrated.admin, logins=LOGINS)
    template = urlsplit(migrated.admin).path.lstrip("/")

    def make() -> PostgresUrls:
        urls = make_database(template)
        migrate(urls.admin, logins=LOGINS)  # rights on a database itself are not copied with it
        return urls

    return make


@pytest.fixture
def postgres_urls(make_ledger: Callable[[], PostgresUrls]) -> PostgresUrls:
    """A ledger without events, migrated; a test's own."""
    return make_ledger()


@pytest.fixture
def recorder(postgres_urls: PostgresUrls) -> Iterator[PostgresLedgerRecorder]:
    """The application's recorder on a ledger without events."""
    made = PostgresLedgerRecorder(ConnectionPool(postgres_urls.application), timezone="Europe/Zurich")
    yield made
    made.close()


def sales(stream: str, first: int, count: int = 1, *, command_id: str = "c-1", on: dt.date = MAY) -> list[StoredEvent]:
    """Events as the application would append them."""
    return [
        LedgerStoredEvent(stream, version, "SaleRecorded", b'{"n":%d}' % version, 1, on, command_id)
        for version in range(first, first + count)
    ]
