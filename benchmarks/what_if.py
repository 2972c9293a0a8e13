"""What-if: facts a second from a tape, decided anew under other programmes, in one process and in as many as there are cores.

The facts are those of the demo's generator (`benchmarks.europe`), on a tape that is written for it: 10,000,000 are 17,289 partners.
Opening the tape (its digests), reading it, its JSON, deciding and adding up are all in the figures; starting processes is in the
second one.
"""

import datetime as dt
import gc
import os
import tempfile
from contextlib import suppress
from decimal import Decimal
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import psutil

from benchmarks.europe import recorded
from benchmarks.measuring import Bench, Clock, Spent, say
from benchmarks.network import programmes
from domain import events as e
from domain.envelope import EventRow
from domain.programme import Programme, programme_from_content
from infra.demo.partners import LAST_DAY
from infra.kafka.ledger_topics import partition_of
from infra.replay.folding import fold_all
from infra.tape.manifest import TapeSource, blank
from infra.tape.reading import RecordedTape
from infra.tape.rows import FACTS, tape_row
from infra.tape.writing import TapeWriter
from projections.what_if_result import fold_here
from projections.what_if_rules import Rules, ledgers_own, with_candidates

RECORDED_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PARTITIONS = 12
PAGE = 20_000
LOOK_S = 0.1


def measure(bench: Bench) -> None:
    """Fold a tape of so many facts."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="plb-") as folder:
        clock = Clock()
        facts = _write(Path(folder), bench.events)
        say(f"{facts:,} facts of the demo's generator are on a tape, after {clock.spent(1).seconds:,.0f} s.")
        bench.rate("in one process", "facts/s", lambda: _fold(Path(folder)))
        with _Memory() as memory:
            bench.rate(f"in {cores} processes", "facts/s", lambda: _fold_by_processes(Path(folder), cores))
        bench.values("resident memory of these together, at most", "MB", [memory.most / 1e6])


class _Memory:
    """Looks at what this process's children hold together, now and then. What a child held before its own program ran is not asked for."""

    def __init__(self) -> None:
        self.most = 0
        self._ended = Event()
        self._looking = Thread(target=self._look)

    def __enter__(self) -> "_Memory":
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_S):
            held = 0
            for child in psutil.Process().children():
                with suppress(psutil.Error):  # it has just ended
                    held += child.memory_info().rss if "spawn_main" in " ".join(child.cmdline()) else 0
            self.most = max(self.most, held)


def _opened(folder: Path) -> tuple[RecordedTape, Rules]:
    tape = RecordedTape.open(folder)
    own = ledgers_own(tape.ledgers_own())
    return tape, Rules(own, with_candidates(own.published, [_candidate(own.published[-1])]), LAST_DAY)


def _fold(folder: Path) -> Spent:
    gc.disable()  # as the processes do
    try:
        clock = Clock()
        tape, rules = _opened(folder)
        return clock.spent(fold_here(tape, [rules]).facts)
    finally:
        gc.enable()


def _fold_by_processes(folder: Path, workers: int) -> Spent:
    clock = Clock()
    tape, rules = _opened(folder)
    spent = clock.spent(fold_all(tape, [rules], workers, lambda _: None).facts)
    return Spent(spent.done, spent.seconds)


def _candidate(version: Programme) -> Programme:
    """Give a version with lower thresholds."""
    content = version.content()
    content["programme"] = f"{version.programme}-candidate"
    for tier in content["tiers"]:
        if "revenue" in tier["requires"]:
            tier["requires"]["revenue"] = str((Decimal(tier["requires"]["revenue"]) / 2).quantize(Decimal("0.01")))
    return programme_from_content(content)


def _write(folder: Path, wanted: int) -> int:
    """Write a tape, and give how many facts are on it; its leaf hashes are none, as nothing here looks at them."""
    rows = enumerate(recorded(wanted, programmes()), 1)
    facts = 0
    gc.disable()  # what is made here forms no cycles
    with TapeWriter(folder, blank(TapeSource("ledger", "cluster", "events", "topic", PARTITIONS))) as writer:
        while page := list(islice(rows, PAGE)):
            by_partition: dict[int, list[EventRow]] = {}
            for position, (stream, event) in page:
                if type(event).__name__ in FACTS:
                    facts += 1
                    row = _row(position, stream, event)
                    by_partition.setdefault(partition_of(stream.encode(), PARTITIONS), []).append(row)
            for partition, rows_of in by_partition.items():
                writer.facts(partition, [tape_row(each) for each in rows_of])
            writer.leaves([b"\x00" * 32] * len(page))
        writer.commit(dict.fromkeys(range(PARTITIONS), 0))
    gc.enable()
    return facts


def _row(position: int, stream: str, event: e.Event) -> EventRow:
    return EventRow(
        position=position,
        stream=stream,
        version=1,
        type=type(event).__name__,
        schema_version=1,
        business_date=event.business_date,
        recorded_at=RECORDED_AT,
        actor="benchmark",
        command_id="benchmark",
        envelope_version=1,
        data=e.encode(event),
    )
