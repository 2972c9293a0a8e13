"""Suspension, resumption and end of a membership."""

import pytest

from domain import events as e
from domain.facts import Fact
from tests.domain import programmes as p
from tests.domain.history import History, award, day, end, enrol, resume, reverse, revoke, sale, suspend, train

SMALL = p.small()


def test_a_membership_is_suspended_resumed_and_ended() -> None:
    """Each change is a fact with its reason; the end names the last tier for the public topic."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05", "silver"),
        suspend("P", "2012-02-01", "unpaid"),
        resume("P", "2012-03-01", "paid"),
        end("P", "2012-04-01", "merged"),
    )
    assert history.events("P")[1:] == [
        e.MembershipSuspended(on=day("2012-02-01"), effective_on=day("2012-02-01"), reason="unpaid"),
        e.MembershipResumed(on=day("2012-03-01"), effective_on=day("2012-03-01"), reason="paid"),
        e.MembershipEnded(
            on=day("2012-04-01"),
            effective_on=day("2012-04-01"),
            country="CH",
            tier="silver",
            programme="small-2012",
            reason="merged",
        ),
    ]


@pytest.mark.parametrize(
    ("given", "fact", "why"),
    [
        ([suspend("P", "2012-02-01")], suspend("P", "2012-02-02"), "suspended already, since 2012-02-01"),
        ([], resume("P", "2012-02-02"), "not suspended"),
        ([suspend("P", "2012-02-01"), resume("P", "2012-02-02")], resume("P", "2012-02-03"), "not suspended"),
        ([end("P", "2012-02-01")], end("P", "2012-02-02"), "ended on 2012-02-01, finally"),
        ([suspend("P", "2012-01-10"), end("P", "2012-02-01")], resume("P", "2012-02-02"), "ended on 2012-02-01"),
        ([end("P", "2012-02-01")], suspend("P", "2012-01-31"), "ended on 2012-02-01"),
        ([], suspend("X", "2012-02-01"), "no partner 'X'"),
    ],
)
def test_a_change_that_cannot_be_is_refused(given: list[Fact], fact: Fact, why: str) -> None:
    """Suspending twice, resuming what is not suspended, ending twice."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), *given)
    assert why in history.refusal(fact)


def test_an_end_closes_an_open_suspension() -> None:
    """Loyalty and earnings of the days between see it closed on the day of the end."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), suspend("P", "2012-02-01"), end("P", "2012-03-01"))
    standing = history.standing("P")
    assert standing.suspensions == [(day("2012-02-01"), day("2012-03-01"))]
    assert standing.suspended_since is None


@pytest.mark.parametrize(
    ("fact", "accepted"),
    [
        (sale("D2", "P", "2012-02-29", "1.00"), True),
        (sale("D2", "P", "2012-03-01", "1.00"), False),
        (sale("D2", "P", "2012-03-02", "1.00"), False),
        (train("C2", "P", "anna", "CL-101", "2012-02-29"), True),
        (train("C2", "P", "anna", "CL-101", "2012-03-01"), False),
        (reverse("R1", "D1", "2012-03-01"), True),
        (reverse("R1", "D1", "2013-03-01"), True),
        (revoke("C1", "2012-03-01"), True),
        (revoke("C1", "2013-03-01"), True),
        (award("P", "platinum", "2012-03-01"), False),
        (award("P", "platinum", "2012-02-01"), False),
    ],
)
def test_dated_on_or_after_the_end_only_reversals_and_revocations_are_accepted(fact: Fact, accepted: bool) -> None:
    """Late facts from before the end still are, but no award, which would count from the clock."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "3000.00"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        end("P", "2012-03-01"),
    )
    outcome = history.tell(fact)
    assert (outcome.kind == "recorded") == accepted, outcome
    if not accepted:
        assert "ended on 2012-03-01" in outcome.reason


def test_an_ended_company_enrols_anew_under_a_new_partner_id() -> None:
    """The old id is taken for ever."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), end("P", "2012-03-01"))
    assert "another content" in history.refusal(enrol("P", "2012-04-01"))
    assert history.tell(enrol("P", "2012-01-05")).kind == "duplicate"
    history.given(enrol("P-2", "2012-04-01"))


def test_after_the_end_time_does_nothing_but_settle() -> None:
    """Years later there is still nothing new."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05", "silver"), train("C1", "P", "anna", "CL-101", "2012-02-01"), end("P", "2012-03-01")
    )
    events = len(history.events("P"))
    assert len(history.advance("2016-01-01").events("P")) == events


def test_an_ended_partner_keeps_its_last_tier_on_record() -> None:
    """And counts as no holder."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        sale("D1", "P", "2012-02-01", "3000.00"),
        award("P", "platinum", "2012-02-02"),
        end("P", "2012-03-01"),
    )
    assert history.tier("P") == "platinum"
    assert history.holders("CH") == {}
    assert history.stream("roster:CH")[-1] == e.SeatFreed(
        partner_id="P", tier="platinum", effective_on=day("2012-03-01")
    )
