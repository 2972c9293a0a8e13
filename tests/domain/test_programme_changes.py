"""What a change of programme does to promotions and seats that rest on the version before."""

from domain.programme import Programme
from tests.domain import programmes as p
from tests.domain.history import History, award, day, enrol, reverse, sale


def test_a_withdrawal_leads_back_to_the_tier_that_succeeds_the_one_before() -> None:
    """Gold keeps its code, so the promotion still stands; the tier below it is renamed by the new version."""
    old = p.small("old", tiers=p.simple_tiers(bronze="0", gold="1000.00"), bonuses=[])
    tiers = [p.tier("basic", succeeds="bronze"), p.tier("gold", "1000.00")]
    new = p.small("new", "2013-01-01", tiers=tiers, bonuses=[])
    history = History(old, new).given(
        enrol("P", "2012-01-05"), sale("D1", "P", "2012-12-01", "1000.00"), reverse("R1", "D1", "2013-01-02")
    )
    assert history.tiers("P")[-1] == ("2013-01-02", "basic", "withdrawal")


def test_a_withdrawal_to_a_tier_that_was_dropped_leads_to_the_tier_met() -> None:
    """Nothing succeeds silver, so the partner falls to the lowest tier, or rises from it to what it meets."""
    old = p.small("old", tiers=p.simple_tiers(bronze="0", silver="500.00", gold="1000.00"), bonuses=[])
    new = p.small("new", "2013-01-01", tiers=p.simple_tiers(bronze="0", gold="1000.00"), bonuses=[])
    history = History(old, new).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-11-01", "500.00"),
        sale("D2", "P", "2012-12-01", "500.00"),
        reverse("R1", "D2", "2013-01-02"),
    )
    assert history.tiers("P")[-1][1:] == ("bronze", "withdrawal")


def _platinum_is_automatic_now() -> tuple[Programme, Programme]:
    awarded = p.tier("platinum", awarded=True, seats={"CH": 1})
    old = p.small("old", tiers=[p.tier("bronze"), p.tier("gold", "500.00"), awarded], bonuses=[])
    tiers = [p.tier("bronze"), p.tier("platinum", "500.00", succeeds="gold"), p.tier("board", awarded=True)]
    return old, p.small("new", "2013-01-01", tiers=tiers, bonuses=[])


def test_a_code_used_for_another_tier_frees_the_seat() -> None:
    """Nothing succeeds the awarded platinum; the new platinum, of the same code, is automatic and has no seats."""
    history = History(*_platinum_is_automatic_now()).given(
        enrol("P", "2012-01-05"), award("P", "platinum", "2012-02-01"), sale("D", "P", "2012-12-01", "600.00")
    )
    history.advance("2013-01-01")
    assert history.tier("P") == "platinum"
    assert history.holders("CH") == {}


def test_a_tier_that_becomes_awarded_takes_its_seats_on_the_first_day_of_the_version() -> None:
    """The code stays, so no tier changes; the roster lists the holder from the change of programme on."""
    old = p.small("old", tiers=[p.tier("bronze"), p.tier("gold", "500.00")], bonuses=[])
    new = p.small("new", "2013-01-01", tiers=[p.tier("bronze"), p.tier("gold", awarded=True)], bonuses=[])
    history = History(old, new).given(enrol("P", "2012-01-05", "gold")).advance("2013-01-01")
    taken = history.stream("roster:CH")[-1]
    assert taken.business_date == day("2013-01-01")
