"""Withdrawal: a promotion that rested on a deal which is taken back, is taken back with it."""

from domain import events as e
from tests.domain import programmes as p
from tests.domain.history import (
    History,
    Posted,
    award,
    day,
    end,
    enrol,
    resume,
    reverse,
    sale,
    suspend,
    train,
)

STEPS = p.small(
    tiers=[*p.simple_tiers(bronze="0", silver="1000.00", gold="2000.00", diamond="3000.00")],
    bonuses=[p.kickback("volume", bronze=100, silver=200, gold=300, diamond=400)],
)
SEATS = p.small(
    tiers=[p.tier("bronze"), p.tier("silver", "1000.00"), p.tier("platinum", "1000.00", awarded=True)], bonuses=[]
)


def test_the_withdrawal_of_the_worked_case() -> None:
    """D4 makes CH-0002 Silver and is taken back whole: the promotion is withdrawn, D5's 60.00 as Silver stay."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2012-01-02"),
        sale("D4", "P", "2012-04-02", "80000.00", currency="CHF"),
        sale("D5", "P", "2012-04-16", "2000.00", currency="CHF"),
        reverse("R2", "D4", "2012-04-20"),
    )
    assert history.tiers("P")[1:] == [("2012-04-02", "silver", "promotion"), ("2012-04-20", "bronze", "withdrawal")]
    assert [line.amount for line in history.lines("P")] == ["1200.00", "60.00", "-1200.00"]
    change = history.last(e.TierChanged, "P")
    assert (change.withdrawn, change.counts_from, change.rests_on_evidence) == (1, day("2012-04-02"), False)


def test_a_promotion_that_the_revenue_left_still_carries_stays() -> None:
    """R1 of the worked case leaves EUR 56,320, still enough."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2008-03-01", "affinity"),
        sale("D1", "P", "2011-09-15", "10000.00", currency="CHF"),
        sale("D2", "P", "2012-02-10", "70000.00", currency="CHF"),
        sale("D3", "P", "2012-02-10", "1000.00", currency="CHF"),
        reverse("R1", "D2", "2012-03-05", "10000.00"),
    )
    assert history.tier("P") == "silver"


def test_what_counts_is_the_window_that_ended_on_the_promotions_date() -> None:
    """Later deals do not save the promotion as such, but what they meet now does."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "1000.00"), sale("D2", "P", "2012-02-05", "999.00")
    )
    assert history.given(reverse("R1", "D1", "2012-02-10")).tier("P") == "bronze"
    history = History(STEPS).given(
        enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "1000.00"), sale("D2", "P", "2012-02-05", "1000.00")
    )
    assert history.tier("P") == "gold"
    assert history.given(reverse("R1", "D1", "2012-02-10")).tiers("P")[-1] == ("2012-02-10", "silver", "withdrawal")


def test_a_deal_outside_the_promotions_window_takes_nothing_back() -> None:
    """The revenue that it rests on is untouched."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        sale("D2", "P", "2013-02-01", "100.00"),
        reverse("R1", "D2", "2013-02-02"),
    )
    assert history.tiers("P")[-1] == ("2012-02-01", "silver", "promotion")


def test_a_tier_met_now_is_never_withdrawn() -> None:
    """The highest tier met now must be lower than the tier held."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        sale("D2", "P", "2012-03-01", "900.00"),
        sale("D3", "P", "2012-03-02", "99.00"),
        reverse("R1", "D1", "2012-03-03", "999.00"),
    )
    assert history.tiers("P")[-1] == ("2012-02-01", "silver", "promotion")


def test_promotions_fall_in_steps_down_to_one_that_still_rests() -> None:
    """Two are taken back in one change, the third stays."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        sale("D2", "P", "2012-02-02", "1000.00"),
        sale("D3", "P", "2012-02-03", "1000.00"),
        reverse("R1", "D2", "2012-02-10", "1000.00"),
    )
    assert history.tiers("P")[-1] == ("2012-02-10", "gold", "withdrawal")
    history.given(reverse("R2", "D3", "2012-02-11"))
    assert history.tiers("P")[-1] == ("2012-02-11", "silver", "withdrawal")


def test_several_promotions_are_one_change() -> None:
    """One change is recorded, effective on the clock's date."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        sale("D2", "P", "2012-02-02", "2000.00"),
        sale("D3", "P", "2012-05-01", "1.00"),
        reverse("R1", "D2", "2012-02-10"),
    )
    assert history.tiers("P")[-1] == ("2012-05-01", "silver", "withdrawal")
    history.given(reverse("R2", "D1", "2012-05-02"))
    assert history.tiers("P")[-1] == ("2012-05-02", "bronze", "withdrawal")
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        sale("D2", "P", "2012-02-02", "1000.00"),
        reverse("R1", "D1", "2012-02-10", "500.00"),
        reverse("R2", "D1", "2012-02-11"),
        reverse("R3", "D2", "2012-02-12"),
    )
    assert history.tiers("P")[2:] == [
        ("2012-02-02", "gold", "promotion"),
        ("2012-02-10", "silver", "withdrawal"),
        ("2012-02-12", "bronze", "withdrawal"),
    ]
    assert history.last(e.TierChanged, "P").withdrawn == 1


def test_it_becomes_the_tier_met_now_where_that_is_above_the_one_reached() -> None:
    """From bronze straight to gold, taken back to what is met now: silver, which rests on the window up to the clock."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "2000.00"),
        sale("D2", "P", "2012-02-05", "900.00"),
        reverse("R1", "D1", "2012-02-10", "1900.00"),
    )
    assert history.tiers("P")[1:] == [("2012-02-01", "gold", "promotion"), ("2012-02-10", "silver", "withdrawal")]
    change = history.last(e.TierChanged, "P")
    assert (change.rests_on_evidence, change.reached_tier) == (True, "bronze")
    history.given(reverse("R2", "D2", "2012-02-11", "0.01"))
    assert history.tiers("P")[-1] == ("2012-02-11", "bronze", "withdrawal")


def test_for_kickbacks_the_tier_fallen_to_counts_from_the_promotions_date() -> None:
    """Quarters already settled that end on or after it are settled again, one before it is not."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D0", "P", "2012-02-01", "500.00"),
        sale("D1", "P", "2012-05-01", "900.00"),
        sale("D2", "P", "2012-08-01", "100.00"),
        reverse("R1", "D1", "2012-10-10", "600.00"),
    )
    assert history.lines("P") == [
        Posted("2012-04-01", "volume", "5.00", "EUR"),
        Posted("2012-07-01", "volume", "18.00", "EUR"),
        Posted("2012-10-01", "volume", "2.00", "EUR"),
        Posted("2012-10-10", "volume", "-15.00", "EUR"),
        Posted("2012-10-10", "volume", "-1.00", "EUR"),
    ]
    assert history.last(e.KickbackSettled, "P").cause == "reversal"


def test_each_quarter_concerned_is_settled_once_after_the_withdrawal() -> None:
    """The quarter of the deal itself too: no interim figure at the tier withdrawn."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "1000.00"), reverse("R1", "D1", "2012-04-10", "500.00")
    )
    assert history.names("P")[-3:] == ["SaleReversed", "TierChanged", "KickbackSettled"]
    assert [line.amount for line in history.lines("P")] == ["20.00", "-15.00"]


def test_instant_bonuses_earned_on_other_deals_meanwhile_stay() -> None:
    """Only the lines of the deal taken back are recomputed, at its own rates."""
    instant = p.small(bonuses=[p.instant("deal", rate_bp={"bronze": 100, "silver": 200})])
    history = History(instant).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        sale("D2", "P", "2012-02-02", "100.00"),
        reverse("R1", "D1", "2012-02-03"),
    )
    assert [line.amount for line in history.lines("P")] == ["10.00", "2.00", "-10.00"]


def test_a_tier_that_rests_on_no_promotion_is_not_withdrawn() -> None:
    """Enrolment into it."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05", "silver"), sale("D1", "P", "2012-02-01", "1500.00"), reverse("R1", "D1", "2012-02-02")
    )
    assert history.tiers("P") == [("2012-01-05", "silver", "enrolled")]


def test_an_award_since_protects_the_promotion_below() -> None:
    """A tier change came after it that was no withdrawal."""
    history = History(SEATS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1500.00"),
        award("P", "platinum", "2012-02-02"),
        reverse("R1", "D1", "2012-02-03"),
    )
    assert history.tier("P") == "platinum"


def test_a_migration_since_protects_the_promotion_before() -> None:
    """A recorded one, to another code."""
    after = p.small("next", "2013-01-01", tiers=[p.tier("bronze"), p.tier("partner", "1000.00", succeeds="silver")])
    history = History(STEPS, after).given(
        enrol("P", "2012-01-05"), sale("D1", "P", "2012-12-01", "1500.00"), reverse("R1", "D1", "2013-01-02")
    )
    assert history.tier("P") == "partner"


def test_a_demotion_since_protects_the_promotion_before() -> None:
    """The tier fallen to rests on the review."""
    strict = p.small(tiers=STEPS.model_dump()["tiers"], review={"date": "06-30", "grace": 0, "protect_months": 0})
    history = History(strict).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1500.00"),
        sale("D2", "P", "2013-03-01", "1500.00"),
        sale("D3", "P", "2013-03-02", "500.00"),
        sale("D4", "P", "2014-06-29", "1000.00"),
    )
    assert history.tiers("P")[1:] == [("2012-02-01", "silver", "promotion"), ("2013-03-02", "gold", "promotion")]
    history.given(reverse("R0", "D3", "2014-06-30", "0.01"))
    assert history.tiers("P")[-1] == ("2014-06-30", "silver", "demotion")
    history.given(reverse("R1", "D1", "2014-07-01"), reverse("R2", "D4", "2014-07-01"))
    assert history.tiers("P")[-1] == ("2014-06-30", "silver", "demotion")


def test_protection_and_missed_reviews_are_those_of_the_tier_reached() -> None:
    """The review date of the tier before counts again, as if the promotion had never been."""
    long = p.small(
        tiers=STEPS.model_dump()["tiers"], review={"date": "06-30", "grace": 1, "protect_months": 12}, bonuses=[]
    )
    history = History(long).given(
        enrol("P", "2012-01-05", "silver"),
        sale("D1", "P", "2013-07-01", "2000.00"),
        reverse("R1", "D1", "2013-07-02"),
    )
    assert [event.missed for event in history.those(e.ReviewMissed, "P")] == [1]
    assert history.advance("2014-06-30").tiers("P")[1:] == [
        ("2013-07-01", "gold", "promotion"),
        ("2013-07-02", "silver", "withdrawal"),
        ("2014-06-30", "bronze", "demotion"),
    ]
    assert [event.missed for event in history.those(e.ReviewMissed, "P")] == [1, 2]


def test_a_suspended_partners_promotion_is_withdrawn_too() -> None:
    """A suspension is no shelter."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        suspend("P", "2012-02-02"),
        reverse("R1", "D1", "2012-02-03"),
    )
    assert history.tiers("P")[-1] == ("2012-02-03", "bronze", "withdrawal")


def test_an_ended_partners_promotion_is_not_withdrawn() -> None:
    """It keeps its last tier on record; the kickback of the deal is taken back by that tier."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        end("P", "2012-02-02"),
        reverse("R1", "D1", "2012-04-03", "500.00"),
    )
    assert history.tiers("P")[-1] == ("2012-02-01", "silver", "promotion")
    assert [line.amount for line in history.lines("P")] == ["20.00", "-10.00"]


def test_a_deal_that_does_not_earn_carries_no_promotion() -> None:
    """Its reversal changes nothing but the deal."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        suspend("P", "2012-02-01"),
        sale("D1", "P", "2012-02-02", "5000.00"),
        resume("P", "2012-02-03"),
        reverse("R1", "D1", "2012-02-04"),
    )
    assert history.names("P")[-1] == "SaleReversed"
    assert history.tiers("P") == [("2012-01-05", "bronze", "enrolled")]


def test_a_partner_withdrawn_may_rise_again() -> None:
    """And what it then rests on may fall again, to bronze."""
    history = History(STEPS).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        reverse("R1", "D1", "2012-02-02"),
        sale("D2", "P", "2012-02-03", "1000.00"),
        reverse("R2", "D2", "2012-02-04"),
    )
    assert [tier for _, tier, _ in history.tiers("P")] == ["bronze", "silver", "bronze", "silver", "bronze"]


def test_revenue_alone_is_judged_and_not_a_specialisation_lost_since() -> None:
    """The promotion rests on the revenue of its window; here the revenue left is enough for it."""
    gold = p.small(tiers=[p.tier("bronze"), p.tier("gold", "1000.00", 1)], bonuses=[])
    history = History(gold).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-01-10"),
        sale("D1", "P", "2012-02-01", "1500.00"),
    )
    history.advance("2013-01-10").given(reverse("R1", "D1", "2013-01-11", "500.00"))
    assert history.tiers("P")[-1] == ("2012-02-01", "gold", "promotion")
