"""Rows to what PostgreSQL's COPY reads, at the speed of the JSON encoder; and values to array literals.

A row as a JSON array is nearly a line of CSV: the brackets go, and COPY is told that a backslash escapes. What is left are
JSON's other escapes (control characters), which a quoted field of CSV holds as they are.
"""

import re
from collections.abc import Collection, Iterable
from io import BytesIO
from typing import NamedTuple

import msgspec

from projections.row import Row

_ENCODER = msgspec.json.Encoder()
_ESCAPE = re.compile(rb"\\(?:u[0-9a-f]{4}|.)")

COLUMN_NAMES = {"offset": "record_offset"}
"""Of the fields whose names SQL keeps for itself."""


class Table(NamedTuple):
    """A table that rows are copied into; its columns are the row type's fields."""

    name: str
    row: type[Row]

    @property
    def names(self) -> str:
        """The columns' names, for a statement."""
        return ", ".join(COLUMN_NAMES.get(field, field) for field in self.row.__struct_fields__)

    @property
    def statement(self) -> str:
        """The COPY statement."""
        return f"COPY {self.name} ({self.names}) FROM STDIN (FORMAT csv, ESCAPE '\\', NULL 'null')"


def csv_lines(rows: Collection[Row]) -> BytesIO:
    """Give rows as COPY reads them; at least one."""
    lines = _ENCODER.encode_lines(rows)[1:-2].replace(b"]\n[", b"\n")
    if b"\\" in lines.replace(b"\\\\", b"").replace(b'\\"', b""):
        lines = _ESCAPE.sub(_unescaped, lines)
    return BytesIO(lines)


def _unescaped(match: re.Match[bytes]) -> bytes:
    """Give what an escape stands for, but for the two that CSV has as well."""
    escape = match[0]
    return escape if escape in (b"\\\\", b'\\"') else str(msgspec.json.decode(b'"' + escape + b'"')).encode()


def array(values: Iterable[object]) -> str:
    """Give an array literal, to be cast to its type; never null inside."""
    return "{" + ",".join([_quoted(value) if isinstance(value, str) else str(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
