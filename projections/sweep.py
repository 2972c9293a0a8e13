"""Several parameters of a programme varied at once: the points of their grid, and what each comes to."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import product
from math import prod
from typing import NamedTuple

from domain.errors import InvalidInput
from domain.facts import shown
from domain.programme import Programme
from projections.parameters import check_paths, with_parameters
from projections.queries import Total
from projections.what_if import Counts, Folded
from projections.what_if_tally import Cell, Totals

MAX_DIGITS = 14
"""Before the point and after it; no programme has more."""
MAX_POINTS = 200
"""Each point takes as long as a what-if and some megabytes; more of them no table shows."""


class Setting(NamedTuple):
    """A parameter's path and the values it is to take, in their order."""

    path: str
    values: tuple[Decimal, ...]


def setting(text: str) -> Setting:
    """Read a setting: `PATH=VALUES`, values being numbers and ranges `FROM..TO/STEP` with commas between, both ends counted.

    Raises:
        InvalidInput: it is none.

    """
    path, equals, told = text.partition("=")
    if not (path and equals and told):
        raise InvalidInput(f"{text!r} sets nothing; write PATH=VALUES, such as silver.revenue=40000..80000/5000.")
    values = [value for part in told.split(",") for value in _values(text, part)]
    if len(set(values)) < len(values):
        raise InvalidInput(f"{text!r} names a value twice.")
    return Setting(path, tuple(values))


def _values(text: str, part: str) -> Sequence[Decimal]:
    first, dots, rest = part.partition("..")
    if not dots:
        return [_number(text, part)]
    last, slash, step = rest.partition("/")
    if not slash:
        raise InvalidInput(f"{part!r} in {text!r} has no step; write {part}/STEP.")
    low, high, by = (_number(text, each) for each in (first, last, step))
    if by <= 0 or high < low:
        raise InvalidInput(f"{part!r} in {text!r} leads nowhere: a range goes up, by steps above zero.")
    count = int((high - low) / by) + 1
    _check_count(count)
    return [low + by * number for number in range(count)]


def _number(text: str, part: str) -> Decimal:
    try:
        value = Decimal(part.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if re.fullmatch(r"0[0-9]+", part.strip()):
        raise InvalidInput(
            f"{part!r} in {text!r} looks like the end of a number; write 50000 for 50,000, commas part values."
        )
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAX_DIGITS or value < 0 or value.adjusted() > MAX_DIGITS:
        raise InvalidInput(f"{shown(part)} in {shown(text)} is no number of a programme, such as 40000 or 0.82.")
    return value


def _check_count(count: int) -> None:
    if count > MAX_POINTS:
        raise InvalidInput(
            f"These are {count:,} points; {MAX_POINTS} at most are rehearsed at once. Take larger steps or fewer parameters."
        )


# --- points ---


class Point(NamedTuple):
    """Values of the parameters, by path, and the programme that has them."""

    values: Mapping[str, Decimal]
    programme: Programme


class Impossible(NamedTuple):
    """Values with which the programme could not be published, and why."""

    values: Mapping[str, Decimal]
    why: str


def grid(version: Programme, settings: Sequence[Setting]) -> tuple[list[Point], list[Impossible]]:
    """Give the points of all values with all others, the last parameter varying fastest; and those that cannot be.

    Raises:
        InvalidInput: a parameter is not there or set twice, there are too many points, or none that can be.

    """
    paths = [each.path for each in settings]
    check_paths(version, paths)
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise InvalidInput(f"{path} is set twice; write its values with commas between.")
    _check_count(prod(len(each.values) for each in settings))
    points: list[Point] = []
    impossible: list[Impossible] = []
    for values in product(*(each.values for each in settings)):
        wanted = dict(zip(paths, values, strict=True))
        try:
            points.append(Point(wanted, with_parameters(version, wanted)))
        except InvalidInput as error:
            impossible.append(Impossible(wanted, str(error)))
    if not points:
        first = impossible[0]
        raise InvalidInput(f"No programme can have these values. {as_set(first.values)}: {first.why}.")
    return points, impossible


def as_set(values: Mapping[str, Decimal]) -> str:
    """Give values as they are set: `silver.revenue=40000`."""
    return " ".join(f"{path}={value:f}" for path, value in values.items())


# --- what they come to ---


@dataclass(frozen=True)
class PointSums:
    """What a point comes to: holders of each tier, bonuses by scheme and currency, facts refused."""

    values: Mapping[str, Decimal]
    counts: Counts
    by_scheme: Sequence[Total]

    @property
    def money(self) -> Mapping[str, Decimal]:
        """All bonuses, by currency."""
        return money(self.by_scheme)


def money(by_scheme: Sequence[Total]) -> dict[str, Decimal]:
    """Sum bonuses up by currency."""
    sums: dict[str, Decimal] = {}
    for each in by_scheme:
        sums[each.currency] = sums.get(each.currency, Decimal(0)) + each.total
    return dict(sorted(sums.items()))


def sums_alone(folded: Folded) -> Folded:
    """Keep counts, and bonuses summed by scheme and currency: what partners come to is not wanted, and would fill the memory."""
    return Folded([], Totals(_by_scheme(cell) for cell in folded.cells).cells(), folded.counts)


def _by_scheme(cell: Cell) -> Cell:
    return Cell(cell.scheme, "", cell.currency, "", "", dt.date.min, cell.clawed_back, cell.minor, cell.lines)
