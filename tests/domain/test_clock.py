"""A partner's clock: what time does and in which order, the ledger's date, and late facts."""

import datetime as dt

import pytest

from domain import events as e
from domain.errors import Refused
from domain.facts import Fact
from tests.domain import programmes as p
from tests.domain.history import History, Posted, award, day, end, enrol, resume, sale, suspend, train

SMALL = p.small()


def test_the_clock_is_the_latest_business_date_of_the_partners_own_events() -> None:
    """Not of other partners, and never earlier again."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        enrol("Q", "2012-01-05"),
        sale("D1", "P", "2012-02-10", "10.00"),
        sale("D2", "Q", "2012-03-10", "10.00"),
        sale("D3", "P", "2012-02-01", "10.00"),
    )
    assert history.standing("P").clock == day("2012-02-10")
    assert [event.clock for event in history.those(e.SaleRecorded, "P")] == [day("2012-02-10"), day("2012-02-10")]


def test_the_ledgers_date_is_the_clock_where_it_is_later() -> None:
    """A fact told after an advance is handled on the ledger's date."""
    history = History(SMALL).given(enrol("P", "2012-01-05")).advance("2012-05-01")
    history.given(sale("D1", "P", "2012-02-10", "1000.00"), sale("D2", "P", "2012-06-01", "10.00"))
    assert [event.clock for event in history.those(e.SaleRecorded, "P")] == [day("2012-05-01"), day("2012-06-01")]
    assert history.tiers("P")[-1] == ("2012-05-01", "silver", "promotion")


def test_a_settlement_without_lines_is_no_event_and_moves_no_clock() -> None:
    """A quarter that comes to nothing leaves the partner as it was."""
    programme = p.small(bonuses=[p.kickback("volume", "500.00", bronze=100)])
    history = History(programme).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-10", "499.99"))
    history.advance("2012-06-01")
    assert history.names("P") == ["PartnerEnrolled", "SaleRecorded"]
    assert history.standing("P").clock == day("2012-02-10")


# --- what time does, in its order ---------------------------------------------------------------------------------------

FIRST = p.small(
    "first",
    bonuses=[p.kickback("volume", bronze=100, silver=200)],
    specialisations=[p.specialisation("cloud", "CL-101", people=1, valid_months=12)],
)
SECOND = p.small(
    "second",
    "2013-01-01",
    review={"date": "01-01", "grace": 0, "protect_months": 0},
    specialisations=[p.specialisation("cloud", "CL-101", people=1, valid_months=12)],
    tiers=p.simple_tiers(bronze="0", silver="5000.00"),
)


def test_on_one_date_settlement_transition_expiry_and_review_come_in_this_order_before_facts() -> None:
    """The quarter is settled by the tier before, the new programme is entered, the certificate lapses, the review is held."""
    history = History(FIRST, SECOND).given(
        enrol("P", "2012-01-05", "silver"),
        train("C1", "P", "anna", "CL-101", "2012-01-01"),
        sale("D1", "P", "2012-12-30", "1500.00"),
        sale("D2", "P", "2013-01-01", "1.00"),
    )
    names = history.names("P")
    assert names[names.index("KickbackSettled") :] == [
        "KickbackSettled",
        "ProgrammeEntered",
        "SpecialisationLapsed",
        "ReviewMissed",
        "TierChanged",
        "SaleRecorded",
        "BonusAccrued",
    ]
    assert Posted("2013-01-01", "volume", "30.00", "EUR") in history.lines("P")
    assert history.tiers("P")[-1] == ("2013-01-01", "bronze", "demotion")


def test_what_time_decides_counts_from_the_start_of_that_day() -> None:
    """A deal closed on the day of a demotion by review earns the lower rate."""
    history = History(FIRST, SECOND).given(enrol("P", "2012-06-01", "silver"), sale("D1", "P", "2013-01-01", "100.00"))
    assert history.lines("P") == [Posted("2013-01-01", "deal", "1.00", "EUR")]


def test_what_a_fact_decides_counts_from_the_start_of_the_next_day() -> None:
    """The deal that brings a promotion, and the others of its day, are paid at the rate of the tier before."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-10", "1000.00"),
        sale("D2", "P", "2012-02-10", "100.00"),
        sale("D3", "P", "2012-02-11", "100.00"),
    )
    assert [line.amount for line in history.lines("P")] == ["10.00", "1.00", "2.00"]


def test_the_tier_of_enrolment_counts_from_the_start_of_its_day() -> None:
    """A deal on the day of enrolment earns by it."""
    history = History(SMALL).given(enrol("P", "2012-01-05", "silver"), sale("D1", "P", "2012-01-05", "100.00"))
    assert history.lines("P") == [Posted("2012-01-05", "deal", "2.00", "EUR")]


def test_every_date_in_between_is_handled_before_a_later_fact() -> None:
    """Two reviews and a lapse lie between two facts."""
    history = History(p.small(review={"date": "06-30", "grace": 1, "protect_months": 3})).given(
        enrol("P", "2012-01-05", "silver"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        sale("D1", "P", "2013-08-01", "10.00"),
    )
    assert history.names("P")[3:] == [
        "ReviewMissed",
        "SpecialisationLapsed",
        "ReviewMissed",
        "TierChanged",
        "SaleRecorded",
        "BonusAccrued",
    ]
    assert [event.reviewed_on for event in history.those(e.ReviewMissed, "P")] == [day("2012-06-30"), day("2013-06-30")]


# --- the ledger's date ----------------------------------------------------------------------------------------------------


def test_an_advance_is_one_event_and_then_what_falls_due_for_every_partner() -> None:
    """The ledger's own stream says the date; told again it says nothing new."""
    history = History(SMALL).given(enrol("P", "2012-01-05", "silver"), enrol("Q", "2012-01-05", "silver"))
    history.advance("2012-07-01").advance("2012-07-01")
    assert history.stream("ledger") == [e.LedgerAdvanced(to=day("2012-07-01"))]
    assert history.names("P")[1:] == history.names("Q")[1:] == ["ReviewMissed"]


def test_the_same_advance_told_again_finishes_what_was_left() -> None:
    """Of a run that was cut off, the partners it did not reach are decided then."""
    history = History(SMALL).given(enrol("P", "2012-01-05", "silver"), enrol("Q", "2012-01-05", "silver"))
    history.begin_day("2012-07-01")
    history.decide_due("P")
    assert "ReviewMissed" not in history.names("Q")
    history.advance("2012-07-01")
    assert history.names("P") == history.names("Q") == ["PartnerEnrolled", "ReviewMissed"]


def test_it_does_not_matter_how_far_the_run_has_come_when_a_fact_is_told() -> None:
    """What its partner still owes up to the ledger's date is decided before the fact."""
    facts = [enrol("P", "2012-01-05", "silver"), enrol("Q", "2012-01-05")]
    finished, cut_off = History(SMALL).given(*facts), History(SMALL).given(*facts)
    finished.advance("2012-07-01")
    cut_off.begin_day("2012-07-01")
    for history in (finished, cut_off):
        history.given(sale("D1", "P", "2012-03-01", "1000.00"))
    assert cut_off.events("P") == finished.events("P")
    assert cut_off.names("P") == ["PartnerEnrolled", "ReviewMissed", "SaleRecorded", "BonusAccrued"]


def test_the_ledger_is_never_advanced_beyond_today_nor_back() -> None:
    """The refusal names both dates."""
    history = History(SMALL, today=day("2012-06-01"))
    with pytest.raises(Refused, match=r"2012-06-02.*today is 2012-06-01"):
        history.advance("2012-06-02")
    history.advance("2012-06-01")
    with pytest.raises(Refused, match=r"2012-06-01 already.*2012-05-31"):
        history.advance("2012-05-31")


def test_a_fact_dated_today_is_told_and_one_dated_tomorrow_is_refused() -> None:
    """A business date is not later than today."""
    history = History(SMALL, today=day("2012-06-01")).given(enrol("P", "2012-01-05"))
    history.given(sale("D1", "P", "2012-06-01", "1.00"))
    assert "in the future" in history.refusal(sale("D2", "P", "2012-06-02", "1.00"))


@pytest.mark.parametrize(
    "fact",
    [
        enrol("Q", "2011-12-31"),
        sale("D1", "P", "2011-12-31", "1.00"),
        suspend("P", "2011-12-31"),
        end("P", "2011-12-31"),
        award("P", "platinum", "2011-12-31"),
    ],
    ids=lambda fact: fact.KIND,
)
def test_a_fact_before_the_first_programme_is_refused(fact: Fact) -> None:
    """There are no terms that it could be judged by."""
    history = History(SMALL).given(enrol("P", "2012-01-05"))
    assert "No programme is in force on 2011-12-31" in history.refusal(fact)


def test_a_training_before_the_first_programme_is_a_late_fact() -> None:
    """It counts by its own date as soon as the partner is there."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), train("C1", "P", "anna", "CL-101", "2011-06-01"))
    assert history.specialisations("P") == [("2012-01-05", "cloud", True)]
    assert history.advance("2012-06-01").specialisations("P")[-1] == ("2012-06-01", "cloud", False)


# --- late facts -----------------------------------------------------------------------------------------------------------


def test_a_late_sale_counts_by_its_own_date_and_takes_effect_on_the_clock() -> None:
    """Its bonus is by the tier of its day; the line is posted, and the promotion counts, from the clock."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        sale("D2", "P", "2012-05-01", "10.00"),
        sale("D3", "P", "2012-01-10", "200.00"),
    )
    assert history.lines("P")[-1] == Posted("2012-05-01", "deal", "2.00", "EUR")
    assert history.last(e.BonusAccrued, "P").closed_on == day("2012-01-10")


def test_a_late_sale_outside_the_window_of_the_clock_brings_no_promotion() -> None:
    """Revenue is that of the window that ends on the clock."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"), sale("D1", "P", "2013-03-01", "10.00"), sale("D2", "P", "2012-02-01", "5000.00")
    )
    assert history.tier("P") == "bronze"
    assert history.given(sale("D3", "P", "2012-03-02", "990.00")).tiers("P")[-1] == (
        "2013-03-01",
        "silver",
        "promotion",
    )


def test_a_late_training_takes_effect_on_the_clock_where_it_is_still_valid() -> None:
    """A certificate that has expired by then changes nothing."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2013-03-01", "10.00"),
        train("C1", "P", "anna", "CL-101", "2012-03-01"),
    )
    assert history.specialisations("P") == []
    history.given(train("C2", "P", "anna", "CL-101", "2012-03-02"))
    assert history.specialisations("P") == [("2013-03-01", "cloud", True)]


@pytest.mark.parametrize("on", ["2012-01-02", "2012-02-01", "2012-03-01"])
def test_a_membership_change_takes_effect_on_the_later_of_its_date_and_the_clock(on: str) -> None:
    """One dated before enrolment too."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-10", "1.00"), suspend("P", on))
    event = history.last(e.MembershipSuspended, "P")
    assert (event.on, event.effective_on) == (day(on), max(day(on), day("2012-02-10")))


def test_an_award_takes_effect_on_the_later_of_its_date_and_the_clock() -> None:
    """One dated before enrolment too."""
    free = p.small(tiers=[p.tier("bronze"), p.tier("platinum", awarded=True)])
    history = History(free).given(enrol("P", "2012-02-01"), award("P", "platinum", "2012-01-02"))
    assert history.tiers("P")[-1] == ("2012-02-01", "platinum", "award")


def test_nothing_is_undone_by_a_late_suspension() -> None:
    """Deals recorded before it keep what they earned, and it begins on the clock."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-10", "100.00"),
        suspend("P", "2012-02-01"),
        resume("P", "2012-03-01"),
        sale("D2", "P", "2012-02-09", "100.00"),
        sale("D3", "P", "2012-02-10", "100.00"),
        sale("D4", "P", "2012-02-29", "100.00"),
        sale("D5", "P", "2012-03-01", "100.00"),
    )
    earning = {event.deal_id: event.earning for event in history.those(e.SaleRecorded, "P")}
    assert earning == {"D1": True, "D2": True, "D3": False, "D4": False, "D5": True}


def test_leap_days_are_no_trouble_for_a_clock() -> None:
    """A certificate of 29 February for twelve months is held up to 27 February."""
    history = History(SMALL).given(enrol("P", "2012-02-29"), train("C1", "P", "anna", "CL-101", "2012-02-29"))
    assert history.advance(dt.date(2013, 2, 27)).specialisations("P") == [("2012-02-29", "cloud", True)]
    assert history.advance(dt.date(2013, 2, 28)).specialisations("P")[-1] == ("2013-02-28", "cloud", False)
