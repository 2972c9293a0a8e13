"""The servers a ledger runs on: up, down, status.

What the settings name is used and never stopped; what they do not name is started here, under the home. Both start at the
same time. All of it takes turns under one lock in the home, so that of two commands at once the second one finds what
the first one started.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from domain.errors import ServiceUnreachable
from infra.embedded import kafka_server, postgres_server, processes
from infra.embedded.kafka_server import KafkaServer
from infra.embedded.locks import exclusive
from infra.embedded.postgres_server import PostgresServer
from infra.settings import Settings, mask_password

BACKGROUND_STOP_TIMEOUT_S = 20.0
# A first start downloads Kafka, and whoever comes second waits for it.
LOCK_TIMEOUT_S = 900.0
POLL_S = 0.2


@dataclass(frozen=True)
class Endpoints:
    """Where Kafka and PostgreSQL are reached; the URLs are for libpq and differ in their login."""

    bootstrap_servers: str
    admin_database_url: str
    database_url: str
    read_database_url: str
    projector_database_url: str


@dataclass(frozen=True)
class ServerStatus:
    """One of the two servers: whether the settings name it, where it is (None before its first start), and its state."""

    named: bool
    address: str | None
    running: bool  # it answers a client's request
    pid: int | None  # of the embedded server's process


@dataclass(frozen=True)
class ServersStatus:
    """Both servers as they are now."""

    home: Path
    kafka: ServerStatus
    postgres: ServerStatus
    endpoints: Endpoints | None  # None unless both answer


def _say_on_stderr(line: str) -> None:
    print(line, file=sys.stderr)


class Servers:
    """Kafka and PostgreSQL of one ledger, embedded or named in the settings."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = _say_on_stderr):
        self._settings = settings
        self._say = say
        self._kafka = KafkaServer(settings, say)
        self._postgres = PostgresServer(settings, say)

    def up(self) -> Endpoints:
        """Start what is embedded and does not run, wait until both servers answer. Repeatable at any time.

        Raises ServiceUnreachable, with where the log is, if one does not answer within the settings' wait timeout.
        """
        if self._settings.kafka and self._settings.database_url:
            self._wait_for_named_servers()
        else:
            self._settings.home.mkdir(parents=True, exist_ok=True)
            with self._lock():
                self._start_embedded()
            self._wait_for_named_servers()
        return self._endpoints()

    def found(self) -> Endpoints | None:
        """Give the endpoints if both servers are embedded, their processes run and PostgreSQL answers; None otherwise.

        Kafka itself is not asked, which takes a client and some time: it may still be starting.
        """
        if self._settings.kafka or self._settings.database_url or not self._kafka.pid() or not self._postgres.answers():
            return None
        return self._endpoints()

    def down(self) -> bool:
        """Stop what runs under the home: relay and projectors first, then Kafka, then PostgreSQL. False if nothing ran."""
        home = self._settings.home
        if not (home / "run").is_dir():
            return False
        with self._lock():
            names = [name for name in processes.recorded(home) if name not in (kafka_server.NAME, postgres_server.NAME)]
            with ThreadPoolExecutor(max(1, len(names))) as pool:
                stopped = list(pool.map(lambda name: processes.stop(home, name, BACKGROUND_STOP_TIMEOUT_S), names))
            # A server that was started before the settings named another one is still ours to stop.
            stopped += [self._kafka.down(), self._postgres.down()]
        return any(stopped)

    def status(self) -> ServersStatus:
        """Tell what runs and where; starts nothing and waits for nothing."""
        kafka, postgres = self._kafka_status(), self._postgres_status()
        both = kafka.running and postgres.running
        return ServersStatus(self._settings.home, kafka, postgres, self._endpoints() if both else None)

    def _lock(self) -> AbstractContextManager[None]:
        waiting = f"Another command is starting or stopping the servers of {self._settings.home}; waiting for it."
        return exclusive(self._settings.home / "run" / "servers.lock", LOCK_TIMEOUT_S, lambda: self._say(waiting))

    def _start_embedded(self) -> None:
        starts: list[Callable[[Event], object]] = []
        if not self._settings.database_url:
            starts.append(self._postgres.up)
        if not self._settings.kafka:
            starts.append(self._kafka.up)
        interrupted = Event()
        with ThreadPoolExecutor(len(starts)) as pool:
            started = [pool.submit(start, interrupted) for start in starts]
            try:
                for each in started:
                    each.result()
            except BaseException:
                # The other one must not go on waiting. What has started stays: the next up finds it, or down stops it.
                interrupted.set()
                raise

    def _endpoints(self) -> Endpoints:
        settings, url = self._settings, self._postgres.url
        bootstrap_servers = settings.kafka or self._kafka.address()
        assert bootstrap_servers is not None, "endpoints are asked for only when Kafka runs"
        return Endpoints(
            bootstrap_servers=bootstrap_servers,
            admin_database_url=settings.admin_url or url("ledger_owner"),
            database_url=settings.database_url or url("ledger_app"),
            read_database_url=settings.read_url or url("ledger_reader"),
            projector_database_url=settings.projector_url or url("ledger_projector"),
        )

    def _wait_for_named_servers(self) -> None:
        settings = self._settings
        if settings.database_url:
            url = settings.database_url
            self._wait(f"PostgreSQL at {mask_password(url)}", lambda: postgres_server.answers(url))
        if settings.kafka:
            servers = settings.kafka
            self._wait(f"Kafka at {servers}", lambda: kafka_server.cluster_id(servers) is not None)

    def _wait(self, what: str, answers: Callable[[], bool]) -> None:
        if answers():
            return
        timeout_s = self._settings.wait_timeout_s
        self._say(f"{what} does not answer; waiting for it, at most {timeout_s} s.")
        deadline = time.monotonic() + timeout_s
        while not answers():
            if time.monotonic() > deadline:
                raise ServiceUnreachable(f"{what} does not answer after {timeout_s} s; start it or name another one.")
            time.sleep(POLL_S)

    def _kafka_status(self) -> ServerStatus:
        named = self._settings.kafka
        if named:
            return ServerStatus(True, named, kafka_server.cluster_id(named) is not None, None)
        return ServerStatus(False, self._kafka.address(), self._kafka.answers(), self._kafka.pid())

    def _postgres_status(self) -> ServerStatus:
        named = self._settings.database_url
        if named:
            return ServerStatus(True, mask_password(named), postgres_server.answers(named), None)
        return ServerStatus(False, self._postgres.url("ledger_app"), self._postgres.answers(), self._postgres.pid())
