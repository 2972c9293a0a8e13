"""What the projector's tests do on the real servers: topics of their own, records, projectors to step, rows to compare."""

import itertools
import os
from collections.abc import Callable, Iterable, Sequence

import psycopg2
from kafka import KafkaProducer
from psycopg2.extras import execute_values

from consumers.projector import Projector
from domain.envelope import leaf_hash
from infra.embedded.servers import Endpoints
from infra.kafka.admin import ensure_topics
from infra.kafka.clients import admin, transactional_producer
from infra.kafka.event_source import KafkaEventSource
from infra.postgres.projections.store import PostgresProjectionStore
from producers.topics import TopicLayout
from tests.projections.histories import Told
from tests.servers import execute
from tests.waiting import eventually

_numbers = itertools.count(1)


def fresh_topic(bootstrap: str, partitions: int = 3) -> str:
    """Make a topic of its own for a test."""
    name = f"projector-{os.getpid()}-{next(_numbers)}.events"
    ensure_topic(bootstrap, name, partitions)
    return name


def ensure_topic(bootstrap: str, name: str, partitions: int = 3) -> None:
    """Make a topic of a name."""
    ensure_topics(bootstrap, [TopicLayout(name, partitions, {})])


def delete_topic(bootstrap: str, name: str) -> None:
    """Delete a topic."""
    client = admin(bootstrap)
    client.delete_topics([name])
    client.close()


def produce(
    bootstrap: str, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], *, a_transaction: int = 500
) -> None:
    """Put records on a topic in transactions, so that its offsets have gaps where their markers are."""
    producer: KafkaProducer = transactional_producer(bootstrap, f"test-{os.getpid()}-{next(_numbers)}")
    producer.init_transactions()
    pending = list(records)
    for start in range(0, len(pending), a_transaction):
        producer.begin_transaction()
        for key, value in pending[start : start + a_transaction]:
            producer.send(topic, key=key, value=value)
        producer.commit_transaction()
    producer.close()


def hold(endpoints: Endpoints, told: Iterable[Told]) -> None:
    """Put a history into the event store, past its triggers: the projector applies nothing that the store does not hold."""
    records = [
        (each.position, each.version, each.stream, psycopg2.Binary(b"{}"), psycopg2.Binary(leaf_hash(each.value)))
        for each in told
    ]
    connection = psycopg2.connect(endpoints.admin_database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ledger.event DISABLE TRIGGER USER")
        execute_values(
            cursor,
            "INSERT INTO ledger.event (position, version, stream, data, leaf_hash, recorded_at, schema_version,"
            " envelope_version, type, actor, command_id) VALUES %s ON CONFLICT DO NOTHING",
            records,
            "(%s, %s, %s, %s, %s, now(), 1, 1, 'Told', 'test', 'test')",
            page_size=1000,
        )
        cursor.execute("ALTER TABLE ledger.event ENABLE ALWAYS TRIGGER takes_its_positions")
        cursor.execute("ALTER TABLE ledger.event ENABLE ALWAYS TRIGGER is_immutable")
    connection.close()


def tell(endpoints: Endpoints, topic: str, told: Sequence[Told]) -> None:
    """Put a history into the store and on a topic, as the ledger and its relay would."""
    hold(endpoints, told)
    produce(endpoints.bootstrap_servers, topic, keyed(told))


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
    execute(url, f"SET search_path = projection_1; {statement}")


TABLES = (
    *("partner", "tier", "specialisation", "membership", "sale", "reversal", "bonus_line", "posting", "balance"),
    *("audit", "stream_version", "dropped", "parked", "partition_progress"),
)


def everything(endpoints: Endpoints, but: Sequence[str] = ()) -> dict[str, list[tuple[object, ...]]]:
    """Read every table of the build, its rows sorted; they cite offsets too, so equal means equal in all, `but` those columns."""
    without = "".join(f" - '{column}'" for column in but)
    return {
        table: sorted(rows(endpoints.read_database_url, f"SELECT (to_jsonb(t){without})::text FROM {table} AS t"))
        for table in TABLES
    }


def step_until(projector: Projector, events: int) -> None:
    """Step until so many events are applied."""
    while projector.applied < events:
        projector.step()
        projector.finish()


def step_to(projector: Projector, true: Callable[[], bool]) -> None:
    """Step until something holds."""

    def holds() -> bool:
        projector.step()
        projector.finish()
        return true()

    eventually(holds, 30)


def applied(endpoints: Endpoints) -> int:
    """Give the number of events applied so far; 0 before the first build is there."""
    if not execute(endpoints.read_database_url, "SELECT build FROM projection.live"):
        return 0
    ((count,),) = rows(endpoints.read_database_url, "SELECT coalesce(sum(applied), 0)::int FROM partition_progress")
    assert isinstance(count, int)
    return count


def drop_build(endpoints: Endpoints) -> None:
    """Delete the projections, all of them."""
    execute(endpoints.projector_database_url, "DROP SCHEMA projection_1 CASCADE")
    execute(endpoints.admin_database_url, "DELETE FROM projection.live")


def check_as_if_undisturbed(endpoints: Endpoints, topic: str, events: int, but: Sequence[str] = ()) -> None:
    """Compare with what one undisturbed process makes of the topic, after every projection was deleted."""
    disturbed = everything(endpoints, but)
    drop_build(endpoints)
    again = projector(endpoints, topic, group=f"undisturbed-{topic}", max_records=5000)
    step_to(again, lambda: applied(endpoints) == events and not rows(endpoints.read_database_url, "SELECT FROM parked"))
    undisturbed = everything(endpoints, but)
    for table in TABLES:
        assert disturbed[table] == undisturbed[table], table
    audited = rows(endpoints.read_database_url, "SELECT count(*), count(DISTINCT position) FROM audit")
    assert audited == [(events, events)]
