"""The rows of one feed file, CSV or JSON Lines, each with its line; a row that cannot be read is given with its reason.

Nothing in a file makes memory grow or hides the rows after it: a row has at most `MAX_CHARACTERS`, and of a row over
several lines that is wrong (its quote never closes, it has too many values) only the first line is refused; reading goes
on at the second, which may be a good row.
"""

import csv
import datetime as dt
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from io import TextIOBase
from pathlib import Path
from typing import Any

from domain.errors import InvalidInput
from domain.facts import Fact, shown

MAX_CHARACTERS = 131_072
"""The characters of a row, line ends among them, stay below this: far more than its columns may hold."""
SHOWN_FAULTS = 5

Row = tuple[int, dict[str, Any], str | None]
"""The line that it begins on, its values by column, and why it cannot be read (it has no values then)."""

TOO_LONG = f"The row has {MAX_CHARACTERS:,} characters or more, which no row needs."
LEFT_OPEN = "A quote opened in this line is not closed before a comma or an end of line; the next line was read as a row of its own."
OUT_OF_PLACE = "A quote is out of place: after a closing quote comes a comma or the end of the line."
SWALLOWS = (
    "A quote opened in this line takes in line {}, which looks like a row of its own; the next line was read as one."
)

_UNDECODED = re.compile("[\udc80-\udcff]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class _TooLongError(Exception):
    """A row reaches `MAX_CHARACTERS`."""


class _Lines:
    """A file's lines, with their ends; those taken since `begin` can be taken once more, but for the first.

    `number` is that of the last line taken. Of a line that is too long only the beginning is kept.
    """

    def __init__(self, text: TextIOBase) -> None:
        self._text = text
        self._ahead = ""
        self._again: deque[str] = deque()
        self._characters = 0
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._line()
        if not line:
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        self._characters += len(line)
        if self._characters >= MAX_CHARACTERS:
            raise _TooLongError
        return line

    def begin(self) -> int:
        """Begin a row; give its line's number."""
        self.taken.clear()
        self._characters = 0
        return self.number + 1

    def go_back_to_second(self) -> None:
        """Have all lines of the row but its first be taken once more."""
        second_on = self.taken[1:]
        self._again.extendleft(reversed(second_on))
        self.number -= len(second_on)

    def _line(self) -> str:
        line, self._ahead = self._ahead or self._text.readline(MAX_CHARACTERS), ""
        end = line
        while len(end) == MAX_CHARACTERS and end[-1] not in "\r\n":
            end = self._text.readline(MAX_CHARACTERS)
        if len(end) == MAX_CHARACTERS and end[-1] == "\r":  # cut between the two characters of one line end?
            after = self._text.readline(MAX_CHARACTERS)
            self._ahead = "" if after == "\n" else after
        return line


def csv_rows(text: TextIOBase, fact_type: type[Fact], name: str) -> Iterator[Row]:
    """Read a CSV file, opened with `newline=""`.

    Raises:
        InvalidInput: its header is not that of such facts.

    """
    lines = _Lines(text)
    reader = csv.reader(lines, strict=True)
    columns = _header(reader, lines, fact_type, name)
    date_at = columns.index(next(c for c, field in fact_type.model_fields.items() if field.annotation is dt.date))
    while True:
        line = lines.begin()
        fault = None
        values: list[str] = []
        try:
            values = next(reader)
        except StopIteration:
            return
        except _TooLongError:
            fault = TOO_LONG if len(lines.taken) == 1 else LEFT_OPEN
        except csv.Error as error:
            within_line = len(lines.taken) == 1 and "end of data" not in str(error)
            fault = OUT_OF_PLACE if within_line else LEFT_OPEN
        else:
            if not values:
                continue
            if len(values) != len(columns):
                fault = f"The row has {len(values)} values for {len(columns)} columns."
            elif len(lines.taken) > 1 and (within := _row_within(lines.taken[1:], date_at)) is not None:
                fault = SWALLOWS.format(line + 1 + within)
        if fault is None:
            yield line, dict(zip(columns, values, strict=True)), None
        else:
            lines.go_back_to_second()
            yield line, {}, fault


def _row_within(lines: Iterable[str], date_at: int) -> int | None:
    """Find the first line that, read alone, has a date where a row has it: a quote was forgotten, money would be left out."""
    for index, line in enumerate(lines):
        values = next(csv.reader([line]), [])
        if len(values) > date_at and _DATE.fullmatch(values[date_at]):
            return index
    return None


def _header(reader: Iterator[list[str]], lines: _Lines, fact_type: type[Fact], name: str) -> list[str]:
    lines.begin()
    try:
        columns = next(reader, [])
    except (_TooLongError, csv.Error):
        raise InvalidInput(
            f"{name}, line 1: this is no header. The columns are {', '.join(fact_type.model_fields)}."
        ) from None
    fields = fact_type.model_fields
    missing = [c for c, field in fields.items() if field.is_required() and c not in columns]
    strange = list(dict.fromkeys(c for c in columns if c not in fields))
    twice = [c for c in fields if columns.count(c) > 1]
    faults = [
        *(f"column {c} is missing" for c in missing),
        *(f"there is no column {shown(c)}" for c in strange[:SHOWN_FAULTS]),
        *([f"{len(strange) - SHOWN_FAULTS:,} more columns are not known"] if len(strange) > SHOWN_FAULTS else []),
        *(f"column {c} is there twice" for c in twice),
    ]
    if faults:
        raise InvalidInput(f"{name}, line 1: {'; '.join(faults)}. The columns are {', '.join(fields)}.")
    return columns


def json_rows(text: TextIOBase, fact_type: type[Fact], name: str) -> Iterator[Row]:
    """Read a file of JSON Lines, opened with `newline=""`; whatever the name, nothing refuses it whole."""
    lines = _Lines(text)
    while True:
        line = lines.begin()
        try:
            document = next(lines)
        except StopIteration:
            return
        except _TooLongError:
            yield line, {}, TOO_LONG
            continue
        if not document.strip():
            continue
        try:
            row = json.loads(
                document, parse_float=str, parse_int=str, object_pairs_hook=_keys_once
            )  # an amount stays what was written
        except RecursionError:
            yield line, {}, "The line is not JSON that can be read: it is nested too deep."
        except ValueError as error:
            yield line, {}, f"The line is not JSON: {error}."
        else:
            if isinstance(row, dict):
                yield line, row, None
            else:
                yield line, {}, f"The line is not a JSON object with the keys {', '.join(fact_type.model_fields)}."


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a row of a JSON object; of a key that is there twice, neither value is to be taken quietly."""
    row: dict[str, Any] = {}
    for key, value in pairs:
        if key in row:
            raise ValueError(f"the key {shown(key)} is there twice")
        row[key] = value
    return row


def undecodable_line(path: Path) -> int:
    """Give the first line of a file that is not UTF-8."""
    number = 1
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as text:
        while (part := text.readline(MAX_CHARACTERS)) and not _UNDECODED.search(part):
            number += part.endswith("\n")
    return number
