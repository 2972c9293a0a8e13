"""Transition to another programme version: entered, specialisations, migration, promotion."""

from typing import Any

from domain import events as e
from domain.programme import Programme
from tests.domain import programmes as p
from tests.domain.history import History, day, end, enrol, sale, suspend, train

OLD = p.small("old", tiers=p.simple_tiers(bronze="0", silver="1000.00", gold="2000.00"))


def new(*tiers: dict[str, Any], **parts: Any) -> Programme:
    return p.small("new", "2013-01-01", tiers=list(tiers), bonuses=[], **parts)


def test_a_tier_becomes_the_one_that_succeeds_it() -> None:
    """A migration is recorded as a tier change from the version's first day: Affinity becomes Bronze."""
    history = History(*p.THE_THREE).given(enrol("P", "2008-03-01", "affinity")).advance("2011-12-31")
    assert history.tiers("P") == [("2008-03-01", "affinity", "enrolled"), ("2011-10-01", "bronze", "migration")]
    entered = history.last(e.ProgrammeEntered, "P")
    assert (entered.previous, entered.programme, entered.effective_on) == (
        "affinity-2006",
        "partner-2011",
        day("2011-10-01"),
    )


def test_a_tier_of_the_same_code_continues_without_a_tier_change() -> None:
    """`succeeds` left out is the tier of the same code; the programme entered is recorded all the same."""
    history = History(OLD, new(p.tier("bronze"), p.tier("silver", "9000.00"))).given(enrol("P", "2012-06-01", "silver"))
    history.advance("2013-01-01")
    assert history.names("P") == ["PartnerEnrolled", "ProgrammeEntered"]
    assert history.tier("P") == "silver"


def test_a_tier_that_nothing_succeeds_becomes_the_highest_met() -> None:
    """With the figures of the day of transition."""
    history = History(OLD, new(p.tier("bronze"), p.tier("silver", "1000.00"), p.tier("diamond", "1500.00"))).given(
        enrol("P", "2012-06-01", "gold"), enrol("Q", "2012-06-01", "gold"), sale("D1", "P", "2012-12-01", "1200.00")
    )
    history.advance("2013-01-01")
    assert history.tiers("P")[-1] == ("2013-01-01", "silver", "migration")
    assert history.tiers("Q")[-1] == ("2013-01-01", "bronze", "migration")
    evidence = history.last(e.TierChanged, "P").evidence
    assert evidence is not None
    assert (str(evidence.revenue), str(evidence.required_revenue), evidence.met) == ("1200.00", "1000.00", True)


def test_a_suspended_partners_tier_that_nothing_succeeds_becomes_the_lowest() -> None:
    """Whatever it has reached; and it is not promoted."""
    history = History(OLD, new(p.tier("bronze"), p.tier("silver", "1000.00"))).given(
        enrol("P", "2012-06-01", "gold"), sale("D1", "P", "2012-12-01", "1200.00"), suspend("P", "2012-12-15")
    )
    assert history.advance("2013-01-01").tiers("P")[-1] == ("2013-01-01", "bronze", "migration")


def test_promotion_is_tried_after_migration() -> None:
    """Where the new version asks for less, the partner rises on its first day."""
    history = History(OLD, new(p.tier("basic", succeeds="bronze"), p.tier("silver", "500.00"))).given(
        enrol("P", "2012-06-01"), sale("D1", "P", "2012-12-01", "600.00")
    )
    history.advance("2013-01-01")
    assert history.names("P")[-3:] == ["ProgrammeEntered", "TierChanged", "TierChanged"]
    assert history.tiers("P")[1:] == [("2013-01-01", "basic", "migration"), ("2013-01-01", "silver", "promotion")]
    assert [change.by_fact for change in history.those(e.TierChanged, "P")] == [False, False]


def test_specialisations_are_looked_at_again_by_the_definitions_of_the_new_version() -> None:
    """One is lost to more people required, one to a definition that is gone, one is gained."""
    before = p.small(
        "old",
        specialisations=[
            p.specialisation("cloud", "CL-101", people=1, valid_months=24),
            p.specialisation("legacy", "LG-101", people=1, valid_months=24),
        ],
    )
    after = p.small(
        "new",
        "2013-01-01",
        specialisations=[
            p.specialisation("cloud", "CL-101", people=2, valid_months=24),
            p.specialisation("advanced", "CL-101", "LG-101", people=1, valid_months=24),
        ],
    )
    history = History(before, after).given(
        enrol("P", "2012-06-01"),
        train("C1", "P", "anna", "CL-101", "2012-06-01"),
        train("C2", "P", "beat", "LG-101", "2012-06-01"),
    )
    assert history.advance("2013-01-01").specialisations("P")[2:] == [
        ("2013-01-01", "cloud", False),
        ("2013-01-01", "legacy", False),
        ("2013-01-01", "advanced", True),
    ]


def test_versions_that_pass_while_nothing_is_told_are_entered_one_after_the_other() -> None:
    """A tier goes through each succession."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2011-09-01", "affinity-one"), sale("D", "P", "2012-03-01", "1.00")
    )
    assert [event.programme for event in history.those(e.ProgrammeEntered, "P")] == ["partner-2011", "partner-2012"]
    assert history.tiers("P")[1:] == [("2011-10-01", "gold", "migration")]


def test_a_migration_renames_and_resets_neither_protection_nor_missed_reviews() -> None:
    """The second miss under the new name is the second miss."""
    after = new(
        p.tier("bronze"),
        p.tier("partner", "1000.00", succeeds="silver"),
        review={"date": "06-30", "grace": 1, "protect_months": 3},
    )
    history = History(OLD, after).given(enrol("P", "2012-01-05", "silver")).advance("2013-07-01")
    assert [event.missed for event in history.those(e.ReviewMissed, "P")] == [1, 2]
    assert history.tiers("P")[1:] == [("2013-01-01", "partner", "migration"), ("2013-06-30", "bronze", "demotion")]


def test_what_migration_changes_counts_at_the_start_of_its_day() -> None:
    """A deal on the first day earns by the new tier's rate, found by its new code."""
    after = p.small(
        "new",
        "2013-01-01",
        tiers=[p.tier("basic", succeeds="bronze")],
        bonuses=[p.instant("deal", rate_bp={"basic": 700})],
    )
    history = History(OLD, after).given(enrol("P", "2012-06-01"), sale("D1", "P", "2013-01-01", "100.00"))
    assert [line.amount for line in history.lines("P")] == ["7.00"]


def test_an_ended_partner_enters_no_programme() -> None:
    """Its last tier stays on record under its old name."""
    history = History(OLD, new(p.tier("basic", succeeds="bronze"))).given(
        enrol("P", "2012-06-01"), end("P", "2012-07-01")
    )
    assert history.advance("2013-06-30").names("P") == ["PartnerEnrolled", "MembershipEnded"]
    assert history.tier("P") == "bronze"


def test_a_partner_enrolled_on_the_first_day_of_a_version_is_in_it_already() -> None:
    """There is nothing to enter."""
    history = History(OLD, new(p.tier("basic", succeeds="bronze"))).given(enrol("P", "2013-01-01"))
    assert history.advance("2013-06-01").names("P") == ["PartnerEnrolled"]
    assert history.tier("P") == "basic"
