"""Commands for programmes: publish, list, show, diff."""

import datetime as dt
import uuid
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import Refused, UnknownReference
from domain.programme import Programme
from infra.bootstrap import Runtime
from infra.cli.console import out, print_json, say, table
from infra.cli.options import Json
from infra.settings import load_settings
from producers.programme_files import read_programme_file
from projections.programme_sentences import programme_changes, programme_sentences

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
    for line in programme_sentences(version).values():
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
    differing = programme_changes(first, second)
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
