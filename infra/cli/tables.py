"""Tables that fit the terminal: amounts, dates and ids are never cut, long texts wrap between words.

Where not even that fits, each row is shown as a list of its columns. Where the output is no terminal, nothing is folded that
a line of a file has room for, and nothing is ever cut.
"""

from collections.abc import Collection, Iterator

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

WIDTH_OF_A_FILE = 200
"""Columns that a table may take where the output is no terminal; more, where it cannot do with less."""
LONGEST_WORD = 24
"""A word up to this length is not broken in a column that may take several lines."""
GAP = 2


class FittingTable(Table):
    """A table whose columns are given their widths by what they hold; those in `fold` may take several lines."""

    def __init__(self, title: str, columns: Collection[str], right: Collection[str], fold: Collection[str]) -> None:
        super().__init__(
            title=title, title_justify="left", title_style="bold", caption_justify="left", header_style="bold"
        )
        self.box = None
        self.pad_edge = False
        for column in columns:
            justify = "right" if column in right else "left"
            self.add_column(column, justify=justify, overflow="fold", no_wrap=column not in fold)  # type: ignore[arg-type]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Choose the columns' widths for the room there is, or the list where they have none."""
        least = [_least_width(column) for column in self.columns]
        needed = sum(least) + GAP * (len(least) - 1)
        room = options.max_width if console.is_terminal else max(WIDTH_OF_A_FILE, needed)
        self.min_width = min(cell_len(str(self.title)), room)  # the title stays on one line
        if needed > room:
            yield from self._as_list()
            return
        for column, width in zip(self.columns, _widths(self.columns, least, room), strict=True):
            column.width = width
        yield from super().__rich_console__(console, options.update(width=room))

    def _as_list(self) -> Iterator[RenderableType]:
        names = [str(column.header) or " " for column in self.columns]
        yield Text(str(self.title), style="bold")
        for row in zip(*(column.cells for column in self.columns), strict=True):
            listed = Table.grid(padding=(0, GAP, 0, 0))
            listed.add_column(style="bold", no_wrap=True)
            listed.add_column(overflow="fold")
            for name, cell in zip(names, row, strict=True):
                if _plain(cell):
                    listed.add_row(name, cell)
            yield listed
            yield ""
        if self.caption:
            yield Text(str(self.caption), style="table.caption")


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def _natural_width(column: Column) -> int:
    return max(cell_len(line) for cell in (column.header, *column.cells) for line in _plain(cell).split("\n"))


def _least_width(column: Column) -> int:
    if column.no_wrap:
        return _natural_width(column)
    words = [word for cell in (column.header, *column.cells) for word in _plain(cell).split()]
    return min(max(map(cell_len, words), default=1), max(LONGEST_WORD, cell_len(_plain(column.header))))


def _widths(columns: list[Column], least: list[int], room: int) -> list[int]:
    """Give each column its least width, and what room is left to those that want more, the neediest last."""
    widths = list(least)
    wants = {n: _natural_width(column) - least[n] for n, column in enumerate(columns)}
    left = room - sum(least) - GAP * (len(least) - 1)
    wanting = sorted((n for n in wants if wants[n] > 0), key=lambda n: wants[n])
    for count, n in enumerate(wanting):
        given = min(wants[n], left // (len(wanting) - count))
        widths[n] += given
        left -= given
    return widths
