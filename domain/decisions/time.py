"""What time alone does: every calendar date between the clock and a date, each in the stated order (rules.md, A partner's clock)."""

import datetime as dt

from domain import events as e
from domain.calendar import ONE_DAY, is_quarter_start, next_quarter, next_yearly, quarter_start
from domain.decisions.bonuses import settle
from domain.decisions.desk import Desk
from domain.decisions.specialisations import look_at_specialisations, next_expiry
from domain.decisions.tiers import review, transition
from domain.standing import Standing
from domain.terms import Programmes


def catch_up(desk: Desk, through: dt.date) -> None:
    """Decide what falls due on the dates after the clock, up to and including a date."""
    standing = desk.standing
    while True:
        due = standing.due
        if due is None or standing.due_under is not desk.programmes or due <= standing.processed:
            due = standing.due = _next_due(standing, desk.programmes, max(standing.processed, standing.clock))
            standing.due_under = desk.programmes
        if due > through:
            break
        standing.processed = due
        _decide_date(desk, due)


def _next_due(standing: Standing, programmes: Programmes, after: dt.date) -> dt.date:
    """Give the next date after the given one on which something may fall due; `date.max` if nothing ever does."""
    terms = programmes.in_force(after)
    if terms is None:
        return dt.date.max
    due = next_quarter(after) if terms.kickback else dt.date.max
    if terms.until is not None:
        due = min(due, terms.until)
    if standing.ended_on is None:
        due = min(due, next_yearly(after, terms.review_month, terms.review_day))
        expiry = next_expiry(standing, terms, after)
        if expiry is not None:
            due = min(due, expiry)
    return due


def _decide_date(desk: Desk, on: dt.date) -> None:
    standing = desk.standing
    if is_quarter_start(on):
        settle(desk, quarter_start(on - ONE_DAY), settled_on=on, posting_date=on, cause="time")
    if standing.ended_on is not None:
        return
    terms = desk.programmes.required(on)
    if terms.effective_from == on:
        transition(desk, terms)
    elif next_expiry(standing, terms, on - ONE_DAY) == on:
        look_at_specialisations(desk, terms, on, by_fact=False)
    if (on.month, on.day) == (terms.review_month, terms.review_day) and standing.suspended_since is None:
        review(desk, terms, on, by_fact=False)


def review_fell_due(programmes: Programmes, after: dt.date, through: dt.date) -> bool:
    """Tell whether a review date lies after one date and up to another, by the programmes in force on it."""
    on = after
    while on < through:
        terms = programmes.in_force(on + ONE_DAY)
        if terms is None:
            return False
        due = next_yearly(on, terms.review_month, terms.review_day)
        last = through if terms.until is None else min(through, terms.until - ONE_DAY)
        if due <= last:
            return True
        on = last
    return False


def decide_due(standing: Standing, programmes: Programmes, through: dt.date) -> list[e.Event]:
    """Decide what time alone does to a partner up to a date; nothing where its clock is there already."""
    desk = Desk(standing, programmes)
    catch_up(desk, through)
    return desk.events


def begin(desk: Desk, ledger_date: dt.date | None, on: dt.date) -> dt.date:
    """Decide what is due before a fact of a date is handled; give the clock the fact is handled at."""
    clock = desk.standing.clock
    if ledger_date is not None and ledger_date > clock:
        clock = ledger_date
    if on > clock:
        clock = on
    catch_up(desk, clock)
    return clock


def opened(
    standing: Standing, programmes: Programmes, ledger_date: dt.date | None, on: dt.date
) -> tuple[Desk, dt.date]:
    """Give a desk on which what is due before a fact of a date is decided, and the clock the fact is handled at."""
    desk = Desk(standing, programmes)
    return desk, begin(desk, ledger_date, on)
