"""Programme versions changed in one way each: what a manager may want to rehearse."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from domain.programme import Programme, programme_from_content

Content = dict[str, Any]


def changed(version: Programme, change: Callable[[Content], None]) -> Programme:
    """Give a version with its content changed, under a name of its own."""
    content = version.content()
    content["programme"] = f"{version.programme}-changed"
    change(content)
    return programme_from_content(content)


def thresholds(content: Content, factor: str = "0.6") -> None:
    """Require another revenue for each tier."""
    for tier in content["tiers"]:
        requires = tier.get("requires", {})
        if "revenue" in requires:
            requires["revenue"] = str((Decimal(requires["revenue"]) * Decimal(factor)).quantize(Decimal("0.01")))


def rates(content: Content) -> None:
    """Pay more to everybody."""
    for scheme in content["bonuses"]:
        for key in ("rate_bp", "loyalty_bp"):
            if scheme.get(key):
                scheme[key] = {code: rate + 37 for code, rate in scheme[key].items()}


def no_seats(content: Content) -> None:
    """Give no seat of an awarded tier to anybody."""
    for tier in content["tiers"]:
        if tier.get("awarded"):
            tier["seats"] = {"CH": 0, "DE": 0}


def a_tier_more(content: Content) -> None:
    """Put a tier between the lowest and the next one."""
    revenue = next(tier["requires"]["revenue"] for tier in content["tiers"] if "revenue" in tier.get("requires", {}))
    half = str((Decimal(revenue) / 2).quantize(Decimal("0.01")))
    content["tiers"].insert(1, {"code": "between", "name": "Between", "requires": {"revenue": half}})
    for scheme in content["bonuses"]:
        if scheme.get("rate_bp"):
            scheme["rate_bp"] = {"between": 123, **scheme["rate_bp"]}


def a_tier_less(content: Content) -> None:
    """Leave out the second automatic tier."""
    gone = content["tiers"].pop(1)["code"]
    for scheme in content["bonuses"]:
        if scheme.get("rate_bp"):
            scheme["rate_bp"].pop(gone, None)


def renamed(before: Programme | None) -> Callable[[Content], None]:
    """Give every tier another name, each continuing what it continued of the version before."""
    known = set() if before is None else {tier.code for tier in before.tiers}

    def change(content: Content) -> None:
        for tier in content["tiers"]:
            if tier["code"] in known:
                tier["succeeds"] = tier.get("succeeds", tier["code"])
            tier["code"] = f"new-{tier['code']}"
        for scheme in content["bonuses"]:
            if scheme.get("rate_bp"):
                scheme["rate_bp"] = {f"new-{code}": rate for code, rate in scheme["rate_bp"].items()}

    return change


def review(content: Content) -> None:
    """Hold the review on another day, without grace."""
    content["review"] = {"date": "11-15", "grace": 0, "protect_months": 0}


def window(content: Content) -> None:
    """Count the revenue of three months only."""
    content["window_months"] = 3


def families(content: Content) -> None:
    """Take a family out: its deals are refused."""
    gone = "cloud"
    content["families"] = [family for family in content["families"] if family != gone]
    for scheme in content["bonuses"]:
        if scheme["families"] != "all":
            scheme["families"] = [family for family in scheme["families"] if family != gone] or "all"


ALONE: Mapping[str, Callable[[Content], None]] = {
    "thresholds": thresholds,
    "rates": rates,
    "seats": no_seats,
    "a tier more": a_tier_more,
    "review": review,
    "window": window,
    "families": families,
}
"""Changes of a version after which the next one can still follow it."""


def last_changed(versions: Sequence[Programme], change: Callable[[Content], None]) -> list[Programme]:
    """Change the last version."""
    return [*versions[:-1], changed(versions[-1], change)]


def all_changed(versions: Sequence[Programme], change: Callable[[Content], None]) -> list[Programme]:
    """Change every version."""
    return [changed(version, change) for version in versions]


def one_more(versions: Sequence[Programme], effective_from: str) -> list[Programme]:
    """Add a version: the last one, from another day, at higher rates and lower thresholds."""

    def change(content: Content) -> None:
        content["effective_from"] = effective_from
        for tier in content["tiers"]:
            tier.pop("succeeds", None)
        thresholds(content)
        rates(content)

    return [*versions, changed(versions[-1], change)]
