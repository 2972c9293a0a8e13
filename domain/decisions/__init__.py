"""The pure decision function: (standing, fact or date, programmes, and for a reversal its deal) to events.

There is no second implementation of a rule. The aggregate decides with it, replay decides again with it, and every
event that it gives has already changed the standing (`domain.standing.CHANGES`). A fact is judged before anything is
decided on its behalf, so a refusal leaves the standing as it was; only an award must know what time does first, and is
decided on a copy (`domain.deciding`).
"""

from domain.decisions.awards import award_tier, begin_award
from domain.decisions.enrolment import enrol, enrolment_tier
from domain.decisions.membership import change_membership
from domain.decisions.sales import decide_sale, record_sale, reverse_sale
from domain.decisions.time import decide_due
from domain.decisions.trainings import record_training, revoke_certificate

__all__ = [
    "award_tier",
    "begin_award",
    "change_membership",
    "decide_due",
    "decide_sale",
    "enrol",
    "enrolment_tier",
    "record_sale",
    "record_training",
    "reverse_sale",
    "revoke_certificate",
]
