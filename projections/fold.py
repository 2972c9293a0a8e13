"""The one fold: a batch of recorded events in, the rows of every table out. Pure, and the same in any split of batches.

An event type that no table but the audit trail needs has no entry in `_FOLDS`; all types are in the audit trail.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from domain.errors import IntegrityFault
from domain.events import (
    BonusAccrued,
    BonusClawedBack,
    Event,
    KickbackSettled,
    MembershipEnded,
    MembershipResumed,
    MembershipSuspended,
    PartnerEnrolled,
    RecordDropped,
    SaleRecorded,
    SaleReversed,
    SpecialisationAwarded,
    SpecialisationLapsed,
    TierChanged,
)
from domain.streams import partner_id_of
from projections import loyalty, tier_status
from projections.audit_trail import AuditRow, audit_row
from projections.bonus_journal import (
    BalanceChange,
    BonusEvent,
    BonusLine,
    balance_changes,
    bonus_lines,
)
from projections.dropped import DroppedRow, dropped_row
from projections.progress import Partition, Progress
from projections.recorded import Recorded
from projections.sales import ReversalRow, SaleRow, reversal_row, sale_row


@dataclass(slots=True)
class Rows:
    """What a batch adds to each table. Balances and progress are changes to add up; every other row is new."""

    partners: list[tier_status.PartnerRow] = field(default_factory=list)
    tiers: list[tier_status.TierRow] = field(default_factory=list)
    specialisations: list[tier_status.SpecialisationRow] = field(default_factory=list)
    memberships: list[loyalty.MembershipRow] = field(default_factory=list)
    sales: list[SaleRow] = field(default_factory=list)
    reversals: list[ReversalRow] = field(default_factory=list)
    lines: list[BonusLine] = field(default_factory=list)
    balances: list[BalanceChange] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    drops: list[DroppedRow] = field(default_factory=list)
    progress: dict[Partition, Progress] = field(default_factory=dict)


def fold(batch: Iterable[Recorded]) -> Rows:
    """Fold a batch, in the order of its records, to the rows of all tables.

    Raises:
        IntegrityFault: an event of a partner stands on another stream, or an amount is none.

    """
    rows = Rows()
    audit, progress = rows.audit, rows.progress
    noted: Progress | None = None
    partition = -1
    for at in batch:
        audit.append(audit_row(at))
        if noted is None or at.partition != partition:
            partition = at.partition
            noted = progress.setdefault(Partition(at.topic, partition), Progress())
        noted.note(at)
        folding = _FOLDS.get(type(at.event))
        if folding is not None:
            folding(rows, at, at.event)
    rows.balances = balance_changes(rows.lines)
    return rows


def _partner(at: Recorded) -> str:
    partner = partner_id_of(at.envelope.subject)
    if partner is None:
        raise IntegrityFault(
            f"Event {at.envelope.position}, a {at.envelope.type}, stands on the stream {at.envelope.subject!r},"
            " which is not a partner's."
        )
    return partner


def _enrolled(rows: Rows, at: Recorded, event: PartnerEnrolled) -> None:
    partner, position = _partner(at), at.envelope.position
    rows.partners.append(tier_status.partner_row(position, partner, event))
    rows.tiers.append(tier_status.first_tier(position, partner, event))
    rows.memberships.append(loyalty.enrolment(position, partner, event))


def _membership(rows: Rows, at: Recorded, event: MembershipSuspended | MembershipResumed | MembershipEnded) -> None:
    rows.memberships.append(loyalty.membership_change(at.envelope.position, _partner(at), event))


def _tier(rows: Rows, at: Recorded, event: TierChanged) -> None:
    rows.tiers.append(tier_status.tier_change(at.envelope.position, _partner(at), event))


def _specialisation(rows: Rows, at: Recorded, event: SpecialisationAwarded | SpecialisationLapsed) -> None:
    rows.specialisations.append(tier_status.specialisation_change(at.envelope.position, _partner(at), event))


def _sale(rows: Rows, at: Recorded, event: SaleRecorded) -> None:
    rows.sales.append(sale_row(at, _partner(at), event))


def _reversal(rows: Rows, at: Recorded, event: SaleReversed) -> None:
    rows.reversals.append(reversal_row(at, _partner(at), event))


def _bonus(rows: Rows, at: Recorded, event: BonusEvent) -> None:
    rows.lines += bonus_lines(at.envelope.position, _partner(at), event)


def _dropped(rows: Rows, at: Recorded, event: RecordDropped) -> None:
    rows.drops.append(dropped_row(at, event))


_FOLDS: dict[type[Event], Callable[[Rows, Recorded, Any], None]] = {
    PartnerEnrolled: _enrolled,
    MembershipSuspended: _membership,
    MembershipResumed: _membership,
    MembershipEnded: _membership,
    TierChanged: _tier,
    SpecialisationAwarded: _specialisation,
    SpecialisationLapsed: _specialisation,
    SaleRecorded: _sale,
    SaleReversed: _reversal,
    BonusAccrued: _bonus,
    BonusClawedBack: _bonus,
    KickbackSettled: _bonus,
    RecordDropped: _dropped,
}
