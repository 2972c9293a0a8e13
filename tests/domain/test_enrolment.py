"""Enrolment: into the programme in force, in an automatic tier."""

import re

import pytest

from domain import events as e
from domain.facts import Fact
from tests.domain import programmes as p
from tests.domain.history import History, day, enrol

SMALL = p.small()


def test_a_partner_is_enrolled_into_the_lowest_tier_where_none_is_named() -> None:
    """The event says tier and programme."""
    history = History(SMALL).given(enrol("P", "2012-01-05"))
    (event,) = history.events("P")
    assert isinstance(event, e.PartnerEnrolled)
    assert (event.tier, event.programme, event.enrolled_on) == ("bronze", "small-2012", day("2012-01-05"))


def test_a_partner_may_be_enrolled_into_an_automatic_tier() -> None:
    """Whatever its requirements are."""
    assert History(SMALL).given(enrol("P", "2012-01-05", "gold")).tier("P") == "gold"


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        (enrol("P", "2012-01-05", "platinum"), "awarded by the board"),
        (enrol("P", "2012-01-05", "diamond"), "no tier 'diamond'.*bronze, silver, gold, platinum"),
        (enrol("P", "2011-12-31"), "No programme is in force on 2011-12-31.*2012-01-01"),
        (enrol("P", "2012-01-05", country="XX"), "'XX' is not an ISO 3166-1"),
        (enrol("P", "2012-01-05", country="ch"), "ISO 3166-1"),
        (enrol("P", "2012-01-05", country="CHE"), "ISO 3166-1"),
        (enrol("P", "2012-01-05", currency="CHX"), "ISO 4217"),
        (enrol("P", "2026-01-02"), "2026-01-02 is in the future: today is 2026-01-01"),
    ],
)
def test_an_enrolment_that_cannot_be_is_refused_with_the_figures(fact: Fact, why: str) -> None:
    """Into an awarded or unknown tier, before the first programme, of no country or currency, in the future."""
    history = History(SMALL)
    reason = history.refusal(fact)
    assert re.search(why, reason), reason
    assert history.partner_ids() == []


def test_a_partner_enrolled_before_the_ledgers_date_is_brought_up_to_it() -> None:
    """What time has done since is decided with the enrolment: here the change of programme."""
    history = History(*p.THE_THREE).advance("2012-06-01").given(enrol("P", "2011-09-01", "affinity-plus"))
    assert history.names("P") == ["PartnerEnrolled", "ProgrammeEntered", "TierChanged", "ProgrammeEntered"]
    assert history.tiers("P") == [
        ("2011-09-01", "affinity-plus", "enrolled"),
        ("2011-10-01", "silver", "migration"),
    ]


def test_norway_is_a_country() -> None:
    """`NO` is a code like any other."""
    assert History(SMALL).given(enrol("P", "2012-01-05", country="NO")).standing("P").country == "NO"
