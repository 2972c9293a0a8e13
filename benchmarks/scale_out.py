"""Several projectors: events a second of one, two and four processes, and how soon the others go on after one is killed."""

import datetime as dt
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from itertools import count

from benchmarks.filled import endpoints_of, import_folder, last_position, relayed
from benchmarks.measuring import Bench
from benchmarks.network import feed_folder
from benchmarks.projector import delete_projections
from domain.batch import Telling
from domain.facts import RecordSale
from infra.bootstrap import PROJECTOR, Runtime
from infra.embedded import processes
from infra.postgres.projections.read_models import PostgresReadModels
from infra.settings import Settings
from tests.servers import execute, fresh_ledger, temporary_home
from tests.waiting import eventually

PROCESSES = (1, 2, 4)
KILLS = 5
PARTNERS = 40
STOP_WITHIN_S = 20.0
DAY = dt.date(2014, 3, 3)
SETTLED_S = 1.0
"""Between a partition's last move and the kill, so that what was under way is not taken for a recovery."""


def measure(bench: Bench) -> None:
    """Fill the projections with more and more processes; then kill one of four, again and again, while deals flow."""
    settings = relayed(bench.events).model_copy(update={"home": temporary_home()})
    for processes_wanted in PROCESSES:
        bench.values(f"{processes_wanted} projectors", "events/s", [_rate(settings, processes_wanted)])
    kills = KILLS if bench.runs > 1 else 1
    seconds = _recoveries(kills)
    what = "a killed one of 4 replaced: its partitions move on"
    bench.values(f"{what}, median", "s", [statistics.median(seconds)])
    bench.values(f"{what}, longest of {kills}", "s", [max(seconds)])


def _rate(settings: Settings, wanted: int) -> float:
    """Project everything with so many processes; the rate from a quarter of the events on, when all have joined.

    Of few events, which come at once, it is the rate from the start on.
    """
    events = last_position(settings)
    models = PostgresReadModels(endpoints_of(settings).read_database_url)
    delete_projections(settings)
    names = _names(wanted)
    runtime = Runtime(settings, lambda _: None)
    try:
        from_here, began = 0, time.monotonic()
        for name in names:
            runtime.start(name)
        eventually(lambda: models.standing().applied >= events // 4)
        if (applied := models.standing().applied) < events:
            from_here, began = applied, time.monotonic()
        eventually(lambda: models.standing().applied == events)
        return (events - from_here) / (time.monotonic() - began)
    finally:
        models.close()
        for name in names:
            processes.stop(settings.home, name, STOP_WITHIN_S)


def _names(wanted: int) -> list[str]:
    return [PROJECTOR, *(f"{PROJECTOR}-{number}" for number in range(2, wanted + 1))]


def _recoveries(kills: int) -> list[float]:
    """Kill projectors with SIGKILL; give the seconds until every partition's offset has moved again."""
    settings = fresh_ledger()
    with feed_folder(sales=PARTNERS, partners=PARTNERS) as folder:
        import_folder(settings, folder)
    runtime = Runtime(settings, lambda _: None)
    seconds = []
    try:
        runtime.up(4)
        runtime.wait_until_projected(lambda _reached, _target: None)
        with _deals_flowing(runtime):
            for name in (_names(4) * kills)[:kills]:
                _all_move(settings)
                time.sleep(SETTLED_S)
                pid = processes.running(settings.home, name)
                assert pid is not None, f"the {name} does not run"
                os.kill(pid, signal.SIGKILL)
                began = time.monotonic()
                _all_move(settings)
                seconds.append(time.monotonic() - began)
                runtime.up(4)
    finally:
        runtime.close()
        for name in ("relay", *_names(4)):
            processes.stop(settings.home, name, STOP_WITHIN_S)
    return seconds


def _all_move(settings: Settings) -> None:
    """Wait until every partition has moved on from where it stands."""
    before = _offsets(settings)
    eventually(lambda: all(now > before[partition] for partition, now in _offsets(settings).items()), pause_s=0.02)


def _offsets(settings: Settings) -> Mapping[int, int]:
    url = str(settings.read_database_url)
    ((build,),) = execute(url, "SELECT build FROM projection.live")
    rows = execute(url, f"SELECT partition, next_offset FROM projection_{build}.partition_progress")
    return {int(str(partition)): int(str(offset)) for partition, offset in rows}


@contextmanager
def _deals_flowing(runtime: Runtime) -> Iterator[None]:
    stop, numbers = threading.Event(), count()

    def sale() -> RecordSale:
        number = next(numbers)
        return RecordSale(
            deal_id=f"flow-{number}",
            partner_id=f"P{number % PARTNERS:04}",
            closed_on=DAY,
            family="cloud",
            amount=Decimal("100.00"),
            currency="CHF",
        )

    def tell() -> None:
        while not stop.wait(0.02):
            runtime.ledger.tell([Telling(sale(), "flow") for _ in range(PARTNERS)])

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        yield
    finally:
        stop.set()
        teller.join()
