"""Money: minor units, what is no amount, and the one rounding."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.money import (
    currency_digits,
    divide_half_up,
    format_amount,
    minor_of,
    to_amount,
    to_minor,
)


@pytest.mark.parametrize(("code", "digits"), [("JPY", 0), ("CHF", 2), ("EUR", 2), ("USD", 2), ("BHD", 3)])
def test_a_currency_has_the_digits_of_its_minor_unit(code: str, digits: int) -> None:
    """JPY 0 digits, CHF and EUR 2, BHD 3."""
    assert currency_digits(code) == digits


@pytest.mark.parametrize("code", ["CHX", "chf", "", "XAU", "XXX", "€"])
def test_what_is_no_currency_of_amounts_is_refused(code: str) -> None:
    """Unknown codes, other cases and codes without a minor unit are no currencies here."""
    with pytest.raises(InvalidInput, match="ISO 4217"):
        currency_digits(code)


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [
        (5, 10, 1),
        (4, 10, 0),
        (15, 10, 2),
        (14, 10, 1),
        (25, 10, 3),
        (0, 7, 0),
        (-5, 10, -1),
        (-4, 10, 0),
        (-15, 10, -2),
    ],
)
def test_half_is_rounded_up_and_never_to_even(numerator: int, denominator: int, quotient: int) -> None:
    """Half goes up, for negative numbers away from zero."""
    assert divide_half_up(numerator, denominator) == quotient


@settings(derandomize=True, max_examples=300, deadline=None, database=None)
@given(st.integers(-(10**19), 10**19), st.integers(1, 10**10))
def test_division_rounds_as_exact_fractions_do(numerator: int, denominator: int) -> None:
    """The rounding in ints equals that of exact fractions: the floor of the quotient and a half."""
    size = math.floor(Fraction(abs(numerator), denominator) + Fraction(1, 2))
    assert divide_half_up(numerator, denominator) == (size if numerator >= 0 else -size)


def test_a_division_by_what_is_not_positive_is_a_bug_of_ours() -> None:
    """A denominator of zero or less is not rounded away."""
    with pytest.raises(ValueError, match="positive"):
        divide_half_up(1, 0)


@pytest.mark.parametrize(
    ("text", "currency", "minor"), [("1219.51", "CHF", 121951), ("64516", "JPY", 64516), ("200.005", "BHD", 200005)]
)
def test_an_amount_is_whole_minor_units(text: str, currency: str, minor: int) -> None:
    """An amount goes to minor units and back with exactly the currency's digits."""
    digits = currency_digits(currency)
    assert to_minor(Decimal(text), digits) == minor
    assert str(to_amount(minor, digits)) == text
    assert minor_of(Decimal(text), digits) == minor


def test_an_amount_without_its_digits_gets_them() -> None:
    """100 and 100.0 are CHF 100.00."""
    assert {str(to_amount(to_minor(Decimal(text), 2), 2)) for text in ("100", "100.0", "100.00", "100.000")} == {
        "100.00"
    }


@pytest.mark.parametrize(("text", "digits"), [("0.001", 2), ("10.5", 0), ("0.0001", 3), ("-0.005", 2)])
def test_an_amount_finer_than_the_minor_unit_is_refused(text: str, digits: int) -> None:
    """It is not rounded: it is a mistake."""
    with pytest.raises(InvalidInput, match="finer"):
        to_minor(Decimal(text), digits)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_no_number_is_refused(text: str) -> None:
    """Nothing that is not finite becomes minor units."""
    with pytest.raises(InvalidInput, match="not an amount"):
        to_minor(Decimal(text), 2)


def test_an_amount_too_large_to_be_meant_is_refused() -> None:
    """Ten trillion and more are a mistake; one minor unit less is not."""
    assert to_minor(Decimal("9999999999999.99"), 2) == 999_999_999_999_999
    assert to_minor(Decimal("-9999999999999.999"), 3) == -9_999_999_999_999_999
    for text in ("10000000000000", "10000000000000.00", "999999999999999999", "-999999999999999999.0000000001"):
        with pytest.raises(InvalidInput, match="too large"):
            to_minor(Decimal(text), 2)


def test_an_amount_is_written_for_a_person_with_its_currency() -> None:
    """Currency first, thousands separated, the currency's digits."""
    assert format_amount(Decimal("1342.5"), "CHF") == "CHF 1,342.50"
    assert format_amount(Decimal("-1000"), "JPY") == "JPY -1,000"
    assert format_amount(Decimal("0.005"), "BHD") == "BHD 0.005"
