"""The page of feeds: the files of a feed folder, from the facts that their rows become."""

import datetime as dt
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin

from domain.facts import Fact
from infra.reference.markdown import Meanings, code, page, paragraphs, table
from producers.feeds import FEED_FILES, SUFFIXES

_INTRODUCTION = f"""
A feed is a folder with any of these files. CSV has a header, and its columns may stand in any order; JSON Lines
({code(SUFFIXES[1])}) has one object a line with the same names. UTF-8, a byte order mark is accepted. Dates are
`YYYY-MM-DD`; amounts are plain decimals with a point and without separators. A column that may be empty may also be left
out. Another file name with one of these suffixes, and an unknown column, are refused before anything is recorded.

A folder is imported as one: programmes first, then enrolments, then everything else by business date, the oldest first; on
one date in the order of this page; then as the file has it. Files need not be sorted.

What may be told once for ever is the file's *identity*: the same row told again is a duplicate and skipped; the same identity
with another content is refused as a conflict. How to go about it: [bring your own feeds](../how-to/feeds.md).
"""

_PROGRAMMES = """
## programmes/*.yaml

Programme versions, one to a file: [the programme file](programme.md). Business date: `effective_from`. Identity: `programme`.
"""

COLUMNS = Meanings(
    "infra/reference/feeds_page.py, COLUMNS",
    {
        "partner_id": "the partner",
        "EnrolPartner.partner_id": "the new partner's id, chosen by you",
        "name": "the partner's name",
        "country": "ISO 3166-1 alpha-2, such as CH",
        "EnrolPartner.currency": "ISO 4217, such as CHF",
        "enrolled_on": "day of enrolment",
        "EnrolPartner.tier": "tier to begin in; empty: the lowest of the programme in force",
        "change": "what happens to the membership",
        "on": "from which day",
        "reason": "why, for people",
        "completion_id": "the completion (certificate), named by you",
        "RevokeCertificate.completion_id": "the completion that does not count any more",
        "person_id": "the person; a random pseudonym stands for it in the events",
        "course": "code of the course, as in the programme",
        "completed_on": "day of completion; may be before the enrolment",
        "revoked_on": "day of the revocation",
        "deal_id": "the deal, named by you",
        "ReverseSale.deal_id": "the deal that is taken back",
        "closed_on": "day the deal was closed",
        "family": "product family, as in the programme",
        "RecordSale.amount": "amount in `currency`, not finer than its minor unit",
        "RecordSale.currency": "ISO 4217; one of the programme's `exchange_rates`",
        "source_ref": "where the deal stands in your system",
        "reversal_id": "the reversal, named by you",
        "reversed_on": "day of the reversal",
        "ReverseSale.amount": "what is taken back, in the deal's currency; empty: all that is left",
        "AwardTier.tier": "the tier awarded",
        "awarded_on": "day of the award",
        "awarded_by": "who awarded it",
    },
)


def feeds_page() -> str:
    """Make the page."""
    return page("Feeds", _INTRODUCTION, _PROGRAMMES, *(_section(name, fact) for name, fact in FEED_FILES.items()))


def _section(name: str, fact: type[Fact]) -> str:
    rows = [
        (
            code(column),
            _shape(field.annotation),
            "" if field.is_required() else "may be empty",
            COLUMNS.of(fact.__name__, column),
        )
        for column, field in fact.model_fields.items()
    ]
    (date,) = [column for column, field in fact.model_fields.items() if _shape(field.annotation) == "date"]
    (identity,) = paragraphs(fact.identity_key.__doc__)
    (meaning,) = paragraphs(fact.__doc__)
    return "\n\n".join(
        (
            f"## {name}.csv",
            f"{meaning} Business date: {code(date)}. Identity: {identity[:1].lower()}{identity[1:]}",
            table(("column", "value", "", "meaning"), rows),
        )
    )


def _shape(annotation: Any) -> str:
    """Say what a cell holds."""
    for kind, words in ((dt.date, "date"), (Decimal, "amount"), (str, "text")):
        if annotation is kind or kind in _parts(annotation):
            return words
    if get_origin(annotation) is Literal:
        return ", ".join(code(str(value)) for value in get_args(annotation))
    raise TypeError(
        f"There are no words for a column of type {annotation!r} yet: add them in infra/reference/feeds_page.py."
    )


def _parts(annotation: Any) -> set[Any]:
    """Give what a union or an annotated type is made of."""
    parts: set[Any] = set()
    if get_origin(annotation) is Literal:
        return parts
    for part in get_args(annotation):
        if isinstance(part, type):
            parts.add(part)
        elif get_args(part):
            parts |= _parts(part)
    return parts
