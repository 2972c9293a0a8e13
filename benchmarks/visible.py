"""A deal's way: from telling it to the balance that shows it, through store, relay, Kafka and projector.

Relay and projector run as processes, as after `partner-ledger up`. Deals are told at fixed times, 50 a second, whether or not
those before are visible, and counted from when they were due: a stall counts for every deal that came during it.
"""

import datetime as dt
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from math import ceil
from queue import SimpleQueue

from benchmarks.filled import import_folder
from benchmarks.measuring import Bench, say
from benchmarks.network import deals, feed_folder
from domain.batch import Telling
from domain.facts import RecordSale
from infra.bootstrap import Runtime
from infra.embedded import processes
from infra.settings import Settings
from tests.servers import fresh_ledger

PARTNERS = 50
DEALS_A_SECOND = 50
DEALS = 400
WARM_UP = 10
PAUSE_S = 0.5
POLL_S = 0.001
VISIBLE_WITHIN_S = 30.0
STOP_WITHIN_S = 20.0
DAY = dt.date(2014, 3, 3)


def measure(bench: Bench) -> None:
    """Tell deals, 50 a second; how long each takes to be committed, and to be seen."""
    settings = fresh_ledger()
    with feed_folder(sales=PARTNERS * 4, partners=PARTNERS) as folder:
        import_folder(settings, folder)
    runtime = Runtime(settings, lambda _: None)
    try:
        runtime.up()
        runtime.wait_until_projected(lambda _reached, _target: None)
        told = list(_tell(runtime, WARM_UP + min(DEALS, max(1, bench.events // 100))))[WARM_UP:]
    finally:
        runtime.close()
        _stop(settings)
    committed, visible = zip(*told, strict=True)
    bench.values("told until committed, median", "ms", [1000 * _quantile(committed, 0.5)])
    for name, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99)):
        bench.values(f"told until visible, {name}", "ms", [1000 * _quantile(visible, share)])


def _tell(runtime: Runtime, count: int) -> list[tuple[float, float]]:
    """Tell deals at their times; for each the seconds from its time until the store had it and until a balance showed it."""
    told: SimpleQueue[tuple[str, float]] = SimpleQueue()
    with ThreadPoolExecutor(1) as watching:
        lines = {partner_id: _lines(runtime, partner_id) for partner_id in map(_partner_id, range(PARTNERS))}
        seen = watching.submit(_watch, runtime, told, lines, count)
        committed = []
        first = time.monotonic() + PAUSE_S
        for number, (family, amount) in enumerate(deals(count, seed=2)):
            partner_id = _partner_id(number)
            sale = RecordSale(
                deal_id=f"visible-{number}",
                partner_id=partner_id,
                closed_on=DAY,
                family=family,
                amount=Decimal(amount),
                currency="CHF",
            )
            due = first + number / DEALS_A_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            told.put((partner_id, due))
            (outcome,) = runtime.ledger.tell([Telling(sale, f"benchmark:{number}")])
            committed.append(time.monotonic() - due)
            assert outcome.kind == "recorded", outcome
        return list(zip(committed, seen.result(), strict=True))


def _watch(
    runtime: Runtime, told: "SimpleQueue[tuple[str, float]]", lines: dict[str, int], count: int
) -> Sequence[float]:
    """Ask for the oldest deal's partner until it shows the deal; give the seconds that each took since it was due."""
    seen = []
    for number in range(count):
        partner_id, due = told.get(timeout=VISIBLE_WITHIN_S)
        while (now := _lines(runtime, partner_id)) == lines[partner_id]:
            time.sleep(POLL_S)
            if time.monotonic() - due > VISIBLE_WITHIN_S:
                raise TimeoutError(f"Deal {number} was not visible after {VISIBLE_WITHIN_S} s.")
        lines[partner_id] = now
        seen.append(time.monotonic() - due)
    return seen


def _partner_id(number: int) -> str:
    return f"P{number % PARTNERS:04}"


def _lines(runtime: Runtime, partner_id: str) -> int:
    """Ask what a person would: the partner with its balances; the number of lines in them tells one deal from the next."""
    (standing,) = runtime.read_models.partner(partner_id).partners
    return standing.lines


def _quantile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that so large a share of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(1, ceil(share * len(ordered))) - 1]


def _stop(settings: Settings) -> None:
    for name in processes.recorded(settings.home):
        if not processes.stop(settings.home, name, STOP_WITHIN_S):
            say(f"visible: the {name} had stopped by itself; its log is {processes.log_path(settings.home, name)}")
