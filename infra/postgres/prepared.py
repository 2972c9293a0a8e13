"""Statements that an append executes again and again: prepared once for each connection, so that they are not planned anew.

Planning them took 0.1 ms of a single append's 0.8, measured beside other work (docs/benchmarks.md).
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names classes in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812

_KNOWN: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()
"""The names of the statements that a connection has prepared; they live as long as it does, whatever is rolled back."""


class Statement(NamedTuple):
    """A statement under its name: `text` has $1, $2, … for parameters of the types given."""

    name: str
    types: tuple[str, ...]
    text: str

    def call(self, cursor: Cursor, values: Sequence[Any]) -> bytes:
        """Give what executes it; `prepare` must have been called with it."""
        return cursor.mogrify(f"EXECUTE {self.name} ({','.join(['%s'] * len(self.types))});", values)


@cache
def insert(name: str, target: str, types: tuple[str, ...], rows: int) -> Statement:
    """Give the statement that inserts so many rows; its values are those of all rows, one after the other."""
    width = len(types)
    values = (
        f"({','.join(f'${number}' for number in range(first, first + width))})"
        for first in range(1, rows * width + 1, width)
    )
    return Statement(f"{name}_{rows}", types * rows, f"INSERT INTO {target} VALUES {','.join(values)}")


def prepare(cursor: Cursor, statements: Iterable[Statement]) -> None:
    """Prepare those that the cursor's connection has not prepared yet, best before its transaction begins."""
    known = _KNOWN.setdefault(cursor.connection, set())
    for statement in statements:
        if statement.name not in known:
            cursor.execute(f"PREPARE {statement.name} ({','.join(statement.types)}) AS {statement.text}")
            known.add(statement.name)
