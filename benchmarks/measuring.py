"""How a figure comes about: something is done a few times, and the median of the runs counts.

The load of the machine is kept with each figure, because a figure taken beside other work says little.
"""

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

RUNS = 3
TRIAL_EVENTS = 1_000
"""With fewer events than these a run is a trial that all works, and is made once."""
REPEAT_WITHIN_S = 15.0
"""A measurement that has taken so long is not begun again; the whole run stays bounded on a slow machine."""


class Spent(NamedTuple):
    """One run: so many things done in so many seconds, of which so many were processor time of the measured process."""

    done: int
    seconds: float
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class Figure:
    """One line of the table: the median of `runs`, and for rates the processor time that one thing took."""

    benchmark: str
    what: str
    value: float
    unit: str
    runs: tuple[float, ...]
    load: float
    cpu_us: float | None = None


@dataclass
class Bench:
    """What a benchmark is given: how large to be, and where its figures go."""

    events: int
    rows_times: int = 1
    """Import the sales so many times as well, to see what memory that takes."""
    name: str = ""
    figures: list[Figure] = field(default_factory=list)

    @property
    def runs(self) -> int:
        """How often a thing is measured."""
        return RUNS if self.events >= TRIAL_EVENTS else 1

    def rate(self, what: str, unit: str, run: Callable[[], Spent]) -> Sequence[Spent]:
        """Repeat a run and keep its rate in things a second."""
        spent = list(_repeated(run, self.runs))
        self.rates(what, unit, spent)
        return spent

    def rates(self, what: str, unit: str, spent: Sequence[Spent]) -> None:
        """Keep the rates of runs that were made already."""
        cpu = [each.cpu_seconds / each.done * 1e6 for each in spent if each.cpu_seconds is not None]
        self.values(what, unit, [each.done / each.seconds for each in spent], statistics.median(cpu) if cpu else None)

    def values(self, what: str, unit: str, runs: Sequence[float], cpu_us: float | None = None) -> None:
        """Keep a figure that is the median of these."""
        figure = Figure(
            self.name, what, statistics.median(runs), unit, tuple(runs), round(os.getloadavg()[0], 1), cpu_us
        )
        self.figures.append(figure)
        say(f"{self.name}: {what}: {shown(figure.value)} {unit}")


def _repeated(run: Callable[[], Spent], runs: int) -> Iterator[Spent]:
    began = time.monotonic()
    for _ in range(runs):
        gc.collect()
        yield run()
        if time.monotonic() - began > REPEAT_WITHIN_S:
            return


class Clock:
    """Started when made; `spent` tells what has gone by since."""

    def __init__(self) -> None:
        self._began, self._cpu = time.monotonic(), time.process_time()

    def spent(self, done: int) -> Spent:
        """Give the time since the start, for so many things."""
        return Spent(done, time.monotonic() - self._began, time.process_time() - self._cpu)


def shown(value: float) -> str:
    """Give a figure with as many digits as it deserves."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def say(line: str) -> None:
    """Tell whoever waits; standard output is the table's."""
    print(line, file=sys.stderr, flush=True)
