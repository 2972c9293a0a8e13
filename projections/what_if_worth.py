"""What bonuses of several currencies are worth in base currency, so that they can be compared and summed."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from domain.money import currency_digits, minor_of, to_amount
from domain.terms import Programmes


class Change(Protocol):
    """What bonuses in a currency would be more (or less, negative)."""

    @property
    def currency(self) -> str:
        """The currency (ISO 4217)."""
        ...

    @property
    def change(self) -> Decimal:
        """The amount."""
        ...


class Worth:
    """What amounts are worth in base currency: by the same rates for what is and what would be.

    The rates are those of the published version in force on the date; of a currency that it does not have, of the latest published
    version that has it, else of the candidates'. So a candidate with other rates, or without a currency, is measured as any other.
    """

    def __init__(self, published: Programmes, as_of: dt.date, decided_under: Iterable[Programmes] = ()) -> None:
        in_force = published.in_force(as_of) or published.versions[0]
        self.currency = in_force.base_currency
        self._digits = in_force.base_digits
        histories = (*decided_under, published)
        self._terms = {code: terms for each in histories for terms in each.versions for code in terms.currency_digits}
        self._terms |= dict.fromkeys(in_force.currency_digits, in_force)

    def of(self, changes: Iterable[Change]) -> Decimal:
        """Sum changes up by currency, and add up what these are worth, each rounded once."""
        by_currency: Counter[str] = Counter()
        for each in changes:
            by_currency[each.currency] += minor_of(each.change, currency_digits(each.currency))
        minor = sum(self._terms[code].qualifying(amount, code) for code, amount in by_currency.items())
        return to_amount(minor, self._digits)
