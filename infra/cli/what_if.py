"""`replay what-if`: a programme change rehearsed on all that was recorded; `replay diff`: two rehearsals side by side."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import FaultyFile, InvalidInput
from domain.money import format_amount
from infra.bootstrap import Runtime
from infra.cli.console import amount, hint, out, print_json, progress, say, table
from infra.cli.options import AsOf, Json, Workers, check_not_future, ended_in_order, note_parked
from infra.cli.tapes import TapeFolder, TopUp
from infra.settings import load_settings
from producers.programme_files import read_programme_file
from projections.counted import counted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from domain.programme import Programme
    from infra.replay.rehearsing import Explained, Rehearsal
    from projections.what_if_difference import Difference, PartnerDifference

what_if_commands = typer.Typer()

FIGURES = ("as it is", "would be", "change")
SHOWN = 10
"""So many partners and refused facts are shown to a person; all are in --json."""


@what_if_commands.command("what-if")
def what_if(
    *,
    programme: Annotated[
        list[Path],
        typer.Option("--programme", metavar="FILE", help="A candidate, a programme file; may be given several times."),
    ],
    as_of: AsOf = None,
    tape: TapeFolder = None,
    top_up: TopUp = True,
    workers: Workers = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write a table of partners for a spreadsheet, to a new file."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with charts to show or print, to a new file."),
    ] = None,
    json: Json = False,
) -> None:
    """Decide all recorded facts under other programmes, and show what would differ. Nothing is changed.

    A candidate takes the place of the published version with the same effective_from, or is added. Facts stay as they were told;
    one that the candidate refuses is listed and not applied. The facts are read from the tape, to which those recorded since are added
    first (`replay tape`); what is comes from the projections as they knew it at the tape's position.

    Example: partner-ledger replay what-if --programme candidate.yaml

    Example: partner-ledger replay what-if --programme candidate.yaml --as-of 2013-12-31 --csv partners.csv

    Example: partner-ledger replay what-if --programme candidate.yaml --html candidate.html
    """
    from infra.cli.what_if_document import csv_table, what_if_document
    from infra.replay.rehearsing import Request

    if csv is not None and html is not None and csv.absolute() == html.absolute():
        raise typer.BadParameter(f"--csv and --html both name {csv}; name two files")
    candidates = _candidates(programme)
    if html is not None:
        from infra.replay.page import check_installed

        check_installed()
    runtime = Runtime(load_settings(), say)
    check_not_future(as_of, runtime)
    request = Request(runtime.tape_folder(tape), top_up, [candidates], as_of, workers or os.cpu_count() or 1)
    began = time.monotonic()
    with (
        ended_in_order(),
        new_file(csv) as write_table,
        new_file(html) as write_page,
        told(shown=not json) as telling,
    ):
        (rehearsal,) = runtime.what_if(request, telling)
        write_table(lambda: csv_table(rehearsal.difference))
        document = what_if_document(rehearsal)
        write_page(lambda: _page(rehearsal, document["digest"], telling))
    seconds = time.monotonic() - began
    parked = note_parked(runtime)
    if json:
        print_json({**document, "parked": parked, "seconds": round(seconds, 3), "workers": request.workers})
        return
    print_what_if(rehearsal)
    rate = f", deciding {telling.rate:,.0f} facts a second" if telling.rate else ""
    out.print(
        f"{counted(rehearsal.facts, 'fact')} of partners decided anew up to position {rehearsal.difference.position:,}"
        f" ({seconds:,.1f} s in all{rate}). Digest: {document['digest']}."
    )
    later = runtime.read_models.standing().position - rehearsal.difference.position
    if later > 0:
        again = "run the same command again" if top_up else "leave out --no-top-up"
        hint(f"{counted(later, 'event')} recorded since; {again} to have them decided too.")
    hint("Rows that an import refused are no facts: what they would have come to under the candidate is not in this.")


def _page(rehearsal: "Rehearsal", digest: str, telling: "Told") -> str:
    from infra.replay.what_if_page import what_if_page

    telling.stage("Drawing the page")
    return what_if_page(rehearsal, digest)


Write = Callable[[Callable[[], str]], object]


@contextmanager
def new_file(file: Path | None) -> Iterator[Write]:
    """Give what writes a new file, if one is wanted: whether it can be written is known before the work begins."""
    if file is None:
        yield lambda _: None
        return
    from infra.files import whole_file

    with whole_file(file) as whole:
        yield lambda content: whole.write(content().encode())


def _candidates(files: Sequence[Path]) -> "list[Programme]":
    """Read the candidates; the faults of all files are told at once."""
    programmes: list[Programme] = []
    errors: list[InvalidInput] = []
    for file in files:
        try:
            programmes.append(read_programme_file(file))
        except FaultyFile as error:
            errors.append(FaultyFile(error.name, error.faults, more=error.more, consequence="nothing was rehearsed"))
        except InvalidInput as error:
            errors.append(error)
    if len(errors) > 1:
        raise InvalidInput("\n".join(map(str, errors)))
    if errors:
        raise errors[0]
    return programmes


@dataclass
class Told:
    """Tells a person how a what-if goes on: port `infra.replay.rehearsing.Telling`."""

    bar: "Progress"
    task: "TaskID"
    rate: float | None = None
    """Facts decided a second, once all are."""
    _began: float = 0.0
    _doing: str = ""

    def stage(self, doing: str, total: int | None = None) -> None:
        """Begin something."""
        self._began, self._doing = time.monotonic(), doing
        self.bar.reset(self.task, description=doing, total=total)

    def note(self, done: int, total: int) -> None:
        """Tell of so many steps done."""
        from infra.replay.rehearsing import DECIDING

        if self._doing == DECIDING:
            self.rate = done / max(time.monotonic() - self._began, 0.001)
        self.bar.update(self.task, completed=done, total=total)


@contextmanager
def told(*, shown: bool) -> Iterator[Told]:
    """Give what tells a person how it goes on, on a terminal only."""
    with progress(shown=shown) as bar:
        yield Told(bar, bar.add_task("Starting", total=None))


# --- for a person ---


def print_what_if(rehearsal: "Rehearsal") -> None:
    """Print what would differ: in a sentence, holders, money, who gains and loses most, refused facts."""
    from projections.what_if_board import in_short

    compared = rehearsal.difference
    names = ", ".join(f"{each.programme} from {each.effective_from}" for each in rehearsal.candidates)
    out.print(f"What if: {names} (as of {compared.as_of}, position {compared.position:,})", style="bold")
    out.print(in_short(compared))
    if compared.differing:
        _print_holders(compared)
        _print_money(compared)
        _print_partners("Who would gain most", compared.gaining, compared)
        _print_partners("Who would lose most", compared.losing, compared)
        _print_partners("Who would hold another tier for the same money", compared.moving, compared)
        for each in rehearsal.largest[:1]:
            _print_lines(each)
    if compared.refused:
        view = table(
            f"Facts that would be refused ({_of(len(compared.refused))})",
            *("position", "partner", "fact", "why"),
            right=("position",),
            fold=("fact", "why"),
        )
        for fact in compared.refused[:SHOWN]:
            view.add_row(f"{fact.position:,}", fact.partner, fact.what, fact.reason)
        out.print(view)


def _of(count: int) -> str:
    """Say how many there are, and that not all are shown where that is so."""
    return f"{count:,}" if count <= SHOWN else f"{SHOWN} of {count:,}; --json has all"


def _print_holders(compared: "Difference") -> None:
    view = table("Holders by tier", "tier", *FIGURES, right=FIGURES)
    for each in compared.holders_in_all:
        view.add_row(each.tier, f"{each.then:,}", f"{each.now:,}", f"{each.now - each.then:+,}")
    out.print(view)


def _print_money(compared: "Difference") -> None:
    view = table("Bonuses by scheme", "scheme", "currency", *FIGURES, right=FIGURES)
    for each in compared.money["scheme"]:
        view.add_row(each.group, each.currency, amount(each.then), amount(each.now), f"{each.change:+,}")
    out.print(view)


def _print_partners(title: str, partners: "Sequence[PartnerDifference]", compared: "Difference") -> None:
    if not partners:
        return
    view = table(
        f"{title} ({_of(len(partners))})",
        *("partner", "name", "country", "tier", "would be", f"change in {compared.base_currency}"),
        right=(f"change in {compared.base_currency}",),
        fold=("name", "tier", "would be"),
    )
    for each in partners[:SHOWN]:
        view.add_row(
            each.partner, each.name, each.country, each.tier_then or "-", each.tier_now or "-", f"{each.change:+,}"
        )
    out.print(view)


def _print_lines(each: "Explained") -> None:
    from projections.what_if_board import largest_lines

    if not each.lines:
        return
    view = table(
        f"The largest difference line by line: {each.partner.partner} ({_of(len(each.lines))})",
        *("date", "cause", "scheme", "as it is", "would be", "why"),
        right=("as it is", "would be"),
        fold=("cause", "scheme", "why"),
    )
    for line in largest_lines(each.lines, SHOWN)[0]:
        view.add_row(
            line.business_date,
            line.cause or "quarter settled",
            line.scheme,
            "-" if line.then is None else format_amount(line.then.amount, line.currency),
            "-" if line.now is None else format_amount(line.now.amount, line.currency),
            line.why,
        )
    out.print(view)


# --- two of them ---


@what_if_commands.command("diff")
def diff(
    first: Annotated[
        Path, typer.Argument(metavar="A.json", help="What `replay what-if --json` said of one candidate.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="And of another one.")],
    *,
    json: Json = False,
) -> None:
    """Compare two candidates: the partners whose tier or money would differ between them, and the sums.

    Example: partner-ledger replay diff generous.json strict.json
    """
    from infra.cli.what_if_diff import compared, read_what_if

    a, b = read_what_if(first), read_what_if(second)
    document = compared(a, b)
    if json:
        print_json(document)
        return
    _print_diff(document, first.name, second.name)


def _print_diff(document: dict[str, Any], first: str, second: str) -> None:
    out.print(f"From {first} to {second}, as of {document['as_of']}:", style="bold", markup=False)
    if not document["partners"] and not document["money"]:
        out.print("Nothing differs.")
        return
    view = table("Holders by tier", "tier", first, second, right=(first, second))
    for each in document["holders"]:
        view.add_row(each["tier"], f"{each['a']:,}", f"{each['b']:,}")
    out.print(view)
    figures = (first, second, "change")
    view = table("Bonuses by scheme", "scheme", "currency", *figures, right=figures)
    for each in document["money"]:
        view.add_row(each["scheme"], each["currency"], amount(each["a"]), amount(each["b"]), f"{each['change']:+,}")
    out.print(view)
    view = table(
        f"Partners that differ ({len(document['partners']):,})",
        *("partner", f"tier, {first}", f"tier, {second}", "change"),
        right=("change",),
        fold=(f"tier, {first}", f"tier, {second}"),
    )
    for partner, each in list(document["partners"].items())[:SHOWN]:
        changes = ", ".join(f"{currency} {change:+,}" for currency, change in each["change"].items())
        view.add_row(partner, each["tier_a"] or "-", each["tier_b"] or "-", changes)
    out.print(view)
