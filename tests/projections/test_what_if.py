"""What-if: recorded facts under other programmes come to what importing them under those programmes comes to."""

import datetime as dt
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.programme import Programme
from tests.domain import programmes as p
from tests.domain.history import History, award, day, enrol, fact_of, reverse, sale, train
from tests.domain.networks import LAST_DAY, PROGRAMMES, Network, networks
from tests.domain.test_golden import AS_OF, CASES, GOLDEN, run
from tests.domain.test_properties import profile
from tests.projections import changed_programmes as change
from tests.projections.recorded_facts import answers, imported_afresh, rehearsed

NETWORK_SETS: dict[str, list[Programme]] = {
    "unchanged": list(PROGRAMMES),
    **{name: change.last_changed(PROGRAMMES, each) for name, each in change.ALONE.items()},
    "a tier less": change.last_changed(PROGRAMMES, change.a_tier_less),
    "renamed": change.last_changed(PROGRAMMES, change.renamed(PROGRAMMES[1])),
    "all rates": change.all_changed(PROGRAMMES, change.rates),
    "all thresholds": change.all_changed(PROGRAMMES, change.thresholds),
    "one more": change.one_more(PROGRAMMES, "2012-10-01"),
    "without the first": list(PROGRAMMES[1:]),
    "gold awarded": [
        *PROGRAMMES[:2],
        change.changed(PROGRAMMES[2], lambda content: content["tiers"][3].update(succeeds="gold")),
    ],
}


def told_with_advances(network: Network, days: Sequence[dt.date]) -> History:
    """Tell the facts of a network, days being begun in between."""
    history = History(*PROGRAMMES)
    advances = sorted(days)
    every = max(1, len(network.facts) // (len(advances) + 1))
    for number, fact in enumerate(network.facts):
        history.tell(fact)
        if advances and number % every == every - 1:
            history.advance(advances.pop(0))
    return history.advance(LAST_DAY)


def same(history: History, versions: Sequence[Programme], as_of: dt.date, pieces: int = 3) -> None:
    """Hold a what-if against a fresh import of the same facts."""
    _, result = rehearsed(history, versions, as_of, pieces)
    fresh, refused = imported_afresh(history, versions)
    by_then = [p for p in refused if (fact := fact_of(history.log[p - 1])) and fact.business_date <= as_of]
    assert [fact.position for fact in result.refused] == by_then
    enrolled = [each for each in fresh.partner_ids() if fresh.standing(each).enrolled_on <= as_of]
    assert answers(result) == {partner: fresh.answer(partner, as_of) for partner in enrolled}


@profile
@given(
    networks(kinds="ssssstrxmaa"),
    st.lists(st.dates(dt.date(2011, 10, 1), LAST_DAY), max_size=3, unique=True),
    st.sampled_from(sorted(NETWORK_SETS)),
    st.sampled_from([1, 3]),
)
def test_a_what_if_equals_importing_the_same_facts_under_the_other_programmes(
    network: Network, days: list[dt.date], name: str, pieces: int
) -> None:
    """Whatever facts and whatever change, days begun in between: every partner's answer, and what is refused."""
    history = told_with_advances(network, days)
    for as_of in (LAST_DAY, dt.date(2012, 8, 1)):
        same(history, NETWORK_SETS[name], as_of, pieces)


def golden_sets(published: Sequence[Programme]) -> list[list[Programme]]:
    before = published[-2] if len(published) > 1 else None
    changes = [*change.ALONE.values(), change.a_tier_less, change.renamed(before)]
    return [
        *(change.last_changed(published, each) for each in changes),
        change.all_changed(published, change.rates),
        change.one_more(published, "2013-04-01"),
    ]


SETS_A_CASE = 3
"""Of the changed programmes, for each golden case the next ones: in all of them together each change is tried twice or more."""


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden cases are not there: {GOLDEN}")
@pytest.mark.parametrize("case", CASES)
def test_a_golden_case_under_changed_programmes_equals_a_fresh_import(case: str) -> None:
    """Partner by partner and refusal by refusal; unchanged, the answers are those that were recorded."""
    history = run(case).history.advance(AS_OF)
    published = [terms.programme for terms in history.programmes.versions]
    sets, first = golden_sets(published), CASES.index(case) * SETS_A_CASE
    for number in range(first, first + SETS_A_CASE):
        same(history, sets[number % len(sets)], AS_OF)
    _, unchanged = rehearsed(history, published, AS_OF)
    assert not unchanged.refused
    assert answers(unchanged) == {partner: history.answer(partner, AS_OF) for partner in history.partner_ids()}


@pytest.fixture
def history() -> History:
    """Two partners of one country, and one seat, which the second is refused."""
    history = History(*PROGRAMMES)
    history.given(enrol("P1", "2012-07-01"), enrol("P2", "2012-07-01"), enrol("P3", "2012-07-01"))
    for n, partner in enumerate(("P1", "P2"), 1):
        history.given(
            sale(f"D{n}", partner, "2012-07-02", "2000.00"),
            train(f"C{n}", partner, f"person of {partner}", "CL-101", "2012-07-03"),
        )
    history.given(sale("D3", "P3", "2012-07-02", "100.00", "cloud"), reverse("R3", "D3", "2012-07-09", "40.00"))
    history.given(award("P1", "platinum", "2012-07-20"))
    return history.advance("2012-12-31")


def test_an_award_that_has_no_seat_is_listed_and_not_applied(history: History) -> None:
    """The reason has the figures; the partner keeps the tier below."""
    _, result = rehearsed(history, change.last_changed(PROGRAMMES, change.no_seats), LAST_DAY)
    (refused,) = result.refused
    assert refused.what == "award of platinum of 2012-07-20 by board"
    assert "No seat is free for platinum in CH" in refused.reason
    assert answers(result)["P1"]["tier"] == "gold"


def test_an_award_of_a_tier_that_is_gone_is_listed(history: History) -> None:
    """A candidate without the tier that an award names refuses the award alone."""

    def without_platinum(content: change.Content) -> None:
        content["tiers"].pop()
        for scheme in content["bonuses"]:
            if scheme.get("rate_bp"):
                scheme["rate_bp"].pop("platinum", None)

    _, result = rehearsed(history, change.last_changed(PROGRAMMES, without_platinum), LAST_DAY)
    assert [(fact.partner, "has no tier 'platinum'" in fact.reason) for fact in result.refused] == [("P1", True)]


def test_what_follows_from_a_refused_fact_is_refused_with_it(history: History) -> None:
    """A deal of a family that is gone, and its reversal: each with its position, what it is and why."""
    _, result = rehearsed(history, change.last_changed(PROGRAMMES, change.families), LAST_DAY)
    deal, reversal = result.refused
    assert deal.what == "deal D3 of 2012-07-02, EUR 100.00, cloud"
    assert "Family 'cloud' is not in programme" in deal.reason
    assert (reversal.what, reversal.reason) == ("reversal R3 of 2012-07-09: 40.00 of deal D3", "Deal 'D3' was refused.")
    assert deal.position < reversal.position


def test_who_was_told_no_tier_is_told_none(history: History) -> None:
    """Enrolled into the lowest tier, partners come into the lowest one of the candidate, which is named otherwise."""
    _, result = rehearsed(history, change.last_changed(PROGRAMMES, change.renamed(PROGRAMMES[1])), LAST_DAY)
    assert not [fact for fact in result.refused if "enrolment" in fact.what]
    assert answers(result)["P3"]["tier_history"][0]["tier"] == "new-bronze"


def test_partners_seated_by_time_count_before_an_award() -> None:
    """Where an awarded tier continues one that is not, whoever time has brought into it by then takes a seat."""
    before = p.small("before", "2012-01-01", tiers=[p.tier("bronze"), p.tier("gold", "1000.00")], bonuses=[])
    after = p.small(
        "after",
        "2012-07-01",
        tiers=[p.tier("bronze"), p.tier("platinum", "1000.00", awarded=True, seats={"CH": 1}, succeeds="gold")],
        bonuses=[],
    )
    history = History(
        before,
        p.small(
            "plain",
            "2012-07-01",
            bonuses=[],
            tiers=[p.tier("bronze"), p.tier("gold", "1000.00"), p.tier("platinum", "1000.00", awarded=True)],
        ),
    )
    history.given(enrol("P1", "2012-01-01"), enrol("P2", "2012-01-01"))
    history.given(sale("D1", "P1", "2012-06-01", "5000.00"))
    history.advance("2012-07-02")
    history.given(sale("D2", "P2", "2012-07-03", "5000.00"), award("P2", "platinum", "2012-07-04"))
    same(history, [before, after], day("2012-07-04"))
    _, result = rehearsed(history, [before, after], day("2012-07-04"))
    assert "held by P1" in result.refused[0].reason
