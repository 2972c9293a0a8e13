"""The tables of a build: which projection each belongs to, and by which field of `projections.fold.Rows` it is filled."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from infra.postgres.projections.copy_csv import Table
from projections.audit_trail import AuditRow
from projections.bonus_journal import BonusLine
from projections.dropped import DroppedRow
from projections.loyalty import MembershipRow
from projections.sales import ReversalRow, SaleRow
from projections.tier_status import PartnerRow, SpecialisationRow, TierRow

PARTNER = Table("partner", PartnerRow)
TIER = Table("tier", TierRow)
SPECIALISATION = Table("specialisation", SpecialisationRow)
MEMBERSHIP = Table("membership", MembershipRow)
SALE = Table("sale", SaleRow)
REVERSAL = Table("reversal", ReversalRow)
BONUS_LINE = Table("bonus_line", BonusLine)
DROPPED = Table("dropped", DroppedRow)
AUDIT = Table("audit", AuditRow)

BY_FIELD: dict[str, Table] = {
    "partners": PARTNER,
    "tiers": TIER,
    "specialisations": SPECIALISATION,
    "memberships": MEMBERSHIP,
    "sales": SALE,
    "reversals": REVERSAL,
    "lines": BONUS_LINE,
    "drops": DROPPED,
    "audit": AUDIT,
}


class Projection(NamedTuple):
    """A projection as people name it: its tables, and the views that rest on them."""

    tables: Sequence[str]
    views: Sequence[str] = ()


PROJECTIONS: Mapping[str, Projection] = {
    "tier-status": Projection(("partner", "tier", "specialisation")),
    "loyalty": Projection(("membership",)),
    "sales": Projection(("sale", "reversal"), ("deal",)),
    "bonus-journal": Projection(("bonus_line", "balance"), ("posting", "journal")),
    "audit-trail": Projection(("audit",)),
}
"""By their modules in `projections`."""

BOOKKEEPING = ("partition_progress", "stream_version", "parked", "dropped")
"""The tables that every build has for itself: how far it is."""


def projection_of(table: str) -> str:
    """Name the projection that a table belongs to."""
    return next((name for name, each in PROJECTIONS.items() if table in each.tables), "bookkeeping")


def fields_of(projections: Sequence[str]) -> frozenset[str]:
    """Give the fields of `Rows` that fill these projections, and what every build has for itself."""
    wanted = {table for name in projections for table in PROJECTIONS[name].tables}
    fields = {field for field, table in BY_FIELD.items() if table.name in wanted}
    return frozenset(fields | {"drops"} | ({"balances"} if "balance" in wanted else set()))
