"""A real PostgreSQL 18 for the tests of this folder, and in it a ledger of its own for every test that asks."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import psycopg2
import pytest

from infra.embedded.postgres_server import PostgresServer
from infra.postgres.connections import ConnectionPool
from infra.postgres.migrate import migrate
from infra.postgres.recorder import PostgresLedgerRecorder
from infra.settings import Settings

LOGINS = {"application": "ledger_app", "reader": "ledger_reader", "projector": "ledger_projector"}
TEMPLATE = "ledger_template"


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
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """The server; a test that stops it starts it again."""
    server = PostgresServer(Settings(home=Path(tmp_path_factory.mktemp("home"))), print)
    server.up(Event())
    try:
        yield server
    finally:
        server.down()


@pytest.fixture(scope="session")
def make_database(postgres_server: PostgresServer) -> Callable[[str | None], PostgresUrls]:
    """Make databases, of a template's content or empty."""
    numbers = itertools.count(1)

    def make(template: str | None) -> PostgresUrls:
        name = f"ledger_{next(numbers)}" if template or TEMPLATE in made else TEMPLATE
        copied = f"TEMPLATE {template or 'template0'} ENCODING 'UTF8'"
        run(postgres_server.url("postgres", "postgres"), f"CREATE DATABASE {name} OWNER ledger_owner {copied}")
        made.add(name)
        return PostgresUrls(
            admin=postgres_server.url("ledger_owner", name),
            application=postgres_server.url("ledger_app", name),
            reader=postgres_server.url("ledger_reader", name),
            projector=postgres_server.url("ledger_projector", name),
            superuser=postgres_server.url("postgres", name),
        )

    made: set[str] = set()
    return make


@pytest.fixture(scope="session")
def template(make_database: Callable[[str | None], PostgresUrls]) -> str:
    """A migrated database to copy."""
    urls = make_database(None)
    migrate(urls.admin, logins=LOGINS)
    return urlsplit(urls.admin).path.lstrip("/")


@pytest.fixture
def empty_urls(make_database: Callable[[str | None], PostgresUrls], template: str) -> PostgresUrls:
    """A database without anything in it."""
    return make_database(None)


@pytest.fixture
def postgres_urls(make_database: Callable[[str | None], PostgresUrls], template: str) -> PostgresUrls:
    """A ledger without events, migrated; a test's own."""
    urls = make_database(template)
    migrate(urls.admin, logins=LOGINS)  # rights on a database itself are not copied with it
    return urls


@pytest.fixture
def recorder(postgres_urls: PostgresUrls) -> Iterator[PostgresLedgerRecorder]:
    """The application's recorder on a ledger without events."""
    made = PostgresLedgerRecorder(ConnectionPool(postgres_urls.application), timezone="Europe/Zurich")
    yield made
    made.close()
