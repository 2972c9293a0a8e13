"""Rounds of a soak: two ledgers told the same, one of them disturbed, and compared at the end of each round."""

import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import ServiceUnreachable
from infra.settings import Settings
from infra.soak import Soak
from infra.soak.compare import ControlTotals, differences
from infra.soak.disk import SmallDisk
from infra.soak.feeds import Network, RoundFeed
from infra.soak.ledger import SoakedLedger
from infra.soak.outside import Outside
from infra.soak.plan import RoundPlan, plan_round
from infra.soak.telling import Disturbance, Told

KAFKA_HEAP_MB = 256
WAIT_TIMEOUT_S = 120
SESSION_TIMEOUT_MS = 1_500
"""A killed projector's partitions go to the next one soon."""


@dataclass(frozen=True)
class Round:
    """What a round came to. `recovery_s` is from its last fault to all projections having caught up."""

    number: int
    facts: int
    duplicates: int
    refused: int
    events: int
    faults: Mapping[str, int]
    missed: int
    told_again: int
    repairs: int
    two_projectors: bool
    seconds: float
    recovery_s: float
    differences: Sequence[str]


Saying = Callable[[str], None]


def run_soak(soak: Soak, settings: Settings, say: Saying, kept: Saying) -> Iterator[Round]:
    """Let the rounds happen one by one; the first one with a difference is the last.

    `say` hears what is being done; `kept` where homes are that were kept. Whatever ends it, all processes are ended and all
    file systems unmounted.

    Raises:
        SoakFailed: a command showed a traceback or hung.
        ServiceUnreachable: a ledger does not come up (again).

    """
    with _signals_end_it():
        first = 1
        while first <= soak.rounds:
            last = min(first + soak.renew_after - 1, soak.rounds)
            with _Pair(soak, settings, first, say, kept) as pair:
                for number in range(first, last + 1):
                    done = pair.round(number)
                    yield done
                    if done.differences:
                        return
            first = last + 1


class _Pair:
    """A disturbed and an undisturbed ledger, in a folder of their own."""

    def __init__(self, soak: Soak, settings: Settings, first: int, say: Saying, kept: Saying) -> None:
        self._soak = soak
        self._settings = settings
        self._say = say
        self._kept = kept
        self._network = Network(soak.seed, first)
        self._totals = ControlTotals()
        self._failed = False
        self._exits = ExitStack()

    def __enter__(self) -> "_Pair":
        self._folder = Path(tempfile.mkdtemp(prefix="partner-ledger-soak-"))
        self._folder.chmod(0o755)  # PostgreSQL's own system user has to pass
        try:
            self._exits.callback(self._clear)
            self._disk = SmallDisk(self._folder / "disturbed") if self._soak.disk else None
            if self._disk is not None:
                disk = self._disk
                self._exits.callback(lambda: disk.release(keep=self._keeps))
            self._disturbed, self._undisturbed = self._ledger("disturbed"), self._ledger("undisturbed")
            self._say("Starting two ledgers")
            starts = [ledger.start("up") for ledger in (self._undisturbed, self._disturbed)]
            for command in starts:
                self._exits.callback(command.end)
            for command in starts:
                if (said := command.said()).error is not None:
                    raise ServiceUnreachable(f"A ledger for the soak does not start: {said.error}")
        except BaseException:
            self._failed = True
            self._exits.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._failed = self._failed or (kind is not None and issubclass(kind, Exception))
        self._exits.close()

    @property
    def _keeps(self) -> bool:
        return self._soak.keep or self._failed

    def _ledger(self, name: str) -> SoakedLedger:
        own = {
            "home": self._folder / name,
            **dict.fromkeys(
                ("kafka", "database_url", "admin_database_url", "read_database_url", "projector_database_url")
            ),
            "kafka_heap_mb": KAFKA_HEAP_MB,
            "wait_timeout_s": WAIT_TIMEOUT_S,
            "session_timeout_ms": SESSION_TIMEOUT_MS,
        }
        ledger = SoakedLedger(self._settings.model_copy(update=own), self._folder / f"{name}.aside")
        self._exits.callback(ledger.down)
        return ledger

    def _clear(self) -> None:
        if self._keeps:
            self._kept(str(self._folder))
        else:
            shutil.rmtree(self._folder, ignore_errors=True)

    def round(self, number: int) -> Round:
        """Tell both ledgers the round's facts, disturb the one, and compare them."""
        began = time.monotonic()
        soak = self._soak
        plan = plan_round(soak.seed, number, disk=soak.disk)
        feed = self._network.write_round(self._folder / f"feed-{number:03}", number, soak.facts, plan.folders)
        self._say(f"Round {number}: telling")
        undisturbed = self._undisturbed.start("import", *feed.folders)
        try:
            told = self._disturb(plan, feed)
            expected = _expected(undisturbed.said().document, feed)
        finally:
            undisturbed.end()
        self._undisturbed.done("advance", "--to", feed.last_day.isoformat())
        self._say(f"Round {number}: comparing")
        self._totals.add(feed.folders, expected.refused)
        found = [*_said_otherwise(told, expected), *self._compare()]
        found += [f"{log} holds a traceback" for log in self._disturbed.tracebacks()]
        self._failed = bool(found)
        return Round(
            number=number,
            facts=told.figures["recorded"],
            duplicates=told.figures["duplicates"],
            refused=len(told.refused),
            events=told.figures["events"],
            faults=dict(told.faults),
            missed=told.missed,
            told_again=told.again,
            repairs=told.repairs,
            two_projectors=plan.two_projectors,
            seconds=time.monotonic() - began,
            recovery_s=told.caught_up_at - (told.last_fault_at or told.caught_up_at),
            differences=found,
        )

    def _disturb(self, plan: RoundPlan, feed: RoundFeed) -> Told:
        self._disturbed.work_in(plan.batches)
        disturbance = Disturbance(self._disturbed, self._disk, self._say)
        try:
            return disturbance.tell(
                feed.folders, feed.last_day.isoformat(), plan.faults, two_projectors=plan.two_projectors
            )
        finally:
            disturbance.end()

    def _compare(self) -> list[str]:
        status = self._disturbed.done("status")
        behind = [
            f"status: {name} is {status[name]}, not {wanted}"
            for name, wanted in (("lag", 0), ("parked", 0), ("relayed", status["events"]))
            if status[name] != wanted
        ]
        disturbed = Outside(self._disturbed.settings, self._disturbed.endpoints())
        undisturbed = Outside(self._undisturbed.settings, self._undisturbed.endpoints())
        with disturbed.opened() as found, undisturbed.opened() as expected:
            return behind + differences(found, expected, self._totals)


def _expected(document: dict[str, Any] | None, feed: RoundFeed) -> Told:
    if document is None or "error" in document:
        raise ServiceUnreachable(f"The undisturbed import was not done: {document and document['error']}")
    told = Told()
    told.figures = Counter({name: document[name] for name in ("recorded", "duplicates", "events")})
    told.refused = document["refused"]
    return told


def _said_otherwise(told: Told, expected: Told) -> Iterator[str]:
    """Compare what the imports said: repeated until it was done, each told what an undisturbed one tells."""
    if told.figures != expected.figures:
        yield f"import: {dict(told.figures)} was told where the undisturbed run has {dict(expected.figures)}"
    if told.refused != expected.refused:
        yield f"import: {len(told.refused):,} rows were told to be refused, not the {len(expected.refused):,} of the undisturbed run"


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """Let SIGTERM and a lost terminal end it as Ctrl-C does, with everything cleared up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
