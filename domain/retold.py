"""Recorded facts as they were told: what replay decides again, made of the facts' own events.

What a fact's event keeps of the telling is all that deciding needs, but for a training's person, of whom the event has the
pseudonym alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from domain import events as e
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    Fact,
    RecordSale,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
    fact_of_values,
)


class Retold(NamedTuple):
    """A fact as it was told; `person` is the pseudonym of a training's person, else empty."""

    fact: Fact
    person: str = ""


def retold(partner_id: str, event: e.Event) -> Retold:
    """Give the fact that an event of a partner's stream records.

    Raises:
        KeyError: the event is a decision, or a fact about something else.

    """
    return _BY_EVENT[type(event)](partner_id, event)


def _enrolment(partner_id: str, event: e.PartnerEnrolled) -> Retold:
    values = {
        "partner_id": partner_id,
        "name": event.name,
        "country": event.country,
        "currency": event.currency,
        "enrolled_on": event.enrolled_on,
        "tier": event.tier,
    }
    return Retold(fact_of_values(EnrolPartner, values))


def _membership(partner_id: str, event: e.MembershipSuspended | e.MembershipResumed | e.MembershipEnded) -> Retold:
    values = {"partner_id": partner_id, "change": _CHANGES[type(event)], "on": event.on, "reason": event.reason}
    return Retold(fact_of_values(ChangeMembership, values))


def _training(partner_id: str, event: e.TrainingCompleted) -> Retold:
    values = {
        "completion_id": event.completion_id,
        "partner_id": partner_id,
        "person_id": event.person,
        "course": event.course,
        "completed_on": event.completed_on,
    }
    return Retold(fact_of_values(RecordTraining, values), event.person)


def _revocation(_partner_id: str, event: e.CertificateRevoked) -> Retold:
    values = {"completion_id": event.completion_id, "revoked_on": event.revoked_on, "reason": event.reason}
    return Retold(fact_of_values(RevokeCertificate, values))


def _sale(partner_id: str, event: e.SaleRecorded) -> Retold:
    values = {
        "deal_id": event.deal_id,
        "partner_id": partner_id,
        "closed_on": event.closed_on,
        "family": event.family,
        "amount": event.amount,
        "currency": event.currency,
        "source_ref": event.source_ref,
    }
    return Retold(fact_of_values(RecordSale, values))


def _reversal(_partner_id: str, event: e.SaleReversed) -> Retold:
    values = {
        "reversal_id": event.reversal_id,
        "deal_id": event.deal_id,
        "reversed_on": event.reversed_on,
        "amount": None if event.whole else event.amount,
        "reason": event.reason,
    }
    return Retold(fact_of_values(ReverseSale, values))


def _award(partner_id: str, event: e.TierAwarded) -> Retold:
    values = {
        "partner_id": partner_id,
        "tier": event.tier,
        "awarded_on": event.awarded_on,
        "awarded_by": event.awarded_by,
        "reason": event.reason,
    }
    return Retold(fact_of_values(AwardTier, values))


_CHANGES: dict[type[e.Event], str] = {
    e.MembershipSuspended: "suspend",
    e.MembershipResumed: "resume",
    e.MembershipEnded: "end",
}
_BY_EVENT: dict[type[e.Event], Callable[[str, Any], Retold]] = {
    e.PartnerEnrolled: _enrolment,
    e.MembershipSuspended: _membership,
    e.MembershipResumed: _membership,
    e.MembershipEnded: _membership,
    e.TrainingCompleted: _training,
    e.CertificateRevoked: _revocation,
    e.SaleRecorded: _sale,
    e.SaleReversed: _reversal,
    e.TierAwarded: _award,
}
FACTS_OF_PARTNERS = frozenset(event.__name__ for event in _BY_EVENT)
"""The types of the events that record a fact about a partner; all others of its stream are decisions."""
