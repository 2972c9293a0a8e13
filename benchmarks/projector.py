"""The projector: events a second from Kafka to committed rows, beside a consumer that only polls."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from kafka import TopicPartition

from benchmarks.filled import endpoints_of, last_position, most_memory_mb, relayed
from benchmarks.measuring import Bench, Clock, Spent
from consumers.projector import Projector
from infra.bootstrap import PROJECTOR
from infra.kafka.clients import read_committed_consumer
from infra.kafka.event_source import KafkaEventSource
from infra.postgres.projections.read_models import PostgresReadModels
from infra.postgres.projections.store import PostgresProjectionStore
from infra.projector_process import GC_THRESHOLD, SWITCH_INTERVAL_S
from infra.settings import Settings
from producers.topics import layouts
from tests.servers import execute, temporary_home

_groups = count(1)


def measure(bench: Bench) -> None:
    """Read a filled topic, once with nothing done and once projected; what was projected before is deleted each time."""
    settings = relayed(bench.events)
    events = last_position(settings)
    with as_in_the_process():
        bench.rate("a bare consumer, polling only", "events/s", lambda: _poll(settings, events))
        bench.rate("projector", "events/s", lambda: project(settings, events))
    bench.values("resident memory of its process, at most", "MB", [_most_memory_mb(settings, events)])


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


def project(settings: Settings, events: int) -> Spent:
    """Project a topic anew, in this process."""
    endpoints = endpoints_of(settings)
    delete_projections(settings)
    source = KafkaEventSource(
        endpoints.bootstrap_servers,
        layouts(prefix=settings.topic_prefix).events.name,
        group_id=f"{settings.topic_prefix}.projector-{next(_groups)}",
        max_records=settings.projector_batch_events,
    )
    store = PostgresProjectionStore(endpoints.projector_database_url)
    projector = Projector(source, store, lambda _: None)
    clock = Clock()
    while not projector.handled:  # joining the group takes its time, and is not what is measured
        clock = Clock()
        projector.step()
    while projector.handled + projector.under_way < events:
        projector.step()
    projector.finish()
    assert projector.applied == events, "nothing is to be parked"
    spent = clock.spent(events)
    projector.close()
    return spent


def _most_memory_mb(settings: Settings, events: int) -> float:
    delete_projections(settings)
    models = PostgresReadModels(endpoints_of(settings).read_database_url)
    try:
        home = settings.model_copy(update={"home": temporary_home()})
        return most_memory_mb(home, PROJECTOR, lambda: models.standing().applied == events)
    finally:
        models.close()


def delete_projections(settings: Settings) -> None:
    """Delete what was projected, so that the next projector fills it again."""
    endpoints = endpoints_of(settings)
    for (build,) in execute(endpoints.read_database_url, "SELECT build FROM projection.live"):
        execute(endpoints.projector_database_url, f"DROP SCHEMA projection_{build} CASCADE")
    execute(endpoints.admin_database_url, "DELETE FROM projection.live")


@contextmanager
def as_in_the_process() -> Iterator[None]:
    """Let the garbage collector look for cycles, and threads take turns, as often as in the projector's own process."""
    before, interval_s = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(*GC_THRESHOLD)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        sys.setswitchinterval(interval_s)
