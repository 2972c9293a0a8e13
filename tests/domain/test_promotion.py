"""Promotion: to the highest automatic tier whose requirements are met, with its evidence."""

from decimal import Decimal

from domain import events as e
from tests.domain import programmes as p
from tests.domain.history import History, day, end, enrol, resume, revoke, sale, suspend, train

SMALL = p.small()


def test_the_promotion_of_the_worked_case() -> None:
    """CHF 70,000 of D2 are 57,400 and make EUR 63,700 with Affinity's 6,300: Silver from that day."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2008-03-01", "affinity"),
        sale("D1", "P", "2011-09-15", "10000.00", "endpoint-security", currency="CHF"),
        sale("D2", "P", "2012-02-10", "70000.00", "virtualisation", currency="CHF"),
    )
    assert history.tiers("P")[-1] == ("2012-02-10", "silver", "promotion")
    assert history.last(e.TierChanged, "P").evidence == e.TierEvidence(
        tier="silver",
        required_revenue=Decimal("50000.00"),
        required_specialisations=0,
        revenue=Decimal("63700.00"),
        base_currency="EUR",
        window_first_day=day("2011-02-11"),
        window_last_day=day("2012-02-10"),
        specialisations=(),
        met=True,
    )


def test_a_requirement_is_met_by_exactly_its_amount() -> None:
    """One cent less is not enough."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "999.99"))
    assert history.tier("P") == "bronze"
    assert history.given(sale("D2", "P", "2012-02-02", "0.01")).tiers("P")[-1] == ("2012-02-02", "silver", "promotion")


def test_a_qualifying_amount_is_rounded_half_up_sale_by_sale() -> None:
    """CHF 0.01 at 0.5 is 0.005, rounded to EUR 0.01."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "0.01", currency="CHF"),
        sale("D2", "P", "2012-02-01", "0.03", currency="CHF"),
        sale("D3", "P", "2012-02-01", "100", currency="JPY"),
        sale("D4", "P", "2012-02-01", "0.005", currency="BHD"),
    )
    qualifying = [str(event.qualifying) for event in history.those(e.SaleRecorded, "P")]
    assert qualifying == ["0.01", "0.02", "0.95", "0.01"]


def test_a_sale_qualifies_at_the_rate_of_the_programme_in_force_on_its_date() -> None:
    """A deal under Affinity is worth 0.63 for ever."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2008-03-01", "affinity"),
        sale("D1", "P", "2011-09-30", "100.00", "saas", currency="CHF"),
        sale("D2", "P", "2011-10-01", "100.00", "saas", currency="CHF"),
    )
    assert [str(event.qualifying) for event in history.those(e.SaleRecorded, "P")] == ["63.00", "82.00"]


def test_the_window_is_so_many_calendar_months_up_to_and_including_the_day() -> None:
    """A deal drops out on the same day twelve months later."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "600.00"))
    history.given(sale("D2", "P", "2013-02-01", "400.00"))
    assert history.tier("P") == "bronze"
    history = History(SMALL).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-02", "600.00"))
    assert history.given(sale("D2", "P", "2013-02-01", "400.00")).tier("P") == "silver"


def test_the_window_of_a_day_that_the_month_lacks_begins_after_its_last_day() -> None:
    """Six months before 31 August is 28 February, so 1 March is the window's first day."""
    half_year = p.small(window_months=6)
    for on, tier in (("2013-02-28", "bronze"), ("2013-03-01", "silver")):
        history = History(half_year).given(
            enrol("P", "2012-01-05"), sale("D1", "P", on, "600.00"), sale("D2", "P", "2013-08-31", "400.00")
        )
        assert history.tier("P") == tier


def test_the_window_is_that_of_the_programme_in_force_on_the_day() -> None:
    """A shorter one from the next version on."""
    history = History(SMALL, p.small("short", "2013-01-01", window_months=1)).given(
        enrol("P", "2012-01-05"), sale("D1", "P", "2012-11-30", "600.00"), sale("D2", "P", "2013-01-01", "400.00")
    )
    assert history.tier("P") == "bronze"


def test_the_highest_tier_met_is_reached_in_one_step() -> None:
    """Bronze becomes gold."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-01-10"),
        sale("D1", "P", "2012-02-01", "2000.00"),
    )
    assert history.tiers("P")[1:] == [("2012-02-01", "gold", "promotion")]


def test_all_requirements_must_be_met() -> None:
    """Revenue for gold without its specialisation is silver; the training then makes it gold, on that day."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "2000.00"))
    assert history.tiers("P")[-1] == ("2012-02-01", "silver", "promotion")
    history.given(train("C1", "P", "anna", "CL-101", "2012-03-01"))
    assert history.tiers("P")[-1] == ("2012-03-01", "gold", "promotion")


def test_an_awarded_tier_is_never_reached_by_promotion() -> None:
    """However much is sold."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-01-10"),
        sale("D1", "P", "2012-02-01", "999999.00"),
    )
    assert history.tier("P") == "gold"


def test_a_partner_above_what_it_has_reached_stays_there() -> None:
    """Promotion never lowers."""
    history = History(SMALL).given(enrol("P", "2012-01-05", "gold"), sale("D1", "P", "2012-02-01", "1000.00"))
    assert history.tiers("P") == [("2012-01-05", "gold", "enrolled")]


def test_a_suspended_partner_is_not_promoted_before_resumption() -> None:
    """Then it is, on the clock of the resumption, with deals closed before the suspension."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        sale("D0", "P", "2012-02-01", "1.00"),
        suspend("P", "2012-02-10"),
        sale("D1", "P", "2012-02-09", "1000.00"),
        train("C1", "P", "anna", "CL-101", "2012-02-15"),
    )
    assert history.tier("P") == "bronze"
    assert history.given(resume("P", "2012-03-01")).tiers("P")[-1] == ("2012-03-01", "silver", "promotion")


def test_an_ended_partner_is_not_promoted() -> None:
    """A late deal still earns, and changes no tier."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"), end("P", "2012-03-01"), sale("D1", "P", "2012-02-01", "1000.00")
    )
    assert history.tiers("P") == [("2012-01-05", "bronze", "enrolled")]
    assert [line.amount for line in history.lines("P")] == ["10.00"]


def test_no_promotion_is_tried_after_a_revocation() -> None:
    """Only sales, trainings, resumptions and transitions are looked at: a promotion missed waits for the next of them."""
    tiers = p.simple_tiers(bronze="0", silver="1000.00")
    history = History(SMALL, p.small("cheap", "2013-01-01", tiers=tiers, review=p.content()["review"])).given(
        enrol("P", "2012-01-05"),
        suspend("P", "2012-02-10"),
        sale("D1", "P", "2012-02-09", "1000.00"),
        train("C1", "P", "anna", "CL-101", "2012-02-11"),
        revoke("C1", "2012-02-12"),
    )
    assert history.tiers("P") == [("2012-01-05", "bronze", "enrolled")]


def test_a_sale_in_a_suspension_does_not_qualify() -> None:
    """It is recorded and counts for no tier, then or later."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        suspend("P", "2012-02-10"),
        sale("D1", "P", "2012-02-10", "5000.00"),
        sale("D2", "P", "2012-02-29", "5000.00"),
        resume("P", "2012-03-01"),
        sale("D3", "P", "2012-03-01", "999.99"),
    )
    assert history.tier("P") == "bronze"
    assert [(event.earning, str(event.qualifying)) for event in history.those(e.SaleRecorded, "P")] == [
        (False, "0.00"),
        (False, "0.00"),
        (True, "999.99"),
    ]
