"""Loyalty: days of membership less days suspended, and the full years that some bonuses go by."""

from domain.loyalty import loyalty_days, loyalty_years
from tests.domain import programmes as p
from tests.domain.history import History, Posted, day, end, enrol, resume, sale, suspend

LOYAL = p.small(bonuses=[p.instant("loyalty", loyalty_bp={1: 10, 2: 20, 5: 50})])


def days(history: History, on: str) -> int:
    standing = history.standing("P")
    return loyalty_days(standing.enrolled_on, standing.suspensions, standing.ended_on, day(on))


def test_loyalty_is_the_days_since_enrolment() -> None:
    """On the day of enrolment it is zero; before, too."""
    history = History(LOYAL).given(enrol("P", "2012-01-05"))
    assert [days(history, on) for on in ("2012-01-01", "2012-01-05", "2012-01-06", "2013-01-05")] == [0, 0, 1, 366]


def test_the_loyalty_of_the_worked_case() -> None:
    """Enrolled on 2008-03-01 under Affinity, it is 2,527 days loyal on 2015-01-31, whichever programmes came since."""
    history = History(*p.THE_THREE).given(enrol("P", "2008-03-01", "affinity")).advance("2015-01-31")
    assert days(history, "2015-01-31") == 2527


def test_days_suspended_do_not_count() -> None:
    """A suspension counts from its first day to the day before resumption."""
    history = History(LOYAL).given(enrol("P", "2012-01-01"), suspend("P", "2012-02-01"), resume("P", "2012-02-11"))
    assert days(history, "2012-02-01") == 31
    assert days(history, "2012-02-06") == 31
    assert days(history, "2012-02-11") == 31
    assert days(history, "2012-02-12") == 32


def test_loyalty_stands_still_while_suspended() -> None:
    """An open suspension has no end yet."""
    history = History(LOYAL).given(enrol("P", "2012-01-01"), suspend("P", "2012-02-01"))
    assert days(history, "2015-01-01") == 31


def test_loyalty_stops_at_the_end_of_the_membership() -> None:
    """And the end closes an open suspension."""
    history = History(LOYAL).given(enrol("P", "2012-01-01"), suspend("P", "2012-01-11"), end("P", "2012-02-01"))
    assert days(history, "2012-02-01") == 10
    assert days(history, "2020-01-01") == 10


def test_completed_years_count_from_enrolment_moved_forward_by_the_days_suspended() -> None:
    """Ten days of suspension put every anniversary off by ten days."""
    suspension = [(day("2012-02-01"), day("2012-02-11"))]
    assert loyalty_years(day("2012-01-01"), suspension, day("2013-01-10")) == 0
    assert loyalty_years(day("2012-01-01"), suspension, day("2013-01-11")) == 1
    assert loyalty_years(day("2012-01-01"), [], day("2013-01-01")) == 1


def test_the_loyalty_rate_is_that_of_the_largest_key_not_above_the_years() -> None:
    """Nothing before the first key; between two keys the lower one's."""
    history = History(LOYAL).given(
        enrol("P", "2012-01-01"),
        sale("D1", "P", "2012-12-31", "10000.00"),
        sale("D2", "P", "2013-01-01", "10000.00"),
        sale("D3", "P", "2016-12-31", "10000.00"),
        sale("D4", "P", "2017-01-01", "10000.00"),
    )
    assert [(line.on, line.amount) for line in history.lines("P")] == [
        ("2013-01-01", "10.00"),
        ("2016-12-31", "20.00"),
        ("2017-01-01", "50.00"),
    ]


def test_the_years_of_a_late_sale_are_those_completed_on_its_own_date() -> None:
    """Only the days suspended before it count against it."""
    history = History(LOYAL).given(
        enrol("P", "2012-01-01"),
        suspend("P", "2013-06-01"),
        resume("P", "2013-12-01"),
        sale("D1", "P", "2013-05-01", "10000.00"),
        sale("D2", "P", "2014-05-01", "10000.00"),
    )
    assert history.lines("P") == [
        Posted("2013-12-01", "loyalty", "10.00", "EUR"),
        Posted("2014-05-01", "loyalty", "10.00", "EUR"),
    ]
