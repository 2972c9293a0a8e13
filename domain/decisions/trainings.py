"""Trainings and revocations, and the specialisations that follow from them (rules.md, Specialisations)."""

import datetime as dt

from domain import events as e
from domain.decisions.membership import refuse_after_end
from domain.decisions.specialisations import look_at_specialisations
from domain.decisions.tiers import try_promotion
from domain.decisions.time import opened
from domain.errors import Refused, UnknownReference
from domain.facts import (
    RecordTraining,
    RevokeCertificate,
)
from domain.standing import Standing
from domain.terms import Programmes


def record_training(
    standing: Standing, fact: RecordTraining, person: str, programmes: Programmes, ledger_date: dt.date | None
) -> list[e.Event]:
    """Record a completion of a person (a pseudonym); a training may be dated before enrolment and before any programme.

    Raises:
        Refused: it is dated on or after the end of the membership.

    """
    refuse_after_end(standing, fact.completed_on)
    desk, clock = opened(standing, programmes, ledger_date, fact.completed_on)
    desk.emit(
        e.TrainingCompleted(
            completion_id=fact.completion_id,
            person=person,
            course=fact.course,
            completed_on=fact.completed_on,
            clock=clock,
        )
    )
    terms = programmes.required(clock)
    look_at_specialisations(desk, terms, clock, by_fact=True)
    try_promotion(desk, terms, clock, by_fact=True)
    return desk.events


def revoke_certificate(
    standing: Standing, fact: RevokeCertificate, programmes: Programmes, ledger_date: dt.date | None
) -> list[e.Event]:
    """Revoke a completion that was recorded.

    Raises:
        UnknownReference: the partner has no such completion.
        Refused: it is dated before the completion.

    """
    programmes.required(fact.revoked_on)
    completion = standing.completions.get(fact.completion_id)
    if completion is None:
        raise UnknownReference(f"{standing.partner_id} has no completion {fact.completion_id!r} that could be revoked.")
    if fact.revoked_on < completion.completed_on:
        raise Refused(
            f"Completion {fact.completion_id!r} is of {completion.completed_on};"
            f" it cannot be revoked before, on {fact.revoked_on}."
        )
    desk, clock = opened(standing, programmes, ledger_date, fact.revoked_on)
    desk.emit(
        e.CertificateRevoked(
            completion_id=fact.completion_id, revoked_on=fact.revoked_on, clock=clock, reason=fact.reason
        )
    )
    look_at_specialisations(desk, programmes.required(clock), clock, by_fact=True)
    return desk.events
