"""Every event of the ledger: the facts it was told and the decisions it drew from them (rules.md, Facts and decisions).

An event is an immutable `msgspec.Struct` of plain values (the garbage collector need not look at it); its stored form is
the exact UTF-8 JSON of the struct: ISO dates, amounts as decimal strings with the currency's digits. The type name is the
class name and never changes; a change of meaning is a new `SCHEMA_VERSION` with an upcaster in `UPCASTERS`, never an edit
of what was published.

Dates: `business_date` is the date the event is about. `clock` (facts) is the partner's clock once the fact was
handled, which is later than the business date where the fact was late; `effective_on` (decisions) is the date from
which the decision counts. `by_fact` tells decisions made by a fact from those that time alone made: the first kind does
not count at the start of its own day (rules.md, What is in force).
"""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, Literal

import msgspec

from domain.errors import UnknownEventType

TierReason = Literal["promotion", "demotion", "migration", "withdrawal", "award"]


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all events. `SCHEMA_VERSION` counts the published shapes of one type, from 1."""

    SCHEMA_VERSION: ClassVar[int] = 1

    @property
    def business_date(self) -> dt.date:
        """The calendar date that the event is about."""
        raise NotImplementedError(type(self).__name__)


# --- facts about the ledger and its programmes ------------------------------------------------------------------------


class ProgrammePublished(Event, frozen=True, kw_only=True, gc=False):
    """A programme version was published; its content is kept whole (rules.md, Programmes)."""

    programme: str
    effective_from: dt.date
    content: dict[str, Any]

    @property
    def business_date(self) -> dt.date:
        """The first day on which the programme is in force."""
        return self.effective_from


class LedgerAdvanced(Event, frozen=True, kw_only=True, gc=False):
    """The ledger's date was set; what fell due up to it is decided for every partner (rules.md, A partner's clock)."""

    to: dt.date

    @property
    def business_date(self) -> dt.date:
        """The ledger's new date."""
        return self.to


class RecordDropped(Event, frozen=True, kw_only=True, gc=False):
    """A record on Kafka that the event store does not hold is passed over from now on, by whoever reads the topic.

    `leaf_hash` is that of the record's value in hex (SHA-256 over 0x00 and the value), None for a record without a value.
    """

    topic: str
    partition: int
    offset: int
    leaf_hash: str | None
    reason: str
    dropped_on: dt.date

    @property
    def business_date(self) -> dt.date:
        """The day on which it was dropped."""
        return self.dropped_on


# --- facts about a partner --------------------------------------------------------------------------------------------


class PartnerEnrolled(Event, frozen=True, kw_only=True, gc=False):
    """A partner joined the programme, in an automatic tier of the version in force."""

    partner_id: str
    name: str
    country: str
    currency: str
    enrolled_on: dt.date
    tier: str
    programme: str

    @property
    def business_date(self) -> dt.date:
        """The day of enrolment."""
        return self.enrolled_on


class MembershipSuspended(Event, frozen=True, kw_only=True, gc=False):
    """A membership was suspended; counts from `effective_on`, the later of `on` and the clock."""

    on: dt.date
    effective_on: dt.date
    reason: str | None = None

    @property
    def business_date(self) -> dt.date:
        """The date told."""
        return self.on


class MembershipResumed(Event, frozen=True, kw_only=True, gc=False):
    """A suspended membership was resumed on `effective_on`, the first day that is not suspended any more."""

    on: dt.date
    effective_on: dt.date
    reason: str | None = None

    @property
    def business_date(self) -> dt.date:
        """The date told."""
        return self.on


class MembershipEnded(Event, frozen=True, kw_only=True, gc=False):
    """A membership ended, finally; `tier` is the last one, kept on record."""

    on: dt.date
    effective_on: dt.date
    country: str
    tier: str
    programme: str
    reason: str | None = None

    @property
    def business_date(self) -> dt.date:
        """The date told."""
        return self.on


class TrainingCompleted(Event, frozen=True, kw_only=True, gc=False):
    """A person (a random pseudonym) of the partner completed a course."""

    completion_id: str
    person: str
    course: str
    completed_on: dt.date
    clock: dt.date

    @property
    def business_date(self) -> dt.date:
        """The day of completion."""
        return self.completed_on


class CertificateRevoked(Event, frozen=True, kw_only=True, gc=False):
    """A completion recorded before does not count any more."""

    completion_id: str
    revoked_on: dt.date
    clock: dt.date
    reason: str | None = None

    @property
    def business_date(self) -> dt.date:
        """The day of the revocation."""
        return self.revoked_on


class SaleRecorded(Event, frozen=True, kw_only=True, gc=False):
    """A deal was closed. `qualifying` is its amount in base currency; zero where the sale does not earn (suspension)."""

    deal_id: str
    closed_on: dt.date
    family: str
    amount: Decimal
    currency: str
    earning: bool
    qualifying: Decimal
    base_currency: str
    programme: str
    clock: dt.date
    source_ref: str | None = None

    @property
    def business_date(self) -> dt.date:
        """The day the deal was closed."""
        return self.closed_on


class SaleReversed(Event, frozen=True, kw_only=True, gc=False):
    """A deal was taken back. `net` and `qualifying` are what is left of it; `whole`: told without an amount."""

    reversal_id: str
    deal_id: str
    reversed_on: dt.date
    amount: Decimal
    whole: bool
    net: Decimal
    currency: str
    closed_on: dt.date
    family: str
    earning: bool
    qualifying: Decimal
    qualifying_change: Decimal
    base_currency: str
    programme: str
    clock: dt.date
    reason: str | None = None

    @property
    def business_date(self) -> dt.date:
        """The day of the reversal."""
        return self.reversed_on


class TierAwarded(Event, frozen=True, kw_only=True, gc=False):
    """The board gave the partner an awarded tier; the `TierChanged` that follows carries the evidence."""

    tier: str
    awarded_on: dt.date
    effective_on: dt.date
    awarded_by: str
    reason: str | None = None

    @property
    def business_date(self) -> dt.date:
        """The date told."""
        return self.awarded_on


# --- decisions --------------------------------------------------------------------------------------------------------


class TierEvidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a tier required and what was measured, on one date. Amounts are in the programme's base currency.

    The revenue window is first day to last day, both counted.
    """

    tier: str
    required_revenue: Decimal
    required_specialisations: int
    revenue: Decimal
    base_currency: str
    window_first_day: dt.date
    window_last_day: dt.date
    specialisations: tuple[str, ...]
    met: bool


class CourseEvidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The completions of one course that count on a date, one for each person, and how many persons are required."""

    course: str
    required_people: int
    completions: tuple[str, ...]


class ProgrammeEntered(Event, frozen=True, kw_only=True, gc=False):
    """The partner came under another programme version (rules.md, Transition).

    `awarded` tells whether the tier held is an awarded one under it; a `TierChanged` that follows has the last word.
    `renamed` gives, for tiers to which a withdrawal may still lead back and whose code changes, the code under this version;
    one that nothing succeeds becomes the lowest tier, from which a withdrawal rises to the tier met.
    """

    programme: str
    previous: str
    effective_on: dt.date
    awarded: bool
    renamed: dict[str, str] = {}

    @property
    def business_date(self) -> dt.date:
        """The version's first day."""
        return self.effective_on


class SpecialisationAwarded(Event, frozen=True, kw_only=True, gc=False):
    """Enough persons hold valid certificates for each course (rules.md, Specialisations)."""

    specialisation: str
    effective_on: dt.date
    by_fact: bool
    programme: str
    evidence: tuple[CourseEvidence, ...]

    @property
    def business_date(self) -> dt.date:
        """The day from which it is held."""
        return self.effective_on


class SpecialisationLapsed(Event, frozen=True, kw_only=True, gc=False):
    """A specialisation is not held any more. The evidence is empty where the programme does not know it."""

    specialisation: str
    effective_on: dt.date
    by_fact: bool
    programme: str
    evidence: tuple[CourseEvidence, ...]

    @property
    def business_date(self) -> dt.date:
        """The day from which it is not held."""
        return self.effective_on


class TierChanged(Event, frozen=True, kw_only=True, gc=False):
    """The partner's tier changed.

    `evidence` is the tier that decided it; of a withdrawal, what is left of the revenue that the promotion rested on, or, where
    it ends in a tier met now, that tier. A promotion, and a withdrawal that ends in a tier met now, rest on it
    (`rests_on_evidence`). `withdrawn` counts the promotions taken back and `counts_from` is the date of the earliest of
    them, from which `to_tier` counts for kickbacks; both only for withdrawals.
    """

    country: str
    from_tier: str
    to_tier: str
    to_awarded: bool
    reason: TierReason
    effective_on: dt.date
    by_fact: bool
    programme: str
    evidence: TierEvidence | None = None
    rests_on_evidence: bool = False
    withdrawn: int = 0
    counts_from: dt.date | None = None
    reached_tier: str | None = None

    @property
    def business_date(self) -> dt.date:
        """The day from which the new tier counts."""
        return self.effective_on


class ReviewPassed(Event, frozen=True, kw_only=True, gc=False):
    """At a review the requirements of the tier held were met: missed reviews are zero again."""

    reviewed_on: dt.date
    tier: str
    programme: str
    evidence: TierEvidence
    by_fact: bool

    @property
    def business_date(self) -> dt.date:
        """The day of the review."""
        return self.reviewed_on


class ReviewMissed(Event, frozen=True, kw_only=True, gc=False):
    """At a review the requirements were not met; above `grace` missed reviews a demotion follows."""

    reviewed_on: dt.date
    tier: str
    missed: int
    grace: int
    programme: str
    evidence: TierEvidence
    by_fact: bool

    @property
    def business_date(self) -> dt.date:
        """The day of the review."""
        return self.reviewed_on


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One bonus line: `amount` (signed) is what is posted, and the rest is how it comes about.

    For an instant line: basis × rate_bp / 10,000, rounded half up. For a difference (reversal, late settlement):
    the same of the new basis, less `before`, what had been posted until then.
    """

    scheme: str
    amount: Decimal
    currency: str
    basis: Decimal
    rate_bp: int
    before: Decimal
    tier: str
    tier_since: dt.date | None = None
    specialisation: str | None = None
    loyalty_years: int | None = None


class BonusAccrued(Event, frozen=True, kw_only=True, gc=False):
    """Instant bonuses earned as a deal closed."""

    deal_id: str
    closed_on: dt.date
    posting_date: dt.date
    programme: str
    lines: tuple[Line, ...]

    @property
    def business_date(self) -> dt.date:
        """The day the deal was closed."""
        return self.closed_on


class BonusClawedBack(Event, frozen=True, kw_only=True, gc=False):
    """What a reversal takes back of a deal's instant bonuses, each line at its own original rate."""

    reversal_id: str
    deal_id: str
    reversed_on: dt.date
    posting_date: dt.date
    programme: str
    lines: tuple[Line, ...]

    @property
    def business_date(self) -> dt.date:
        """The day of the reversal."""
        return self.reversed_on


class KickbackSettled(Event, frozen=True, kw_only=True, gc=False):
    """A quarter's kickback, or the difference that a late fact makes to a quarter settled before.

    `cause`: `time` (the first day of the next quarter), `sale` or `reversal` (with the identity of the fact).
    `qualifying` is the quarter's qualifying revenue by scheme, in base currency, to set against the scheme's minimum.
    """

    quarter: dt.date
    settled_on: dt.date
    posting_date: dt.date
    cause: Literal["time", "sale", "reversal"]
    cause_id: str | None = None
    programme: str
    base_currency: str
    qualifying: dict[str, Decimal]
    minimum: dict[str, Decimal]
    lines: tuple[Line, ...]

    @property
    def business_date(self) -> dt.date:
        """The day of the settlement, or of the late fact."""
        return self.settled_on


# --- the roster of awarded tiers in one country ---------------------------------------------------------------------------


class SeatTaken(Event, frozen=True, kw_only=True, gc=False):
    """A partner of this country holds an awarded tier from `effective_on`."""

    partner_id: str
    tier: str
    effective_on: dt.date

    @property
    def business_date(self) -> dt.date:
        """The day from which it holds the tier."""
        return self.effective_on


class SeatFreed(Event, frozen=True, kw_only=True, gc=False):
    """A partner of this country does not hold the awarded tier any more."""

    partner_id: str
    tier: str
    effective_on: dt.date

    @property
    def business_date(self) -> dt.date:
        """The day from which it does not hold the tier."""
        return self.effective_on


# --- reading and writing -----------------------------------------------------------------------------------------------

EVENT_TYPES: dict[str, type[Event]] = {cls.__name__: cls for cls in Event.__subclasses__()}
"""Every event type by its stable name."""

UPCASTERS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""(type name, schema version) to a function that gives the data in the next version's shape. None so far."""

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {name: msgspec.json.Decoder(cls) for name, cls in EVENT_TYPES.items()}


def encode(event: Event) -> bytes:
    """Give the event's data: the exact UTF-8 JSON that is stored, hashed and published."""
    return _ENCODER.encode(event)


def decode(type_name: str, schema_version: int, data: bytes) -> Event:
    """Read an event back from its stored data, upcasting older schema versions.

    Raises:
        UnknownEventType: the type or a version newer than this code.

    """
    cls = EVENT_TYPES.get(type_name)
    if cls is None or schema_version > cls.SCHEMA_VERSION or schema_version < 1:
        raise UnknownEventType(
            f"This version does not know events of type {type_name!r}, schema version {schema_version}:"
            " update partner-ledger before reading this ledger."
        )
    if schema_version == cls.SCHEMA_VERSION:
        event: Event = _DECODERS[type_name].decode(data)
        return event
    content: dict[str, Any] = msgspec.json.decode(data)
    for version in range(schema_version, cls.SCHEMA_VERSION):
        content = UPCASTERS[type_name, version](content)
    return msgspec.convert(content, cls)
