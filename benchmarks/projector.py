"""The projector: events a second from Kafka to committed rows, beside a consumer that only polls."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from kafka import TopicPartition

from benchmarks.filled import endpoints_of, relayed
from benchmarks.measuring import Bench, Clock, Spent
from consumers.projector import Projector
from infra.kafka.clients import read_committed_consumer
from infra.kafka.event_source import KafkaEventSource
from infra.postgres.event_log import PostgresEventLog
from infra.postgres.projections.store import PostgresProjectionStore
from infra.projector_process import GC_THRESHOLD
from infra.settings import Settings
from producers.topics import layouts
from tests.servers import fresh_database

_groups = count(1)


def measure(bench: Bench) -> None:
    """Read a filled topic, once with nothing done and once projected to a database of its own."""
    settings = relayed(bench.events)
    log = PostgresEventLog(endpoints_of(settings).database_url)
    events = log.last_position()
    log.close()
    with _collected_as_in_the_process():
        bench.rate("a bare consumer, polling only", "events/s", lambda: _poll(settings, events))
        bench.rate("projector", "events/s", lambda: _project(settings, events))


def _poll(settings: Settings, events: int) -> Spent:
    topic = layouts(settings.kafka_partitions, settings.topic_prefix).events
    consumer = read_committed_consumer(
        endpoints_of(settings).bootstrap_servers, max_poll_records=settings.projector_batch_events
    )
    partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    polled, clock = 0, Clock()
    while polled < events:
        polled += sum(map(len, consumer.poll(timeout_ms=200).values()))
    spent = clock.spent(polled)
    consumer.close()
    return spent


def _project(settings: Settings, events: int) -> Spent:
    source = KafkaEventSource(
        endpoints_of(settings).bootstrap_servers,
        layouts(prefix=settings.topic_prefix).events.name,
        group_id=f"{settings.topic_prefix}.projector-{next(_groups)}",
        max_records=settings.projector_batch_events,
    )
    store = PostgresProjectionStore(fresh_database().projector_database_url)
    projector = Projector(source, store, lambda _: None)
    clock = Clock()
    while not projector.applied:  # joining the group takes its time, and is not what is measured
        clock = Clock()
        projector.step()
    while projector.applied < events:
        projector.step()
    spent = clock.spent(projector.applied)
    source.close()
    store.close()
    return spent


@contextmanager
def _collected_as_in_the_process() -> Iterator[None]:
    """Let the garbage collector look for cycles as often as in the projector's own process."""
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
