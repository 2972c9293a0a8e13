"""What all commands print with: tables and sentences for a person, one JSON document for a program, never both.

Standard output carries the answer alone; what is happening, progress and errors go to standard error.
"""

import datetime as dt
import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from infra.cli.tables import FittingTable

UNFOLDED = 100_000
"""Columns where the output is no terminal: no sentence is folded there."""

out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else UNFOLDED)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


class Quiet:
    """Whether only the answer and errors are wanted (`--quiet`); set once, before a command runs."""

    wanted = False


def say(line: str) -> None:
    """Say in a line what is happening."""
    if not Quiet.wanted:
        err.print(line, style="dim", markup=False)


def hint(line: str) -> None:
    """Tell a person something beside the answer: where to look on, what it means."""
    if not Quiet.wanted:
        out.print(line, markup=False)


def warn(sentence: str) -> None:
    """Tell of something that the answer depends on; never left out."""
    err.print(sentence, style="yellow", markup=False)


def print_json(document: Any) -> None:
    """Print the one JSON document of a command: amounts as strings, dates as ISO 8601.

    A value of the document that is an iterator becomes a list, written as it comes: it may be longer than memory holds.
    """
    if isinstance(document, dict) and any(isinstance(value, Iterator) for value in document.values()):
        _print_as_it_comes(document)
    else:
        json.dump(document, sys.stdout, default=_plain, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _print_as_it_comes(document: dict[str, Any]) -> None:
    for number, (key, value) in enumerate(document.items()):
        sys.stdout.write(f"{',' if number else '{'}\n  {_json(key)}: ")
        if isinstance(value, Iterator):
            before = "[\n    "
            for item in value:
                sys.stdout.write(before + _json(item).replace("\n", "\n    "))
                before = ",\n    "
            sys.stdout.write("[]" if before.startswith("[") else "\n  ]")
        else:
            sys.stdout.write(_json(value).replace("\n", "\n  "))
    sys.stdout.write("\n}")


def _json(value: Any) -> str:
    return json.dumps(value, default=_plain, indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table(title: str, *columns: str, right: Collection[str] = (), fold: Collection[str] = ()) -> FittingTable:
    """Make a table; columns in `right` hold figures, those in `fold` may take several lines, all others stay on one."""
    return FittingTable(title, columns, right, fold)


def amount(value: Decimal) -> str:
    """Give an amount for a person, with thousands separated."""
    return f"{value:,}"


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="dim")


@contextmanager
def progress(*, shown: bool = True) -> Iterator[Progress]:
    """Show progress with rate and time left, on a terminal only."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=err, transient=True, disable=Quiet.wanted or not (shown and err.is_terminal)
    ) as bar:
        yield bar
