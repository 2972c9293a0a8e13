"""The real Kafka and PostgreSQL for the projector's tests: one pair for the session, fresh topics and databases from it."""

import atexit
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import psycopg2
from kafka import KafkaProducer

from consumers.projector import Projector
from infra.embedded.servers import Endpoints, Servers
from infra.kafka.admin import ensure_topics
from infra.kafka.clients import transactional_producer
from infra.kafka.event_source import KafkaEventSource
from infra.postgres.migrate import migrate
from infra.postgres.projections.store import PostgresProjectionStore
from infra.settings import Settings
from producers.topics import TopicLayout
from tests.projections.histories import Told

LOGINS = {"application": "ledger_app", "reader": "ledger_reader", "projector": "ledger_projector"}


@cache
def servers() -> tuple[Settings, Servers, Endpoints]:
    """Start the servers once; they are stopped, and their data removed, when the tests end."""
    home = Path(tempfile.mkdtemp(prefix="plp-"))
    home.chmod(0o755)
    settings = Settings(home=home, kafka_heap_mb=256)
    started = Servers(settings, say=lambda _: None)

    def stop() -> None:
        started.down()
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(stop)
    return settings, started, started.up()


def fresh_database() -> Endpoints:
    """Make a database of the ledger, migrated."""
    _, _, endpoints = servers()
    name = f"test_{uuid.uuid4().hex[:12]}"
    superuser = endpoints.admin_database_url.replace("ledger_owner@", "postgres@")
    _execute(
        _on(superuser, "postgres"), f"CREATE DATABASE {name} OWNER ledger_owner TEMPLATE template0 ENCODING 'UTF8'"
    )
    migrate(_on(endpoints.admin_database_url, name), logins=LOGINS)
    return replace(
        endpoints,
        admin_database_url=_on(endpoints.admin_database_url, name),
        database_url=_on(endpoints.database_url, name),
        read_database_url=_on(endpoints.read_database_url, name),
        projector_database_url=_on(endpoints.projector_database_url, name),
    )


def fresh_topic(partitions: int = 3) -> str:
    """Make a topic of its own for a test."""
    name = f"events-{uuid.uuid4().hex[:12]}"
    ensure_topics(servers()[2].bootstrap_servers, [TopicLayout(name, partitions, {})])
    return name


def produce(topic: str, records: Iterable[tuple[bytes | None, bytes | None]], *, a_transaction: int = 500) -> None:
    """Put records on a topic in transactions, so that its offsets have gaps where their markers are."""
    producer: KafkaProducer = transactional_producer(servers()[2].bootstrap_servers, f"test-{uuid.uuid4()}")
    producer.init_transactions()
    pending = list(records)
    for start in range(0, len(pending), a_transaction):
        producer.begin_transaction()
        for key, value in pending[start : start + a_transaction]:
            producer.send(topic, key=key, value=value)
        producer.commit_transaction()
    producer.close()


def keyed(told: Iterable[Told]) -> list[tuple[bytes | None, bytes | None]]:
    """Give a history's records."""
    return [(each.key, each.value) for each in told]


def projector(
    endpoints: Endpoints, topic: str, *, group: str = "", max_records: int = 500, said: list[str] | None = None
) -> Projector:
    """Make a projector as the process does, to be stepped by a test."""
    source = KafkaEventSource(
        endpoints.bootstrap_servers, topic, group_id=group or f"group-{topic}", max_records=max_records
    )
    store = PostgresProjectionStore(endpoints.projector_database_url)
    return Projector(source, store, (said if said is not None else []).append)


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    """Query a build of the projections."""
    connection = psycopg2.connect(url, options="-c search_path=projection_1")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def write(url: str, statement: str) -> None:
    """Change a build behind the projector's back."""
    _execute(url, f"SET search_path = projection_1; {statement}")


def _on(url: str, database: str) -> str:
    return re.sub(r"@/[^?]*", f"@/{database}", url)


def _execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


TABLES = (
    *("partner", "tier", "specialisation", "membership", "sale", "reversal", "bonus_line", "posting", "balance"),
    *("audit", "stream_version", "partition_progress"),
)


def everything(endpoints: Endpoints) -> dict[str, list[tuple[object, ...]]]:
    """Read every table of a build, its rows sorted; rows cite offsets too, so equal means equal in all."""
    return {table: sorted(rows(endpoints.read_database_url, f"SELECT t::text FROM {table} AS t")) for table in TABLES}
