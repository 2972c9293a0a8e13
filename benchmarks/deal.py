"""What a deal costs where the partner has 50,000 of them already, beside one for a partner that has none.

In a running process, which knows its partners, and in a process that has just begun, which reads the partner first.
"""

import datetime as dt
import statistics
import time
from collections.abc import Sequence
from decimal import Decimal
from itertools import count

from benchmarks.filled import endpoints_of
from benchmarks.measuring import Bench
from benchmarks.network import deals, programmes
from domain.application import Ledger
from domain.batch import Telling
from domain.facts import EnrolPartner, Fact, RecordSale
from infra.bootstrap import make_ledger
from infra.settings import Settings
from tests.servers import fresh_ledger

TIMES = 200
PAGE = 500
OLD = "P-old"
FIRST = dt.date(2013, 1, 1)
LAST = dt.date(2015, 12, 31)
_numbers = count()


def measure(bench: Bench) -> None:
    """Give one partner its deals; then tell one each, in turn, for that partner and for a new one."""
    settings = fresh_ledger()
    ledger = _new_process(settings)
    ledger.publish(programmes().versions[-1].programme, "benchmark")
    _tell(ledger, [_enrolment(OLD)])
    days = (LAST - FIRST).days
    facts = [
        _sale(OLD, FIRST + dt.timedelta(days=number * days // bench.events), family, amount)
        for number, (family, amount) in enumerate(deals(bench.events))
    ]
    for start in range(0, len(facts), PAGE):
        _tell(ledger, facts[start : start + PAGE])
    times = TIMES if bench.runs > 1 else 3
    new, old = zip(*(_pair(ledger, ledger, ledger) for _ in range(times)), strict=True)
    _keep(bench, "in a running process", new, old)
    pairs = []
    for _ in range(times):
        processes = _new_process(settings), _new_process(settings)
        pairs.append(_pair(ledger, *processes))
        for process in processes:
            process.close()
    ledger.close()
    new, old = zip(*pairs, strict=True)
    _keep(bench, "first of a process", new, old)


def _keep(bench: Bench, where: str, new: Sequence[float], old: Sequence[float]) -> None:
    for whose, seconds in (("a new partner", new), (f"one with {bench.events:,}", old)):
        bench.values(f"a deal {where}: {whose}, median", "ms", [1000 * statistics.median(seconds)])
    bench.values(f"a deal {where}: times that of a new one", "x", [statistics.median(old) / statistics.median(new)])


def _pair(enrolling: Ledger, for_new: Ledger, for_old: Ledger) -> tuple[float, float]:
    """Tell a deal of a partner that was just enrolled, and one of the old partner; the seconds of each."""
    partner_id = f"P-{next(_numbers)}"
    _tell(enrolling, [_enrolment(partner_id)])
    family, amount = next(deals(1))
    return _seconds(for_new, _sale(partner_id, LAST, family, amount)), _seconds(
        for_old, _sale(OLD, LAST, family, amount)
    )


def _seconds(ledger: Ledger, fact: Fact) -> float:
    began = time.monotonic()
    _tell(ledger, [fact])
    return time.monotonic() - began


def _new_process(settings: Settings) -> Ledger:
    """Make a ledger as a process does that begins, with its connection and programmes, and no partner."""
    ledger = make_ledger(settings, endpoints_of(settings), lambda _: None)
    ledger.programmes()
    return ledger


def _tell(ledger: Ledger, facts: Sequence[Fact]) -> None:
    outcomes = ledger.tell([Telling(fact, f"benchmark:{next(_numbers)}") for fact in facts])
    assert all(outcome.kind == "recorded" for outcome in outcomes), outcomes


def _enrolment(partner_id: str) -> EnrolPartner:
    return EnrolPartner(partner_id=partner_id, name=partner_id, country="CH", currency="CHF", enrolled_on=FIRST)


def _sale(partner_id: str, on: dt.date, family: str, amount: str) -> RecordSale:
    return RecordSale(
        deal_id=f"deal-{next(_numbers)}",
        partner_id=partner_id,
        closed_on=on,
        family=family,
        amount=Decimal(amount),
        currency="CHF",
    )
