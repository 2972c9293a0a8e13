"""Deciding: the pure decision function alone, in memory and in one process.

A thousand partners with a year and a half of sales behind them, certificates, specialisations and tiers; each further sale
gives its lines with their evidence, and the promotion it brings. Counted is processor time, so other work hardly matters.
"""

import datetime as dt
from decimal import Decimal

from benchmarks.measuring import Bench, Clock, Spent
from benchmarks.network import deals, programmes
from domain import decisions
from domain.facts import EnrolPartner, RecordSale, RecordTraining
from domain.standing import Standing
from domain.terms import Programmes

PARTNERS = 1000
HISTORY_DAYS = 560
ENROLLED_ON = dt.date(2008, 3, 1)
HISTORY_FROM = dt.date(2011, 1, 1)
TRAINED_ON = dt.date(2011, 11, 1)
COURSES = ("VS-101", "VS-201")
DAYS_A_RUN = 60


def measure(bench: Bench) -> None:
    """Decide sales of partners with history, a few times, each run going on where the one before ended."""
    known = programmes()
    partners = [_partner(f"P{number}", known) for number in range(min(PARTNERS, bench.events))]
    _decide(partners, _sales(0, 2 * bench.events, HISTORY_FROM, HISTORY_DAYS, len(partners)), known)
    runs, lines = [], 0
    first_day = HISTORY_FROM + dt.timedelta(days=HISTORY_DAYS)
    for run in range(bench.runs):
        sales = _sales((2 + run) * bench.events, bench.events, first_day, DAYS_A_RUN, len(partners))
        spent, events = _decide(partners, sales, known)
        runs.append(spent)
        lines += events
        first_day += dt.timedelta(days=DAYS_A_RUN)
    bench.rates(
        f"sales of {len(partners):,} partners with history, {lines / len(runs) / bench.events:.1f} events each",
        "sales/s",
        runs,
    )


def _partner(partner_id: str, known: Programmes) -> Standing:
    enrolment = EnrolPartner(partner_id=partner_id, name="n", country="CH", currency="CHF", enrolled_on=ENROLLED_ON)
    standing, _ = decisions.enrol(enrolment, known, None)
    for person, course in ((person, course) for course in COURSES for person in ("a", "b")):
        training = RecordTraining(
            completion_id=f"{partner_id}-{person}-{course}",
            partner_id=partner_id,
            person_id=person,
            course=course,
            completed_on=TRAINED_ON,
        )
        decisions.record_training(standing, training, person, known, None)
    return standing


def _sales(first: int, count: int, first_day: dt.date, days: int, partners: int) -> list[RecordSale]:
    """Make sales in order of date, the partners taking turns."""
    return [
        RecordSale(
            deal_id=f"D{first + number}",
            partner_id=f"P{number % partners}",
            closed_on=first_day + dt.timedelta(days=number * days // count),
            family=family,
            amount=Decimal(amount),
            currency="CHF",
            source_ref=f"crm:{first + number}",
        )
        for number, (family, amount) in enumerate(deals(count, seed=first))
    ]


def _decide(partners: list[Standing], sales: list[RecordSale], known: Programmes) -> tuple[Spent, int]:
    """Decide sales; what was spent on them, and the number of events they gave."""
    told = [(partners[number % len(partners)], sale) for number, sale in enumerate(sales)]
    record_sale, events = decisions.record_sale, 0
    clock = Clock()
    for standing, sale in told:
        events += len(record_sale(standing, sale, known, None))
    spent = clock.spent(len(told))
    assert spent.cpu_seconds is not None
    return spent._replace(seconds=spent.cpu_seconds), events
