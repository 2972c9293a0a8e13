"""Programmes as decisions use them: ints, looked up fast, and the history of published versions (rules.md, Programmes)."""

import datetime as dt
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any

from domain.errors import Refused
from domain.money import AMOUNT_PATTERN, currency_digits, divide_half_up, to_minor
from domain.programme import InstantScheme, KickbackScheme, Programme, Specialisation, Tier


class TierTerms:
    """A tier as decisions see it; `rank` is its place from the lowest, `revenue` is in minor units."""

    __slots__ = ("awarded", "code", "name", "rank", "revenue", "seats", "specialisations")

    def __init__(self, tier: Tier, rank: int, digits: int) -> None:
        self.code = tier.code
        self.name = tier.name
        self.rank = rank
        self.awarded = tier.awarded
        self.seats: Mapping[str, int] = tier.seats
        self.revenue = to_minor(Decimal(tier.requires.revenue), digits)
        self.specialisations = tier.requires.specialisations


class SpecialisationTerms:
    """A specialisation as decisions see it."""

    __slots__ = ("code", "courses", "name", "people", "valid_months")

    def __init__(self, specialisation: Specialisation) -> None:
        self.code = specialisation.code
        self.name = specialisation.name
        self.courses = tuple(specialisation.courses)
        self.people = specialisation.people
        self.valid_months = specialisation.valid_months


class InstantTerms:
    """An instant scheme as decisions see it; `families` is None for all."""

    __slots__ = ("code", "families", "loyalty", "rate_bp", "specialisation")

    def __init__(self, scheme: InstantScheme) -> None:
        self.code = scheme.code
        self.families = None if scheme.families == "all" else frozenset(scheme.families)
        self.specialisation = scheme.specialisation
        self.rate_bp: Mapping[str, int] | None = scheme.rate_bp
        self.loyalty = None if scheme.loyalty_bp is None else sorted(scheme.loyalty_bp.items())

    def loyalty_rate(self, years: int) -> int:
        """Give the rate of the largest key not above the years completed, 0 below the first."""
        rate = 0
        for least, rate_bp in self.loyalty or ():
            if least > years:
                break
            rate = rate_bp
        return rate


class KickbackTerms:
    """A kickback scheme as decisions see it; `minimum` is in minor units of the base currency."""

    __slots__ = ("code", "families", "minimum", "rate_bp")

    def __init__(self, scheme: KickbackScheme, digits: int) -> None:
        self.code = scheme.code
        self.families = None if scheme.families == "all" else frozenset(scheme.families)
        self.minimum = to_minor(Decimal(scheme.minimum), digits)
        self.rate_bp: Mapping[str, int] = scheme.rate_bp


class Terms:
    """One published version, as decisions use it: ints, and the look-ups they need.

    `until` is the first day of the next version, or None for the last.
    """

    def __init__(self, programme: Programme, predecessor: "Terms | None") -> None:
        self.programme = programme
        self.code = programme.programme
        self.effective_from = programme.effective_from
        self.until: dt.date | None = None
        self.base_currency = programme.base_currency
        self.base_digits = currency_digits(programme.base_currency)
        self.window_months = programme.window_months
        self.families = frozenset(programme.families)
        self.tiers = [TierTerms(tier, rank, self.base_digits) for rank, tier in enumerate(programme.tiers)]
        self.tier_by_code = {tier.code: tier for tier in self.tiers}
        self.automatic = [tier for tier in self.tiers if not tier.awarded]
        self.automatic_above = {
            held.code: [tier for tier in self.automatic if tier.rank > held.rank] for held in self.tiers
        }
        self.specialisations = sorted((SpecialisationTerms(s) for s in programme.specialisations), key=lambda s: s.code)
        self.specialisation_by_code = {s.code: s for s in self.specialisations}
        self.instant = [InstantTerms(s) for s in programme.bonuses if isinstance(s, InstantScheme)]
        self.instant_by_family = {
            family: [s for s in self.instant if s.families is None or family in s.families]
            for family in programme.families
        }
        self.kickback = [KickbackTerms(s, self.base_digits) for s in programme.bonuses if isinstance(s, KickbackScheme)]
        self.review_month, self.review_day = (int(part) for part in programme.review.date.split("-"))
        self.grace = programme.review.grace
        self.protect_months = programme.review.protect_months
        self._rates = {c: _scaled_rate(rate, c, self.base_digits) for c, rate in programme.exchange_rates.items()}
        self.currency_digits = {c: currency_digits(c) for c in programme.exchange_rates}
        self._successors = self._find_successors(programme, predecessor)

    @staticmethod
    def _find_successors(programme: Programme, predecessor: "Terms | None") -> dict[str, str]:
        before = set() if predecessor is None else set(predecessor.tier_by_code)
        explicit = {t.succeeds: t.code for t in programme.tiers if t.succeeds is not None}
        same_code = {t.code: t.code for t in programme.tiers if t.succeeds is None and t.code in before}
        return {**same_code, **explicit}

    def successor_of(self, tier: str) -> str | None:
        """Give the tier of this version that continues one of the version before, or None."""
        return self._successors.get(tier)

    def qualifying(self, minor: int, currency: str) -> int:
        """Give an amount in base currency, minor units, rounded half up (rules.md, Revenue)."""
        numerator, denominator = self._rates[currency]
        return divide_half_up(minor * numerator, denominator)

    @cached_property
    def lowest(self) -> TierTerms:
        """The tier that requires nothing."""
        return self.tiers[0]


def _scaled_rate(rate: str, currency: str, base_digits: int) -> tuple[int, int]:
    """Give (numerator, denominator) that turn minor units of a currency into minor units of the base currency."""
    value = Decimal(rate)
    exponent = -int(value.as_tuple().exponent)
    numerator, denominator = int(value.scaleb(exponent)), 10**exponent
    shift = base_digits - currency_digits(currency)
    return (numerator * 10**shift, denominator) if shift >= 0 else (numerator, denominator * 10**-shift)


class Programmes:
    """All versions published so far, oldest first. Immutable: publishing gives a new history."""

    def __init__(self, versions: Sequence[Programme] = ()) -> None:
        ordered = sorted(versions, key=lambda p: p.effective_from)
        self.versions: list[Terms] = []
        for programme in ordered:
            terms = Terms(programme, self.versions[-1] if self.versions else None)
            if self.versions:
                self.versions[-1].until = terms.effective_from
            self.versions.append(terms)
        self._starts = [terms.effective_from for terms in self.versions]
        self.by_code = {terms.code: terms for terms in self.versions}

    def in_force(self, on: dt.date) -> Terms | None:
        """Give the version in force on a date: the one with the latest `effective_from` on or before it."""
        index = bisect_right(self._starts, on)
        return self.versions[index - 1] if index else None

    def required(self, on: dt.date) -> Terms:
        """Give the version in force on a date.

        Raises:
            Refused: the date is before the first programme.

        """
        index = bisect_right(self._starts, on)
        if not index:
            first = f"the first one begins on {self._starts[0]}" if self._starts else "none is published yet"
            raise Refused(f"No programme is in force on {on}: {first}.")
        return self.versions[index - 1]

    def with_version(self, programme: Programme) -> "Programmes":
        """Give the history with one more version, which was checked by `check_publication`."""
        return Programmes([*(terms.programme for terms in self.versions), programme])

    def check_publication(self, programme: Programme) -> bool:
        """Check a version against those published: True to publish it, False where it is there already, unchanged.

        Raises:
            Refused: the same version with other content, a second version from the same day, another base currency,
                or a `succeeds` that the version before does not have.

        """
        known = self.by_code.get(programme.programme)
        if known is not None:
            if _normalised(known.programme.content()) == _normalised(programme.content()):
                return False
            raise Refused(
                f"Programme {programme.programme!r} is published already with other content: {_difference(known.programme, programme)}."
                " A published version is never edited; give the change a new name."
            )
        for terms in self.versions:
            if terms.effective_from == programme.effective_from:
                raise Refused(
                    f"Programme {terms.code!r} begins on {programme.effective_from} already;"
                    f" {programme.programme!r} needs another first day."
                )
            if terms.base_currency != programme.base_currency:
                raise Refused(
                    f"Programme {programme.programme!r} has base currency {programme.base_currency},"
                    f" but {terms.code!r} has {terms.base_currency}: all versions have one."
                )
        predecessor = self.in_force(programme.effective_from)
        if predecessor is not None:  # the first version may carry the names of a time before the ledger
            _check_succession(programme, set(predecessor.tier_by_code), predecessor.code)
            follower = predecessor.until and self.in_force(predecessor.until)
            if follower:
                _check_succession(follower.programme, {tier.code for tier in programme.tiers}, programme.programme)
        return True


def _normalised(content: Any) -> Any:
    """Give content with amounts as numbers, so that 1000 and 1000.00 are the same (rules.md, Identity)."""
    if isinstance(content, dict):
        return {key: _normalised(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_normalised(item) for item in content]
    if isinstance(content, str) and AMOUNT_PATTERN.fullmatch(content):
        return Decimal(content)
    return content


def _check_succession(programme: Programme, before: set[str], before_code: str) -> None:
    for tier in programme.tiers:
        if tier.succeeds and tier.succeeds not in before:
            raise Refused(
                f"Tier {tier.code!r} of {programme.programme!r} succeeds {tier.succeeds!r},"
                f" which programme {before_code!r} does not have."
            )


def _difference(published: Programme, told: Programme) -> str:
    before, after = _normalised(published.content()), _normalised(told.content())
    keys = [key for key in Programme.model_fields if before.get(key) != after.get(key)]
    return "; ".join(f"{key} is {before.get(key)!r}, told as {after.get(key)!r}" for key in keys)
