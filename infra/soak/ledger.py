"""A ledger as its user has it: commands in processes of their own, and the processes that they leave running."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg2

from domain.errors import LedgerError, ServiceUnreachable
from infra.bootstrap import PROJECTOR, RELAY, environment_of
from infra.embedded import kafka_server, postgres_server, processes
from infra.embedded.servers import Endpoints, Servers
from infra.settings import Settings
from infra.soak.plan import Victim

TRACEBACK = "Traceback (most recent call last)"
RECORDED: dict[Victim, str] = {
    "relay": RELAY,
    "projector": PROJECTOR,
    "broker": kafka_server.NAME,
    "database": postgres_server.NAME,
}
"""Under which name a victim's process is recorded in the home."""
COMMAND_TIMEOUT_S = 300.0
ATTEMPTS = 12
PAUSE_S = 0.5


class SoakFailed(LedgerError):
    """The ledger did what it must never do; the message says what, and where to look."""


@dataclass(frozen=True)
class Said:
    """What a command came to; `document` is None where it was killed before it said anything."""

    code: int
    document: dict[str, Any] | None
    err: str

    @property
    def error(self) -> str | None:
        """The sentence of a command that did not do what was asked."""
        return None if self.document is None else self.document.get("error")


class Command:
    """A command of the ledger that runs."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self.arguments = arguments
        self._out = _output(folder / "command.out")
        self._err = _output(folder / "command.err")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.cli.app", *arguments, "--json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            cwd=folder,
            start_new_session=True,  # Ctrl-C is for the soak, which then ends all it has started
        )

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def said(self) -> Said:
        """Wait until it has ended; give what it came to.

        Raises:
            SoakFailed: it hangs, shows a traceback, or ends without a document that nobody killed.

        """
        shown = " ".join(self.arguments)
        try:
            code = self.process.wait(COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SoakFailed(
                f"`{shown}` has not ended after {COMMAND_TIMEOUT_S:.0f} s: {self._read(self._err)}"
            ) from None
        out, err = self._read(self._out), self._read(self._err)
        self.close()
        if TRACEBACK in err:
            raise SoakFailed(f"`{shown}` ended with a traceback:\n{err}")
        try:
            document = json.loads(out)
        except ValueError:
            document = None
        if document is None and code != -signal.SIGKILL:
            raise SoakFailed(f"`{shown}` ended with exit code {code} and without a document: {err}{out}")
        return Said(code, document, err)

    def end(self) -> None:
        """End it at once, where it still runs."""
        if self.runs():
            self.process.kill()
            self.process.wait()
        self.close()

    def close(self) -> None:
        """Let its output go."""
        self._out.close()
        self._err.close()

    @staticmethod
    def _read(file: IO[bytes]) -> str:
        file.seek(0)
        return file.read().decode(errors="replace")


class SoakedLedger:
    """One ledger with a home, embedded servers, relay and projectors of its own; `aside` is for what is not in its home."""

    def __init__(self, settings: Settings, aside: Path) -> None:
        self.settings = settings
        self.home = settings.home
        self._aside = aside
        self._second: subprocess.Popen[bytes] | None = None
        self._position: Any = None
        self._batches = (settings.import_batch_facts, settings.relay_batch_events, settings.projector_batch_events)
        aside.mkdir(parents=True, exist_ok=True)

    def work_in(self, batches: tuple[int, int, int]) -> None:
        """Set how much import, relay and projector take into a transaction, from their next start on."""
        self._batches = batches

    def start(self, *arguments: str | Path) -> Command:
        """Start a command and go on."""
        return Command([str(each) for each in arguments], self._environment(), self._aside)

    def run(self, *arguments: str | Path) -> Said:
        """Run a command to its end."""
        return self.start(*arguments).said()

    def done(self, *arguments: str | Path) -> dict[str, Any]:
        """Run a command as often as an operator would, until it is done; give its document.

        Raises:
            ServiceUnreachable: it is not done after many attempts.

        """
        for _ in range(ATTEMPTS):
            said = self.run(*arguments)
            if said.document is not None and said.error is None:
                return said.document
            time.sleep(PAUSE_S)
        raise ServiceUnreachable(
            f"`{' '.join(map(str, arguments))}` is not done after {ATTEMPTS} attempts: {said.error}"
        )

    def down(self) -> None:
        """Stop all that runs under the home, also what was stopped by a signal."""
        self.leave_second()
        self._forget_position()
        for name in processes.recorded(self.home):
            if (pid := processes.running(self.home, name)) is not None:
                send([pid, *_children(pid)], signal.SIGCONT)
        Servers(self.settings, _nowhere).down()

    def endpoints(self) -> Endpoints:
        """Give where its servers are.

        Raises:
            ServiceUnreachable: they do not run.

        """
        endpoints = Servers(self.settings, _nowhere).status().endpoints
        if endpoints is None:
            raise ServiceUnreachable(f"The servers of {self.home} do not run; their logs are in {self.home / 'logs'}.")
        return endpoints

    def position(self) -> int | None:
        """Give the last position of its store; None while PostgreSQL does not answer."""
        try:
            if self._position is None:
                url = postgres_server.PostgresServer(self.settings, _nowhere).url("ledger_reader")
                self._position = psycopg2.connect(url, connect_timeout=1, options="-c statement_timeout=500")
                self._position.autocommit = True
            with self._position.cursor() as cursor:
                cursor.execute("SELECT position FROM ledger.head")
                ((position,),) = cursor.fetchall()
                return int(position)
        except psycopg2.Error:
            self._forget_position()
            return None

    # --- its processes ---

    def pids(self, victim: Victim) -> list[int]:
        """Give the main processes of a victim that run: one, of projectors perhaps two."""
        found = [processes.running(self.home, RECORDED[victim])]
        if victim == "projector" and self._second is not None and self._second.poll() is None:
            found.append(self._second.pid)
        return [pid for pid in found if pid is not None]

    def children(self, victim: Victim) -> list[int]:
        """Give the processes that a victim's main process has made."""
        return [child for pid in self.pids(victim) for child in _children(pid)]

    def keep_second(self) -> None:
        """Start a second projector in the foreground of nobody, where none runs."""
        if self._second is None or self._second.poll() is not None:
            with (self._aside / "second-projector.log").open("ab") as log:
                self._second = subprocess.Popen(
                    [sys.executable, "-m", "infra.cli.app", "run", "projector"],
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._aside,
                    start_new_session=True,
                )

    def leave_second(self) -> None:
        """Ask the second projector to leave; end it if it does not."""
        second, self._second = self._second, None
        if second is None or second.poll() is not None:
            return
        second.send_signal(signal.SIGCONT)
        second.terminate()
        try:
            second.wait(20)
        except subprocess.TimeoutExpired:
            second.kill()
            second.wait()

    def tracebacks(self) -> list[str]:
        """Give the logs of relay and projectors that hold a traceback: neither ever ends with one."""
        logs = [processes.log_path(self.home, RELAY), processes.log_path(self.home, PROJECTOR)]
        logs.append(self._aside / "second-projector.log")
        return [str(log) for log in logs if log.exists() and TRACEBACK in log.read_text(errors="replace")]

    def _environment(self) -> dict[str, str]:
        names = ("import_batch_facts", "relay_batch_events", "projector_batch_events")
        batches = dict(zip(names, self._batches, strict=True))
        environment = environment_of(self.settings.model_copy(update=batches))
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, commands start several times as fast
        return environment

    def _forget_position(self) -> None:
        connection, self._position = self._position, None
        if connection is not None:
            connection.close()


def send(pids: Sequence[int], number: signal.Signals) -> bool:
    """Send a signal to processes, the first one first; False if that one has ended already."""
    reached = False
    for index, pid in enumerate(pids):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            if index == 0:
                return False
        else:
            reached = True
    return reached


def gone(pids: Sequence[int], within_s: float = 10.0) -> None:
    """Wait until processes have ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and any(_alive(pid) for pid in pids):
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


_counter: Iterator[int] = iter(range(1, 10**9))


def _output(path: Path) -> IO[bytes]:
    """Open a file for a command's output, of which nothing is left when it was read."""
    path = path.with_name(f"{next(_counter)}-{path.name}")
    file = path.open("w+b")
    path.unlink()
    return file


def _nowhere(_: str) -> None:
    """Where what the servers say goes: the driver's own line says it."""
