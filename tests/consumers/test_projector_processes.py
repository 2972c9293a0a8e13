"""The projector as real processes: killed, joined by another one, its servers away; the rows are as if undisturbed."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from domain.errors import IntegrityFault
from infra.embedded.servers import Servers
from infra.postgres.migrate import migrate
from infra.settings import Settings
from tests.consumers import real
from tests.consumers.conftest import Bench
from tests.projections.histories import History, network
from tests.servers import LOGINS, temporary_home
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)
SESSION_TIMEOUT_MS = 2_000


@contextmanager
def process(bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    spec = {
        "endpoints": dataclasses.asdict(bench.endpoints),
        "topic": bench.topic,
        "batch": 100,
        "session_timeout_ms": SESSION_TIMEOUT_MS,
    }
    child = subprocess.Popen([sys.executable, "-m", "tests.consumers.projector_script", json.dumps(spec)])
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def applied(bench: Bench) -> int:
    return real.applied(bench.endpoints)


@contextmanager
def flowing(bench: Bench, history: History, seconds: float) -> Iterator[None]:
    """Put a history into the store and then, little by little while the test goes on, on the topic."""
    real.hold(bench.endpoints, history.told)

    def flow() -> None:
        records, parts = history.told, 20
        for part in range(parts):
            now = records[part * len(records) // parts : (part + 1) * len(records) // parts]
            real.produce(bench.endpoints.bootstrap_servers, bench.topic, real.keyed(now))
            time.sleep(seconds / parts)

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_killed_five_times_while_events_flow_it_ends_as_if_undisturbed(bench: Bench) -> None:
    history = network(60, 60)
    with flowing(bench, history, 8):
        for _ in range(5):
            with process(bench) as child:
                before = applied(bench)
                eventually(lambda before=before: child.poll() is not None or applied(bench) > before)  # type: ignore[misc]  # the default binds
                assert child.poll() is None
                child.send_signal(signal.SIGKILL)
    with process(bench):
        eventually(lambda: applied(bench) == len(history.told))
    real.check_as_if_undisturbed(bench.endpoints, bench.topic, len(history.told))


def test_two_processes_share_the_partitions_and_one_takes_over_from_the_other(bench: Bench) -> None:
    history = network(60, 60)
    with flowing(bench, history, 6), process(bench) as first:
        eventually(lambda: applied(bench) > 0)
        with process(bench) as second:
            time.sleep(3)
            assert second.poll() is None
            first.terminate()
            assert first.wait(20) == 0, "SIGTERM ends it well"
            eventually(lambda: applied(bench) == len(history.told))
            second.terminate()
            assert second.wait(20) == 0
    real.check_as_if_undisturbed(bench.endpoints, bench.topic, len(history.told))


@contextmanager
def running(bench: Bench) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=bench.projector.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def own() -> Iterator[tuple[Servers, Bench]]:
    """Servers that nobody else uses, to be killed and stopped."""
    servers = Servers(Settings(home=temporary_home(), kafka_heap_mb=256), say=lambda _: None)
    endpoints = servers.up()
    migrate(endpoints.admin_database_url, logins=LOGINS)
    topic = real.fresh_topic(endpoints.bootstrap_servers)
    said: list[str] = []
    yield servers, Bench(endpoints, topic, real.projector(endpoints, topic, said=said), said)
    servers.down()


def test_postgresql_killed_and_kafka_silent_are_said_once_and_nothing_is_lost(own: tuple[Servers, Bench]) -> None:
    servers, bench = own
    history = network(20, 60)
    half = len(history.told) // 2
    with running(bench):
        with flowing(bench, History(history.told[:half]), 3):
            eventually(lambda: bench.projector.applied > 100)
            os.kill(pid(servers.status().postgres.pid), signal.SIGKILL)
            eventually(lambda: any(line.startswith("PostgreSQL") for line in bench.said))
            servers.up()
        eventually(lambda: applied(bench) == half)
        kafka = pid(servers.status().kafka.pid)
        os.kill(kafka, signal.SIGSTOP)
        try:
            eventually(lambda: any(line.startswith("Kafka") for line in bench.said))
        finally:
            os.kill(kafka, signal.SIGCONT)
        with flowing(bench, History(history.told[half:]), 1):
            eventually(lambda: applied(bench) == len(history.told))
    trouble = [line for line in bench.said if "Trying again" in line]
    assert bench.said.count("Connected again.") == len(trouble) <= 4, bench.said
    real.check_as_if_undisturbed(bench.endpoints, bench.topic, len(history.told))


def pid(given: int | None) -> int:
    assert given is not None
    return given


def test_a_topic_made_anew_or_another_cluster_stops_it_with_a_sentence(bench: Bench) -> None:
    bench.put(*network(2, 1).told)
    url = bench.endpoints.projector_database_url
    other = real.projector(bench.endpoints, real.fresh_topic(bench.endpoints.bootstrap_servers))
    with pytest.raises(IntegrityFault, match="build the projections anew"):
        other.run(threading.Event())
    for column in ("cluster_id", "topic_id"):
        real.write(url, f"UPDATE partition_progress SET {column} = 'x' || {column}")
        again = real.projector(bench.endpoints, bench.topic, group=f"again-{bench.topic}-{column}")
        with pytest.raises(IntegrityFault, match="build the projections anew"):
            again.run(threading.Event())
        real.write(url, f"UPDATE partition_progress SET {column} = substr({column}, 2)")


def test_a_topic_that_has_lost_records_stops_it_with_a_sentence(bench: Bench) -> None:
    bench.put(*network(2, 1).told)
    real.write(bench.endpoints.projector_database_url, "UPDATE partition_progress SET next_offset = next_offset + 1000")
    again = real.projector(bench.endpoints, bench.topic, group=f"again-{bench.topic}")
    with pytest.raises(IntegrityFault, match="lost records"):
        again.run(threading.Event())


def test_a_batch_whose_partition_another_process_moved_is_dropped(bench: Bench) -> None:
    """What the other one applied is neither applied again nor missed."""
    history = network(3, 3)
    third = len(history.told) // 3
    bench.put(*history.told[:third])
    other = real.projector(bench.endpoints, bench.topic, group=f"other-{bench.topic}")
    real.tell(bench.endpoints, bench.topic, history.told[third : 2 * third])
    real.step_until(other, third)
    real.tell(bench.endpoints, bench.topic, history.told[2 * third :])
    before = bench.projector.applied
    real.step_until(bench.projector, before + third)
    assert applied(bench) == len(history.told)
    assert bench.projector.applied - before == len(history.told) - 2 * third
    real.check_as_if_undisturbed(bench.endpoints, bench.topic, len(history.told))
