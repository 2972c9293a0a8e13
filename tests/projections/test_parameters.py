"""Parameters of a programme by path: what there is, and a version with others."""

from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest

from domain.errors import InvalidInput
from domain.programme import Programme
from producers.programme_files import read_programme
from projections.parameters import check_paths, parameters, with_parameters


@pytest.fixture
def version() -> Programme:
    """The demo's version of 2012: awarded seats, specialisations, rates by tier and by loyalty."""
    text = files("infra.demo").joinpath("programmes", "partner-2012.yaml").read_text("utf-8")
    return read_programme(text, "partner-2012.yaml")


@pytest.fixture
def kickback() -> Programme:
    """The demo's version of 2011, with a kickback."""
    return read_programme(
        files("infra.demo").joinpath("programmes", "partner-2011.yaml").read_text("utf-8"), "partner-2011.yaml"
    )


def test_each_kind_of_parameter_has_a_path(version: Programme, kickback: Programme) -> None:
    """Those of the page of reference, for a version that has them."""
    assert {
        *("silver.revenue", "gold.specialisations", "platinum.seats.CH", "deal.rate_bp.silver", "loyalty.loyalty_bp.5"),
        *("endpoint.people", "cloud.valid_months", "review.grace", "review.protect_months", "window_months"),
        "exchange_rates.CHF",
    } <= set(parameters(version))
    assert "exchange_rates.EUR" not in parameters(version)
    assert "kickback.minimum" in parameters(kickback)


def test_any_parameter_can_be_set_and_nothing_else_is_changed(version: Programme, kickback: Programme) -> None:
    """To the value it has: the same version. To another one: one leaf of the content differs, and it has the value."""
    for programme in (version, kickback):
        for path, parameter in parameters(programme).items():
            before = _at(programme, parameter.steps)
            if before is None:
                continue  # left out of the file: a default
            assert with_parameters(programme, {path: Decimal(before)}) == programme, path
            other = Decimal(before) - (1 if Decimal(before) >= 1 else Decimal("0.1"))
            try:
                changed = with_parameters(programme, {path: other})
            except InvalidInput:
                continue  # such as the lowest tier's revenue
            assert Decimal(_at(changed, parameter.steps) or 0) == other  # a default is left out
            assert _leaves(changed.content()) ^ _leaves(programme.content()) <= {
                (*parameter.steps, str(before)),
                (*parameter.steps, str(_at(changed, parameter.steps))),
            }


def _at(programme: Programme, steps: tuple[str | int, ...]) -> str | None:
    node: Any = programme.content()
    for step in steps:
        node = node[step] if isinstance(step, int) else node.get(step)
        if node is None:
            return None
    return str(node)


def _leaves(node: object, at: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    if isinstance(node, dict):
        return {leaf for key, value in node.items() for leaf in _leaves(value, (*at, key))}
    if isinstance(node, list):
        return {leaf for number, value in enumerate(node) for leaf in _leaves(value, (*at, number))}
    return {(*at, str(node))}


def test_a_default_can_be_set(version: Programme) -> None:
    """Silver requires no specialisation, and its file does not say so."""
    silver = with_parameters(version, {"silver.specialisations": Decimal(1)}).tiers[1]
    assert (silver.code, silver.requires.specialisations) == ("silver", 1)


def test_an_unknown_path_is_refused_with_the_nearest(version: Programme) -> None:
    """Misspelt, it is told what may have been meant; quite another thing, all there is."""
    with pytest.raises(InvalidInput, match=r"'sylver.revenu' is no parameter .*the nearest are silver\.revenue"):
        check_paths(version, ["sylver.revenu"])
    with pytest.raises(InvalidInput, match=r"there are silver\.revenue, .*exchange_rates\.CHF\."):
        check_paths(version, ["x"])


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("silver.revenue", "300000", "'gold' requires less than 'silver' below it"),
        ("bronze.revenue", "1", "'bronze.revenue' is no parameter"),
        ("gold.specialisations", "0.5", "is a whole number, not 0.5"),
        ("deal.rate_bp.silver", "10001", "10001"),
        ("gold.revenue", "250000.001", "250000.001 is finer than"),
    ],
)
def test_what_no_programme_can_be_is_refused(version: Programme, path: str, value: str, why: str) -> None:
    """By the checks that a file has to pass."""
    with pytest.raises(InvalidInput) as refused:
        with_parameters(version, {path: Decimal(value)})
    assert why in str(refused.value)
