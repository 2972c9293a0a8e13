"""The parameters of a programme version by path, such as `silver.revenue`: what there is, and a version with others.

| path | what it is |
| --- | --- |
| `TIER.revenue`, `TIER.specialisations` | what a tier requires |
| `TIER.seats.CC` | seats of an awarded tier in a country that is named |
| `SCHEME.rate_bp.TIER`, `SCHEME.loyalty_bp.YEARS` | a rate in basis points |
| `SCHEME.minimum` | what a quarter needs for any kickback |
| `SPECIALISATION.people`, `SPECIALISATION.valid_months` | what a specialisation takes |
| `review.grace`, `review.protect_months`, `window_months` | review and window |
| `exchange_rates.CUR` | the rate of a currency other than the base currency |
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NamedTuple

from domain.errors import InvalidInput, LedgerError
from domain.programme import InstantScheme, KickbackScheme, Programme, programme_from_content
from domain.programme_faults import cross_faults

Steps = tuple[str | int, ...]


class Parameter(NamedTuple):
    """Where a parameter is in a version's content, and whether it is a whole number; else it is an amount."""

    steps: Steps
    whole: bool


def parameters(version: Programme) -> Mapping[str, Parameter]:
    """Give the parameters of a version, by path."""
    return dict(_parameters(version))


def _parameters(version: Programme) -> Iterator[tuple[str, Parameter]]:
    for number, tier in enumerate(version.tiers):
        at: Steps = ("tiers", number)
        if number:  # the lowest tier requires nothing
            yield f"{tier.code}.revenue", Parameter((*at, "requires", "revenue"), whole=False)
            yield f"{tier.code}.specialisations", Parameter((*at, "requires", "specialisations"), whole=True)
        for country in tier.seats:
            yield f"{tier.code}.seats.{country}", Parameter((*at, "seats", country), whole=True)
    for number, scheme in enumerate(version.bonuses):
        at = ("bonuses", number)
        if isinstance(scheme, KickbackScheme):
            yield f"{scheme.code}.minimum", Parameter((*at, "minimum"), whole=False)
        if scheme.rate_bp is not None:
            for tier in version.tiers:
                yield f"{scheme.code}.rate_bp.{tier.code}", Parameter((*at, "rate_bp", tier.code), whole=True)
        if isinstance(scheme, InstantScheme):
            for years in scheme.loyalty_bp or ():
                yield f"{scheme.code}.loyalty_bp.{years}", Parameter((*at, "loyalty_bp", str(years)), whole=True)
    for number, specialisation in enumerate(version.specialisations):
        for key in ("people", "valid_months"):
            yield f"{specialisation.code}.{key}", Parameter(("specialisations", number, key), whole=True)
    for key in ("grace", "protect_months"):
        yield f"review.{key}", Parameter(("review", key), whole=True)
    yield "window_months", Parameter(("window_months",), whole=True)
    for currency in version.exchange_rates:
        if currency != version.base_currency:
            yield f"exchange_rates.{currency}", Parameter(("exchange_rates", currency), whole=False)


def check_paths(version: Programme, paths: Iterable[str]) -> None:
    """See to it that a version has these parameters.

    Raises:
        InvalidInput: one is not there, with the nearest ones.

    """
    known = parameters(version)
    for path in paths:
        if path not in known:
            near = get_close_matches(path, known, n=4, cutoff=0.5)
            there = f"the nearest are {', '.join(near)}" if near else f"there are {', '.join(known)}"
            raise InvalidInput(f"{path!r} is no parameter of programme {version.programme!r}; {there}.")


def with_parameters(version: Programme, values: Mapping[str, Decimal]) -> Programme:
    """Give a version with other values, under the same name.

    Raises:
        InvalidInput: a parameter is not there, or the programme could not be with these values: what is wrong.

    """
    check_paths(version, values)
    known = parameters(version)
    content: dict[str, Any] = deepcopy(version.content())
    for path, value in values.items():
        _set(content, known[path].steps, _plain(path, value, whole=known[path].whole))
    faults = cross_faults({**content, "effective_from": version.effective_from})
    if faults:
        raise InvalidInput("; ".join(what for _, what in faults))
    try:
        return programme_from_content(content)
    except LedgerError as error:
        raise InvalidInput(_first_fault(error)) from None


def _set(content: dict[str, Any], steps: Steps, value: str | int) -> None:
    node: Any = content
    for step in steps[:-1]:
        node = node[step] if isinstance(step, int) else node.setdefault(step, {})
    node[steps[-1]] = value


def _plain(path: str, value: Decimal, *, whole: bool) -> str | int:
    if not whole:
        return f"{value:f}"
    if value != value.to_integral_value():
        raise InvalidInput(f"{path} is a whole number, not {value:f}")
    return int(value)


def _first_fault(error: LedgerError) -> str:
    cause: Any = error.__cause__
    first = cause.errors()[0]
    return f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg'].lower()}"
