"""Money: ISO 4217 currencies, whole minor units, and the one place that rounds.

Inside decisions an amount is an int of minor units (Rappen, yen, fils); at the edges it is a Decimal with exactly the
currency's digits. Binary floats never appear.
"""

import re
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

from iso4217 import Currency

from domain.errors import InvalidInput

AMOUNT_PATTERN = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,10})?")
"""How an amount or a rate stands in a programme file: a plain decimal, in quotes."""

MAX_EXPONENT = 12
"""Amounts of ten trillion and more are refused as mistakes; sums of smaller ones fit every column exactly."""


@cache
def currency_digits(code: str) -> int:
    """Give how many digits the minor unit of an ISO 4217 currency has (JPY 0, CHF 2, BHD 3).

    Raises:
        InvalidInput: no such currency, or one without a minor unit (gold, testing codes).

    """
    try:
        exponent = Currency(code).exponent
    except ValueError:
        exponent = None
    if exponent is None:
        raise InvalidInput(f"{code!r} is not an ISO 4217 currency that amounts are kept in.")
    return int(exponent)


_UNITS = tuple(Decimal(1).scaleb(-digits) for digits in range(8))
"""One minor unit of currencies with so many digits; multiplying is twice as fast as `scaleb`."""

_PER_UNIT = tuple(10**digits for digits in range(8))


def to_minor(amount: Decimal, digits: int) -> int:
    """Give an amount that was told in minor units of a currency with so many digits.

    Raises:
        InvalidInput: the amount is finer than the minor unit, not a number, or too large to be meant.

    """
    if amount.adjusted() > MAX_EXPONENT:
        raise InvalidInput(f"The amount {amount} is too large to be meant.")
    try:
        minor = int(amount * _PER_UNIT[digits])
    except (ValueError, ArithmeticError):
        raise InvalidInput(f"{amount} is not an amount.") from None
    if minor * _UNITS[digits] != amount:
        raise InvalidInput(f"The amount {amount} is finer than the currency's minor unit, which has {digits} digits.")
    return minor


def minor_of(amount: Decimal, digits: int) -> int:
    """Give a recorded amount, known to be exact, in minor units."""
    return int(amount * _PER_UNIT[digits])


def minor_of_text(amount: str, digits: int) -> int:
    """Give a recorded amount as its JSON has it, with exactly the currency's digits, in minor units.

    Raises:
        ValueError: it has other digits, or is none.

    """
    if not digits:
        return int(amount)
    if amount[-digits - 1 : -digits] != ".":
        raise ValueError(f"{amount!r} does not have {digits} digits after the point")
    return int(amount[: -digits - 1] + amount[-digits:])


ZERO = tuple(Decimal(0).scaleb(-digits) for digits in range(8))
"""Nothing, in currencies with so many digits."""


def to_amount(minor: int, digits: int) -> Decimal:
    """Give minor units as a Decimal that carries exactly the currency's digits."""
    return minor * _UNITS[digits]


def divide_half_up(numerator: int, denominator: int) -> int:
    """Divide and round half up (half away from zero for a negative numerator): the only rounding of the ledger.

    Raises:
        ValueError: the denominator is not positive.

    """
    if denominator <= 0:
        raise ValueError(f"denominator {denominator} must be positive")
    if numerator >= 0:
        return (2 * numerator + denominator) // (2 * denominator)
    return -((-2 * numerator + denominator) // (2 * denominator))


def format_amount(amount: Decimal, currency: str) -> str:
    """Give an amount for a person: `CHF 1,342.50`."""
    return f"{currency} {amount.quantize(_UNITS[currency_digits(currency)], rounding=ROUND_HALF_UP):,}"
