"""Calendar arithmetic of the rules: months that a day may lack, quarters, yearly dates."""

import datetime as dt
from calendar import monthrange
from functools import lru_cache

ONE_DAY = dt.timedelta(days=1)


DATES_KEPT = 1 << 14
"""Decisions ask for the same few dates again and again; keeping them is several times as fast as making them."""


@lru_cache(DATES_KEPT)
def add_months(date: dt.date, months: int) -> dt.date:
    """Move a date by calendar months; a day that the target month lacks becomes that month's last day (rules.md, Revenue)."""
    year, month0 = divmod(date.year * 12 + date.month - 1 + months, 12)
    month = month0 + 1
    day = date.day
    if day > 28:
        day = min(day, monthrange(year, month)[1])
    return dt.date(year, month, day)


@lru_cache(DATES_KEPT)
def quarter_start(date: dt.date) -> dt.date:
    """Give the first day of the calendar quarter that a date lies in."""
    return dt.date(date.year, date.month - (date.month - 1) % 3, 1)


@lru_cache(DATES_KEPT)
def next_quarter(date: dt.date) -> dt.date:
    """Give the first day of the quarter after the one that a date lies in."""
    return add_months(quarter_start(date), 3)


def is_quarter_start(date: dt.date) -> bool:
    """Tell whether a date is the first day of a calendar quarter."""
    return date.day == 1 and date.month % 3 == 1


def next_yearly(after: dt.date, month: int, day: int) -> dt.date:
    """Give the first date after the given one that falls on a month and day (never 02-29)."""
    candidate = dt.date(after.year, month, day)
    return candidate if candidate > after else dt.date(after.year + 1, month, day)


def full_years(start: dt.date, on: dt.date) -> int:
    """Give the full years from start to a date, by `add_months`; negative spans are 0."""
    if on < start:
        return 0
    years = on.year - start.year
    if start.day <= 28:  # every month has that day: no date needs to be made
        return years if (on.month, on.day) >= (start.month, start.day) else years - 1
    return years if add_months(start, 12 * years) <= on else years - 1
