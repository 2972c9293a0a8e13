"""The page of events: every type with its fields, and the envelope in which it goes to Kafka."""

import msgspec

from domain import streams
from domain.envelope import CONTENT_TYPE, Envelope, envelope, leaf_hash
from domain.events import EVENT_TYPES, CourseEvidence, Event, Line, TierEvidence
from infra.reference.examples import SALE, stored
from infra.reference.markdown import Meanings, code, json_block, page, paragraphs, table
from infra.reference.words import in_words

PARTS: tuple[type[msgspec.Struct], ...] = (TierEvidence, CourseEvidence, Line)
"""What several events have inside."""

_INTRODUCTION = f"""
Each event is one record on the topic `partner-ledger.events`, in an [envelope](#the-envelope); its key is the stream, its
only header `content-type: {CONTENT_TYPE}`. A published event never changes: a new shape is a new schema version under
the same type name.

Dates are ISO 8601 (`YYYY-MM-DD`), calendar dates without a time of day. An *amount* is a decimal in text, with as many
digits as ISO 4217 gives its currency, never a binary number. A rate in basis points (`_bp`) is a hundredth of a
percent. What may be null is there, with null.

| stream | its events |
| --- | --- |
| `{streams.PARTNER_PREFIX}ID` | facts and decisions about one partner |
| `{streams.ROSTER_PREFIX}CC` | awarded tiers in one country (ISO 3166-1): SeatTaken, SeatFreed |
| `{streams.PROGRAMMES}` | ProgrammePublished |
| `{streams.LEDGER}` | LedgerAdvanced, RecordDropped |
"""

ATTRIBUTES = Meanings(
    "infra/reference/events_page.py, ATTRIBUTES",
    {
        "specversion": "CloudEvents version, always 1.0",
        "id": "the position as text: unique together with `source`",
        "source": "always `/partner-ledger`",
        "type": "the event type, one of those below",
        "subject": "the stream; also the record's key",
        "time": "recorded-at, by the database's clock (RFC 3339, UTC, microseconds); never runs against the position",
        "datacontenttype": "always `application/json`",
        "envelopeversion": "version of this envelope",
        "position": "place in the ledger: 1, 2, 3 … without a hole, in commit order",
        "streamversion": "place in the stream: 1, 2, 3 … without a hole",
        "schemaversion": "version of the shape of `data`",
        "businessdate": "the date the event is about",
        "actor": "PostgreSQL login that recorded it",
        "commandid": "what caused it; for a feed `import:run:file:line`; events of one command share it",
        "data": "the event, as below",
    },
)

FIELDS = Meanings(
    "infra/reference/events_page.py, FIELDS",
    {
        "ProgrammePublished.programme": "identity of the version published",
        "effective_from": "first day in force",
        "content": "the whole version, keys as in [the programme file](programme.md), defaults left out",
        "LedgerAdvanced.to": "the ledger's new date",
        "topic": "topic of the record passed over",
        "partition": "its partition",
        "offset": "its offset",
        "leaf_hash": "SHA-256 over 0x00 and the record's value, in hex; null for a record without a value",
        "RecordDropped.reason": "why, as told",
        "dropped_on": "day on which it was dropped, by the database's clock",
        "partner_id": "the partner",
        "name": "the partner's name",
        "country": "the partner's country (ISO 3166-1 alpha-2)",
        "currency": "ISO 4217 code of the amounts beside it",
        "PartnerEnrolled.currency": "the partner's currency (ISO 4217)",
        "enrolled_on": "day of enrolment",
        "PartnerEnrolled.tier": "tier enrolled into",
        "PartnerEnrolled.programme": "programme version in force on `enrolled_on`",
        "programme": "programme version whose rules decided",
        "ProgrammeEntered.programme": "programme version entered",
        "previous": "programme version left",
        "on": "the date told",
        "effective_on": "first day on which it counts",
        "reason": "why, as told",
        "TierChanged.reason": "why the tier changed",
        "MembershipEnded.tier": "last tier held",
        "MembershipEnded.programme": "programme version that the partner was under",
        "completion_id": "the completion (training certificate)",
        "person": "random pseudonym of the person; who that is stands in a table beside the events",
        "course": "code of the course",
        "completed_on": "day of completion",
        "clock": "the partner's clock once the fact was handled; later than the business date for a late fact",
        "revoked_on": "day of the revocation",
        "deal_id": "the deal",
        "closed_on": "day the deal was closed",
        "family": "product family",
        "SaleRecorded.amount": "the deal's amount, in `currency`",
        "SaleReversed.amount": "what is taken back by this reversal, in `currency`",
        "earning": "false where the deal is dated in a suspension and earns nothing",
        "SaleRecorded.qualifying": "what counts as revenue, in `base_currency`",
        "SaleRecorded.programme": "programme version in force on `closed_on`",
        "SaleReversed.programme": "programme version in force on `closed_on`",
        "base_currency": "base currency of the programme (ISO 4217)",
        "source_ref": "where the deal stands in the system it came from",
        "reversal_id": "the reversal",
        "reversed_on": "day of the reversal",
        "whole": "true: told without an amount, all that was left is taken back",
        "net": "what is left of the deal, in `currency`",
        "SaleReversed.qualifying": "what is left that counts as revenue, in `base_currency`",
        "qualifying_change": "change of `qualifying` (negative), in `base_currency`",
        "TierAwarded.tier": "tier awarded",
        "awarded_on": "the date told",
        "awarded_by": "who awarded it",
        "awarded": "true: the tier held is an awarded one under this version",
        "renamed": "tiers to which a withdrawal may still lead back and whose code changes: code before to code under this version",
        "specialisation": "code of the specialisation",
        "by_fact": "true: decided by a fact of that day (counts from the end of the day); false: by time alone",
        "SpecialisationAwarded.evidence": "the completions that count, by course",
        "SpecialisationLapsed.evidence": "the completions that still count, by course",
        "from_tier": "tier before",
        "to_tier": "tier from now on",
        "to_awarded": "true: `to_tier` is one that only the board gives",
        "TierChanged.evidence": "the tier that decided it: what it requires and what was measured",
        "rests_on_evidence": "true: taken back if a reversal takes away the revenue in `evidence`",
        "withdrawn": "number of promotions taken back; 0 but for a withdrawal",
        "counts_from": "for a withdrawal: date of the earliest promotion withdrawn, from which `to_tier` counts for kickbacks",
        "reached_tier": "for a withdrawal that ends in a higher tier met now: the tier that was fallen back to first",
        "reviewed_on": "day of the review",
        "ReviewPassed.tier": "tier held",
        "ReviewMissed.tier": "tier held",
        "missed": "reviews missed in a row, this one included",
        "grace": "misses forgiven by the programme",
        "ReviewPassed.evidence": "what the tier requires and what was measured",
        "ReviewMissed.evidence": "what the tier requires and what was measured",
        "posting_date": "day on which the lines enter the balance",
        "lines": "the bonus lines",
        "quarter": "first day of the quarter settled",
        "settled_on": "first day of the next quarter, or the day of the late fact",
        "cause": "what settled it: time, or a late sale or reversal",
        "cause_id": "the deal or reversal; null for time",
        "KickbackSettled.qualifying": "the quarter's qualifying revenue by scheme, in `base_currency`",
        "minimum": "what each scheme requires of it, in `base_currency`",
        "SeatTaken.tier": "the awarded tier",
        "SeatFreed.tier": "the awarded tier",
        "TierEvidence.tier": "tier measured against",
        "required_revenue": "revenue required, in `base_currency`",
        "required_specialisations": "number of specialisations required",
        "revenue": "qualifying revenue in the window, in `base_currency`",
        "window_first_day": "first day counted",
        "window_last_day": "last day counted",
        "specialisations": "specialisations held",
        "met": "true: all requirements are met",
        "required_people": "persons required",
        "completions": "completions that count, one for each person",
        "scheme": "code of the bonus scheme",
        "Line.amount": "what is posted, signed, in `currency`",
        "basis": "what the rate is applied to, in `currency`",
        "rate_bp": "rate in basis points",
        "before": "what had been posted for the same until then, in `currency`",
        "Line.tier": "tier that gave the rate",
        "tier_since": "since when that tier was held",
        "Line.specialisation": "specialisation that the scheme asks for",
        "loyalty_years": "full years of loyalty that gave the rate",
    },
)


def events_page() -> str:
    """Make the page."""
    return page(
        "Events",
        _INTRODUCTION,
        _index(),
        _envelope(),
        *(_section(cls) for cls in EVENT_TYPES.values()),
        "## Inside events",
        *(_section(cls, "###") for cls in PARTS),
    )


def _index() -> str:
    links = [f"[{name}](#{name.lower()})" for name in EVENT_TYPES]
    return f"There are {len(links)} types: {', '.join(links)}."


def _envelope() -> str:
    rows = [
        (code(field.name), in_words(field.type), ATTRIBUTES.of("Envelope", field.name))
        for field in msgspec.structs.fields(Envelope)
    ]
    made = envelope(stored(SALE))
    return "\n\n".join(
        (
            "## The envelope",
            "A CloudEvents 1.0 document in structured JSON mode; the ledger's own fields are extension attributes.",
            table(("attribute", "type", "meaning"), rows),
            "An example, indented here; on Kafka it is one line:",
            json_block(made),
            "Its leaf hash, SHA-256 over a zero byte and the exact bytes of the record, is stored with the event, so that store"
            f" and Kafka can be compared: `{leaf_hash(made).hex()}`.",
        )
    )


def _section(cls: type[msgspec.Struct], level: str = "##") -> str:
    version = f" Schema version {cls.SCHEMA_VERSION}." if issubclass(cls, Event) else ""
    first, *others = paragraphs(cls.__doc__)
    rows = [
        (code(field.name), in_words(field.type), FIELDS.of(cls.__name__, field.name))
        for field in msgspec.structs.fields(cls)
    ]
    about = _business_date(cls)
    text = [first + version, *others, about]
    return "\n\n".join(
        [f"{level} {cls.__name__}", *(each for each in text if each), table(("field", "type", "meaning"), rows)]
    )


def _business_date(cls: type[msgspec.Struct]) -> str:
    if not issubclass(cls, Event):
        return ""
    (meaning,) = paragraphs(cls.business_date.__doc__)
    return f"Business date: {meaning[:1].lower()}{meaning[1:]}"
