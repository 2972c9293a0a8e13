"""The page of the programme file: from the pydantic model that reads it."""

from importlib import resources

from pydantic import BaseModel

from domain.programme import InstantScheme, KickbackScheme, Programme, Requirement, Review, Specialisation, Tier
from infra.reference.markdown import Meanings, block, code, page, paragraphs, table
from infra.reference.words import in_words
from producers.programme_files import read_programme

EXAMPLE = "partner-2012.yaml"
_PARTS: tuple[type[BaseModel], ...] = (Tier, Requirement, Review, Specialisation, InstantScheme, KickbackScheme)

_INTRODUCTION = """
A programme version is a YAML 1.2 file in `programmes/` of a feed folder: `NO` is Norway, `2012-01-01` a date. It is published
once and never edited; a change is a new version with a new name and first day. In force on a date is the version with the
latest `effective_from` on or before it. An unknown key is refused, all faults at once and by line.

Amounts and exchange rates stand in quotes (`"2500.00"`), because a number without them would be a binary one. Rates of bonuses
are whole basis points: 150 is 1.5 %. Codes are small letters, digits and hyphens.

Beyond what the tables say: `effective_from` is the first day of a calendar quarter; the base currency has the exchange rate
`"1"`; the lowest tier comes first, requires nothing and is not awarded; no automatic tier requires less than the automatic
one below it; all versions of a ledger have one base currency; and a version begins after the ledger's date and after the latest
business date that any partner has.

An editor with a YAML language server completes and checks a file whose first line is
`# yaml-language-server: $schema=programme.schema.json`, with the path or address of
[programme.schema.json](programme.schema.json). The checks between the parts of a file are `programme publish`'s alone.
"""

KEYS = Meanings(
    "infra/reference/programme_page.py, KEYS",
    {
        "programme": "identity of the version",
        "title": "its name, for people",
        "effective_from": "first day in force; the first day of a quarter",
        "base_currency": "currency that revenue is measured in (ISO 4217)",
        "exchange_rates": 'currencies in which deals are taken: base currency for one unit of each, in quotes; `"1"` for the base currency',
        "window_months": "calendar months of revenue that a tier is measured by",
        "tiers": "the tiers, lowest first",
        "review": "the yearly review",
        "families": "product families that deals may be of",
        "Programme.specialisations": "the specialisations there are",
        "bonuses": "the bonus schemes, in the order in which their lines are made",
        "code": "how it is called in feeds and events",
        "name": "its name, for people",
        "requires": "what has to be met to be promoted to it and to pass its review",
        "succeeds": "the tier of the version before that this one continues; left out: the one of the same code",
        "awarded": "true: only the board gives it",
        "seats": "most holders by country (ISO 3166-1), for awarded tiers; a country that is not named has no limit",
        "revenue": "qualifying revenue in base currency, within the window",
        "Requirement.specialisations": "number of specialisations held",
        "date": "day of the review, `MM-DD`, not 02-29",
        "grace": "misses in a row that are forgiven",
        "protect_months": "months after a change of tier in which there is no review",
        "courses": "courses, each of which has to be completed",
        "people": "different persons for each course",
        "valid_months": "months for which a completion counts",
        "InstantScheme.kind": "earned as the deal closes",
        "KickbackScheme.kind": "settled on the first day of the next quarter",
        "InstantScheme.families": "families that earn it: `all`, or a list",
        "KickbackScheme.families": "families that earn it: `all`, or a list",
        "specialisation": "earned only while this one is held",
        "InstantScheme.rate_bp": "rate by tier, in basis points; a tier that is not named has none. Either this or `loyalty_bp`",
        "loyalty_bp": "rate by full years of loyalty, in basis points: that of the largest number not above them",
        "minimum": "the quarter's qualifying revenue of these families that is needed for any kickback, in base currency",
        "KickbackScheme.rate_bp": "rate by tier on the quarter's last day, in basis points",
    },
)


def programme_page() -> str:
    """Make the page."""
    example = resources.files("infra.demo").joinpath("programmes", EXAMPLE).read_text("utf-8")
    read_programme(example, EXAMPLE)  # what is shown is accepted
    return page(
        "The programme file",
        _INTRODUCTION,
        _table(Programme),
        *(f"## {part.__name__}\n\n{' '.join(paragraphs(part.__doc__))}\n\n{_table(part)}" for part in _PARTS),
        "## Example",
        "From the demo:",
        block(example, "yaml"),
    )


def _table(model: type[BaseModel]) -> str:
    rows = []
    for key, field in model.model_fields.items():
        default = "required" if field.is_required() else _default(field.default)
        rows.append((code(key), in_words(field.annotation), default, KEYS.of(model.__name__, key)))
    return table(("key", "value", "default", "meaning"), rows)


def _default(value: object) -> str:
    if value is None or value in ([], {}):
        return "none"
    return code(str(value).lower() if isinstance(value, bool) else str(value))
