"""Tells a ledger a round's facts while its faults happen, and puts right what they broke as an operator would.

A fault counts only if it met what it was meant for: its victim runs, and facts flow, because the command that tells them
has not ended (it ends when the projections have caught up). One that came too late is tried again with the next folder.
After a kill `up` is run until it says that all is up, and a command that was not done is told again.
"""

import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.errors import ServiceUnreachable
from infra.soak.disk import SmallDisk
from infra.soak.ledger import ATTEMPTS, PAUSE_S, Command, SoakedLedger, gone, send
from infra.soak.plan import Fault

POLL_S = 0.005
DISK_POLL_S = 0.1
STILL_S = 10.0
"""After so long without the event that a fault waits for, it waits no longer."""
STUCK = "have not moved"
"""What a command says of projections that wait for what does not come."""
TOLD_AGAIN = 60
FIGURES = ("recorded", "duplicates", "events")


@dataclass
class Told:
    """What telling a round came to: the imports' figures, all refused rows, and the faults that happened, by name."""

    figures: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, Any]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    happened: int = 0
    missed: int = 0
    """Faults that found nothing to meet, every time."""
    again: int = 0
    """How often a command was told again because it was not done."""
    repairs: int = 0
    """How often the ledger had to be brought down before it came up again."""
    last_fault_at: float | None = None
    caught_up_at: float = 0.0

    def count(self, fault: Fault) -> None:
        """Count a fault that has happened."""
        self.faults[fault.name] += 1
        self.happened += 1
        self.last_fault_at = time.monotonic()

    def add(self, folders: Sequence[Path], document: dict[str, Any]) -> None:
        """Count what an import came to; of several folders, each refused row names its own."""
        self.figures.update({name: document[name] for name in FIGURES})
        self.refused += [{"folder": str(folders[0]), **row} for row in document["refused"]]


Saying = Callable[[str], None]
"""Hears in a few words what is being done."""


class Disturbance:
    """A ledger that is told facts while things go wrong."""

    def __init__(self, ledger: SoakedLedger, disk: SmallDisk | None, on: Saying) -> None:
        self._ledger = ledger
        self._disk = disk
        self._on = on
        self._up: Command | None = None
        self._told = Told()
        self._faults: deque[Fault] = deque()
        self._two_projectors = False
        self._late = False

    def tell(self, folders: Sequence[Path], advance_to: str, faults: Sequence[Fault], *, two_projectors: bool) -> Told:
        """Import the folders one after another while the faults happen, then advance.

        Raises:
            SoakFailed: a command did what it must never do.
            ServiceUnreachable: the ledger does not come up again, or a command is never done.

        """
        self._told, self._faults, self._two_projectors = Told(), deque(faults), two_projectors
        for number, folder in enumerate(folders):
            if not self._faults:
                self._until_done(("import", *folders[number:]), 0)
                break
            # One fault to a folder, and those that came too late to the spare ones at the end.
            behind = number + 1 - self._told.happened if number < len(faults) else len(self._faults)
            self._until_done(("import", folder), max(1, behind))
        self._until_done(("advance", "--to", advance_to), len(self._faults))
        self._told.missed = len(self._faults)
        self._told.caught_up_at = time.monotonic()
        self._ledger.leave_second()
        return self._told

    def _until_done(self, arguments: tuple[str | Path, ...], allowed: int) -> None:
        """Run a command until it is done, with up to so many faults meanwhile."""
        before = self._told.happened
        while not self._once(arguments, allowed - (self._told.happened - before)):
            self._told.again += 1
            if self._told.again > TOLD_AGAIN:
                raise ServiceUnreachable(f"Commands were told {TOLD_AGAIN} times in a round and are not done.")

    def _once(self, arguments: tuple[str | Path, ...], allowed: int) -> bool:
        """Run a command once, with up to so many faults at their moments; whether it is done."""
        self._keep_second()
        before = self._ledger.position()
        command = self._ledger.start(*arguments)
        try:
            while self._faults and allowed > 0 and self._await(command, self._faults[0], before):
                if not self._happens(self._faults[0], command):
                    break  # its victim has just ended by itself: with the next command
                fault = self._faults.popleft()
                self._late = False
                self._told.count(fault)
                allowed -= not fault.hasty
                if fault.kind == "disk" or (fault.kind == "kill" and fault.victim != "import"):
                    self._start_up()
                    if not fault.hasty:
                        self._bring_up()
                before = self._ledger.position()
            self._late = self._late or allowed > 0
            said = command.said()
        finally:
            command.end()
        self._bring_up()
        if said.document is None or said.error is not None:
            self._on(said.error or "killed")
            if STUCK in (
                said.error or ""
            ):  # a Kafka whose disk was full may go on with its transactions broken (operate.md)
                self._told.repairs += 1
                self._ledger.done("down")
                self._start_up()
                self._bring_up()
            return False
        if arguments[0] == "import":
            self._told.add([Path(folder) for folder in arguments[1:]], said.document)
        return True

    def _await(self, command: Command, fault: Fault, before: int | None) -> bool:
        """Wait for a fault's moment; False if the command has ended before."""
        wait_s, events = fault.moment.wait_ms / 1000, fault.moment.after_events
        if self._late:  # it came too late once: now with the first event
            wait_s, events = 0, 0
        if events is not None and before is not None:
            began = time.monotonic()
            while command.runs() and time.monotonic() - began < STILL_S:
                if (self._ledger.position() or 0) > before + events:
                    break
                time.sleep(POLL_S)
        began = time.monotonic()
        while command.runs() and time.monotonic() - began < wait_s:
            time.sleep(POLL_S)
        return command.runs()

    # --- faults ---

    def _happens(self, fault: Fault, command: Command) -> bool:
        """Let a fault happen; False if what it is meant for is not there."""
        self._on(f"{fault.name}")
        if fault.kind == "disk":
            return self._full_disk(fault.hold_ms)
        pids = self._victims(fault, command)
        if not pids:
            return False
        if fault.kind == "kill":
            killed = send(pids, signal.SIGKILL)
            gone(pids)
            return killed if fault.victim != "import" else command.process.wait() == -signal.SIGKILL
        stopped = send(pids, signal.SIGSTOP)
        time.sleep(fault.hold_ms / 1000)
        send(pids, signal.SIGCONT)
        return stopped

    def _victims(self, fault: Fault, command: Command) -> list[int]:
        """Give the processes that are to be met, the main one first."""
        assert fault.victim is not None
        if fault.victim == "import":
            return [command.process.pid] if command.runs() else []
        pids = self._ledger.pids(fault.victim)[-1:]  # of two projectors the second one
        if not pids or fault.victim != "database":
            return pids
        children = self._ledger.children("database")
        if fault.kind == "stop" or fault.way == "all":
            return [*pids, *children]
        return children[-1:] if fault.way == "backend" and children else pids

    def _full_disk(self, hold_ms: int) -> bool:
        """Fill the home's disk, and keep it full while somebody tries to bring up what has stopped; then make room."""
        if self._disk is None:
            return False
        until = time.monotonic() + hold_ms / 1000
        try:
            self._disk.fill()
            self._start_up()
            while time.monotonic() < until:
                self._disk.fill()
                time.sleep(DISK_POLL_S)
        finally:
            self._disk.free()
        return True

    # --- the operator ---

    def _keep_second(self) -> None:
        if self._two_projectors:
            self._ledger.keep_second()

    def _start_up(self) -> None:
        """Run `up`, unless one runs."""
        if self._up is None:
            self._up = self._ledger.start("up")

    def _bring_up(self) -> None:
        """See to it that all is up: `up` until it says so; where that does not help, `down` first."""
        for attempt in range(1, ATTEMPTS + 1):
            if self._up is None:
                return
            said = self._up.said()
            self._up = None
            if said.error is None and said.code == 0:
                self._keep_second()
                return
            self._on(said.error or "")
            if attempt % 2 == 0:
                self._told.repairs += 1
                self._ledger.done("down")
            time.sleep(PAUSE_S)
            self._start_up()
        raise ServiceUnreachable(f"The ledger in {self._ledger.home} does not come up again: {said.error}")

    def end(self) -> None:
        """End what runs for a moment only."""
        if self._up is not None:
            self._up.end()
            self._up = None
