"""The command line as a user has it: another process, its output and its exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.bootstrap import environment_of
from infra.embedded import processes
from infra.embedded.servers import Servers
from infra.settings import Settings

NO_VARIABLES: Mapping[str, str] = {}


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


def ended(process: "subprocess.Popen[str]", timeout_s: float = 120) -> Said:
    """Wait until a command has ended; give what it came to."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise TimeoutError(f"it has not ended after {timeout_s} s: {err}\n{out}") from None
    return Said(process.returncode, out, err)


class CommandLine:
    """`partner-ledger` with a ledger's settings; stop it with `down`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._environment = environment_of(settings)
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, commands start several times as fast

    def start(
        self, *arguments: str | Path, variables: Mapping[str, str] = NO_VARIABLES, output: str | None = None
    ) -> "subprocess.Popen[str]":
        """Start a command and go on; `variables` are added to its environment, `output` is a file for its standard output."""
        with ExitStack() as files:
            return subprocess.Popen(
                [sys.executable, "-m", "infra.cli.app", *map(str, arguments)],
                env={**self._environment, **variables},
                stdout=subprocess.PIPE if output is None else files.enter_context(Path(output).open("wb")),
                stderr=subprocess.PIPE,
                text=True,
                cwd=self.settings.home,
            )

    def run(self, *arguments: str | Path, timeout_s: float = 120, variables: Mapping[str, str] = NO_VARIABLES) -> Said:
        """Run a command to its end."""
        try:
            return ended(self.start(*arguments, variables=variables), timeout_s)
        except TimeoutError as error:
            raise AssertionError(f"{arguments}: {error}; {self.logs()}") from None

    def logs(self) -> str:
        """Give the ends of the relay's and the projector's logs, for the message of a test that failed."""
        logs = (processes.log_path(self.settings.home, name) for name in ("relay", "projector"))
        return "\n".join(f"{log}:\n{processes.last_lines(log, 20)}" for log in logs)

    def done(self, *arguments: str | Path) -> Any:
        """Run a command with --json that must succeed; give its document."""
        said = self.run(*arguments, "--json")
        assert said.code == 0, f"{arguments} ended with {said.code}: {said.err}\n{said.out}"
        return said.json

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the relay or the projector, which must run."""
        pid = processes.running(self.settings.home, name)
        assert pid is not None, f"the {name} does not run"
        os.kill(pid, number)

    def kill(self, name: str) -> bool:
        """End relay or projector with SIGKILL; False if it did not run."""
        pid = processes.running(self.settings.home, name)
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        while processes.running(self.settings.home, name) is not None:
            time.sleep(0.01)
        return True

    def down(self) -> None:
        """Stop relay and projectors by what the command `down` calls: a process less for each ledger of a test."""
        Servers(self.settings, say=lambda _: None).down()
