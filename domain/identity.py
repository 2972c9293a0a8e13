"""What a recorded fact was told as: its normalised content, read back from its event, to show both sides of a conflict."""

from decimal import Decimal

from domain import events as e
from domain.streams import partner_id_of


def told_content(stream: str, event: e.Event) -> dict[str, str | None]:
    """Give the normalised content of a recorded fact, by the names of `domain.facts` (a training's person left out)."""
    partner_id = partner_id_of(stream)
    match event:
        case e.PartnerEnrolled():
            return {
                "partner_id": event.partner_id,
                "name": event.name,
                "country": event.country,
                "currency": event.currency,
                "enrolled_on": event.enrolled_on.isoformat(),
                "tier": event.tier,
            }
        case e.MembershipSuspended() | e.MembershipResumed() | e.MembershipEnded():
            change = {"MembershipSuspended": "suspend", "MembershipResumed": "resume", "MembershipEnded": "end"}
            return {
                "partner_id": partner_id,
                "change": change[type(event).__name__],
                "on": event.on.isoformat(),
                "reason": event.reason,
            }
        case e.TrainingCompleted():
            return {
                "completion_id": event.completion_id,
                "partner_id": partner_id,
                "course": event.course,
                "completed_on": event.completed_on.isoformat(),
            }
        case e.CertificateRevoked():
            return {
                "completion_id": event.completion_id,
                "revoked_on": event.revoked_on.isoformat(),
                "reason": event.reason,
            }
        case e.SaleRecorded():
            return {
                "deal_id": event.deal_id,
                "partner_id": partner_id,
                "closed_on": event.closed_on.isoformat(),
                "family": event.family,
                "amount": plain(event.amount),
                "currency": event.currency,
                "source_ref": event.source_ref,
            }
        case e.SaleReversed():
            return {
                "reversal_id": event.reversal_id,
                "deal_id": event.deal_id,
                "reversed_on": event.reversed_on.isoformat(),
                "amount": None if event.whole else plain(event.amount),
                "reason": event.reason,
            }
        case e.TierAwarded():
            return {
                "partner_id": partner_id,
                "tier": event.tier,
                "awarded_on": event.awarded_on.isoformat(),
                "awarded_by": event.awarded_by,
                "reason": event.reason,
            }
        case _:
            raise TypeError(f"{type(event).__name__} is not a fact about a partner")


def plain(amount: Decimal) -> str:
    """Give an amount without trailing zeros, so that 100.0 and 100.00 are the same."""
    text = str(amount)
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{amount.normalize():f}"  # the same for any other, a negative or a very small one, in twice the time


def difference(before: dict[str, str | None], told: dict[str, str | None]) -> str:
    """Say in words what two contents of the same thing differ in."""
    differing = [name for name in told if before.get(name) != told.get(name)]
    return "; ".join(f"{name} {_shown(before.get(name))}, now {_shown(told.get(name))}" for name in differing)


def _shown(value: str | None) -> str:
    return "empty" if value is None else repr(value)
