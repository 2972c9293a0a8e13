"""Identity: what is one thing for ever, what is a duplicate, and what a conflict."""

from decimal import Decimal

import pytest

from domain import events as e
from domain.facts import Fact
from domain.identity import plain
from tests.domain import programmes as p
from tests.domain.history import (
    History,
    award,
    end,
    enrol,
    resume,
    reverse,
    revoke,
    sale,
    suspend,
    train,
)

FREE = p.small(
    tiers=[p.tier("bronze"), p.tier("platinum", awarded=True, seats={"CH": 1})],
    bonuses=[p.instant("deal", rate_bp={"bronze": 100})],
)
GIVEN = (
    enrol("P", "2012-01-05", name="Alpha AG"),
    enrol("Q", "2012-01-05"),
    train("C1", "P", "anna", "CL-101", "2012-01-10"),
    sale("D1", "P", "2012-02-01", "100.00", ref="crm:1"),
    reverse("R1", "D1", "2012-02-02", "40.00", "part"),
    reverse("R2", "D1", "2012-02-03"),
    revoke("C1", "2012-02-04", "withdrawn"),
    suspend("P", "2012-02-05", "unpaid"),
    resume("P", "2012-02-06", "paid"),
    award("P", "platinum", "2012-02-07", "board", "well done"),
    end("P", "2012-02-08", "merged"),
)


def history() -> History:
    return History(FREE).given(*GIVEN)


@pytest.mark.parametrize("fact", GIVEN, ids=lambda fact: fact.KIND)
def test_the_same_told_twice_is_skipped_as_a_duplicate(fact: Fact) -> None:
    """Before every other rule: also where the fact could not be accepted any more."""
    ledger = history()
    events = len(ledger.log)
    assert ledger.tell(fact).kind == "duplicate"
    assert len(ledger.log) == events


@pytest.mark.parametrize(
    "fact",
    [
        sale("D1", "P", "2012-02-01", "100", ref="crm:1"),
        sale("D1", "P", "2012-02-01", "100.000", ref="crm:1"),
        sale("D1", "P", "2012-02-01", "0100.0", ref="crm:1"),
        reverse("R1", "D1", "2012-02-02", "40", "part"),
        enrol("P", "2012-01-05", "bronze", name="Alpha AG"),
        enrol("Q", "2012-01-05", "bronze"),
    ],
    ids=str,
)
def test_values_are_compared_normalised(fact: Fact) -> None:
    """100.0 is 100.00, and an empty tier is the lowest."""
    assert history().tell(fact).kind == "duplicate"


@pytest.mark.parametrize(
    ("fact", "both"),
    [
        (enrol("P", "2012-01-05", name="Beta AG"), ["Partner 'P'", "'Alpha AG'", "'Beta AG'"]),
        (enrol("P", "2012-01-06", name="Alpha AG"), ["2012-01-05", "2012-01-06"]),
        (sale("D1", "P", "2012-02-01", "100.01", ref="crm:1"), ["Deal 'D1'", "'100'", "'100.01'"]),
        (sale("D1", "Q", "2012-02-01", "100.00", ref="crm:1"), ["'P'", "'Q'"]),
        (sale("D1", "P", "2012-02-01", "100.00"), ["'crm:1'", "empty"]),
        (reverse("R1", "D1", "2012-02-02", "", "part"), ["Reversal 'R1'", "'40'", "empty"]),
        (reverse("R2", "D1", "2012-02-03", "60.00"), ["Reversal 'R2'", "empty", "'60'"]),
        (reverse("R1", "D2", "2012-02-02", "40.00", "part"), ["'D1'", "'D2'"]),
        (train("C1", "P", "anna", "CL-102", "2012-01-10"), ["Completion 'C1'", "'CL-101'", "'CL-102'"]),
        (train("C1", "Q", "anna", "CL-101", "2012-01-10"), ["'P'", "'Q'"]),
        (revoke("C1", "2012-02-05", "withdrawn"), ["The revocation of completion 'C1'", "2012-02-04", "2012-02-05"]),
        (suspend("P", "2012-02-05", "other"), ["suspension of P on 2012-02-05", "'unpaid'", "'other'"]),
        (
            award("P", "platinum", "2012-02-07", "nobody", "well done"),
            ["award of platinum to P", "'board'", "'nobody'"],
        ),
    ],
    ids=str,
)
def test_the_same_thing_with_another_content_is_a_conflict_that_shows_both(fact: Fact, both: list[str]) -> None:
    """The refusal names the thing, what it was told as, and what it is told as now."""
    reason = history().refusal(fact)
    assert "told before with another content" in reason
    for part in both:
        assert part in reason


def test_a_conflict_within_one_batch_shows_both() -> None:
    """Two rows of one import may contradict each other before anything is stored."""
    ledger = History(FREE).given(enrol("P", "2012-01-05"))
    facts = [sale("D1", "P", "2012-02-01", "100.00"), sale("D1", "P", "2012-02-01", "99.00")]
    recorded, conflict = ledger.tell_together([*facts, facts[0]])[:2]
    assert recorded.kind == "recorded"
    assert "amount '100', now '99'" in conflict.reason


def test_what_a_reversal_takes_whole_is_not_the_same_as_its_amount() -> None:
    """An empty amount stays empty: telling the rest by its amount is another content."""
    assert "amount empty, now '60'" in history().refusal(reverse("R2", "D1", "2012-02-03", "60.00"))


def test_the_same_change_on_another_date_is_another_thing() -> None:
    """Partner, change and date together are the identity of a membership change, partner, tier and date of an award."""
    ledger = History(FREE).given(enrol("P", "2012-01-05"), suspend("P", "2012-02-01"), resume("P", "2012-02-02"))
    ledger.given(suspend("P", "2012-02-03"), resume("P", "2012-02-04"), award("P", "platinum", "2012-02-05"))
    assert "holds platinum already" in ledger.refusal(award("P", "platinum", "2012-02-06"))


def test_what_was_refused_may_be_told_again() -> None:
    """A refusal leaves no identity behind, so that the same deal is accepted once its partner is there."""
    ledger = History(FREE)
    deal = sale("D1", "P", "2012-02-01", "100.00")
    assert "no partner 'P' (yet)" in ledger.refusal(deal)
    ledger.given(enrol("P", "2012-01-05"), deal)
    assert "SaleRecorded" in ledger.names("P")


def test_what_was_refused_may_be_told_again_with_another_content() -> None:
    """It never was that thing."""
    ledger = History(FREE).given(enrol("P", "2012-01-05"))
    ledger.refusal(sale("D1", "P", "2012-02-01", "0.00"))
    ledger.given(sale("D1", "P", "2012-02-02", "5.00"))
    assert ledger.last(e.SaleRecorded, "P").amount == Decimal("5.00")


def test_deals_reversals_and_completions_may_have_the_same_id() -> None:
    """Each kind has its own identities."""
    ledger = History(FREE).given(
        enrol("X", "2012-01-05"),
        sale("X", "X", "2012-02-01", "100.00"),
        reverse("X", "X", "2012-02-01"),
        train("X", "X", "X", "CL-101", "2012-02-01"),
        revoke("X", "2012-02-01"),
    )
    told = {"PartnerEnrolled", "SaleRecorded", "SaleReversed", "TrainingCompleted", "CertificateRevoked"}
    assert told <= set(ledger.names("X"))


def test_a_partner_id_with_quotes_does_not_meet_another_identity() -> None:
    """A composite identity is told apart whatever characters its parts have."""
    ledger = History(FREE).given(enrol('a","suspend', "2012-01-05"), enrol("a", "2012-01-05"))
    ledger.given(suspend('a","suspend', "2012-02-01"), suspend("a", "2012-02-01"))
    for partner in ('a","suspend', "a"):
        assert ledger.names(partner) == ["PartnerEnrolled", "MembershipSuspended"]


# --- persons ------------------------------------------------------------------------------------------------------------


def test_a_person_is_a_pseudonym_in_events_and_the_same_one_each_time() -> None:
    """Events never say who it is."""
    names = iter(["3f2a", "77bc"])
    ledger = History(FREE, pseudonym_of=lambda person: next(names)).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-01-10"),
        train("C2", "P", "anna", "VS-101", "2012-01-10"),
        train("C3", "P", "beat", "CL-101", "2012-01-10"),
    )
    assert [event.person for event in ledger.events("P") if hasattr(event, "person")] == ["3f2a", "3f2a", "77bc"]


def test_a_training_told_again_of_another_person_is_a_conflict() -> None:
    """Whether the other person is known already or not; the sentence does not give the first one away."""
    ledger = history().given(train("C2", "Q", "beat", "CL-101", "2012-01-10"))
    for person in ("beat", "carla"):
        reason = ledger.refusal(train("C1", "P", person, "CL-101", "2012-01-10"))
        assert "told before with another content" in reason
        assert f"now person_id {person!r}" in reason
        assert "'anna'" not in reason


def test_a_forgotten_person_is_not_compared_any_more() -> None:
    """Once the pseudonym's row is deleted, nobody can tell, so the training is a duplicate whoever it is told of."""
    ledger = history()
    ledger.forget("anna")
    assert ledger.tell(train("C1", "P", "anna", "CL-101", "2012-01-10")).kind == "duplicate"
    assert ledger.tell(train("C1", "P", "beat", "CL-101", "2012-01-10")).kind == "duplicate"


def test_a_forgotten_person_who_trains_again_gets_another_pseudonym() -> None:
    """The old one leads to nobody for ever; other contents still conflict."""
    names = iter(["first", "second"])
    ledger = History(FREE, pseudonym_of=lambda person: next(names)).given(
        enrol("P", "2012-01-05"), train("C1", "P", "anna", "CL-101", "2012-01-10")
    )
    ledger.forget("anna")
    ledger.given(train("C2", "P", "anna", "CL-101", "2012-03-01"))
    assert [event.person for event in ledger.events("P") if hasattr(event, "person")] == ["first", "second"]
    assert "'CL-101', now 'CL-102'" in ledger.refusal(train("C1", "P", "anna", "CL-102", "2012-01-10"))


def test_a_refused_training_gives_nobody_a_pseudonym() -> None:
    """A refused fact changes nothing at all."""
    names = iter(["first", "second"])
    ledger = History(FREE, pseudonym_of=lambda person: next(names)).given(
        enrol("P", "2012-01-05"), end("P", "2012-02-01")
    )
    ledger.refusal(train("C1", "P", "anna", "CL-101", "2012-02-01"))
    assert ledger._persons == {}


@pytest.mark.parametrize(
    ("told", "plain_text"),
    [
        ("100", "100"),
        ("100.00", "100"),
        ("0.10", "0.1"),
        ("007.50", "7.5"),
        ("0", "0"),
        ("0.00", "0"),
        ("-40.00", "-40"),
        ("-0.00", "-0"),
        ("0.0000000010", "0.000000001"),
        ("999999999999999999.9999999999", "999999999999999999.9999999999"),
    ],
)
def test_an_amount_in_an_identity_has_no_trailing_zeros(told: str, plain_text: str) -> None:
    """The same text however it was told: hashes in every store rest on it."""
    assert plain(Decimal(told)) == plain_text == f"{Decimal(told).normalize():f}"
