"""Specialisations: enough people with valid certificates, looked at again when that may have changed."""

import pytest

from domain import events as e
from domain.facts import Fact
from tests.domain import programmes as p
from tests.domain.history import History, award, day, end, enrol, revoke, sale, suspend, train

SMALL = p.small()


def test_each_course_needs_its_number_of_different_people() -> None:
    """Two people for each of two courses: one person twice does not do."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "VS-101", "2012-02-01"),
        train("C2", "P", "anna", "VS-101", "2012-02-02"),
        train("C3", "P", "anna", "VS-201", "2012-02-03"),
        train("C4", "P", "beat", "VS-201", "2012-02-04"),
    )
    assert history.specialisations("P") == []
    history.given(train("C5", "P", "carla", "VS-101", "2012-02-05"))
    assert history.specialisations("P") == [("2012-02-05", "virtualisation", True)]


def test_the_award_names_the_certificates_that_count() -> None:
    """One for each person, the one that is valid longest."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        revoke("C1", "2012-02-01"),
        train("C2", "P", "anna", "CL-101", "2012-01-10"),
    )
    assert history.last(e.SpecialisationAwarded, "P").evidence == (
        e.CourseEvidence(course="CL-101", required_people=1, completions=("C2",)),
    )


def test_a_certificate_counts_from_its_completion_to_the_day_before_it_expires() -> None:
    """completed_on ≤ d < completed_on + valid_months."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), train("C1", "P", "anna", "CL-101", "2012-08-31"))
    assert history.advance("2013-08-30").specialisations("P") == [("2012-08-31", "cloud", True)]
    assert history.advance("2013-08-31").specialisations("P")[-1] == ("2013-08-31", "cloud", False)
    assert history.last(e.SpecialisationLapsed, "P").by_fact is False


def test_a_day_that_the_month_of_expiry_lacks_is_its_last_day() -> None:
    """Six months from 31 August is 28 February."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        *(train(f"A{n}", "P", n, "VS-101", "2012-08-31") for n in "ab"),
        *(train(f"B{n}", "P", n, "VS-201", "2012-08-31") for n in "ab"),
    )
    assert history.advance("2013-06-01").specialisations("P")[-1] == ("2013-02-28", "virtualisation", False)


def test_a_renewal_before_expiry_keeps_it() -> None:
    """The first certificate's expiry is looked at and nothing comes of it."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        train("C2", "P", "anna", "CL-101", "2013-01-31"),
    )
    assert history.advance("2013-12-31").specialisations("P") == [("2012-02-01", "cloud", True)]
    assert history.advance("2014-02-01").specialisations("P")[-1] == ("2014-01-31", "cloud", False)


def test_a_revocation_may_lapse_it_and_counts_by_the_clock() -> None:
    """By a fact; a late revocation takes effect on the clock."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        sale("D1", "P", "2012-05-01", "1.00"),
        revoke("C1", "2012-02-01", "a mistake"),
    )
    assert history.specialisations("P")[-1] == ("2012-05-01", "cloud", False)
    assert history.last(e.SpecialisationLapsed, "P").by_fact is True


def test_a_revoked_certificate_never_counts_again() -> None:
    """Not even after a further training of another course."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        revoke("C1", "2012-03-01"),
        train("C2", "P", "anna", "VS-101", "2012-04-01"),
    )
    assert [held for _, _, held in history.specialisations("P")] == [True, False]


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        (revoke("C1", "2012-01-31"), "is of 2012-02-01; it cannot be revoked before, on 2012-01-31"),
        (revoke("C2", "2012-03-01"), "no completion 'C2' (yet)"),
    ],
)
def test_a_revocation_before_the_completion_or_of_an_unknown_one_is_refused(fact: Fact, why: str) -> None:
    """The dates are in the sentence."""
    history = History(SMALL).given(enrol("P", "2012-01-05"), train("C1", "P", "anna", "CL-101", "2012-02-01"))
    assert why in history.refusal(fact)


def test_a_second_revocation_of_a_completion_is_a_conflict() -> None:
    """A completion is revoked once."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"), train("C1", "P", "anna", "CL-101", "2012-02-01"), revoke("C1", "2012-03-01")
    )
    assert "told before with another content" in history.refusal(revoke("C1", "2012-03-02"))


def test_lapses_come_before_awards_each_in_order_of_code() -> None:
    """As in a version that swaps all of them."""
    spec = [p.specialisation(code, "X", people=1, valid_months=99) for code in ("b", "a")]
    other = [p.specialisation(code, "X", people=1, valid_months=99) for code in ("d", "c")]
    history = History(p.small(specialisations=spec), p.small("next", "2013-01-01", specialisations=other)).given(
        enrol("P", "2012-01-05"), train("C1", "P", "anna", "X", "2012-02-01")
    )
    assert history.specialisations("P") == [("2012-02-01", "a", True), ("2012-02-01", "b", True)]
    assert history.advance("2013-01-01").specialisations("P")[2:] == [
        ("2013-01-01", "a", False),
        ("2013-01-01", "b", False),
        ("2013-01-01", "c", True),
        ("2013-01-01", "d", True),
    ]


def test_specialisations_are_frozen_once_the_membership_has_ended() -> None:
    """No expiry, revocation or late training changes them."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        end("P", "2012-06-01"),
        revoke("C1", "2012-07-01"),
        *(train(f"A{n}", "P", n, "VS-101", "2012-03-01") for n in "ab"),
        *(train(f"B{n}", "P", n, "VS-201", "2012-03-01") for n in "ab"),
    )
    assert history.advance("2014-01-01").specialisations("P") == [("2012-02-01", "cloud", True)]


def test_a_suspended_partner_gains_and_loses_them_all_the_same() -> None:
    """Only tiers wait for resumption."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"), suspend("P", "2012-01-10"), train("C1", "P", "anna", "CL-101", "2012-02-01")
    )
    assert history.advance("2013-02-01").specialisations("P") == [
        ("2012-02-01", "cloud", True),
        ("2013-02-01", "cloud", False),
    ]


def test_losing_one_never_lowers_a_tier() -> None:
    """Tiers fall by review, withdrawal or a transition without successor, and by nothing else."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "3000.00"),
        train("C1", "P", "anna", "CL-101", "2012-02-02"),
        award("P", "platinum", "2012-02-03"),
        revoke("C1", "2012-02-04"),
    )
    assert history.tiers("P")[-1] == ("2012-02-03", "platinum", "award")


def test_a_person_counts_for_the_partner_the_training_is_told_of() -> None:
    """Somebody who changes employer takes no certificate along."""
    history = History(SMALL).given(
        enrol("P", "2012-01-05"), enrol("Q", "2012-01-05"), train("C1", "P", "anna", "CL-101", "2012-02-01")
    )
    assert history.specialisations("Q") == []
    assert history.standing("P").held == {"cloud": day("2012-02-01")}
