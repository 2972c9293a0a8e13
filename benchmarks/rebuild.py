"""A rebuild: events a second that one process, and several, bring from Kafka into a new build; and what all of it takes."""

import os
import re
from pathlib import Path

import psutil

from benchmarks.filled import endpoints_of, last_position, relayed
from benchmarks.measuring import Bench, Clock, Spent
from benchmarks.projector import as_in_the_process, delete_projections
from consumers.rebuild import Plan, Rebuild, Rebuilt
from infra.postgres.projections.rebuilds import PostgresBuilds
from infra.postgres.projections.tables import PROJECTIONS
from infra.rebuild_process import RebuildProcesses
from infra.settings import Settings

CORES = min(os.cpu_count() or 1, 6)


def measure(bench: Bench) -> None:
    """Fill a new build from a filled topic, then rebuild as the command does, beside a live build that is compared."""
    settings = relayed(bench.events)
    delete_projections(settings)
    events = last_position(settings)
    with as_in_the_process():
        bench.rate("one process filling, no indexes yet", "events/s", lambda: _fill_here(settings, events))
    memory = _Memory()
    bench.rate(f"{CORES} processes filling, their start included", "events/s", lambda: _fill(settings, events, memory))
    rebuilt = _rebuild(settings, memory)
    assert rebuilt.events == events, "nothing is to be parked"
    bench.rate(
        "all of it: indexes, comparison and switch too", "events/s", lambda: _all_of_it(settings, events, memory)
    )
    bench.values("resident memory of a process, at most", "MB", [memory.most_mb])


class _Memory:
    """The most memory that a process of a rebuild had, looked at while it tells how far it is."""

    def __init__(self) -> None:
        self.most_mb = 0.0

    def note(self, _done: int, _total: int) -> None:
        for child in psutil.Process().children():
            try:
                if "infra.rebuild_process" in child.cmdline():
                    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{child.pid}/status").read_text("utf-8"))
                    self.most_mb = max(self.most_mb, int(found[1]) * 1024 / 1e6 if found else 0.0)
            except (psutil.Error, OSError):  # it has ended
                continue

    def stage(self, doing: str, total: int | None = None) -> None:
        pass


def _fill_here(settings: Settings, events: int) -> Spent:
    clock = Clock()

    def note(handled: int, _total: int) -> None:
        nonlocal clock
        if not handled:  # connecting takes its time, and is not what is measured
            clock = Clock()

    builds = PostgresBuilds(endpoints_of(settings).projector_database_url)
    filling = RebuildProcesses(settings, endpoints_of(settings), tuple, note)
    builds.begin()
    name, ends = builds.create(indexed=False), filling.ends()
    filling.here(name, Plan(tuple(PROJECTIONS), 1, whole=True), ends)
    spent = clock.spent(events)
    assert builds.standing(name)[1] == events
    builds.clear(name)
    builds.close()
    return spent


def _fill(settings: Settings, events: int, memory: _Memory) -> Spent:
    builds = PostgresBuilds(endpoints_of(settings).projector_database_url)
    filling = RebuildProcesses(settings, endpoints_of(settings), tuple, memory.note)
    builds.begin()
    name, ends = builds.create(indexed=False), filling.ends()
    clock = Clock()
    filling.by_processes(name, Plan(tuple(PROJECTIONS), CORES, whole=True), ends)
    spent = clock.spent(events)
    assert builds.standing(name)[1] == events
    builds.clear(name)
    builds.close()
    return Spent(spent.done, spent.seconds)


def _all_of_it(settings: Settings, events: int, memory: _Memory) -> Spent:
    clock = Clock()
    rebuilt = _rebuild(settings, memory)
    spent = clock.spent(events)
    assert rebuilt.compared is not None
    assert rebuilt.compared.equal
    assert rebuilt.compared.up_to == events
    return Spent(spent.done, spent.seconds)


def _rebuild(settings: Settings, memory: _Memory) -> Rebuilt:
    builds = PostgresBuilds(endpoints_of(settings).projector_database_url)
    filling = RebuildProcesses(settings, endpoints_of(settings), builds.dropped_records, memory.note)
    try:
        return Rebuild(Plan(tuple(PROJECTIONS), CORES, whole=True), builds, filling, memory).run()
    finally:
        builds.close()
