"""Review: once a year, with grace, protection, and suspensions."""

from typing import Any

import pytest

from domain import events as e
from domain.programme import Programme
from tests.domain import programmes as p
from tests.domain.history import History, day, enrol, resume, sale, suspend, train


def terms(grace: int = 1, protect_months: int = 3, **parts: Any) -> Programme:
    review = {"date": "06-30", "grace": grace, "protect_months": protect_months}
    return p.small(review=review, bonuses=[], **parts)


def test_the_reviews_of_the_worked_case() -> None:
    """Silver since 2012-02-10: 2012 passed over, 2013 missed and forgiven, 2014 missed twice: Bronze."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2008-03-01", "affinity"), sale("D2", "P", "2012-02-10", "70000.00", currency="CHF")
    )
    history.advance("2015-01-31")
    assert [(event.reviewed_on.isoformat(), event.missed) for event in history.those(e.ReviewMissed, "P")] == [
        ("2013-03-31", 1),
        ("2014-03-31", 2),
    ]
    assert history.tiers("P")[-1] == ("2014-03-31", "bronze", "demotion")


def test_a_review_that_is_passed_sets_missed_reviews_to_zero() -> None:
    """A miss, a pass, a miss: nobody is demoted, and the second miss is the first again."""
    history = History(terms()).given(enrol("P", "2012-01-05", "silver"), sale("D1", "P", "2013-01-10", "1000.00"))
    history.advance("2014-06-30")
    assert history.names("P")[1:] == ["ReviewMissed", "SaleRecorded", "ReviewPassed", "ReviewMissed"]
    assert [event.missed for event in history.those(e.ReviewMissed, "P")] == [1, 1]
    assert history.tier("P") == "silver"


def test_a_deal_of_the_review_date_comes_too_late_for_it() -> None:
    """The review is what time does, before the facts of its day."""
    missed = History(terms()).given(enrol("P", "2012-01-05", "silver"), sale("D1", "P", "2012-06-30", "1000.00"))
    passed = History(terms()).given(enrol("P", "2012-01-05", "silver"), sale("D1", "P", "2012-06-29", "1000.00"))
    assert missed.advance("2012-06-30").names("P") == ["PartnerEnrolled", "ReviewMissed", "SaleRecorded"]
    assert passed.advance("2012-06-30").names("P") == ["PartnerEnrolled", "SaleRecorded", "ReviewPassed"]


def test_the_lowest_tier_is_passed_over_and_nothing_is_recorded() -> None:
    """There is nothing to lose."""
    assert History(terms()).given(enrol("P", "2012-01-05")).advance("2015-01-01").names("P") == ["PartnerEnrolled"]


@pytest.mark.parametrize(
    ("enrolled_on", "reviewed"), [("2012-03-30", True), ("2012-03-31", True), ("2012-04-01", False)]
)
def test_a_tier_held_for_less_than_the_months_of_protection_is_passed_over(enrolled_on: str, reviewed: bool) -> None:
    """Three months from 31 March are over on 30 June: that review is held."""
    history = History(terms()).given(enrol("P", enrolled_on, "silver")).advance("2012-06-30")
    assert ("ReviewMissed" in history.names("P")) == reviewed


def test_protection_begins_anew_with_a_promotion() -> None:
    """It counts from the last tier change."""
    history = History(terms(protect_months=6)).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-12-30"),
        sale("D1", "P", "2012-12-30", "1000.00"),
        sale("D2", "P", "2013-01-10", "1000.00"),
    )
    assert history.tier("P") == "gold"
    assert "ReviewPassed" not in history.advance("2013-06-30").names("P")


@pytest.mark.parametrize(("grace", "years"), [(0, 1), (1, 2), (2, 3)])
def test_above_grace_missed_reviews_lead_to_a_demotion(grace: int, years: int) -> None:
    """Grace is how many are forgiven."""
    history = History(terms(grace)).given(enrol("P", "2012-01-05", "silver")).advance("2018-01-01")
    assert history.tiers("P")[1:] == [(f"{2011 + years}-06-30", "bronze", "demotion")]
    assert [event.missed for event in history.those(e.ReviewMissed, "P")] == list(range(1, years + 1))


def test_a_demotion_is_to_the_highest_automatic_tier_met() -> None:
    """Gold without its specialisation is silver."""
    history = History(terms(0)).given(enrol("P", "2012-01-05", "gold"), sale("D1", "P", "2012-06-01", "1500.00"))
    assert history.advance("2012-06-30").tiers("P")[-1] == ("2012-06-30", "silver", "demotion")
    evidence = history.last(e.ReviewMissed, "P").evidence
    assert (evidence.tier, evidence.required_specialisations, evidence.specialisations) == ("gold", 1, ())


def test_a_demotion_sets_missed_reviews_to_zero() -> None:
    """The next tier begins with all its grace."""
    history = History(terms(1)).given(enrol("P", "2012-01-05", "gold"), sale("D1", "P", "2013-06-01", "1500.00"))
    history.advance("2015-06-30")
    assert history.tiers("P")[1:] == [("2013-06-30", "silver", "demotion"), ("2015-06-30", "bronze", "demotion")]
    assert [event.missed for event in history.those(e.ReviewMissed, "P")] == [1, 2, 1, 2]


def test_a_promotion_sets_missed_reviews_to_zero() -> None:
    """A miss as silver does not count as gold."""
    history = History(terms(1, 0)).given(
        enrol("P", "2012-01-05", "silver"),
        train("C1", "P", "anna", "CL-101", "2012-06-30"),
        sale("D1", "P", "2012-06-30", "2000.00"),
    )
    history.advance("2013-07-01")
    assert history.those(e.ReviewPassed, "P") == []
    assert [(event.tier, event.missed) for event in history.those(e.ReviewMissed, "P")] == [("silver", 1), ("gold", 1)]


def test_the_review_date_is_that_of_the_programme_in_force_on_it() -> None:
    """The worked case: 15 January under Affinity, 31 March from 2012 on."""
    history = History(*p.THE_THREE).given(enrol("P", "2009-06-01", "affinity-plus"))
    history.advance("2013-12-31")
    assert [event.reviewed_on.isoformat() for event in history.those(e.ReviewMissed, "P")] == [
        "2011-01-15",
        "2012-03-31",
    ]


def test_a_version_that_begins_on_its_review_date_reviews_on_it() -> None:
    """After the transition, by its own terms."""
    after = p.small("next", "2013-01-01", review={"date": "01-01", "grace": 0, "protect_months": 0})
    history = History(terms(), after).given(enrol("P", "2012-08-01", "silver")).advance("2013-01-01")
    assert history.names("P") == ["PartnerEnrolled", "ProgrammeEntered", "ReviewMissed", "TierChanged"]


# --- suspensions -------------------------------------------------------------------------------------------------------------


def test_a_review_that_falls_into_a_suspension_is_held_on_the_day_of_resumption() -> None:
    """With that day's requirements, before promotion is tried."""
    history = History(terms(0)).given(
        enrol("P", "2012-01-05", "silver"), suspend("P", "2012-06-01"), resume("P", "2012-08-15")
    )
    assert history.names("P")[1:] == ["MembershipSuspended", "MembershipResumed", "ReviewMissed", "TierChanged"]
    missed = history.last(e.ReviewMissed, "P")
    assert (missed.reviewed_on, missed.by_fact) == (day("2012-08-15"), True)
    assert missed.evidence.window_last_day == day("2012-08-15")


def test_several_reviews_in_one_suspension_are_held_once() -> None:
    """Three years away are one miss."""
    history = History(terms(1)).given(
        enrol("P", "2012-01-05", "silver"), suspend("P", "2012-06-01"), resume("P", "2014-08-15")
    )
    assert [event.missed for event in history.those(e.ReviewMissed, "P")] == [1]


@pytest.mark.parametrize(
    ("suspended_on", "resumed_on", "reviewed_on"),
    [
        ("2012-06-30", "2012-07-15", ["2012-06-30"]),
        ("2012-06-29", "2012-06-30", ["2012-06-30"]),
        ("2012-06-01", "2012-06-29", ["2012-06-30"]),
        ("2012-07-01", "2012-07-02", ["2012-06-30"]),
        ("2012-06-29", "2012-07-01", ["2012-07-01"]),
    ],
)
def test_a_review_is_held_once_however_a_suspension_touches_its_date(
    suspended_on: str, resumed_on: str, reviewed_on: list[str]
) -> None:
    """On its date where the partner is not suspended at the start of it, else on resumption; never twice."""
    history = History(terms()).given(
        enrol("P", "2012-01-05", "silver"), suspend("P", suspended_on), resume("P", resumed_on)
    )
    history.advance("2012-12-31")
    assert [event.reviewed_on.isoformat() for event in history.those(e.ReviewMissed, "P")] == reviewed_on


def test_protection_is_judged_on_the_day_of_resumption() -> None:
    """What was protected on the review date may not be any more."""
    history = History(terms(0)).given(
        enrol("P", "2012-05-01", "silver"), suspend("P", "2012-06-01"), resume("P", "2012-08-01")
    )
    assert history.tiers("P")[-1] == ("2012-08-01", "bronze", "demotion")
    history = History(terms(0)).given(
        enrol("P", "2012-05-01", "silver"), suspend("P", "2012-06-01"), resume("P", "2012-07-31")
    )
    assert history.tier("P") == "silver"


def test_a_promotion_is_tried_after_the_review_of_a_resumption() -> None:
    """Demoted, and up again with a deal told late: two changes of one day."""
    tiers = [p.tier("bronze"), p.tier("silver", "1000.00"), p.tier("gold", "2000.00", 1)]
    history = History(terms(0, tiers=tiers)).given(
        enrol("P", "2012-01-05"),
        suspend("P", "2012-06-01"),
        sale("D1", "P", "2012-05-31", "1000.00"),
        resume("P", "2012-07-15"),
    )
    assert history.tiers("P")[1:] == [("2012-07-15", "silver", "promotion")]
    assert history.those(e.ReviewPassed, "P") == []


def test_what_a_review_on_resumption_decides_does_not_count_at_the_start_of_that_day() -> None:
    """It was a fact that held it: a deal of that day still earns by the tier before."""
    rates = [p.instant("deal", rate_bp={"bronze": 100, "silver": 200})]
    programme = p.small(review={"date": "06-30", "grace": 0, "protect_months": 3}, bonuses=rates)
    history = History(programme).given(
        enrol("P", "2012-01-05", "silver"),
        suspend("P", "2012-06-01"),
        resume("P", "2012-07-15"),
        sale("D1", "P", "2012-07-15", "100.00"),
        sale("D2", "P", "2012-07-16", "100.00"),
    )
    assert [line.amount for line in history.lines("P")] == ["2.00", "1.00"]
