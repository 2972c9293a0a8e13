"""The difference between what is and what would be: causes, sums, and the largest line by line."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

import pytest

from domain import events as e
from domain.aggregates import LedgerEvent
from domain.errors import InvalidInput, Refused
from domain.programme import Programme
from domain.streams import LEDGER
from domain.terms import Programmes
from infra.replay.rehearsing import check_due_is_decided
from projections.bonus_journal import BonusLine, bonus_lines
from projections.queries import PartnersAnswer, SchemeBonus
from projections.what_if_difference import Difference, SchemeChange, difference, merged
from projections.what_if_lines import line_differences, lines_under
from projections.what_if_rules import with_candidates
from projections.what_if_tally import GROUPS
from projections.what_if_worth import Worth
from tests.domain.history import History, award, day, end, enrol, reverse, sale, suspend, train
from tests.domain.networks import LAST_DAY, PROGRAMMES
from tests.projections import changed_programmes as change
from tests.projections.recorded_facts import facts_of, rehearsed


@pytest.fixture
def history() -> History:
    """Three partners: one holds the seat, one is silver, one has next to nothing."""
    history = History(*PROGRAMMES)
    history.given(*(enrol(partner, "2012-07-01") for partner in ("P1", "P2", "P3")))
    history.given(
        sale("D1", "P1", "2012-07-02", "2000.00"),
        train("C1", "P1", "person", "CL-101", "2012-07-03"),
        award("P1", "platinum", "2012-07-20"),
        sale("D2", "P2", "2012-07-21", "600.00", "cloud"),
        sale("D3", "P2", "2012-07-22", "1000.00"),
        sale("D4", "P3", "2012-07-22", "10.00"),
        sale("D5", "P2", "2012-07-23", "100.00"),
        reverse("R5", "D5", "2012-07-24", "40.00"),
    )
    return history.advance("2012-12-31")


def recorded_now(history: History) -> PartnersAnswer:
    """Give what is by what was recorded: deciding it again comes to the same (`test_what_if`)."""
    _, unchanged = rehearsed(history, PROGRAMMES, LAST_DAY)
    standings = tuple(each.standing for each in unchanged.outcomes.values() if each.standing is not None)
    return PartnersAnswer(LAST_DAY, len(history.log), standings)


def compared(history: History, versions: Sequence[Programme]) -> Difference:
    """Hold a what-if against the unchanged programmes, which `test_what_if` holds against what was recorded."""
    _, result = rehearsed(history, versions, LAST_DAY)
    _, unchanged = rehearsed(history, PROGRAMMES, LAST_DAY)
    bonuses: dict[str, Sequence[SchemeBonus]] = {p: each.bonuses for p, each in unchanged.outcomes.items()}
    totals = {by: unchanged.totals.by(by) for by in GROUPS}
    return difference(recorded_now(history), bonuses, totals, result)


def test_nothing_changed_is_no_difference(history: History) -> None:
    """No partner differs, nobody gains or loses, nothing is explained."""
    found = compared(history, PROGRAMMES)
    assert (found.differing, found.gaining, found.losing, found.largest(10)) == ([], [], [], [])
    assert {(each.tier, each.then, each.now) for each in found.holders_in_all} == {
        ("bronze", 1, 1),
        ("silver", 1, 1),
        ("gold", 0, 0),
        ("platinum", 1, 1),
    }


def test_a_lost_seat_is_told_with_its_causes(history: History) -> None:
    """The first tier entry that differs, the refused award, holders and moves."""
    found = compared(history, change.last_changed(PROGRAMMES, change.no_seats))
    (lost,) = found.differing
    assert lost.partner == "P1"
    assert lost.first_tier is not None
    assert lost.first_tier.then is not None
    assert (lost.first_tier.then.tier, lost.first_tier.now, lost.tier_now) == ("platinum", None, "gold")
    assert [fact.what for fact in lost.refused] == ["award of platinum of 2012-07-20 by board"]
    assert ("gold", 0, 1) in {(each.tier, each.then, each.now) for each in found.holders_in_all}
    assert ("platinum", "gold", 1) in found.moves


def test_a_demotion_is_told_by_what_the_review_missed(history: History) -> None:
    """Not by the tier fallen to, which requires nothing: silver wants 500.00 and has none in the window."""

    def stricter(content: change.Content) -> None:
        content["review"] = {"date": "01-31", "grace": 0, "protect_months": 1}

    found = compared(history.advance("2013-02-01"), change.last_changed(PROGRAMMES, stricter))
    first = found.partners["P2"].first_tier
    assert first is not None
    assert first.now is not None
    assert first.evidence is not None
    assert (first.now.tier, first.now.reason, first.evidence.tier) == ("bronze", "demotion", "silver")
    assert (first.evidence.required_revenue, first.evidence.revenue, first.evidence.met) == (
        Decimal(500),
        Decimal(0),
        False,
    )


def test_what_is_refused_after_the_date_asked_about_is_no_difference(history: History) -> None:
    """A deal of a family that the candidate lacks, closed after the date: it is not told of, and the partner does not differ."""
    history.given(sale("D9", "P3", "2013-02-01", "10.00", "cloud"))
    versions = change.last_changed(PROGRAMMES, change.families)
    for as_of, refused in ((day("2013-01-31"), []), (day("2013-02-01"), ["P3"])):
        _, result = rehearsed(history, versions, as_of)
        assert [fact.partner for fact in result.refused if fact.what.startswith("deal D9")] == refused


def test_both_sides_are_worth_what_the_published_rates_say(history: History) -> None:
    """A candidate without a currency, or with another rate for it, is measured as any other, and sums are rounded once."""
    for n in range(4, 8):
        history.given(
            enrol(f"P{n}", "2012-07-01", currency="CHF"),
            sale(f"D{n}0", f"P{n}", "2012-07-02", "10.00", currency="CHF"),
        )

    def without_francs(content: change.Content) -> None:
        del content["exchange_rates"]["CHF"]

    def strong_francs(content: change.Content) -> None:
        content["exchange_rates"]["CHF"] = "4.0000"

    published = PROGRAMMES[-1].exchange_rates["CHF"]
    found = compared(history, change.last_changed(PROGRAMMES, without_francs))
    (francs,) = [each for each in found.money["scheme"] if each.currency == "CHF" and each.group == "deal"]
    assert (francs.then, francs.now) == (Decimal("0.64"), Decimal("0.00"))
    for n in range(4, 8):
        assert found.partners[f"P{n}"].change < 0
    lost = sum(each.change for each in found.money["scheme"] if each.currency == "CHF")
    worth = (lost * Decimal(published)).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert found.sum_of(found.losing) == found.worth.of(found.money["scheme"]) == worth
    found = compared(history, change.last_changed(PROGRAMMES, strong_francs))
    assert [each.change for each in found.partners.values()] == [0] * 7


def test_a_currency_that_only_a_candidate_has_is_worth_what_it_says() -> None:
    """No published version has a rate for it, and it must not count as nothing."""

    def with_dollars(content: change.Content) -> None:
        content["exchange_rates"]["USD"] = "0.5000"

    candidates = Programmes(change.last_changed(PROGRAMMES, with_dollars))
    dollars = SchemeChange("deal", "USD", Decimal("0.00"), Decimal("10.00"))
    assert Worth(Programmes(PROGRAMMES), LAST_DAY, [candidates]).of([dollars]) == Decimal("5.00")


@pytest.mark.parametrize(
    ("then", "now", "rank"),
    [
        ("bronze", "silver", 1),
        ("platinum", "gold", -1),
        ("silver", "argent", 0),
        ("gold", "elite", -1),
        ("silver", "elite", 0),
        (None, "bronze", 1),
        ("gold", None, -1),
        ("gold", "gold", 0),
    ],
)
def test_a_tier_of_another_name_is_neither_higher_nor_lower(then: str | None, now: str | None, rank: int) -> None:
    """Two tiers are compared in the version that has both; what is held stands where it stood among the others."""
    found = Difference(
        as_of=LAST_DAY,
        position=1,
        base_currency="EUR",
        worth=Worth(Programmes(PROGRAMMES), LAST_DAY),
        tiers_then=("bronze", "silver", "gold", "platinum"),
        tiers_now=("bronze", "argent", "elite", "gold"),
        partners={},
        money={},
        refused=(),
    )
    assert found.rank_change(then, now) == rank
    held = merged(found.tiers_then, found.tiers_now, {"silver", "platinum", "pewter"})
    assert held == ("bronze", "silver", "argent", "elite", "gold", "platinum", "pewter")


def test_an_advance_that_has_not_come_to_its_end_is_noticed(history: History) -> None:
    """What it has not decided yet would look like the candidate's effect: who is not up to date is named, and how to mend it."""
    before = recorded_now(history)
    history.log.append(LedgerEvent(LEDGER, 9, e.LedgerAdvanced(to=day("2013-04-01")), "advance"))
    gathering, result = rehearsed(history, change.last_changed(PROGRAMMES, change.review), LAST_DAY)
    with pytest.raises(
        Refused, match=r"by 2013-04-01 for all partners, P\d for one: .*`partner-ledger advance --to 2013-04-01`"
    ):
        check_due_is_decided(result, before, facts_of(history), gathering)
    check_due_is_decided(result, recorded_now(history), facts_of(history), gathering)


def test_holders_are_counted_at_the_end_of_each_quarter(history: History) -> None:
    """A suspended partner still holds its tier, an ended one none; what changed within a quarter counts at its end."""
    history.given(end("P3", "2013-01-15"))
    found = compared(history, change.last_changed(PROGRAMMES, change.no_seats))
    assert [tuple(each) for each in found.holders_by_quarter] == [
        ("2012-Q3", "bronze", 1, 1),
        ("2012-Q3", "silver", 1, 1),
        ("2012-Q3", "gold", 0, 1),
        ("2012-Q3", "platinum", 1, 0),
        ("2012-Q4", "bronze", 1, 1),
        ("2012-Q4", "silver", 1, 1),
        ("2012-Q4", "gold", 0, 1),
        ("2012-Q4", "platinum", 1, 0),
        ("2013-Q1", "silver", 1, 1),
        ("2013-Q1", "gold", 0, 1),
        ("2013-Q1", "platinum", 1, 0),
        ("2013-Q2", "silver", 1, 1),
        ("2013-Q2", "gold", 0, 1),
        ("2013-Q2", "platinum", 1, 0),
    ]


def test_what_a_partner_gains_is_by_hand(history: History) -> None:
    """37 basis points more on every scheme: of P3's deal of 10.00, per scheme, rounded line by line."""
    found = compared(history, change.last_changed(PROGRAMMES, change.rates))
    small = {bonus.scheme: (bonus.then, bonus.now) for bonus in found.partners["P3"].bonuses}
    # deal 1.55 % -> 1.92 % and loyalty 0.15 % -> 0.52 % of 10.00; 10.00 is below the minimum of `growth`
    assert small == {"deal": (Decimal("0.16"), Decimal("0.19")), "loyalty": (Decimal("0.02"), Decimal("0.05"))}
    assert found.partners["P3"].change == Decimal("0.06")
    assert [each.partner for each in found.gaining][-1] == "P3"
    assert found.losing == []
    for by in GROUPS:
        assert sum(group.change for group in found.money[by]) == sum(each.change for each in found.gaining)
    assert {group.group for group in found.money["family"]} == {"saas", "cloud", "(kickbacks)"}
    assert {group.group for group in found.money["quarter"]} == {"2012-Q3", "2012-Q4"}


def test_the_largest_are_explained_line_by_line(history: History) -> None:
    """Each line with its deal, what it paid, what it would pay, and why; their changes come to the partner's."""
    history.given(suspend("P3", "2013-01-15"))
    versions = change.last_changed(PROGRAMMES, change.families)
    gathering, result = rehearsed(history, versions, LAST_DAY)
    found = compared(history, versions)
    largest = found.largest(10)[0]
    assert largest.partner == "P2"
    now = lines_under(result.rules, ["P2"], facts_of(history), gathering)["P2"]
    lines = line_differences(largest, recorded_lines(history, "P2"), now)
    refused = [line for line in lines if line.cause == "D2"]
    assert refused
    assert all(line.now is None and "Family 'cloud' is not in programme" in line.why for line in refused)
    other = next(line for line in lines if line.cause == "D3" and line.scheme == "deal")
    assert other.then is not None
    assert other.now is not None
    assert "bronze instead of silver" in other.why
    assert sum(line.change for line in lines) == largest.change == sum(bonus.change for bonus in largest.bonuses)


def recorded_lines(history: History, partner: str) -> list[BonusLine]:
    """Give a partner's recorded lines."""
    return [
        line
        for position, recorded in enumerate(history.log, 1)
        if recorded.originator_id == f"partner:{partner}"
        and isinstance(recorded.event, e.BonusAccrued | e.BonusClawedBack | e.KickbackSettled)
        for line in bonus_lines(position, partner, recorded.event)
    ]


def test_candidates_are_checked_among_the_others() -> None:
    """Another base currency, a tier to succeed that is not there, two of one first day: all of it is told."""

    def other_base(content: change.Content) -> None:
        content["base_currency"] = "CHF"
        content["exchange_rates"] = {"CHF": "1", "EUR": "1.1"}

    def wrong_succession(content: change.Content) -> None:
        content["tiers"][1]["succeeds"] = "pewter"

    both = [change.changed(PROGRAMMES[1], other_base), change.changed(PROGRAMMES[2], wrong_succession)]
    with pytest.raises(InvalidInput) as refused:
        with_candidates(PROGRAMMES, both)
    assert "base currency CHF" in str(refused.value)
    with pytest.raises(InvalidInput, match="succeeds 'pewter'"):
        with_candidates(PROGRAMMES, both[1:])
    with pytest.raises(InvalidInput, match=r"begin on the same day .*`replay diff`"):
        with_candidates(PROGRAMMES, [PROGRAMMES[2], change.changed(PROGRAMMES[2], change.rates)])
    follower = change.changed(PROGRAMMES[2], lambda content: content["tiers"][2].update(succeeds="gold"))
    no_gold = change.changed(PROGRAMMES[1], _without_gold)
    with pytest.raises(InvalidInput, match="succeeds 'gold', which programme 'second-changed' does not have"):
        with_candidates([*PROGRAMMES[:2], follower], [no_gold])


def _without_gold(content: change.Content) -> None:
    content["tiers"].pop(2)
    for scheme in content["bonuses"]:
        scheme["rate_bp"].pop("gold")
