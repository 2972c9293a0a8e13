"""A what-if as JSON, its digest, and the table of partners for a spreadsheet."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from domain.events import TierEvidence
from infra.cli.standings import standing_document
from infra.replay.rehearsing import Explained, Rehearsal
from projections.queries import PartnerStanding
from projections.what_if_difference import (
    Difference,
    GroupChange,
    HoldersChange,
    PartnerDifference,
    SchemeChange,
    TierDifference,
)
from projections.what_if_lines import LineDifference, Posted

Document = dict[str, Any]


def what_if_document(rehearsal: Rehearsal) -> Document:
    """Give a what-if as plain JSON values, its digest last: SHA-256 of the canonical JSON of all before it.

    Canonical is: keys sorted, no space between, UTF-8 (as RFC 8785 has it for a document without numbers other than whole ones).
    """
    compared = rehearsal.difference
    document = {
        "as_of": compared.as_of.isoformat(),
        "position": compared.position,
        "ledger": rehearsal.source.ledger,
        "root": rehearsal.source.root,
        "facts": rehearsal.facts,
        "programmes": _programmes(rehearsal),
        "base_currency": compared.base_currency,
        "partners": {partner: _partner(each) for partner, each in compared.partners.items()},
        "totals": _totals(compared),
        "largest": [_explained(each) for each in rehearsal.largest],
        "refused": [msgspec.structs.asdict(fact) for fact in compared.refused],
    }
    plain: Document = msgspec.to_builtins(document, builtin_types=())
    return {**plain, "digest": digest(plain)}


def digest(document: Mapping[str, Any]) -> str:
    """Give the SHA-256 of a document's canonical JSON, in hex."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _programmes(rehearsal: Rehearsal) -> list[Document]:
    return [
        {
            "programme": version.programme,
            "effective_from": version.effective_from,
            "candidate": version in rehearsal.candidates,
            **({"content": version.content()} if version in rehearsal.candidates else {}),
        }
        for version in rehearsal.result.rules.versions
    ]


_SIDES = {"then": "actual", "now": "candidate"}
"""The sides, as they are named in everything that is written; in a table, "now" would be read as either."""


def _row(row: Any) -> Document:
    """Give a named tuple's values by name."""
    return {
        "_".join(_SIDES.get(word, word) for word in name.split("_")): value for name, value in row._asdict().items()
    }


def _partner(partner: PartnerDifference) -> Document:
    document: Document = {
        "actual": _standing(partner.actual),
        "candidate": _standing(partner.candidate),
        "bonuses": [_scheme(change) for change in partner.bonuses],
        "change": partner.change,
    }
    if not partner.is_equal:
        document["causes"] = {
            "first_tier": _first_tier(partner.first_tier),
            "specialisations": {"gained": partner.gained, "lost": partner.lost},
            "refused": [fact.position for fact in partner.refused],
        }
    return document


def _standing(standing: PartnerStanding | None) -> Document | None:
    return None if standing is None else standing_document(standing)


def _scheme(change: SchemeChange) -> Document:
    return {**_row(change), "change": change.change}


def _first_tier(tier: TierDifference | None) -> Document | None:
    if tier is None:
        return None
    document = {
        side: row
        and {"effective_on": row.effective_on, "tier": row.tier, "reason": row.reason, "position": row.position}
        for side, row in (("actual", tier.then), ("candidate", tier.now))
    }
    return {**document, "evidence": _evidence(tier.evidence)}


def _evidence(evidence: TierEvidence | None) -> Document | None:
    return None if evidence is None else msgspec.structs.asdict(evidence)


def _totals(compared: Difference) -> Document:
    money: dict[str, list[Document]] = {
        by: [_group(change) for change in changes] for by, changes in compared.money.items()
    }
    return {
        "partners": len(compared.partners),
        "differing": len(compared.differing),
        "change": compared.worth.of(compared.money["scheme"]),
        "gaining": _side(compared, compared.gaining),
        "losing": _side(compared, compared.losing),
        "tiers": compared.tiers,
        "holders": [_holders(each) for each in compared.holders_in_all],
        "holders_by_country": [_holders(each) for each in compared.holders],
        "holders_by_quarter": [_row(each) for each in compared.holders_by_quarter],
        "moves": [_row(move) for move in compared.moves],
        "money": money,
    }


def _side(compared: Difference, partners: Sequence[PartnerDifference]) -> Document:
    return {"partners": len(partners), "change": compared.sum_of(partners)}


def _holders(change: HoldersChange) -> Document:
    return _row(change)


def _group(change: GroupChange) -> Document:
    return {**_row(change), "change": change.change}


def _explained(each: Explained) -> Document:
    partner = each.partner
    return {
        "partner": partner.partner,
        "name": partner.name,
        "country": partner.country,
        "tier_actual": partner.tier_then,
        "tier_candidate": partner.tier_now,
        "change": partner.change,
        "evidence_actual": _evidence(each.evidence_then),
        "lines": [_line(line) for line in each.lines],
    }


def _line(line: LineDifference) -> Document:
    return {
        "kind": line.kind,
        "cause": line.cause,
        "business_date": line.business_date,
        "scheme": line.scheme,
        "currency": line.currency,
        "actual": _posted(line.then),
        "candidate": _posted(line.now),
        "change": line.change,
        "why": line.why,
    }


def _posted(posted: Posted | None) -> Document | None:
    return None if posted is None else posted._asdict()


COLUMNS = (
    "partner",
    "name",
    "country",
    "tier_actual",
    "tier_candidate",
    "currency",
    "bonus_actual",
    "bonus_candidate",
    "change",
    "refused_facts",
)


def csv_table(compared: Difference) -> str:
    """Give a table with a row for each partner and currency, one for a partner without bonuses (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for partner in compared.partners.values():
        sums: dict[str, list[Decimal]] = {}
        for bonus in partner.bonuses:
            before = sums.setdefault(bonus.currency, [bonus.then - bonus.then, bonus.now - bonus.now])
            before[0] += bonus.then
            before[1] += bonus.now
        who = (_safe(partner.partner), _safe(partner.name), partner.country, partner.tier_then, partner.tier_now)
        for currency, (then, now) in sorted(sums.items()):
            writer.writerow((*who, currency, then, now, now - then, len(partner.refused)))
        if not sums:
            writer.writerow((*who, "", "", "", "", len(partner.refused)))
    return text.getvalue()


def _safe(text: str) -> str:
    """Give a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else text
