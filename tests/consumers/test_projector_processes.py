"""The projector as real processes: killed, joined by another one, its servers away; the rows are as if undisturbed."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from consumers.projector import Projector
from domain.errors import IntegrityFault
from infra.embedded.servers import Endpoints
from tests.consumers import real
from tests.consumers.conftest import Bench
from tests.projections.histories import History, network

pytestmark = pytest.mark.timeout(120)
SESSION_TIMEOUT_MS = 1_000


@contextmanager
def process(endpoints: Endpoints, topic: str, *, batch: int = 100) -> Iterator[subprocess.Popen[bytes]]:
    spec = {
        "endpoints": dataclasses.asdict(endpoints),
        "topic": topic,
        "group_id": f"group-{topic}",
        "batch": batch,
        "session_timeout_ms": SESSION_TIMEOUT_MS,
    }
    child = subprocess.Popen([sys.executable, "-m", "tests.consumers.projector_script", json.dumps(spec)])
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def applied(endpoints: Endpoints) -> int:
    if not real.rows(endpoints.read_database_url, "SELECT FROM projection.live"):
        return 0
    ((count,),) = real.rows(
        endpoints.read_database_url, "SELECT coalesce(sum(applied), 0)::int FROM partition_progress"
    )
    assert isinstance(count, int)
    return count


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


@contextmanager
def flowing(topic: str, history: History, seconds: float) -> Iterator[None]:
    """Put a history on the topic little by little while the test goes on."""

    def flow() -> None:
        records, parts = real.keyed(history.told), 20
        for part in range(parts):
            real.produce(topic, records[part * len(records) // parts : (part + 1) * len(records) // parts])
            time.sleep(seconds / parts)

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def undisturbed(topic: str, history: History) -> Endpoints:
    """Project the same topic into another database, by one process that nothing happens to."""
    endpoints = real.fresh_database()
    projector = real.projector(endpoints, topic, group=f"undisturbed-{topic}", max_records=5000)
    step_until(projector, len(history.told))
    return endpoints


def step_until(projector: Projector, events: int) -> None:
    while projector.applied < events:
        projector.step()


def check_equal(endpoints: Endpoints, topic: str, history: History) -> None:
    here, there = real.everything(endpoints), real.everything(undisturbed(topic, history))
    for table in real.TABLES:
        assert here[table] == there[table], table
    audited = real.rows(
        endpoints.read_database_url, "SELECT count(*), count(DISTINCT position), max(position) FROM audit"
    )
    assert audited == [(len(history.told),) * 3]


def test_killed_five_times_while_events_flow_it_ends_as_if_undisturbed(database: Endpoints) -> None:
    history = network(60, 60)
    topic = real.fresh_topic()
    with flowing(topic, history, 8):
        for _ in range(5):
            with process(database, topic) as child:
                before = applied(database)
                wait_until(lambda before=before: applied(database) > before)  # type: ignore[misc]
                child.send_signal(signal.SIGKILL)
    with process(database, topic):
        wait_until(lambda: applied(database) == len(history.told))
    check_equal(database, topic, history)


def test_two_processes_share_the_partitions_and_one_takes_over_from_the_other(database: Endpoints) -> None:
    history = network(60, 60)
    topic = real.fresh_topic()
    with flowing(topic, history, 6), process(database, topic) as first:
        wait_until(lambda: applied(database) > 0)
        with process(database, topic) as second:
            time.sleep(2)
            assert second.poll() is None
            first.terminate()
            assert first.wait(20) == 0
            wait_until(lambda: applied(database) == len(history.told))
            second.terminate()
            assert second.wait(20) == 0
    check_equal(database, topic, history)


@contextmanager
def running(bench: Bench) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=bench.projector.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_postgresql_killed_and_started_again_is_said_once_and_nothing_is_lost(bench: Bench) -> None:
    history = network(20, 40)
    _, servers, _ = real.servers()
    with running(bench), flowing(bench.topic, history, 4):
        wait_until(lambda: bench.projector.applied > 100)
        pid = servers.status().postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: any("PostgreSQL" in line for line in bench.said))
        servers.up()
        wait_until(lambda: "Connected again." in bench.said)
        wait_until(lambda: applied(bench.endpoints) == len(history.told))
    assert len([line for line in bench.said if "Trying again" in line]) == bench.said.count("Connected again.") <= 2
    check_equal(bench.endpoints, bench.topic, history)


def test_kafka_silent_for_a_while_is_said_once_and_nothing_is_lost(bench: Bench) -> None:
    history = network(20, 40)
    _, servers, _ = real.servers()
    half = len(history.told) // 2
    real.produce(bench.topic, real.keyed(history.told[:half]))
    with running(bench):
        wait_until(lambda: bench.projector.applied == half)
        pid = servers.status().kafka.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: any("Kafka" in line for line in bench.said))
        finally:
            os.kill(pid, signal.SIGCONT)
        real.produce(bench.topic, real.keyed(history.told[half:]))
        wait_until(lambda: applied(bench.endpoints) == len(history.told))
    assert "Connected again." in bench.said
    check_equal(bench.endpoints, bench.topic, history)


def test_a_topic_made_anew_or_another_cluster_stops_it_with_a_sentence(bench: Bench) -> None:
    bench.put(*network(2, 1).told)
    other = real.projector(bench.endpoints, real.fresh_topic())
    with pytest.raises(IntegrityFault, match="build the projections anew"):
        other.run(threading.Event())
    for column in ("cluster_id", "topic_id"):
        real.write(bench.endpoints.projector_database_url, f"UPDATE partition_progress SET {column} = 'x' || {column}")
        again = real.projector(bench.endpoints, bench.topic, group=f"again-{bench.topic}-{column}")
        with pytest.raises(IntegrityFault, match="build the projections anew"):
            again.run(threading.Event())
        real.write(
            bench.endpoints.projector_database_url, f"UPDATE partition_progress SET {column} = substr({column}, 2)"
        )


def test_a_batch_whose_partition_another_process_moved_is_dropped(bench: Bench) -> None:
    history = network(3, 3)
    half = len(history.told) // 2
    bench.put(*history.told[:half])
    real.write(bench.endpoints.projector_database_url, "UPDATE partition_progress SET next_offset = next_offset + 1000")
    real.produce(bench.topic, real.keyed(history.told[half:]))
    before = bench.projector.applied
    deadline = time.monotonic() + 1.5
    while bench.projector._next is not None and time.monotonic() < deadline:
        bench.projector.step()
    assert bench.projector._next is None
    assert bench.projector.applied == before
    real.write(bench.endpoints.projector_database_url, "UPDATE partition_progress SET next_offset = next_offset - 1000")
    step_until(bench.projector, len(history.told))
    check_equal(bench.endpoints, bench.topic, history)
