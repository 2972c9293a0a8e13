"""Calendar months, quarters and yearly dates."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendar import add_months, full_years, is_quarter_start, next_quarter, next_yearly, quarter_start
from tests.domain.history import day


@pytest.mark.parametrize(
    ("date", "months", "moved"),
    [
        ("2012-01-31", 1, "2012-02-29"),
        ("2013-01-31", 1, "2013-02-28"),
        ("2012-02-29", 12, "2013-02-28"),
        ("2012-02-29", 48, "2016-02-29"),
        ("2012-08-31", -6, "2012-02-29"),
        ("2012-03-31", -12, "2011-03-31"),
        ("2012-12-15", 1, "2013-01-15"),
        ("2013-01-15", -1, "2012-12-15"),
        ("2012-05-31", 0, "2012-05-31"),
    ],
)
def test_a_day_that_the_target_month_lacks_becomes_its_last_day(date: str, months: int, moved: str) -> None:
    """Months are calendar months, forwards and backwards."""
    assert add_months(day(date), months) == day(moved)


@pytest.mark.parametrize(
    ("date", "start", "following"),
    [
        ("2012-01-01", "2012-01-01", "2012-04-01"),
        ("2012-03-31", "2012-01-01", "2012-04-01"),
        ("2012-04-01", "2012-04-01", "2012-07-01"),
        ("2011-12-31", "2011-10-01", "2012-01-01"),
    ],
)
def test_quarters_are_those_of_the_calendar(date: str, start: str, following: str) -> None:
    """They begin in January, April, July and October."""
    assert quarter_start(day(date)) == day(start)
    assert next_quarter(day(date)) == day(following)
    assert is_quarter_start(day(date)) == (date == start)


def test_a_yearly_date_is_the_next_after_a_day_and_never_that_day() -> None:
    """The day itself has been already."""
    assert next_yearly(day("2012-03-30"), 3, 31) == day("2012-03-31")
    assert next_yearly(day("2012-03-31"), 3, 31) == day("2013-03-31")


@pytest.mark.parametrize(
    ("start", "on", "years"),
    [
        ("2008-03-01", "2011-02-28", 2),
        ("2008-03-01", "2011-03-01", 3),
        ("2012-02-29", "2013-02-27", 0),
        ("2012-02-29", "2013-02-28", 1),
        ("2012-02-29", "2012-02-29", 0),
        ("2012-02-29", "2011-01-01", 0),
    ],
)
def test_full_years_are_counted_by_calendar_months(start: str, on: str, years: int) -> None:
    """A year from 29 February is full on 28 February."""
    assert full_years(day(start), day(on)) == years


@settings(derandomize=True, max_examples=200, deadline=None, database=None)
@given(st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1)), st.integers(0, 60), st.integers(0, 60))
def test_months_never_move_backwards(date: dt.date, fewer: int, more: int) -> None:
    """More months never give an earlier date, and a month added moves by one month of the calendar."""
    assert add_months(date, fewer) <= add_months(date, fewer + more)
    moved = add_months(date, more)
    assert (moved.year * 12 + moved.month) - (date.year * 12 + date.month) == more
