"""Deciding: the pure decision function alone, in memory and in one process.

A thousand partners with a year and a half of sales behind them, certificates, specialisations and tiers; each further sale
gives its lines with their evidence, and the promotion it brings. They take turns, which is the worst a feed can do to a
processor's caches, and then stand one partner after the other, as a replay folds them. Facts are made a batch at a time, as
an import makes them. Counted is processor time, so other work matters less.
"""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice

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
BATCH = 500

Told = tuple[int, RecordSale]
"""A sale, and the number of its partner."""


def measure(bench: Bench) -> None:
    """Decide sales of partners with history, a few times, each run going on where the one before ended."""
    known = programmes()
    count = min(PARTNERS, bench.events)
    partners = [_partner(f"P{number}", known) for number in range(count)]
    _decide(partners, _taking_turns(0, 2 * bench.events, HISTORY_FROM, HISTORY_DAYS, count), known)
    first, first_day = 2 * bench.events, HISTORY_FROM + dt.timedelta(days=HISTORY_DAYS)
    for order, sales in (("taking turns", _taking_turns), ("one after the other", _one_after_the_other)):
        runs, events = [], 0
        for _ in range(bench.runs):
            spent, recorded = _decide(partners, sales(first, bench.events, first_day, DAYS_A_RUN, count), known)
            runs.append(spent)
            events += recorded
            first += bench.events
            first_day += dt.timedelta(days=DAYS_A_RUN)
        each = events / len(runs) / bench.events
        bench.rates(f"sales of {count:,} partners with history, {order}, {each:.1f} events each", "sales/s", runs)


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


def _taking_turns(first: int, count: int, first_day: dt.date, days: int, partners: int) -> Iterator[Told]:
    """Make sales in order of date, the partners taking turns."""
    for number, deal in enumerate(deals(count, seed=first)):
        yield _told(number % partners, first + number, first_day + dt.timedelta(days=number * days // count), deal)


def _one_after_the_other(first: int, count: int, first_day: dt.date, days: int, partners: int) -> Iterator[Told]:
    """Make as many sales, all of a partner in order of date before the next partner's."""
    each = count // partners
    for number, deal in enumerate(deals(each * partners, seed=first)):
        partner, nth = divmod(number, each)
        yield _told(partner, first + number, first_day + dt.timedelta(days=nth * days // each), deal)


def _told(partner: int, number: int, closed_on: dt.date, deal: tuple[str, str]) -> Told:
    family, amount = deal
    return partner, RecordSale(
        deal_id=f"D{number}",
        partner_id=f"P{partner}",
        closed_on=closed_on,
        family=family,
        amount=Decimal(amount),
        currency="CHF",
        source_ref=f"crm:{number}",
    )


def _decide(partners: list[Standing], sales: Iterator[Told], known: Programmes) -> tuple[Spent, int]:
    """Decide sales; the processor time that went into it, and the number of events they gave."""
    record_sale = decisions.record_sale
    done, seconds, events = 0, 0.0, 0
    while batch := [(partners[partner], sale) for partner, sale in islice(sales, BATCH)]:
        clock = Clock()
        for standing, sale in batch:
            events += len(record_sale(standing, sale, known, None))
        seconds += clock.spent(len(batch)).cpu_seconds or 0.0
        done += len(batch)
    return Spent(done, seconds, seconds), events
