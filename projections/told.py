"""A fact told as words for a person: what it is, which one, of whom and when."""

from domain.deal import ClosedDeal
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    Fact,
    RecordSale,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
)
from domain.money import format_amount

_CHANGES = {"suspend": "suspension", "resume": "resumption", "end": "end of the membership"}


def fact_sentence(fact: Fact | ClosedDeal) -> str:
    """Name a fact: `deal D-7 of 2012-05-04, CHF 1,250.00, cloud`."""
    match fact:
        case RecordSale():
            return _deal(fact)
        case EnrolPartner():
            return f"enrolment of {fact.enrolled_on}, {fact.tier or 'lowest tier'}"
        case ChangeMembership():
            return f"{_CHANGES[fact.change]} of {fact.on}"
        case RecordTraining():
            return f"completion {fact.completion_id} of {fact.completed_on}, {fact.course}"
        case RevokeCertificate():
            return f"revocation of completion {fact.completion_id} of {fact.revoked_on}"
        case ReverseSale():
            amount = "all that is left" if fact.amount is None else f"{fact.amount}"
            return f"reversal {fact.reversal_id} of {fact.reversed_on}: {amount} of deal {fact.deal_id}"
        case AwardTier():
            return f"award of {fact.tier} of {fact.awarded_on} by {fact.awarded_by}"
        case Fact():
            return f"{fact.KIND} of {fact.business_date}"
    return _deal(fact)


def _deal(fact: ClosedDeal) -> str:
    return f"deal {fact.deal_id} of {fact.closed_on}, {format_amount(fact.amount, fact.currency)}, {fact.family}"
