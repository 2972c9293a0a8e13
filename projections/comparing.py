"""Rows made again held against rows that are there: which are missing, which are too much, which say something else. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from domain.findings import Kind
from projections.row import Row


class Deviation(NamedTuple):
    """A row that is not as it must be: one sentence, with both values."""

    kind: Kind
    position: int
    detail: str


def deviations(table: str, made: Sequence[Row], found: Sequence[Row]) -> Iterator[Deviation]:
    """Compare the rows of a table, each list in order of position: what the events give, and what is there."""
    there: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in found:
        there[_key(row)].append(row)
    for row in made:
        key = _key(row)
        candidates = there.get(key)
        if not candidates:
            yield Deviation("missing", key[0], f"Table {table} has no row {_named(key)}; the events give {_told(row)}.")
            continue
        if row in candidates:
            candidates.remove(row)
            continue
        other = candidates.pop(0)
        for field in row.__struct_fields__:
            said, follows = getattr(other, field), getattr(row, field)
            if said != follows:
                detail = (
                    f"Table {table}, row {_named(key)}: {field} is {_value(said)}; the events give {_value(follows)}."
                )
                yield Deviation("changed", key[0], detail)
    for key, rows in there.items():
        for row in rows:
            detail = f"Table {table} has a row {_named(key)} that no event gives: {_told(row)}."
            yield Deviation("added", key[0], detail)


def _key(row: Row) -> tuple[int, int]:
    """Give what a row is compared by: its position, and the line's number where it has one."""
    return row.position, getattr(row, "n", 0)  # type: ignore[attr-defined]  # every row cites its position


def _named(key: tuple[int, int]) -> str:
    position, n = key
    return f"L{position}-{n}" if n else f"at position {position}"


def _told(row: Row) -> str:
    return ", ".join(f"{field} {_value(getattr(row, field))}" for field in row.__struct_fields__ if field != "position")


def _value(value: object) -> str:
    return "none" if value is None else repr(value) if isinstance(value, str) else str(value)
