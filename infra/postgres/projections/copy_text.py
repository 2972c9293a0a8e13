"""Rows to PostgreSQL's COPY text format and to array literals, column by column, which is what makes bulk writes fast.

Most columns hold few different values in a batch (partners, dates, currencies): each of those is made into text once.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from io import BytesIO
from typing import Any, NamedTuple

Encode = Callable[[Iterable[Any]], Iterable[str]]

NULL = "\\N"


def _escaped(text: str) -> str:
    if text.isprintable() and "\\" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _value(value: object) -> str:
    if value is None:
        return NULL
    return _escaped(value) if isinstance(value, str) else str(value)


def plain(column: Iterable[Any]) -> Iterable[str]:
    """Encode numbers and booleans, never null."""
    return map(str, column)


def text(column: Iterable[Any]) -> Iterable[str]:
    """Encode texts that are mostly different; null or not."""
    return map(_value, column)


def shared(column: Iterable[Any]) -> Iterable[str]:
    """Encode texts, dates or times of which the same come again and again; null or not."""
    values = list(column)
    encoded = {value: _value(value) for value in set(values)}
    return map(encoded.__getitem__, values)


def binary(column: Iterable[bytes]) -> Iterable[str]:
    """Encode bytes, never null."""
    return ["\\\\x" + value.hex() for value in column]


class Table(NamedTuple):
    """A table that rows are copied into: its name, and its columns in the rows' order with how each is encoded."""

    name: str
    columns: Sequence[tuple[str, Encode]]

    @property
    def names(self) -> str:
        """The columns' names, for a statement."""
        return ", ".join(name for name, _ in self.columns)

    @property
    def statement(self) -> str:
        """The COPY statement."""
        return f"COPY {self.name} ({self.names}) FROM STDIN"

    def data(self, rows: Collection[tuple[Any, ...]]) -> BytesIO:
        """Give rows as COPY text."""
        encoded = [encode(column) for (_, encode), column in zip(self.columns, zip(*rows, strict=True), strict=True)]
        lines = map("\t".join, zip(*encoded, strict=True))
        return BytesIO(("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"))


def array(values: Iterable[object]) -> str:
    """Give an array literal, to be cast to its type; never null inside."""
    return "{" + ",".join([_quoted(value) if isinstance(value, str) else str(value) for value in values]) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
