"""The real Kafka and PostgreSQL of the tests: a pair for each process that runs tests, and on it as many ledgers as wanted.

A ledger of a test's own is a database and a topic prefix on the shared servers, which takes a fraction of a second; tests
that stop or kill servers start a pair of their own in a home of their own.
"""

import atexit
import itertools
import os
import re
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

import psycopg2
from psycopg2.extensions import parse_dsn

from infra.embedded.servers import Endpoints, Servers
from infra.postgres.migrate import migrate
from infra.settings import Settings

LOGINS = {"application": "ledger_app", "reader": "ledger_reader", "projector": "ledger_projector"}
_numbers = itertools.count(1)
_made = ExitStack()
atexit.register(_made.close)


def clear() -> None:
    """Stop the servers and remove the homes, as the end of the process does; nothing may be asked of them any more."""
    _made.close()


def temporary_home() -> Path:
    """Make a home that PostgreSQL's own user may enter, removed when the tests end."""
    home = Path(tempfile.mkdtemp(prefix="plt-"))
    home.chmod(0o755)
    _made.callback(shutil.rmtree, home, ignore_errors=True)
    return home


@cache
def servers() -> tuple[Settings, Servers, Endpoints]:
    """Start the servers once; they are stopped when the tests end."""
    settings = Settings(home=temporary_home(), wait_timeout_s=180)
    started = Servers(settings, say=lambda _: None)
    _made.callback(started.down)
    return settings, started, started.up()


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement in autocommit; give its rows."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def _on(url: str, database: str) -> str:
    return re.sub(r"@/[^?]*", f"@/{database}", url)


def superuser_url(database: str = "postgres") -> str:
    """Give the superuser's URL of a database on the shared server."""
    return _on(servers()[2].admin_database_url.replace("ledger_owner@", "postgres@"), database)


@cache
def _keys() -> Path:
    """Make the folder of the ledgers' signing keys, which lie in no ledger's home."""
    return temporary_home()


@cache
def _template() -> str:
    """Make, once, a migrated database that others are copied from."""
    name = f"template_{os.getpid()}"
    execute(superuser_url(), f"CREATE DATABASE {name} OWNER ledger_owner TEMPLATE template0 ENCODING 'UTF8'")
    migrate(_on(servers()[2].admin_database_url, name), logins=LOGINS)
    return name


def fresh_database() -> Endpoints:
    """Make a ledger's database without events, on the shared server."""
    name = f"ledger_{os.getpid()}_{next(_numbers)}"
    execute(superuser_url(), f"CREATE DATABASE {name} OWNER ledger_owner TEMPLATE {_template()}")
    return _let_in(servers()[2], name)


def _let_in(endpoints: Endpoints, database: str) -> Endpoints:
    """Give the endpoints of a database that was copied from another one; rights on a database itself are not copied with it."""
    copied = replace(
        endpoints,
        admin_database_url=_on(endpoints.admin_database_url, database),
        database_url=_on(endpoints.database_url, database),
        read_database_url=_on(endpoints.read_database_url, database),
        projector_database_url=_on(endpoints.projector_database_url, database),
    )
    migrate(copied.admin_database_url, logins=LOGINS)
    return copied


def copied_database(of: Endpoints) -> Endpoints:
    """Make a copy of a ledger's database, to be tampered with; nobody may be connected to the one that is copied."""
    name = f"copy_{os.getpid()}_{next(_numbers)}"
    template = str(parse_dsn(of.admin_database_url)["dbname"])
    execute(superuser_url(), f"CREATE DATABASE {name} OWNER ledger_owner TEMPLATE {template}")
    return _let_in(of, name)


def fresh_ledger() -> Settings:
    """Make settings of a ledger without events: a database, topics and a home of its own, on the shared servers."""
    endpoints = fresh_database()
    return Settings(
        home=temporary_home(),
        kafka=endpoints.bootstrap_servers,
        database_url=endpoints.database_url,
        admin_database_url=endpoints.admin_database_url,
        read_database_url=endpoints.read_database_url,
        projector_database_url=endpoints.projector_database_url,
        wait_timeout_s=180,  # on a busy machine
        signing_key=_keys() / f"{next(_numbers)}.pem",  # made on first use; never one of whoever runs the tests
        topic_prefix=f"test-{os.getpid()}-{next(_numbers)}",
    )
