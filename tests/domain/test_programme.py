"""Programme versions: what is no version, which is in force, and what may be published."""

import datetime as dt
import json
from typing import Any

import pytest
from pydantic import ValidationError

from domain.errors import LedgerError, Refused
from domain.programme import Programme, programme_from_content
from domain.programme_faults import cross_faults
from domain.terms import Programmes
from tests.domain import programmes as p
from tests.domain.history import History, day, enrol, sale


def shape_faults(**parts: Any) -> list[str]:
    """The places of what is wrong with the shape."""
    with pytest.raises(ValidationError) as fault:
        Programme.model_validate(p.content(**parts))
    return [".".join(str(step) for step in error["loc"]) for error in fault.value.errors()]


def part_faults(**parts: Any) -> list[tuple[str, str]]:
    """What is wrong between parts: place and sentence."""
    return [(".".join(str(step) for step in where), what) for where, what in cross_faults(p.content(**parts))]


def review(**parts: Any) -> dict[str, Any]:
    return {"date": "06-30", "grace": 1, "protect_months": 3, **parts}


@pytest.mark.parametrize("programme", [*p.THE_THREE, p.small()], ids=lambda programme: programme.programme)
def test_a_right_version_has_no_faults_and_comes_back_from_its_content(programme: Programme) -> None:
    """What is published is read back equal, through JSON."""
    assert cross_faults(programme.model_dump()) == []
    again = programme_from_content(json.loads(json.dumps(programme.content())))
    assert again == programme
    assert again.content() == programme.content()


def test_a_content_that_this_version_does_not_write_is_refused() -> None:
    """A published programme of a newer version is not read half."""
    with pytest.raises(LedgerError, match="small-2012"):
        programme_from_content({**p.small().content(), "bonus_cap": "100.00"})


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        ("bonus", {"bonus": []}),
        ("tiers.0.require", {"tiers": [{**p.tier("bronze"), "require": {}}]}),
        ("window_months", {"window_months": "12"}),
        ("window_months", {"window_months": 0}),
        ("window_months", {"window_months": 12.0}),
        ("window_months", {"window_months": True}),
        ("base_currency", {"base_currency": "EUX"}),
        ("exchange_rates.CHF", {"exchange_rates": {"EUR": "1", "CHF": 0.82}}),
        ("exchange_rates.CHF", {"exchange_rates": {"EUR": "1", "CHF": "-0.82"}}),
        ("exchange_rates.CHF", {"exchange_rates": {"EUR": "1", "CHF": "8e-1"}}),
        ("exchange_rates.CHX.[key]", {"exchange_rates": {"EUR": "1", "CHX": "0.82"}}),
        ("tiers.1.requires.revenue", {"tiers": [p.tier("bronze"), p.tier("silver", 1000)]}),  # type: ignore[arg-type]
        ("tiers.1.seats.0.[key]", {"tiers": [p.tier("bronze"), p.tier("silver", awarded=True, seats={False: 1})]}),
        ("tiers.1.seats.XX.[key]", {"tiers": [p.tier("bronze"), p.tier("silver", awarded=True, seats={"XX": 1})]}),
        ("tiers.1.seats.CH", {"tiers": [p.tier("bronze"), p.tier("silver", awarded=True, seats={"CH": -1})]}),
        ("tiers", {"tiers": []}),
        ("tiers.0.code", {"tiers": [p.tier("Bronze")]}),
        ("review.date", {"review": review(date="02-29")}),
        ("review.date", {"review": review(date="02-30")}),
        ("review.date", {"review": review(date="31-03")}),
        ("review.date", {"review": review(date="3-31")}),
        ("review.grace", {"review": review(grace=-1)}),
        ("specialisations.0.people", {"specialisations": [p.specialisation("a", "X", people=0, valid_months=1)]}),
        ("specialisations.0.courses", {"specialisations": [p.specialisation("a", people=1, valid_months=1)]}),
        ("bonuses.0.instant", {"bonuses": [p.instant("a")]}),
        ("bonuses.0.instant", {"bonuses": [p.instant("a", rate_bp={}, loyalty_bp={})]}),
        ("bonuses.0.instant.rate_bp.bronze", {"bonuses": [p.instant("a", rate_bp={"bronze": 1.5})]}),
        ("bonuses.0.instant.rate_bp.bronze", {"bonuses": [p.instant("a", rate_bp={"bronze": 10_001})]}),
        ("bonuses.0.kickback.specialisation", {"bonuses": [{**p.kickback("a", bronze=1), "specialisation": "cloud"}]}),
        ("bonuses.0.kickback.loyalty_bp", {"bonuses": [{**p.kickback("a", bronze=1), "loyalty_bp": {1: 1}}]}),
        ("bonuses.0.kickback.minimum", {"bonuses": [p.kickback("a", 500, bronze=1)]}),  # type: ignore[arg-type]
        ("bonuses.0", {"bonuses": [{**p.kickback("a", bronze=1), "kind": "cashback"}]}),
    ],
)
def test_what_has_not_the_shape_of_a_version_is_refused_by_its_place(place: str, parts: dict[str, Any]) -> None:
    """Unknown keys, bare numbers for amounts, `NO` as false, unknown countries and currencies, impossible dates."""
    assert place in shape_faults(**parts)


@pytest.mark.parametrize(
    ("place", "what", "parts"),
    [
        ("effective_from", "not the first day of a calendar quarter", {"effective_from": "2012-02-01"}),
        ("exchange_rates", "needs the rate", {"exchange_rates": {"CHF": "0.5"}}),
        ("exchange_rates", "needs the rate", {"exchange_rates": {"EUR": "1.1"}}),
        ("exchange_rates.CHF", "zero", {"exchange_rates": {"EUR": "1", "CHF": "0.00"}}),
        ("tiers.1", "'bronze' is listed twice", {"tiers": [p.tier("bronze"), p.tier("bronze")]}),
        ("tiers.0.awarded", "cannot be awarded", {"tiers": [p.tier("bronze", awarded=True)]}),
        ("tiers.0.requires", "must require nothing", {"tiers": [p.tier("bronze", "1.00")]}),
        ("tiers.0.requires", "must require nothing", {"tiers": [p.tier("bronze", "0", 1)]}),
        ("tiers.1.requires.revenue", "finer", {"tiers": [p.tier("bronze"), p.tier("silver", "1.001")]}),
        (
            "tiers.1.requires.specialisations",
            "requires 3 specialisations, but the programme has 2",
            {"tiers": [p.tier("bronze"), p.tier("silver", "1.00", 3)]},
        ),
        ("tiers.1.seats", "has seats but is not awarded", {"tiers": [p.tier("bronze"), p.tier("silver", seats={"CH": 1})]}),
        (
            "tiers.2.requires",
            "'gold' requires less than 'silver' below it",
            {"tiers": p.simple_tiers(bronze="0", silver="2.00", gold="1.00")},
        ),
        (
            "tiers.2.requires",
            "'gold' requires less than 'silver' below it",
            {"tiers": [p.tier("bronze"), p.tier("silver", "1.00", 1), p.tier("gold", "2.00", 0)]},
        ),
        (
            "tiers.3.requires",
            "'gold' requires less than 'silver' below it",
            {
                "tiers": [
                    p.tier("bronze"),
                    p.tier("silver", "2.00"),
                    p.tier("platinum", awarded=True),
                    p.tier("gold", "1.00"),
                ]
            },
        ),
        (
            "tiers.2.succeeds",
            "both succeed 'old'",
            {"tiers": [p.tier("bronze"), p.tier("silver", succeeds="old"), p.tier("gold", succeeds="old")]},
        ),
        (
            "specialisations.0.courses.1",
            "'X' is listed twice",
            {"specialisations": [p.specialisation("a", "X", "X", people=1, valid_months=1)]},
        ),
        (
            "specialisations.1",
            "'a' is listed twice",
            {"specialisations": [p.specialisation("a", "X", people=1, valid_months=1)] * 2},
        ),
        ("bonuses.0.rate_bp.diamond", "no tier 'diamond'", {"bonuses": [p.instant("a", rate_bp={"diamond": 1})]}),
        ("bonuses.0.rate_bp.diamond", "no tier 'diamond'", {"bonuses": [p.kickback("a", diamond=1)]}),
        ("bonuses.0.families.0", "no family 'x'", {"bonuses": [p.instant("a", families=["x"], loyalty_bp={1: 1})]}),
        ("bonuses.0.families.1", "'saas' is listed twice", {"bonuses": [p.instant("a", families=["saas", "saas"], rate_bp={})]}),
        ("bonuses.0.specialisation", "no specialisation 'x'", {"bonuses": [p.instant("a", specialisation="x", rate_bp={})]}),
        ("bonuses.0.minimum", "finer", {"bonuses": [p.kickback("a", "0.001", bronze=1)]}),
        ("bonuses.1", "'a' is listed twice", {"bonuses": [p.kickback("a", bronze=1)] * 2}),
        ("families.3", "'saas' is listed twice", {"families": ["saas", "cloud", "virtualisation", "saas"]}),
    ],
)  # fmt: skip
def test_what_is_wrong_between_parts_is_said_by_its_place(place: str, what: str, parts: dict[str, Any]) -> None:
    """Each fault of a version whose parts are right one by one."""
    faults = part_faults(**parts)
    assert any(where == place and what in sentence for where, sentence in faults), faults


def test_an_awarded_tier_may_require_less_than_the_one_below() -> None:
    """Only automatic tiers must rise."""
    assert (
        part_faults(tiers=[p.tier("bronze"), p.tier("silver", "2.00"), p.tier("board", awarded=True)], bonuses=[]) == []
    )


def test_all_faults_between_parts_are_found_at_once() -> None:
    """Not only the first."""
    faults = part_faults(
        effective_from="2012-02-01",
        tiers=[p.tier("bronze", "1.00"), p.tier("silver")],
        bonuses=[p.kickback("a", diamond=1), p.kickback("a", bronze=1)],
    )
    assert [where for where, _ in faults] == [
        "bonuses.1",
        "effective_from",
        "tiers.0.requires",
        "tiers.1.requires",
        "bonuses.0.rate_bp.diamond",
    ]


def test_an_automatic_tier_with_equal_requirements_is_no_fault() -> None:
    """It requires no less."""
    assert part_faults(tiers=p.simple_tiers(bronze="0", silver="1.00", gold="1.00"), bonuses=[]) == []


# --- in force, publication ---------------------------------------------------------------------------------------------


def test_in_force_is_the_version_with_the_latest_first_day_on_or_before() -> None:
    """Whatever the order of publication."""
    programmes = Programmes([p.PARTNER_2012, p.AFFINITY_2006, p.PARTNER_2011])
    in_force = {
        on: programmes.in_force(day(on))
        for on in ("2006-09-30", "2006-10-01", "2011-09-30", "2011-10-01", "2030-01-01")
    }
    assert {on: terms and terms.code for on, terms in in_force.items()} == {
        "2006-09-30": None,
        "2006-10-01": "affinity-2006",
        "2011-09-30": "affinity-2006",
        "2011-10-01": "partner-2011",
        "2030-01-01": "partner-2012",
    }


def test_the_same_version_again_does_nothing() -> None:
    """Also where it says the defaults that the first one left out, or amounts in the same words."""
    history = History(p.small())
    assert history.publish(p.small(tiers=[{**tier, "succeeds": None} for tier in p.content()["tiers"]])) is False
    assert len(history.stream("programmes")) == 1


def test_a_published_version_is_never_edited() -> None:
    """The refusal shows both."""
    with pytest.raises(Refused, match=r"window_months is 12, told as 6"):
        History(p.small()).publish(p.small(window_months=6))


def test_no_two_versions_share_a_first_day() -> None:
    """The second is refused by name."""
    with pytest.raises(Refused, match="'small-2012' begins on 2012-01-01 already"):
        History(p.small()).publish(p.small("other"))


def test_all_versions_have_one_base_currency() -> None:
    """Amounts of different versions are added up."""
    with pytest.raises(Refused, match="base currency CHF"):
        History(p.small()).publish(
            p.small("other", "2013-01-01", base_currency="CHF", exchange_rates={"CHF": "1"}, tiers=[p.tier("bronze")])
        )


def test_a_version_succeeds_only_tiers_of_the_one_before() -> None:
    """By name, also where it comes between two versions; the first may name what was before the ledger."""
    tiers = [p.tier("bronze"), p.tier("silver", succeeds="basic")]
    with pytest.raises(Refused, match="succeeds 'basic', which programme 'small-2012' does not have"):
        History(p.small()).publish(p.small("other", "2013-01-01", tiers=tiers, bonuses=[]))
    assert History().publish(p.small(tiers=tiers, bonuses=[]))
    later = p.small("later", "2014-01-01", tiers=[p.tier("bronze"), p.tier("top", succeeds="gold")], bonuses=[])
    between = p.small("between", "2013-01-01", tiers=[p.tier("bronze")], bonuses=[p.kickback("v", bronze=1)])
    with pytest.raises(Refused, match="'top' of 'later' succeeds 'gold', which programme 'between'"):
        History(p.small(), later).publish(between)


@pytest.mark.parametrize(
    ("effective_from", "accepted"), [("2012-04-01", False), ("2012-07-01", False), ("2012-10-01", True)]
)
def test_a_version_never_begins_on_or_before_what_is_recorded(effective_from: str, accepted: bool) -> None:
    """Neither the latest business date of any partner nor the ledger's date."""
    told = History(p.small()).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-07-01", "1.00"))
    advanced = History(p.small()).advance("2012-07-01")
    for history in (told, advanced):
        programme = p.small("other", effective_from)
        if accepted:
            assert history.publish(programme)
        else:
            with pytest.raises(Refused, match=r"on or before .*2012-07-01: .*replay"):
                history.publish(programme)


def test_terms_turn_amounts_into_base_currency_by_exact_arithmetic() -> None:
    """Currencies of 0, 2 and 3 digits, half up."""
    terms = Programmes([p.small()]).required(dt.date(2012, 1, 1))
    assert terms.qualifying(100, "JPY") == 95
    assert terms.qualifying(1, "JPY") == 1
    assert terms.qualifying(1, "CHF") == 1
    assert terms.qualifying(1, "BHD") == 0
    assert terms.qualifying(333333, "BHD") == 67000
    assert terms.qualifying(10**15, "EUR") == 10**15
