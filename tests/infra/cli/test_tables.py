"""Tables at several widths: what must not be cut is not, and nothing is wider than the terminal."""

import io
import re

import pytest
from rich.console import Console

from infra.cli.tables import FittingTable

NAME = "Schweizerische Genossenschaft für Informatik und Telekommunikation"
WHOLE = ["CH-0001", "2012-02-10", "12,345,678,901.50", "-1.05", "extraordinary"]


def printed(width: int, *, terminal: bool = True) -> str:
    """Print a table with an id, a long name, a date and two amounts."""
    columns = ("partner", "name", "posted", "what happened", "amount", "rest")
    table = FittingTable("Some lines", columns, ("amount", "rest"), ("name", "what happened"))
    table.caption = "What it means."
    table.add_row("CH-0001", NAME, "2012-02-10", "something extraordinary", "12,345,678,901.50", "-1.05")
    table.add_row("CH-2", "X", "2012-02-11", "", "1.00", "CHF 1.00\nEUR 2.00")
    written = io.StringIO()
    Console(file=written, width=width, force_terminal=terminal, color_system=None).print(table)
    return written.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_amounts_dates_ids_and_words_are_whole_at_every_width(width: int) -> None:
    """No line is wider than the terminal, and the words of a long name come in their order."""
    text = printed(width)
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    assert [each for each in [*WHOLE, *NAME.split(), "EUR", "2.00"] if each not in words] == []
    assert "What it means." in text


@pytest.mark.parametrize(("width", "listed"), [(60, True), (120, False)])
def test_a_table_without_room_is_a_list(width: int, listed: bool) -> None:
    """Each row with its columns by name; a cell without content is left out."""
    text = printed(width)
    assert bool(re.search(r"^partner +CH-0001 *$", text, re.MULTILINE)) is listed
    assert text.count("what happened") == 1


def test_a_file_gets_lines_that_are_not_folded() -> None:
    """Whatever width the console believes to have."""
    lines = printed(100_000, terminal=False).splitlines()
    assert len(lines) == 6
    assert NAME in lines[2]
    assert "12,345,678,901.50" in lines[2]


def test_what_is_wider_than_a_file_has_room_for_is_not_cut() -> None:
    """An id may have 200 characters."""
    table = FittingTable("Long", ("id", "amount"), (), ())
    table.add_row("x" * 200, "y" * 100)
    written = io.StringIO()
    Console(file=written, width=100_000, force_terminal=False).print(table)
    assert written.getvalue().splitlines()[2].split() == ["x" * 200, "y" * 100]
