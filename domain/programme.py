"""A programme version: the terms that a vendor publishes, as data (rules.md, Programmes).

`Programme` is the file's shape (pydantic, strict: an unknown key, a bare number where an amount in quotes is due or
`NO` read as false is refused). `domain.terms` has what decisions use of it, `domain.programme_faults` the checks between its parts.
"""

import datetime as dt
from collections.abc import Mapping
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

from domain.errors import InvalidInput, LedgerError
from domain.money import AMOUNT_PATTERN, currency_digits


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
