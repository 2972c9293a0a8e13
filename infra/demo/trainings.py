"""Trainings: who of a partner completes which course when, and which certificates are revoked."""

from dataclasses import dataclass, field
from datetime import date, timedelta

from infra.demo.dice import Dice
from infra.demo.partners import COURSES, Partner, Revocation

RENEWAL_DAYS = 96 * 7
"""Certificates are valid for 24 months; who renews does so some weeks before."""
COURSE_DAYS = 14
"""The second course of a specialisation is two weeks after the first."""


@dataclass
class Training:
    """A completion. It gets its id when all trainings are in order of date."""

    partner_id: str
    person_id: str
    course: str
    completed_on: date
    revocation: Revocation | None = None
    completion_id: str = field(default="", compare=False)


def partner_trainings(partner: Partner, seed: int) -> list[Training]:
    """Give a partner's trainings: each team's first round, then its renewals while the story and membership last."""
    dice = Dice(seed, "trainings", partner.partner_id)
    trainings: list[Training] = []
    for team in partner.teams:
        people, first = team.people, team.on
        while people and first <= partner.last_day:
            for person in range(1, people + 1):
                late = dice.below(4)
                for i, course in enumerate(COURSES[team.specialisation]):
                    on = first + timedelta(days=COURSE_DAYS * i + late)
                    trainings.append(
                        Training(partner.partner_id, _person(partner, team.specialisation, person), course, on)
                    )
            people = team.people if team.renewing is None else team.renewing
            first += timedelta(days=RENEWAL_DAYS)
    trainings = [training for training in trainings if training.completed_on <= partner.last_day]
    for revocation in partner.revocations:
        _revoke(trainings, partner, revocation)
    return trainings


def _person(partner: Partner, specialisation: str, number: int) -> str:
    return f"{partner.partner_id}-{specialisation[0].upper()}{number}"


def _revoke(trainings: list[Training], partner: Partner, revocation: Revocation) -> None:
    """Mark the first completion of a person and course as revoked later."""
    person = _person(partner, revocation.specialisation, revocation.person)
    for training in trainings:
        if (training.person_id, training.course) == (person, revocation.course):
            training.revocation = revocation
            return
    raise ValueError(f"{person} never completed {revocation.course}")
