"""Chance that is the same for the same seed on every machine and Python version.

Python promises that for `Random.random` alone; the methods on top of it may change, and the C library's `exp` may differ
in the last digit. So all chance here is `random()`, integers, and the exactly rounded arithmetic of `decimal`.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Context, Decimal
from typing import TypeVar

T = TypeVar("T")

_ARITHMETIC = Context(prec=20)
_UNIT = 1 << 32
_UNIFORMS = 12
"""The sum of twelve uniform numbers has a variance of one and is close to the normal distribution."""


class Dice:
    """One independent source of chance for each purpose: more of one thing does not change the others."""

    def __init__(self, seed: int, *purpose: str) -> None:
        self._random = random.Random("/".join((str(seed), *purpose)))

    def below(self, limit: int) -> int:
        """Give an integer from 0 to limit - 1."""
        return int(self._random.random() * limit)

    def between(self, lowest: int, highest: int) -> int:
        """Give an integer from lowest to highest, both possible."""
        return lowest + self.below(highest - lowest + 1)

    def happens(self, per_mille: int) -> bool:
        """Tell whether something of a given probability happens."""
        return self.below(1000) < per_mille

    def pick(self, choices: Sequence[T]) -> T:
        """Give one of several, all as likely."""
        return choices[self.below(len(choices))]

    def weighted(self, weights: Mapping[T, int]) -> T:
        """Give one of several by their weights, in the order in which the mapping has them."""
        left = self.below(sum(weights.values()))
        for choice, weight in weights.items():
            left -= weight
            if left < 0:
                return choice
        raise ValueError("no weights to choose by")

    def lognormal(self, median: int, sigma: str) -> int:
        """Give a log-normal integer, at least 1: most are near the median, a few many times as large."""
        total = sum(int(self._random.random() * _UNIT) for _ in range(_UNIFORMS))
        bell = _ARITHMETIC.divide(Decimal(total - _UNIFORMS // 2 * _UNIT), Decimal(_UNIT))
        factor = _ARITHMETIC.exp(_ARITHMETIC.multiply(bell, Decimal(sigma)))
        return max(1, int(_ARITHMETIC.multiply(factor, Decimal(median))))

    def day(self, first: date, last: date) -> date:
        """Give a day from first to last, both possible."""
        return first + timedelta(days=self.below((last - first).days + 1))
