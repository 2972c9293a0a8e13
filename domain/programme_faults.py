"""What is wrong between the parts of a programme version: rules.md, Programmes.

The checks look at plain values as a file gives them and pass over what has not the shape they need (the model reports
that), so that all faults of a file are found at once, whatever else is wrong with it.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from domain.calendar import is_quarter_start
from domain.errors import InvalidInput
from domain.money import AMOUNT_PATTERN, currency_digits, to_minor

Fault = tuple[tuple[str | int, ...], str]
"""Where in the file (keys and indexes), and what is wrong there."""


def cross_faults(content: Mapping[str, Any]) -> list[Fault]:
    """Give the faults between the parts of a version's content, in no particular order."""
    return [
        *_texts(content),
        *_repetitions(content),
        *_dates_and_rates(content),
        *_tiers(content),
        *_successors(content),
        *_schemes(content),
    ]


def _texts(content: Mapping[str, Any]) -> Iterator[Fault]:
    """Find titles and names with characters that do things to a terminal or a page instead of being shown."""
    texts: list[tuple[tuple[str | int, ...], Any]] = [(("title",), content.get("title"))]
    for key in ("tiers", "specialisations"):
        texts += [((key, index, "name"), item.get("name")) for index, item in _items(content, key)]
    for path, text in texts:
        if isinstance(text, str) and UNSHOWN.search(text):
            yield path, f"{text!r} has a control character"


UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows (Unicode's bidirectional controls)."""


def _items(content: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Give the mappings in a list, with their indexes."""
    items = content.get(key)
    return [(i, item) for i, item in enumerate(items) if isinstance(item, Mapping)] if isinstance(items, list) else []


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[Any, Any]:
    value = content.get(key)
    return value if isinstance(value, Mapping) else {}


def _strings(content: Mapping[str, Any], key: str) -> Sequence[str]:
    value = content.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # its quotes are missing, which the model reports; what it means is compared all the same
    return Decimal(value) if isinstance(value, str) and AMOUNT_PATTERN.fullmatch(value) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _twice(path: tuple[str | int, ...], values: Sequence[Any], noun: str) -> Iterator[Fault]:
    for index, value in enumerate(values):
        if isinstance(value, str) and value in values[:index]:
            yield (*path, index), f"the {noun} {value!r} is listed twice"


def _repetitions(content: Mapping[str, Any]) -> Iterator[Fault]:
    for key, noun in (("tiers", "tier"), ("specialisations", "specialisation"), ("bonuses", "bonus scheme")):
        yield from _twice((key,), [item.get("code") for _, item in _items(content, key)], noun)
    yield from _twice(("families",), _strings(content, "families"), "family")
    for index, specialisation in _items(content, "specialisations"):
        yield from _twice(("specialisations", index, "courses"), _strings(specialisation, "courses"), "course")
    for index, scheme in _items(content, "bonuses"):
        yield from _twice(("bonuses", index, "families"), _strings(scheme, "families"), "family")


def _dates_and_rates(content: Mapping[str, Any]) -> Iterator[Fault]:
    effective_from = content.get("effective_from")
    if isinstance(effective_from, dt.date) and not is_quarter_start(effective_from):
        yield ("effective_from",), f"{effective_from} is not the first day of a calendar quarter"
    rates, base = _mapping(content, "exchange_rates"), content.get("base_currency")
    if rates and isinstance(base, str) and (base not in rates or _amount(rates[base]) not in (None, Decimal(1))):
        yield ("exchange_rates",), f'the base currency {base} needs the rate "1"'
    for currency, rate in rates.items():
        if _amount(rate) == 0:
            yield ("exchange_rates", currency), f"the rate of {currency} is zero"


def _too_fine(content: Mapping[str, Any], value: Any) -> str | None:
    """Say what is wrong with an amount of the base currency, if anything is."""
    amount, base = _amount(value), content.get("base_currency")
    if amount is None or not isinstance(base, str):
        return None
    try:
        to_minor(amount, currency_digits(base))
    except InvalidInput as error:
        return str(error).rstrip(".")
    return None


def _tiers(content: Mapping[str, Any]) -> Iterator[Fault]:
    below: tuple[Any, Decimal, int] | None = None
    specialisations = len(_items(content, "specialisations"))
    for index, tier in _items(content, "tiers"):
        code, requires = tier.get("code"), _mapping(tier, "requires")
        revenue = _amount(requires.get("revenue", "0"))
        required = _count(requires.get("specialisations", 0))
        if index == 0 and tier.get("awarded") is True:
            yield ("tiers", 0, "awarded"), f"the lowest tier {code!r} cannot be awarded"
        if index == 0 and (revenue or required):
            yield ("tiers", 0, "requires"), f"the lowest tier {code!r} must require nothing"
        if fault := _too_fine(content, requires.get("revenue")):
            yield ("tiers", index, "requires", "revenue"), fault
        if required is not None and required > specialisations:
            yield (
                ("tiers", index, "requires", "specialisations"),
                f"tier {code!r} requires {required} specialisations, but the programme has {specialisations}",
            )
        if tier.get("seats") and tier.get("awarded") is not True:
            yield ("tiers", index, "seats"), f"tier {code!r} has seats but is not awarded"
        if tier.get("awarded") is not True and revenue is not None and required is not None:
            if below is not None:
                for what, here, there in (("revenue", revenue, below[1]), ("specialisations", required, below[2])):
                    if here < there:
                        less = f"tier {code!r} requires less than {below[0]!r} below it"
                        yield ("tiers", index, "requires"), f"{less}: {here:,} {what} instead of {there:,} or more"
            below = (code, revenue, required)


def _successors(content: Mapping[str, Any]) -> Iterator[Fault]:
    tiers = _items(content, "tiers")
    claimed = {str(tier.get("code")): str(tier.get("code")) for _, tier in tiers if tier.get("succeeds") is None}
    for index, tier in tiers:
        succeeded = tier.get("succeeds")
        if not isinstance(succeeded, str):
            continue  # left out, it continues the tier of the same code
        if succeeded in claimed:
            yield (
                ("tiers", index, "succeeds"),
                f"{tier.get('code')!r} and {claimed[succeeded]!r} both succeed {succeeded!r}",
            )
        claimed[succeeded] = str(tier.get("code"))


def _schemes(content: Mapping[str, Any]) -> Iterator[Fault]:
    tiers = {tier.get("code") for _, tier in _items(content, "tiers")}
    specialisations = {s.get("code") for _, s in _items(content, "specialisations")}
    families = set(_strings(content, "families"))
    for index, scheme in _items(content, "bonuses"):
        for tier in _mapping(scheme, "rate_bp"):
            if tier not in tiers:
                yield ("bonuses", index, "rate_bp", tier), f"there is no tier {tier!r}"
        for at, family in enumerate(_strings(scheme, "families")):
            if family not in families:
                yield ("bonuses", index, "families", at), f"there is no family {family!r}"
        specialisation = scheme.get("specialisation")
        if isinstance(specialisation, str) and specialisation not in specialisations:
            yield ("bonuses", index, "specialisation"), f"there is no specialisation {specialisation!r}"
        if fault := _too_fine(content, scheme.get("minimum")):
            yield ("bonuses", index, "minimum"), fault
