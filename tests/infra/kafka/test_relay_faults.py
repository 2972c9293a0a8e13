"""The relay as a real process that is killed, and servers that go away while events flow: nothing lost, nothing twice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.embedded.servers import Servers
from infra.kafka import ledger_topics
from infra.postgres.migrate import migrate
from infra.settings import Settings
from tests.infra.kafka.real import Checkpoints, Ledger, assert_relayed_exactly_once, fresh_prefix
from tests.infra.kafka.test_relay import relaying
from tests.servers import LOGINS, temporary_home

pytestmark = pytest.mark.timeout(120)


class RelayProcess:
    """Starts the relay, kills it, and reads what it said."""

    def __init__(self, ledger: Ledger, prefix: str, log: Path) -> None:
        urls = (ledger.endpoints.bootstrap_servers, ledger.endpoints.database_url)
        self._argv = [sys.executable, "-m", "tests.infra.kafka.relay_main", *urls, prefix, "200"]
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
        while not stop.wait(0.05):
            last[0] = ledger.append(commands=8)

    thread = threading.Thread(target=append)
    thread.start()
    try:
        yield lambda: last[0]
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def own() -> Iterator[Servers]:
    """A pair of servers that may be killed; the tests share one ledger on it, which lives through all of it."""
    started = Servers(Settings(home=temporary_home(), wait_timeout_s=180), say=lambda _: None)
    started.up()
    yield started
    started.down()


@pytest.fixture(scope="module")
def ledger(own: Servers) -> Ledger:
    endpoints = own.up()
    migrate(endpoints.admin_database_url, logins=LOGINS)
    return Ledger(endpoints)


@pytest.fixture(scope="module")
def prefix() -> str:
    return fresh_prefix()


@pytest.fixture
def relay(ledger: Ledger, prefix: str, tmp_path: Path) -> Iterator[RelayProcess]:
    process = RelayProcess(ledger, prefix, tmp_path / "relay.log")
    yield process
    process.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def checkpoints(ledger: Ledger, prefix: str) -> Iterator[Checkpoints]:
    with Checkpoints(prefix, ledger.endpoints.bootstrap_servers) as following:
        yield following


def signal_kafka(own: Servers, number: int) -> None:
    pid = own.status().kafka.pid
    assert pid is not None
    os.kill(pid, number)


def test_killed_five_times_while_events_flow_it_relays_each_once(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints, own: Servers
) -> None:
    moments = random.Random(3)
    with appending(ledger) as last:
        for _ in range(5):
            checkpoints.move_on()
            time.sleep(moments.random() / 5)
            relay.end(signal.SIGKILL)
            relay.start()
    checkpoints.reach(last())
    assert_relayed_exactly_once(ledger, prefix)


def test_told_to_stop_it_finishes_and_leaves(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints, own: Servers
) -> None:
    with appending(ledger):
        checkpoints.move_on()
        began = time.monotonic()
        assert relay.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 5
    assert "The relay has stopped." in relay.said


def test_kafka_stopped_for_some_seconds_loses_nothing(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints, own: Servers
) -> None:
    with appending(ledger) as last:
        checkpoints.move_on()
        signal_kafka(own, signal.SIGSTOP)
        try:
            time.sleep(4)
        finally:
            signal_kafka(own, signal.SIGCONT)
        checkpoints.move_on()
    checkpoints.reach(last())
    assert_relayed_exactly_once(ledger, prefix)


def test_a_commit_whose_answer_never_came_is_neither_lost_nor_repeated(
    ledger: Ledger, prefix: str, checkpoints: Checkpoints, own: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_topics, "COMMIT_WITHIN_S", 0.5)
    with relaying(ledger.endpoints, prefix) as stopped_with, appending(ledger) as last:
        for _ in range(2):
            checkpoints.move_on()
            signal_kafka(own, signal.SIGSTOP)
            try:
                time.sleep(1.5)
            finally:
                signal_kafka(own, signal.SIGCONT)
    with relaying(ledger.endpoints, prefix):
        checkpoints.reach(last())
    assert stopped_with == []
    assert_relayed_exactly_once(ledger, prefix)


def test_kafka_killed_and_started_again_loses_nothing_and_is_said_once(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints, own: Servers
) -> None:
    with appending(ledger) as last:
        checkpoints.move_on()
        signal_kafka(own, signal.SIGKILL)
        time.sleep(2)
        own.up()
        checkpoints.move_on()
    checkpoints.reach(last())
    assert_relayed_exactly_once(ledger, prefix)
    assert 1 <= relay.said.count("nothing is lost") <= 3  # not confirmed, not answering, given up: each once


def test_postgresql_killed_and_started_again_loses_nothing(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints, own: Servers
) -> None:
    with appending(ledger):
        checkpoints.move_on()
    pid = own.status().postgres.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    own.up()
    ledger.connect()
    checkpoints.reach(ledger.append(commands=20))
    assert_relayed_exactly_once(ledger, prefix)


def test_told_to_stop_while_kafka_is_away_it_leaves(
    ledger: Ledger, prefix: str, relay: RelayProcess, checkpoints: Checkpoints, own: Servers
) -> None:
    with appending(ledger) as last:
        checkpoints.move_on()
        signal_kafka(own, signal.SIGSTOP)
        try:
            time.sleep(0.5)
            assert relay.end(signal.SIGTERM) == 0
        finally:
            signal_kafka(own, signal.SIGCONT)
    relay.start()
    checkpoints.reach(last())
    assert_relayed_exactly_once(ledger, prefix)
