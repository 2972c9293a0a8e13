"""The audit as a whole: what is verified, the two processes that do it, and the report."""

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from domain.envelope import CURRENT_VERSION
from domain.errors import LedgerError, ServiceUnreachable
from domain.findings import Check, Finding, in_order
from infra.audit.task import ENCODER, MESSAGES, Failed, Message, Outcome, PassName, Progress, Task
from infra.postgres.projections.builds import TABLES_VERSION

OnProgress = Callable[[PassName, int], None]
"""Called with a pass and how many events it has looked at."""

ROOT = Path(__file__).parents[2]
PASSES: tuple[PassName, ...] = ("store", "kafka")
END_S = 5.0


class Verified(msgspec.Struct, frozen=True):
    """What an audit has come to. `found` counts all findings, of which the first are kept."""

    events: int
    seconds: float
    checks: list[Check]
    findings: list[Finding]
    root: str
    """Of the tree over all events, in hex."""
    rows: dict[str, int]
    """How many rows the events give each table."""
    totals: dict[str, dict[str, str]]
    """Control totals of what the events give, by currency."""
    versions: dict[str, int | None]
    peak_mb: dict[PassName, float]
    """The most memory that was resident in each process."""

    @property
    def ok(self) -> bool:
        """Whether all is as it must be."""
        return all(check.ok for check in self.checks)

    @property
    def found(self) -> int:
        """How many findings there are, those that were not kept included."""
        return sum(check.found for check in self.checks)


def verify(task: Task, on_progress: OnProgress) -> Verified:
    """Verify a ledger by two processes side by side; nothing is changed anywhere, and none is left when this ends.

    Raises:
        ServiceUnreachable: PostgreSQL or Kafka does not answer.
        LedgerError: a process failed.

    """
    began = time.monotonic()
    said: queue.Queue[tuple[PassName, Message | None]] = queue.Queue()
    processes: list[_Pass] = []
    outcomes: dict[PassName, Outcome] = {}
    try:
        processes.extend(_Pass(name, task, said) for name in PASSES)
        while len(outcomes) < len(processes):
            name, message = said.get()
            if isinstance(message, Progress):
                on_progress(name, message.done)
            elif isinstance(message, Outcome):
                outcomes[name] = message
            elif isinstance(message, Failed):
                raise (ServiceUnreachable if message.unreachable else LedgerError)(message.sentence)
            elif name not in outcomes:
                raise LedgerError(f"The process that verifies the {name} has ended: {_last_line(processes, name)}")
    finally:
        for process in processes:
            process.end()
    checks = [check for name in PASSES for check in outcomes[name].checks]
    findings = in_order(finding for name in PASSES for finding in outcomes[name].findings)
    facts = {key: msgspec.json.decode(raw) for name in PASSES for key, raw in outcomes[name].facts.items()}
    return Verified(
        task.last,
        round(time.monotonic() - began, 3),
        checks,
        findings,
        root=facts["root"],
        rows={"event": facts["rows"], "stream": facts["streams"], **facts["tables"]},
        totals={name: facts[name] for name in ("sales", "debits", "credits")},
        versions={
            "build": facts["build"],
            "tables": TABLES_VERSION,
            "envelope": CURRENT_VERSION,
            "programmes": task.head.programmes_version,
        },
        peak_mb={name: outcomes[name].peak_mb for name in PASSES},
    )


class _Pass:
    """A process that runs a pass; a thread hands on what it says, and None when it has ended."""

    def __init__(self, name: PassName, task: Task, said: "queue.Queue[tuple[PassName, Message | None]]") -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "infra.audit", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(ENCODER.encode(task))
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already, and its error says why
        self.err: list[bytes] = []
        self._threads = [
            threading.Thread(target=self._listen, args=(said,), daemon=True),
            threading.Thread(target=self._note_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self, said: "queue.Queue[tuple[PassName, Message | None]]") -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said.put((self.name, MESSAGES.decode(line)))
        self._threads[1].join(END_S)
        said.put((self.name, None))

    def _note_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.err.append(line)
            del self.err[:-20]

    def end(self) -> None:
        """End the process, if it has not ended, and wait for it: it holds nothing that would have to be put in order."""
        self._process.kill()
        self._process.wait(END_S)
        for thread in self._threads:
            thread.join(END_S)


def _last_line(processes: Sequence[_Pass], name: PassName) -> str:
    err = next(process.err for process in processes if process.name == name)
    lines = [line.decode(errors="replace").strip() for line in err if line.strip()]
    return lines[-1] if lines else "it said nothing."
