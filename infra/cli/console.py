"""What all commands print with: tables and sentences for a person, one JSON document for a program, never both.

Standard output carries the answer alone; what is happening, progress and errors go to standard error.
"""

import datetime as dt
import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Literal

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
from rich.table import Table
from rich.text import Text

WIDTH_OF_A_FILE = 200
"""Columns where the output is no terminal: nothing needs to be folded there."""

out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


def say(line: str) -> None:
    """Say in a line what is happening."""
    err.print(line, style="dim", markup=False)


def print_json(document: Any) -> None:
    """Print the one JSON document of a command: amounts as strings, dates as ISO 8601."""
    json.dump(document, sys.stdout, default=_plain, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table(title: str, *columns: str, right: Collection[str] = (), fold: Collection[str] = ()) -> Table:
    """Make a table; columns in `right` hold figures, those in `fold` may take several lines, all others stay on one."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    made.min_width = min(len(title), out.width)  # the title stays on one line
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column not in fold)
    return made


def counted(number: int, one: str) -> str:
    """Give a number with its noun: `1 fact`, `2,000 facts`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


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
    with Progress(*columns, console=err, transient=True, disable=not (shown and err.is_terminal)) as bar:
        yield bar
