"""Loyalty: how long a partner has been a member, without the days it was suspended (rules.md, Loyalty)."""

import datetime as dt
from collections.abc import Sequence

from domain.calendar import full_years

Suspension = tuple[dt.date, dt.date | None]
"""First day, and the day of resumption (not suspended any more) or None while it lasts."""


def suspended_days(suspensions: Sequence[Suspension], on: dt.date) -> int:
    """Give the days suspended before a date; a suspension lasts to the day before its resumption."""
    days = 0
    for first, resumed in suspensions:
        last = on if resumed is None or resumed > on else resumed
        if last > first:
            days += (last - first).days
    return days


def loyalty_days(enrolled_on: dt.date, suspensions: Sequence[Suspension], ended_on: dt.date | None, on: dt.date) -> int:
    """Give the loyalty duration on a date, in days: from enrolment, less days suspended; it stops at the end."""
    if ended_on is not None and ended_on < on:
        on = ended_on
    if on <= enrolled_on:
        return 0
    return (on - enrolled_on).days - suspended_days(suspensions, on)


def loyalty_years(enrolled_on: dt.date, suspensions: Sequence[Suspension], on: dt.date) -> int:
    """Give the full years completed on a date, since enrolment moved forward by the days suspended."""
    if not suspensions:
        return full_years(enrolled_on, on)
    return full_years(enrolled_on + dt.timedelta(days=suspended_days(suspensions, on)), on)
