"""Commands for programmes: publish, list, show, diff."""

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import Refused, UnknownReference
from domain.money import format_amount
from domain.programme import InstantScheme, KickbackScheme, Programme, Tier
from infra.bootstrap import Runtime
from infra.cli.console import out, print_json, say, table
from infra.cli.options import Json
from infra.settings import load_settings
from producers.programme_files import read_programme_file
from projections.explanation import rate
from projections.sentences import counted

programme_commands = typer.Typer(
    help="Programme versions: publish, list, show, compare.\n\n"
    "Example: partner-ledger programme diff partner-2011 partner-2012",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Which = Annotated[str, typer.Argument(metavar="PROGRAMME", help="A published version's name, or a file (*.yaml).")]


@programme_commands.command("publish")
def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The programme file (YAML).")],
    *,
    json: Json = False,
) -> None:
    """Publish a programme version; it is never edited afterwards. The same content told again does nothing.

    Example: partner-ledger programme publish partner-2012.yaml
    """
    programme = read_programme_file(file)
    runtime = Runtime(load_settings(), say)
    outcome = runtime.ledger.publish(programme, f"publish:{programme.programme}:{uuid.uuid4()}")
    runtime.close()
    if outcome.kind == "refused":
        raise Refused(outcome.reason)
    if json:
        print_json({"programme": programme.programme, "published": outcome.kind == "recorded"})
    elif outcome.kind == "recorded":
        out.print(f"{programme.programme} is published, in force from {programme.effective_from}.")
    else:
        out.print(f"{programme.programme} is published already, with the same content.")


@programme_commands.command("list")
def list_programmes(*, json: Json = False) -> None:
    """List the published versions, and from when to when each is in force.

    Example: partner-ledger programme list
    """
    runtime = Runtime(load_settings(), say)
    versions = runtime.ledger.programmes().versions
    runtime.close()
    spans = [(v, None if v.until is None else v.until - dt.timedelta(days=1)) for v in versions]
    if json:
        print_json(
            [
                {"programme": v.code, "title": v.programme.title, "effective_from": v.effective_from, "until": last}
                for v, last in spans
            ]
        )
        return
    view = table("Programmes", "programme", "title", "in force from", "to", fold=("title",))
    for version, last in spans:
        view.add_row(version.code, version.programme.title, f"{version.effective_from}", f"{last or ''}")
    out.print(view)


@programme_commands.command("show")
def show(programme: Which, *, json: Json = False) -> None:
    """Show a programme for a person: tiers, review, specialisations, bonuses.

    Example: partner-ledger programme show partner-2012
    """
    version = _programme(programme)
    if json:
        print_json(version.content())
        return
    out.print(
        f"{version.programme}: {version.title}, in force from {version.effective_from}", style="bold", markup=False
    )
    for line in _facts(version).values():
        out.print(line, markup=False)


@programme_commands.command("diff")
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A published version's name, or a file (*.yaml).")],
    after: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    *,
    json: Json = False,
) -> None:
    """Show what differs between two programmes, in words.

    Example: partner-ledger programme diff partner-2011 partner-2012
    """
    first, second = _programme(before), _programme(after)
    old, new = _facts(first), _facts(second)
    old.pop(SUCCESSION, None)  # it tells of a version before both
    changes = [(old.get(key), new.get(key)) for key in [*old, *(k for k in new if k not in old)]]
    differing = [(was, now) for was, now in changes if was != now]
    if json:
        print_json({"a": first.programme, "b": second.programme, "changes": [{"a": a, "b": b} for a, b in differing]})
        return
    out.print(f"From {first.programme} to {second.programme}:", style="bold", markup=False)
    for was, now in differing:
        if was is not None:
            out.print(f"- {was}", style="red", markup=False)
        if now is not None:
            out.print(f"+ {now}", style="green", markup=False)
    if not differing:
        out.print("Nothing differs.")


def _programme(name: str) -> Programme:
    """Give a programme by its file, or by the name it was published under."""
    if name.endswith((".yaml", ".yml")):
        return read_programme_file(Path(name))
    runtime = Runtime(load_settings(), say)
    published = runtime.ledger.programmes().by_code
    runtime.close()
    if name not in published:
        raise UnknownReference(f"No programme {name!r} is published; there are {', '.join(published) or 'none'}.")
    return published[name].programme


SUCCESSION = "succession"


def _facts(version: Programme) -> dict[str, str]:
    """Give a programme as sentences, by what each is about, so that two programmes can be set side by side."""
    base = version.base_currency
    rates = ", ".join(f"{currency} {rate_}" for currency, rate_ in version.exchange_rates.items())
    facts = {
        "version": f"{version.title}, in force from {version.effective_from}.",
        "currencies": f"Revenue is counted in {base}; one unit is worth: {rates}.",
        "window": f"Revenue of the last {version.window_months} months counts.",
        "families": f"Families: {', '.join(version.families)}.",
    }
    for tier in version.tiers:
        facts[f"tier {tier.code}"] = _tier(tier, base)
    renamed = [tier for tier in version.tiers if tier.succeeds not in (None, tier.code)]
    continued = [f"{tier.code} continues {tier.succeeds}" for tier in renamed]
    if continued:
        facts[SUCCESSION] = f"Of the version before: {', '.join(continued)}."
    review = version.review
    facts["review"] = (
        f"Review each {review.date} (month-day): {review.grace} missed in a row forgiven,"
        f" a new tier protected for {review.protect_months} months."
    )
    for s in version.specialisations:
        facts[f"specialisation {s.code}"] = (
            f"Specialisation {s.code} ({s.name}): {s.people} people for each of {', '.join(s.courses)},"
            f" valid for {s.valid_months} months."
        )
    for scheme in version.bonuses:
        facts[f"bonus {scheme.code}"] = _scheme(scheme, base)
    return facts


def _tier(tier: Tier, base: str) -> str:
    needs: list[str] = []
    if Decimal(tier.requires.revenue):
        needs.append(f"{format_amount(Decimal(tier.requires.revenue), base)} revenue")
    if tier.requires.specialisations:
        needs.append(counted(tier.requires.specialisations, "specialisation"))
    text = f"Tier {tier.code} ({tier.name}): {' and '.join(needs) or 'no requirement'}"
    if tier.awarded:
        text += ", awarded by the board"
    if tier.seats:
        text += f", seats: {', '.join(f'{country} {seats}' for country, seats in tier.seats.items())}"
    return f"{text}."


def _scheme(scheme: InstantScheme | KickbackScheme, base: str) -> str:
    families = "all families" if scheme.families == "all" else ", ".join(scheme.families)
    if isinstance(scheme, KickbackScheme):
        minimum = (
            f", from {format_amount(Decimal(scheme.minimum), base)} qualifying revenue"
            if Decimal(scheme.minimum)
            else ""
        )
        return f"Bonus {scheme.code} settled each quarter on {families}{minimum}: {_rates(scheme.rate_bp)}."
    needs = f", with specialisation {scheme.specialisation}" if scheme.specialisation else ""
    if scheme.rate_bp is not None:
        return f"Bonus {scheme.code} as the deal closes on {families}{needs}: {_rates(scheme.rate_bp)}."
    steps = ", ".join(f"{rate(bp)} from {years} full years" for years, bp in sorted((scheme.loyalty_bp or {}).items()))
    return f"Bonus {scheme.code} for loyalty on {families}{needs}: {steps}."


def _rates(rate_bp: dict[str, int]) -> str:
    return ", ".join(f"{tier} {rate(bp)}" for tier, bp in rate_bp.items())
