"""Commands that write the ledger out for other programs."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.progress import Progress

from infra.bootstrap import Runtime
from infra.cli.console import amount, hint, out, print_json, progress, say, table
from infra.cli.facts import wait_for_projections
from infra.cli.options import AsOf, KnownAt, known_position, note_parked
from infra.settings import load_settings
from projections.beancount import Beancount
from projections.counted import counted
from projections.hledger import Hledger
from projections.plain_text_journal import Control, JournalStyle, journal_text
from projections.queries import BonusJournal

export_commands = typer.Typer(
    help="Write the ledger out for other programs.\n\n"
    "Example: partner-ledger export journal --format hledger --to bonuses.journal",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PIECES_A_WRITE = 1000


class Format(StrEnum):
    """The programs that a journal is written for."""

    HLEDGER = "hledger"
    BEANCOUNT = "beancount"


STYLES: dict[Format, JournalStyle] = {Format.HLEDGER: Hledger(), Format.BEANCOUNT: Beancount()}


def parse_target(text: str) -> Path:
    """Read the name of a file to be written: its folder must be there, and nothing but a file in its place."""
    path = Path(text).resolve()
    if not path.parent.is_dir():
        raise typer.BadParameter(f"the folder {path.parent} is not there; make it first")
    if path.exists() and not path.is_file():
        raise typer.BadParameter(f"{path} is there and is not a file; without --to the journal goes to standard output")
    return path


@export_commands.command("journal")
def journal(
    *,
    style: Annotated[Format, typer.Option("--format", help="The program that is to read it.")],
    as_of: AsOf = None,
    known_at: KnownAt = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            parser=parse_target,
            metavar="FILE",
            help="Write it to this file, replacing it as a whole (default: to standard output).",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="With --to: print one JSON document about what was written.")
    ] = False,
) -> None:
    """Write the bonus journal of all partners, for hledger or Beancount to read: a second opinion on every balance.

    One transaction a bonus line, with what leads back to its event; then every balance as the ledger answers it, asserted, so
    that the program that reads it says where it differs; control totals at the end. It waits until all that is recorded
    has been projected.

    Example: partner-ledger export journal --format hledger --to bonuses.journal

    Example: partner-ledger export journal --format beancount --as-of 2012-12-31 > bonuses.beancount
    """
    if json and to is None:
        raise typer.BadParameter("needs --to FILE: the journal itself goes to standard output", param_hint="--json")
    runtime = Runtime(load_settings(), say)
    control = Control()
    shown = not json and (to is not None or not sys.stdout.isatty())
    with progress(shown=shown) as bar:
        position = wait_for_projections(runtime, bar)
        if known_at is not None:
            position = min(position, known_position(runtime, known_at) or 0)
        found = runtime.read_models.journal(as_of, up_to_position=position)
        with _target(to) as file:
            _write(file, _counting(bar, found, journal_text(found, STYLES[style], control), control))
    parked = note_parked(runtime)
    runtime.close()
    if found.as_of is None:
        say("The ledger is empty: import a feed first.")
    if to is None:
        return
    if json:
        print_json({"file": str(to), "format": style.value, **_document(found, control), "parked": parked})
    else:
        _print_written(to, found, control)


def _counting(bar: Progress, found: BonusJournal, pieces: Iterator[str], control: Control) -> Iterator[bytes]:
    """Give the pieces some at a time, encoded, with the lines so far on a bar."""
    writing = bar.add_task("Writing", total=sum(total.lines for total in found.totals))
    while some := "".join(islice(pieces, PIECES_A_WRITE)):
        bar.update(writing, completed=control.lines)
        yield some.encode()


def _write(file: BinaryIO, some: Iterable[bytes]) -> None:
    for each in some:
        file.write(each)
    file.flush()


@contextmanager
def _target(to: Path | None) -> Iterator[BinaryIO]:
    """Give what is written to: a file beside the one wanted, which takes its name when it is whole and is gone if it never is."""
    if to is None:
        yield sys.stdout.buffer
        return
    half = to.with_name(f".{to.name[:200]}.{os.getpid()}.half")
    try:
        with half.open("wb") as file:
            yield file
            os.fsync(file.fileno())
        half.replace(to)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(to)) from error
    finally:
        half.unlink(missing_ok=True)


def _document(found: BonusJournal, control: Control) -> dict[str, Any]:
    return {
        "as_of": found.as_of,
        "position": found.position,
        "partners": control.partners,
        "lines": control.lines,
        "balances": control.balances,
        "totals": [
            {
                "currency": currency,
                "lines": total.lines,
                "debit": total.debit,
                "credit": total.credit,
                "payable": total.payable,
            }
            for currency, total in sorted(control.currencies.items())
        ],
    }


def _print_written(to: Path, found: BonusJournal, control: Control) -> None:
    out.print(
        f"{counted(control.lines, 'line')} of {counted(control.partners, 'partner')} and"
        f" {counted(control.balances, 'balance')} as of {found.as_of} (position {found.position:,}) are in {to}"
    )
    figures = ("lines", "expense debited", "expense credited", "payable")
    view = table("Control totals", "currency", *figures, right=figures)
    for currency, total in sorted(control.currencies.items()):
        view.add_row(currency, f"{total.lines:,}", amount(total.debit), amount(total.credit), amount(total.payable))
    if control.currencies:
        out.print(view)
    hint("Whoever reads it checks every balance: `hledger -f FILE check`, `bean-check FILE`.")
