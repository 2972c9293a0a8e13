"""The tables of a build that rows are only ever added to, by the field of `projections.fold.Rows` that fills each.

Column names are those of the row types, but for `offset`, which SQL keeps for itself.
"""

from infra.postgres.projections.copy_text import Table, binary, plain, shared, text

PARTNER = Table(
    "partner",
    [
        ("position", plain),
        ("partner", text),
        ("name", text),
        ("country", shared),
        ("currency", shared),
        ("enrolled_on", shared),
        ("programme", shared),
    ],
)
TIER = Table(
    "tier",
    [
        ("position", plain),
        ("partner", shared),
        ("effective_on", shared),
        ("tier", shared),
        ("reason", shared),
        ("by_fact", plain),
        ("programme", shared),
    ],
)
SPECIALISATION = Table(
    "specialisation",
    [
        ("position", plain),
        ("partner", shared),
        ("specialisation", shared),
        ("effective_on", shared),
        ("held", plain),
        ("by_fact", plain),
        ("programme", shared),
    ],
)
MEMBERSHIP = Table(
    "membership",
    [("position", plain), ("partner", shared), ("change", shared), ("effective_on", shared), ("reason", text)],
)
SALE = Table(
    "sale",
    [
        ("position", plain),
        ("deal_id", text),
        ("partner", shared),
        ("closed_on", shared),
        ("family", shared),
        ("currency", shared),
        ("amount", plain),
        ("earning", plain),
        ("qualifying", plain),
        ("base_currency", shared),
        ("programme", shared),
        ("source_ref", text),
    ],
)
REVERSAL = Table(
    "reversal",
    [
        ("position", plain),
        ("reversal_id", text),
        ("deal_id", text),
        ("partner", shared),
        ("reversed_on", shared),
        ("currency", shared),
        ("amount", plain),
        ("net", plain),
        ("qualifying_change", plain),
        ("reason", text),
    ],
)
BONUS_LINE = Table(
    "bonus_line",
    [
        ("position", plain),
        ("n", plain),
        ("partner", shared),
        ("kind", shared),
        ("cause", shared),
        ("scheme", shared),
        ("category", shared),
        ("business_date", shared),
        ("posting_date", shared),
        ("currency", shared),
        ("amount", plain),
        ("basis", plain),
        ("rate_bp", plain),
        ("programme", shared),
        ("tier", shared),
    ],
)
POSTING = Table(
    "posting",
    [
        ("position", plain),
        ("n", plain),
        ("debit", shared),
        ("credit", shared),
        ("currency", shared),
        ("amount", plain),
        ("posting_date", shared),
    ],
)
AUDIT = Table(
    "audit",
    [
        ("position", plain),
        ("stream", shared),
        ("version", plain),
        ("type", shared),
        ("business_date", shared),
        ("recorded_at", shared),
        ("actor", shared),
        ("command_id", shared),
        ("topic", shared),
        ("partition", plain),
        ("record_offset", plain),
        ("leaf_hash", binary),
        ("programme", shared),
    ],
)

BY_FIELD: dict[str, Table] = {
    "partners": PARTNER,
    "tiers": TIER,
    "specialisations": SPECIALISATION,
    "memberships": MEMBERSHIP,
    "sales": SALE,
    "reversals": REVERSAL,
    "lines": BONUS_LINE,
    "postings": POSTING,
    "audit": AUDIT,
}
