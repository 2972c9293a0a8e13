"""A programme version: the terms that a vendor publishes, as data (rules.md, Programmes).

`Programme` is the file's shape (pydantic, strict: an unknown key, a bare number where an amount in quotes is due or
`NO` read as false is refused). `Terms` is what decisions use: the same in ints, looked up fast. `Programmes` is the
history of published versions.
"""

import datetime as dt
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal

from iso3166 import countries_by_alpha2
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

from domain.errors import InvalidInput, LedgerError, Refused
from domain.money import AMOUNT_PATTERN, currency_digits, divide_half_up, to_minor


def is_country(code: str) -> bool:
    """Tell whether a code is an ISO 3166-1 alpha-2 country."""
    return code in countries_by_alpha2


def _country(code: str) -> str:
    if not is_country(code):
        raise ValueError(f"{code!r} is not an ISO 3166-1 country")
    return code


def _currency(code: str) -> str:
    try:
        currency_digits(code)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return code


def _decimal_text(value: Any) -> Any:
    if not isinstance(value, str) or not AMOUNT_PATTERN.fullmatch(value):
        raise ValueError(f'{value!r} is not an amount in quotes, such as "2500.00"')
    return value


Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Country = Annotated[str, AfterValidator(_country)]
Currency = Annotated[str, AfterValidator(_currency)]
Amount = Annotated[str, BeforeValidator(_decimal_text), Field(pattern=r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,10})?$")]
MAX_MONTHS = 1200
"""A hundred years: more is a mistake, and no calendar has the dates."""

Months = Annotated[int, Field(ge=1, le=MAX_MONTHS)]
BasisPoints = Annotated[int, Field(ge=0, le=10_000)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Requirement(_Model):
    """What a tier requires: qualifying revenue in base currency, and a number of specialisations held."""

    revenue: Amount = "0"
    specialisations: int = Field(default=0, ge=0)


class Tier(_Model):
    """A tier; `awarded` ones are given by the board alone, at most `seats` in each country named."""

    code: Code
    name: str = Field(min_length=1)
    requires: Requirement
    succeeds: Code | None = None
    awarded: bool = False
    seats: dict[Country, Annotated[int, Field(ge=0)]] = {}


class Review(_Model):
    """The yearly review: its date (MM-DD), misses forgiven, and months in which a new tier is protected."""

    date: str = Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")
    grace: int = Field(ge=0)
    protect_months: int = Field(ge=0, le=MAX_MONTHS)

    @field_validator("date")
    @classmethod
    def _a_day_of_every_year(cls, value: str) -> str:
        if value == "02-29":
            raise ValueError("02-29 is not a day of every year")
        try:
            dt.date.fromisoformat(f"2001-{value}")
        except ValueError:
            raise ValueError(f"{value!r} is not a day of the year") from None
        return value


class Specialisation(_Model):
    """A specialisation: its courses, how many people for each, and how long a completion is valid."""

    code: Code
    name: str = Field(min_length=1)
    courses: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    people: int = Field(ge=1)
    valid_months: Months


Families = Literal["all"] | list[Code]


class InstantScheme(_Model):
    """A bonus earned as the deal closes: by tier (`rate_bp`) or by full years of loyalty (`loyalty_bp`)."""

    code: Code
    kind: Literal["instant"]
    families: Families
    specialisation: Code | None = None
    rate_bp: dict[Code, BasisPoints] | None = None
    loyalty_bp: dict[Annotated[int, Field(ge=0)], BasisPoints] | None = None

    @model_validator(mode="after")
    def _one_kind_of_rate(self) -> "InstantScheme":
        if (self.rate_bp is None) == (self.loyalty_bp is None):
            raise ValueError(f"scheme {self.code!r} needs either rate_bp or loyalty_bp")
        return self

    @field_serializer("loyalty_bp")
    def _json_keys(self, value: dict[int, int] | None) -> dict[str, int] | None:
        return None if value is None else {str(years): bp for years, bp in value.items()}


class KickbackScheme(_Model):
    """A bonus settled on the first day of the next quarter, where the quarter's qualifying revenue reaches `minimum`."""

    code: Code
    kind: Literal["kickback"]
    families: Families
    minimum: Amount = "0"
    rate_bp: dict[Code, BasisPoints]


Scheme = Annotated[InstantScheme | KickbackScheme, Field(discriminator="kind")]


class Programme(_Model):
    """One version of a programme, as published: see `docs/reference/programme.md`."""

    programme: Code
    title: str = Field(min_length=1)
    effective_from: dt.date
    base_currency: Currency
    exchange_rates: dict[Currency, Amount]
    window_months: Months
    tiers: list[Tier] = Field(min_length=1)
    review: Review
    families: list[Code] = Field(min_length=1)
    specialisations: list[Specialisation] = []
    bonuses: list[Scheme] = []

    def content(self) -> dict[str, Any]:
        """Give the whole content as plain JSON values, normalised: two files that say the same are equal here."""
        return self.model_dump(mode="json", exclude_defaults=True)


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
        self.specialisations = sorted((SpecialisationTerms(s) for s in programme.specialisations), key=lambda s: s.code)
        self.specialisation_by_code = {s.code: s for s in self.specialisations}
        self.instant = [InstantTerms(s) for s in programme.bonuses if isinstance(s, InstantScheme)]
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

    def has_currency(self, currency: str) -> bool:
        """Tell whether deals in a currency are taken."""
        return currency in self._rates

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
        terms = self.in_force(on)
        if terms is None:
            first = f"the first one begins on {self._starts[0]}" if self._starts else "none is published yet"
            raise Refused(f"No programme is in force on {on}: {first}.")
        return terms

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


def programme_from_content(content: Mapping[str, Any]) -> Programme:
    """Read a programme back from the content of its `ProgrammePublished`.

    Raises:
        LedgerError: the content is not what this version writes.

    """
    plain = dict(content)
    plain["effective_from"] = dt.date.fromisoformat(plain["effective_from"])
    plain["bonuses"] = [_with_int_years(scheme) for scheme in plain.get("bonuses", [])]
    try:
        return Programme.model_validate(plain)
    except ValueError as error:
        raise LedgerError(f"The published programme {content.get('programme')!r} cannot be read: {error}") from error


def _with_int_years(scheme: dict[str, Any]) -> dict[str, Any]:
    if scheme.get("loyalty_bp") is None:
        return scheme
    return {**scheme, "loyalty_bp": {int(years): rate_bp for years, rate_bp in scheme["loyalty_bp"].items()}}
