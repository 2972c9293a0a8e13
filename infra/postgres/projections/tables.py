"""The tables of a build that rows are only ever added to, by the field of `projections.fold.Rows` that fills each."""

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
