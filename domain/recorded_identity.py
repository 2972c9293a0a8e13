"""The identity that a recorded event must have left in the store: which one thing for ever it is about (rules.md, Identity)."""

from collections.abc import Callable
from typing import Any

from domain import events as e
from domain.facts import composite, content_hash
from domain.identity import told_content
from domain.recording import Identity
from domain.streams import partner_id_of

_CHANGES: dict[type[e.Event], str] = {
    e.MembershipSuspended: "suspend",
    e.MembershipResumed: "resume",
    e.MembershipEnded: "end",
}

_KEYS: dict[type[e.Event], Callable[[str, Any], tuple[str, str, str | None]]] = {
    e.PartnerEnrolled: lambda _, event: ("partner", event.partner_id, None),
    e.TrainingCompleted: lambda _, event: ("training", event.completion_id, event.person),
    e.CertificateRevoked: lambda _, event: ("revocation", event.completion_id, event.completion_id),
    e.SaleRecorded: lambda _, event: ("deal", event.deal_id, None),
    e.SaleReversed: lambda _, event: ("reversal", event.reversal_id, event.deal_id),
    e.TierAwarded: lambda partner, event: (
        "award",
        composite(partner, event.tier, event.awarded_on.isoformat()),
        None,
    ),
    **dict.fromkeys(
        _CHANGES,
        lambda partner, event: (
            "membership",
            composite(partner, _CHANGES[type(event)], event.on.isoformat()),
            None,
        ),
    ),
}
"""Kind, key and what it refers to, of the facts about partners."""

WITH_IDENTITY = frozenset({*(event.__name__ for event in _KEYS), "ProgrammePublished", "RecordDropped"})
"""The types of the events that leave an identity, each exactly one."""


def recorded_identity(stream: str, version: int, event: e.Event) -> Identity | None:
    """Give the identity that an event at its place in a stream must have left; None for one that leaves none."""
    of_partner = _KEYS.get(type(event))
    if of_partner is not None:
        kind, key, refers_to = of_partner(partner_id_of(stream) or "", event)
        return Identity(kind, key, stream, version, content_hash(told_content(stream, event)), refers_to)
    if isinstance(event, e.ProgrammePublished):
        return Identity("programme", event.programme, stream, version, content_hash(event.content))
    if isinstance(event, e.RecordDropped):
        key = f"{event.topic}/{event.partition}/{event.offset}/{event.leaf_hash}"
        return Identity("dropped-record", key, stream, version, content_hash({"leaf_hash": event.leaf_hash}))
    return None
