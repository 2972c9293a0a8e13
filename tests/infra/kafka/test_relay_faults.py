"""The relay as a real process that is killed, and servers that go away while events flow: nothing lost, nothing twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.consumers.real import servers
from tests.infra.kafka.real import (
    Checkpoints,
    Ledger,
    assert_relayed_exactly_once,
    fresh_ledger,
    fresh_prefix,
    signal_kafka,
)

pytestmark = pytest.mark.timeout(120)


class RelayProcess:
    """Starts the relay, kills it, and reads what it said."""

    def __init__(self, ledger: Ledger, prefix: str, log: Path) -> None:
        urls = (ledger.endpoints.bootstrap_servers, ledger.endpoints.database_url)
        self._argv = [sys.executable, "-m", "tests.infra.kafka.relay_main", *urls, prefix, "40"]
        self._log = log
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._argv, stdout=output, stderr=output)

    def end(self, number: int) -> int:
        self._process.send_signal(number)
        return self._process.wait(20)

    @property
    def said(self) -> str:
        return self._log.read_text()


@contextmanager
def appending(ledger: Ledger) -> Iterator[Callable[[], int]]:
    """Append from a thread until the block ends; called afterwards, gives the last position."""
    stop, last = threading.Event(), [0]

    def append() -> None:
        while not stop.wait(0.03):
            last[0] = ledger.append(commands=8)

    thread = threading.Thread(target=append)
    thread.start()
    try:
        yield lambda: last[0]
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(fresh_ledger())


@pytest.fixture
def prefix() -> str:
    return fresh_prefix()


@pytest.fixture
def relay(ledger: Ledger, prefix: str, tmp_path: Path) -> Iterator[RelayProcess]:
    process = RelayProcess(ledger, prefix, tmp_path / "relay.log")
    yield process
    process.end(signal.SIGKILL)


@pytest.fixture
def checkpoints(prefix: str) -> Iterator[Checkpoints]:
    with Checkpoints(prefix) as following:
        yield following


def test_killed_five_times_while_events_flow_it_relays_each_once(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints
) -> None:
    with appending(ledger) as last:
        for _ in range(5):
            checkpoints.move_on()
            relay.end(signal.SIGKILL)
            relay.start()
    checkpoints.reach(last())
    assert_relayed_exactly_once(ledger, prefix)


def test_told_to_stop_it_finishes_and_leaves(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints
) -> None:
    with appending(ledger):
        checkpoints.move_on()
        began = time.monotonic()
        assert relay.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 5
    assert "The relay has stopped." in relay.said


def test_kafka_stopped_for_some_seconds_loses_nothing(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints
) -> None:
    with appending(ledger) as last:
        checkpoints.move_on()
        signal_kafka(signal.SIGSTOP)
        try:
            time.sleep(4)
        finally:
            signal_kafka(signal.SIGCONT)
        checkpoints.move_on()
    checkpoints.reach(last())
    assert_relayed_exactly_once(ledger, prefix)


def test_kafka_killed_and_started_again_loses_nothing_and_is_said_once(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints
) -> None:
    with appending(ledger) as last:
        checkpoints.move_on()
        signal_kafka(signal.SIGKILL)
        time.sleep(2)
        servers()[1].up()
        checkpoints.move_on()
    checkpoints.reach(last())
    assert_relayed_exactly_once(ledger, prefix)
    assert relay.said.count("Kafka has not confirmed") == 1
    assert relay.said.count("does not answer") <= 1


def test_postgresql_killed_and_started_again_loses_nothing(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints
) -> None:
    with appending(ledger):
        checkpoints.move_on()
    pid = servers()[1].status().postgres.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    servers()[1].up()
    returned = Ledger(ledger.endpoints, seed="later-")
    checkpoints.reach(returned.append(commands=20))
    assert_relayed_exactly_once(returned, prefix)


def test_told_to_stop_while_kafka_is_away_it_leaves(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints
) -> None:
    with appending(ledger) as last:
        checkpoints.move_on()
        signal_kafka(signal.SIGSTOP)
        try:
            time.sleep(0.5)
            assert relay.end(signal.SIGTERM) == 0
        finally:
            signal_kafka(signal.SIGCONT)
    relay.start()
    checkpoints.reach(last())
    assert_relayed_exactly_once(ledger, prefix)
