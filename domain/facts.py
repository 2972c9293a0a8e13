"""What can be told to the ledger: the facts, as imperative commands, checked for shape and nothing else.

The rules judge them in `domain.decisions`; `identity` says what one fact is about for ever, and its normalised content.
Shapes: feeds-and-commands.md, Feed folder; identities: rules.md, Identity.
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypedDict, TypeVar
from unicodedata import is_normalized

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from domain.errors import InvalidInput
from domain.identity import plain
from domain.money import to_minor
from domain.recording import IdentityKey

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AMOUNT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,10})?")
_DIGITS = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            raise ValueError("is not a day of the calendar") from None
    raise ValueError("is not a date (YYYY-MM-DD)")


def _amount(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        return Decimal(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        raise ValueError("has more than 18 digits before the point or 10 after it")
    raise ValueError("is not a plain decimal with a point, such as 1250.00")


def _identifier(value: str) -> str:
    """Refuse what a person cannot tell from another identifier: one thing would be recorded, and rewarded, twice."""
    if not value.isprintable():
        raise ValueError("has a character that does not print")
    if value != value.strip():
        raise ValueError("begins or ends with a space")
    if not is_normalized("NFC", value):
        raise ValueError("is not in Unicode's composed form (NFC)")
    return value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


Date = Annotated[dt.date, BeforeValidator(_date)]
Amount = Annotated[Decimal, BeforeValidator(_amount)]
Id = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_identifier)]
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+$")]
"""Tabs and line ends may stand in a text; other control characters would do things to the terminal that it is shown on."""
OptionalText = Annotated[Text | None, BeforeValidator(_empty_is_none)]


class Fact(BaseModel):
    """Base of the facts. `KIND` is the kind of its identity; `partner_id` is None where another fact leads to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    KIND: ClassVar[str]

    @property
    def business_date(self) -> dt.date:
        """The calendar date that the fact is about."""
        raise NotImplementedError(type(self).__name__)

    @property
    def identity_key(self) -> IdentityKey:
        """The one thing for ever that the fact is about."""
        raise NotImplementedError(type(self).__name__)


AFact = TypeVar("AFact", bound=Fact)


class EnrolPartner(Fact):
    """A partner joins; an empty tier is the lowest of the programme in force."""

    KIND: ClassVar[str] = "partner"
    partner_id: Id
    name: Text
    country: Id
    currency: Id
    enrolled_on: Date
    tier: Annotated[Id | None, BeforeValidator(_empty_is_none)] = None

    @property
    def business_date(self) -> dt.date:
        """The day of enrolment."""
        return self.enrolled_on

    @property
    def identity_key(self) -> IdentityKey:
        """The partner."""
        return "partner", self.partner_id


class ChangeMembership(Fact):
    """A membership is suspended, resumed or ended."""

    KIND: ClassVar[str] = "membership"
    partner_id: Id
    change: Literal["suspend", "resume", "end"]
    on: Date
    reason: OptionalText = None

    @property
    def business_date(self) -> dt.date:
        """The date told."""
        return self.on

    @property
    def identity_key(self) -> IdentityKey:
        """Partner, change and date."""
        return "membership", composite(self.partner_id, self.change, self.on.isoformat())


class RecordTraining(Fact):
    """A person of a partner completed a course."""

    KIND: ClassVar[str] = "training"
    completion_id: Id
    partner_id: Id
    person_id: Id
    course: Id
    completed_on: Date

    @property
    def business_date(self) -> dt.date:
        """The day of completion."""
        return self.completed_on

    @property
    def identity_key(self) -> IdentityKey:
        """The completion."""
        return "training", self.completion_id


class RevokeCertificate(Fact):
    """A completion does not count any more."""

    KIND: ClassVar[str] = "revocation"
    completion_id: Id
    revoked_on: Date
    reason: OptionalText = None

    @property
    def business_date(self) -> dt.date:
        """The day of the revocation."""
        return self.revoked_on

    @property
    def identity_key(self) -> IdentityKey:
        """The completion, once more."""
        return "revocation", self.completion_id


class RecordSale(Fact):
    """A deal was closed."""

    KIND: ClassVar[str] = "deal"
    deal_id: Id
    partner_id: Id
    closed_on: Date
    family: Id
    amount: Amount
    currency: Id
    source_ref: OptionalText = None

    def minor(self, digits: int) -> int:
        """Give the amount in minor units of its currency; see `domain.money.to_minor`."""
        return to_minor(self.amount, digits)

    @property
    def business_date(self) -> dt.date:
        """The day the deal was closed."""
        return self.closed_on

    @property
    def identity_key(self) -> IdentityKey:
        """The deal."""
        return "deal", self.deal_id


class ReverseSale(Fact):
    """A deal is taken back; without an amount, what is left of it."""

    KIND: ClassVar[str] = "reversal"
    reversal_id: Id
    deal_id: Id
    reversed_on: Date
    amount: Annotated[Amount | None, BeforeValidator(_empty_is_none)] = None
    reason: OptionalText = None

    @property
    def business_date(self) -> dt.date:
        """The day of the reversal."""
        return self.reversed_on

    @property
    def identity_key(self) -> IdentityKey:
        """The reversal."""
        return "reversal", self.reversal_id


class AwardTier(Fact):
    """The board awards a tier."""

    KIND: ClassVar[str] = "award"
    partner_id: Id
    tier: Id
    awarded_on: Date
    awarded_by: Text
    reason: OptionalText = None

    @property
    def business_date(self) -> dt.date:
        """The date told."""
        return self.awarded_on

    @property
    def identity_key(self) -> IdentityKey:
        """Partner, tier and date."""
        return "award", composite(self.partner_id, self.tier, self.awarded_on.isoformat())


_CANONICAL = msgspec.json.Encoder(order="sorted")

FACT_TYPES: dict[str, type[Fact]] = {cls.KIND: cls for cls in Fact.__subclasses__()}
"""The facts by the kind of their identity."""


def composite(*parts: str) -> str:
    """Give the key of an identity that several values make up."""
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def read_fact(cls: type[Fact], row: dict[str, Any]) -> Fact:
    """Read a fact from a feed's row.

    Raises:
        InvalidInput: one sentence that names the columns and values that are wrong.

    """
    try:
        return cls.model_validate(row)
    except ValidationError as error:
        faults = error.errors()
        more = [f"and {len(faults) - SHOWN_FAULTS:,} more"] if len(faults) > SHOWN_FAULTS else []
        raise InvalidInput("; ".join([*map(_sentence, faults[:SHOWN_FAULTS]), *more]) + ".") from None


def fact_json(fact: Fact) -> bytes:
    """Give a fact that was read as JSON, for `fact_from_json`."""
    return _JSON.encode(fact.__dict__)


def fact_from_json(cls: type[Fact], content: str) -> Fact:
    """Give a fact back from its own JSON. What was checked when it was read is not checked again, which takes a fifth of the time."""
    return fact_of_values(cls, _decoder(cls).decode(content))


def fact_of_values(cls: type[AFact], values: dict[str, Any]) -> AFact:
    """Give a fact of the values of all its fields, which are known to be what they should be: they are not checked again."""
    fact = cls.__new__(cls)
    # What pydantic's own model_construct does to an object, for a model whose fields are all given.
    object.__setattr__(fact, "__dict__", values)
    object.__setattr__(fact, "__pydantic_fields_set__", set(values))
    object.__setattr__(fact, "__pydantic_extra__", None)
    object.__setattr__(fact, "__pydantic_private__", None)
    return fact


_JSON = msgspec.json.Encoder()


@cache
def _decoder(cls: type[Fact]) -> msgspec.json.Decoder[dict[str, Any]]:
    """Make a decoder that gives the values of a fact's fields as they were."""
    fields = {name: field.annotation for name, field in cls.model_fields.items()}
    return msgspec.json.Decoder(TypedDict(cls.__name__, fields))  # type: ignore[operator]  # a shape made at run time


SHOWN_CHARACTERS = 80
"""So much of a wrong value is told again."""
SHOWN_FAULTS = 10
"""So many faults of a row are told: as many as it may have columns, but not all keys of a hostile line of JSON."""


def _sentence(fault: Any) -> str:
    column = fault["loc"][0] if fault["loc"] else "the row"
    told = fault["input"]
    if fault["type"] == "missing":
        return f"{column} is missing"
    if fault["type"] == "extra_forbidden":
        return f"{shown_key(str(column))} is not a column of this file"
    if fault["type"] == "string_too_short" or told in ("", None):
        return f"{column} is empty"
    if fault["type"] == "literal_error":
        return f"{column} {shown(told)} is none of {fault['ctx']['expected']}"
    if fault["type"] == "string_too_long":
        return f"{column} {shown(told)} is longer than {fault['ctx']['max_length']} characters"
    if fault["type"] == "value_error":
        return f"{column} {shown(told)} {fault['ctx']['error']}"
    if fault["type"] == "string_pattern_mismatch":
        return f"{column} {shown(told)} has a control character"
    return f"{column} {shown(told)}: {fault['msg'].lower()}"


def shown(value: Any) -> str:
    """Give a value for a person; of a long one its beginning."""
    told = repr(value)
    return told if len(told) <= SHOWN_CHARACTERS else f"{told[:SHOWN_CHARACTERS]}…"


def shown_key(key: str) -> str:
    """Give a key or column for a person: as it is, where it can be told."""
    return key if key.isprintable() and len(key) <= SHOWN_CHARACTERS else shown(key)


def content_of(fact: Fact, lowest_tier: str | None) -> dict[str, str | None]:
    """Give a fact's normalised content: amounts without trailing zeros, an empty tier as the lowest one.

    A training's person is left out: it is compared by way of the pseudonyms' table (rules.md, Identity).
    """
    content = {name: value if type(value) is str else _plain(value) for name, value in fact.__dict__.items()}
    content.pop("person_id", None)
    if "tier" in content and content["tier"] is None:
        content["tier"] = lowest_tier
    return content


def _plain(value: Any) -> str | None:
    if isinstance(value, dt.date):
        return value.isoformat()
    return plain(value) if isinstance(value, Decimal) else value


def content_hash(content: Mapping[str, Any]) -> bytes:
    """Give the hash that tells whether the same thing was told before with the same content."""
    return hashlib.sha256(_CANONICAL.encode(content)).digest()
