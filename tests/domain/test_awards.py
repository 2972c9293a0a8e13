"""Awards of the board, and seats."""

import pytest

from domain import events as e
from domain.facts import Fact
from tests.domain import programmes as p
from tests.domain.history import History, award, day, end, enrol, resume, reverse, revoke, sale, suspend, train

SMALL = p.small()
NEEDED = p.small(bonuses=[], review={"date": "06-30", "grace": 0, "protect_months": 0})


def ready(partner: str, on: str = "2012-02-01", country: str = "CH") -> list[Fact]:
    """A partner that meets what platinum requires from a date."""
    return [
        enrol(partner, "2012-01-05", country=country),
        train(f"C-{partner}", partner, partner, "CL-101", on),
        sale(f"D-{partner}", partner, on, "3000.00"),
    ]


def test_the_board_gives_an_awarded_tier() -> None:
    """Fact and decision: who awarded it, and what was required and met."""
    history = History(SMALL).given(*ready("P"), award("P", "platinum", "2012-03-01", "the board", "merit"))
    assert history.names("P")[-2:] == ["TierAwarded", "TierChanged"]
    fact, change = history.last(e.TierAwarded, "P"), history.last(e.TierChanged, "P")
    assert (fact.awarded_by, fact.reason, fact.awarded_on, fact.effective_on) == (
        "the board",
        "merit",
        day("2012-03-01"),
        day("2012-03-01"),
    )
    assert (change.reason, change.to_tier, change.to_awarded, change.by_fact) == ("award", "platinum", True, True)
    assert change.evidence is not None
    assert change.evidence.met
    assert history.holders("CH") == {"P": "platinum"}


def test_an_awarded_tier_counts_from_the_day_after() -> None:
    """A fact gave it."""
    history = History(SMALL).given(
        *ready("P"),
        award("P", "platinum", "2012-03-01"),
        sale("D1", "P", "2012-03-01", "100.00"),
        sale("D2", "P", "2012-03-02", "100.00"),
    )
    assert [line.amount for line in history.lines("P")][-2:] == ["3.00", "4.00"]


@pytest.mark.parametrize(
    ("fact", "parts"),
    [
        (award("Q", "platinum", "2012-03-01"), ["EUR 2,000.00 more revenue", "EUR 1,000.00 of EUR 3,000.00", "1 more specialisation"]),
        (award("P", "platinum", "2012-03-02"), ["P holds platinum already, since 2012-03-01"]),
        (award("R", "platinum", "2012-03-02"), ["No seat is free for platinum in CH", "1 in all, held by P"]),
        (award("P", "gold", "2012-03-02"), ["'gold'", "reached by its requirements, not awarded"]),
        (award("P", "diamond", "2012-03-02"), ["no tier 'diamond'", "bronze, silver, gold, platinum"]),
        (award("S", "platinum", "2012-03-02"), ["S is suspended since 2012-02-15"]),
        (award("E", "platinum", "2012-03-02"), ["ended on 2012-02-15"]),
        (award("X", "platinum", "2012-03-02"), ["no partner 'X'"]),
    ],
    ids=["requirements", "held", "seats", "automatic", "unknown tier", "suspended", "ended", "unknown partner"],
)  # fmt: skip
def test_an_award_is_refused_with_the_figures_that_decided_it(fact: Fact, parts: list[str]) -> None:
    """What is missing, who holds the seat, since when it is suspended."""
    history = History(SMALL).given(
        *ready("P"),
        *ready("R"),
        *ready("S"),
        *ready("E"),
        enrol("Q", "2012-01-05"),
        sale("D-Q", "Q", "2012-02-01", "1000.00"),
        suspend("S", "2012-02-15"),
        end("E", "2012-02-15"),
        award("P", "platinum", "2012-03-01"),
    )
    reason = history.refusal(fact)
    for part in parts:
        assert part in reason


def test_seats_are_counted_by_country_and_a_country_not_named_is_unlimited() -> None:
    """One in Switzerland, two in Germany, as many as there are in Austria."""
    partners = [(f"{country}{n}", country) for country in ("CH", "DE", "AT") for n in range(4)]
    history = History(SMALL).given(*(fact for partner, country in partners for fact in ready(partner, country=country)))
    given = [
        country
        for partner, country in partners
        if history.tell(award(partner, "platinum", "2012-03-01")).kind == "recorded"
    ]
    assert (given.count("CH"), given.count("DE"), given.count("AT")) == (1, 2, 4)


def test_no_seats_at_all_is_no_award() -> None:
    """Zero is a limit."""
    none = p.small(tiers=[p.tier("bronze"), p.tier("platinum", awarded=True, seats={"CH": 0})])
    assert "0 in all, held by nobody" in History(none).given(enrol("P", "2012-01-05")).refusal(
        award("P", "platinum", "2012-02-01")
    )


def test_a_suspended_holder_keeps_the_seat_and_an_ended_one_frees_it() -> None:
    """And an ended one's last tier stays on record."""
    history = History(SMALL).given(
        *ready("P"), *ready("R"), award("P", "platinum", "2012-03-01"), suspend("P", "2012-03-02")
    )
    assert "held by P" in history.refusal(award("R", "platinum", "2012-03-03"))
    history.given(end("P", "2012-03-04"), award("R", "platinum", "2012-03-04"))
    assert history.holders("CH") == {"R": "platinum"}
    assert history.tier("P") == "platinum"
    assert history.last(e.MembershipEnded, "P").tier == "platinum"


def test_what_holders_owe_up_to_the_awards_date_is_decided_first() -> None:
    """The holder's certificate lapsed and its review is due: it falls, and the seat is free."""
    history = History(NEEDED).given(
        *ready("P"), *ready("R", "2012-06-01"), award("P", "platinum", "2012-03-01"), revoke("C-P", "2012-04-01")
    )
    assert "held by P" in history.refusal(award("R", "platinum", "2012-06-29"))
    history.given(award("R", "platinum", "2012-07-02"))
    assert history.tiers("P")[-1] == ("2012-06-30", "silver", "demotion")
    assert history.holders("CH") == {"R": "platinum"}


def test_a_refused_award_rolls_back_what_was_decided_on_the_way() -> None:
    """The holder's review is not recorded by a refusal; it is decided with the next fact, the same."""
    history = History(NEEDED).given(*ready("P"), *ready("R"), award("P", "platinum", "2012-03-01"))
    assert "no tier" in history.refusal(award("R", "diamond", "2012-07-02"))
    assert "held by P" in history.refusal(award("R", "platinum", "2012-07-02"))
    assert "ReviewPassed" not in history.names("P")
    assert history.advance("2012-07-02").names("P").count("ReviewPassed") == 1


def test_a_transition_of_the_holders_is_decided_before_the_count() -> None:
    """The holder of platinum holds premier under the next version; an award of premier counts it."""
    tiers = [p.tier("bronze"), p.tier("premier", awarded=True, succeeds="platinum", seats={"CH": 1})]
    history = History(SMALL, p.small("next", "2013-01-01", tiers=tiers)).given(
        *ready("P"), award("P", "platinum", "2012-03-01"), enrol("R", "2012-01-05")
    )
    assert "held by P" in history.refusal(award("R", "premier", "2013-02-01"))
    history.given(end("P", "2013-02-02"), award("R", "premier", "2013-02-02"))


def test_a_version_with_fewer_seats_takes_none_away_and_gives_none_until_one_is_free() -> None:
    """Two hold it where one may: one must go and the other too before a third gets it."""
    fewer = [*p.content()["tiers"][:3], p.tier("platinum", awarded=True, seats={"DE": 1})]
    after = p.small("next", "2013-01-01", tiers=fewer)
    history = History(SMALL, after).given(
        *ready("P", country="DE"),
        *ready("Q", country="DE"),
        enrol("R", "2012-01-05", country="DE"),
        award("P", "platinum", "2012-03-01"),
        award("Q", "platinum", "2012-03-01"),
    )
    assert "1 in all, held by P, Q" in history.refusal(award("R", "platinum", "2013-01-02"))
    history.given(end("P", "2013-01-03"))
    assert "1 in all, held by Q" in history.refusal(award("R", "platinum", "2013-01-03"))
    history.given(end("Q", "2013-01-04"), award("R", "platinum", "2013-01-04"))


def test_a_holder_that_is_demoted_or_promoted_away_frees_the_seat() -> None:
    """The roster follows each change out of an awarded tier."""
    history = History(NEEDED).given(*ready("P"), award("P", "platinum", "2012-03-01")).advance("2013-06-30")
    assert [type(event).__name__ for event in history.stream("roster:CH")] == ["SeatTaken", "SeatFreed"]
    assert history.stream("roster:CH")[-1] == e.SeatFreed(
        partner_id="P", tier="platinum", effective_on=day("2013-06-30")
    )


def test_two_awards_in_one_batch_never_share_a_seat() -> None:
    """The second sees what the first did."""
    history = History(SMALL).given(*ready("P"), *ready("R"))
    outcomes = history.tell_together([award("P", "platinum", "2012-03-01"), award("R", "platinum", "2012-03-01")])
    assert [outcome.kind for outcome in outcomes] == ["recorded", "refused"]


def test_a_resumed_partner_may_be_awarded() -> None:
    """A refused award may be told again."""
    history = History(SMALL).given(*ready("P"), suspend("P", "2012-02-02"))
    history.refusal(award("P", "platinum", "2012-02-03"))
    history.given(resume("P", "2012-02-03"), award("P", "platinum", "2012-02-03"))
    assert history.tier("P") == "platinum"


def test_a_reversal_takes_no_awarded_tier() -> None:
    """The board gave it; only the next review asks again."""
    history = History(NEEDED).given(
        *ready("P"), award("P", "platinum", "2012-03-01"), reverse("R1", "D-P", "2012-03-02")
    )
    assert history.tier("P") == "platinum"
    assert history.advance("2012-06-30").tiers("P")[-1] == ("2012-06-30", "bronze", "demotion")
