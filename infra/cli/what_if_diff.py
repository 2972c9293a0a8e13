"""Two what-ifs compared, as `replay what-if --json` has written them."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict, cast

import msgspec

from domain.errors import InvalidInput, Refused
from infra.cli.what_if_document import digest

Document = dict[str, Any]


BESIDE = ("digest", "parked", "seconds", "workers")
"""What stands in the JSON beside what the digest is of: how this run went."""


class _Sum(TypedDict):
    currency: str
    candidate: Decimal


class _Group(_Sum):
    group: str


class _Holders(TypedDict):
    tier: str
    candidate: int


class _Money(TypedDict):
    scheme: list[_Group]


class _Totals(TypedDict):
    holders: list[_Holders]
    money: _Money


class _Held(TypedDict):
    tier: str | None


class _Partner(TypedDict):
    candidate: _Held | None
    bonuses: list[_Sum]


class _WhatIf(TypedDict):
    """As much of a what-if's document as is compared."""

    as_of: str
    position: int
    ledger: str
    partners: dict[str, _Partner]
    totals: _Totals
    refused: list[Any]
    digest: str


def read_what_if(file: Path) -> Document:
    """Read what a what-if has said.

    Raises:
        InvalidInput: it is no such file.

    """
    try:
        content = file.read_text(encoding="utf-8")
        if not content.strip():
            raise InvalidInput(f"{file} is empty: `replay what-if --json` has written nothing into it; run it again.")
        document = json.loads(content)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        document = None
    try:
        msgspec.convert(document, _WhatIf)
    except msgspec.ValidationError:
        raise InvalidInput(f"{file} is not what `replay what-if --json` writes; write it anew.") from None
    whole = cast("Document", document)
    try:
        found = digest({key: value for key, value in whole.items() if key not in BESIDE})
    except (UnicodeEncodeError, RecursionError):
        found = ""
    if found != whole["digest"]:
        raise InvalidInput(
            f"{file} was altered since `replay what-if --json` wrote it: its digest is another; write it anew."
        )
    return whole


def compared(a: Document, b: Document) -> Document:
    """Compare what two candidates would have come to.

    Raises:
        Refused: the one is as of another date or position than the other.

    """
    if a["ledger"] != b["ledger"]:
        raise Refused(f"The one is of the ledger {a['ledger']}, the other of {b['ledger']}: rehearse both on one.")
    for key, what in (("as_of", "as of"), ("position", "at position")):
        if a[key] != b[key]:
            raise Refused(
                f"The one is {what} {a[key]}, the other {what} {b[key]}: rehearse both"
                " as of one date (--as-of) and on the same facts (--no-top-up)."
            )
    partners = {
        partner: each
        for partner in sorted({*a["partners"], *b["partners"]})
        if (each := _partner(a["partners"].get(partner), b["partners"].get(partner))) is not None
    }
    return {
        "as_of": a["as_of"],
        "position": a["position"],
        "digests": {"a": a["digest"], "b": b["digest"]},
        "partners": partners,
        "holders": _holders(a, b),
        "money": _money(a, b),
        "refused": {"a": len(a["refused"]), "b": len(b["refused"])},
    }


def _candidate(partner: Document | None) -> Document | None:
    return None if partner is None else partner["candidate"]


def _partner(a: Document | None, b: Document | None) -> Document | None:
    """Compare one partner; None where neither tier nor money differs."""
    was, is_ = _candidate(a), _candidate(b)
    tier_a, tier_b = (None if side is None else side["tier"] for side in (was, is_))
    then, now = _sums(a), _sums(b)
    change = {c: now.get(c, Decimal(0)) - then.get(c, Decimal(0)) for c in sorted({*then, *now})}
    change = {currency: each for currency, each in change.items() if each}
    if was == is_ or (tier_a == tier_b and then == now):
        return None
    return {"tier_a": tier_a, "tier_b": tier_b, "change": change}


def _sums(partner: Document | None) -> Mapping[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for bonus in () if partner is None else partner["bonuses"]:
        sums[bonus["currency"]] = sums.get(bonus["currency"], Decimal(0)) + Decimal(bonus["candidate"])
    return sums


def _holders(a: Document, b: Document) -> list[Document]:
    was, is_ = ({each["tier"]: each["candidate"] for each in side["totals"]["holders"]} for side in (a, b))
    return [{"tier": tier, "a": was.get(tier, 0), "b": is_.get(tier, 0)} for tier in dict.fromkeys([*was, *is_])]


def _money(a: Document, b: Document) -> list[Document]:
    was, is_ = (
        {(each["group"], each["currency"]): Decimal(each["candidate"]) for each in side["totals"]["money"]["scheme"]}
        for side in (a, b)
    )
    rows = []
    for scheme, currency in sorted({*was, *is_}):
        before, after = (side.get((scheme, currency), Decimal(0)) for side in (was, is_))
        if before != after:
            rows.append({"scheme": scheme, "currency": currency, "a": before, "b": after, "change": after - before})
    return rows
