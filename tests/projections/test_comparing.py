"""Rows held against rows: every difference is told once, with its position and both values."""

import datetime as dt
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from projections.bonus_journal import BonusLine
from projections.comparing import deviations
from projections.loyalty import MembershipRow
from projections.row import Row

DAY = dt.date(2012, 1, 2)


def row(position: int, partner: str = "P", reason: str | None = None) -> MembershipRow:
    return MembershipRow(position, partner, "suspended", DAY, reason)


def line(position: int, n: int, amount: str = "1.00") -> BonusLine:
    rest = ("accrued", DAY, DAY, "CHF", Decimal(amount), Decimal("10.00"), 1000, "p", "gold")
    return BonusLine(position, n, "P", "BonusAccrued", "D", "s", *rest)  # type: ignore[arg-type]


def told(made: list[Row], found: list[Row]) -> list[tuple[str, int, str]]:
    return [(each.kind, each.position, each.detail) for each in deviations("t", made, found)]


ROWS = st.lists(st.integers(1, 9), unique=True).map(lambda positions: [row(position) for position in sorted(positions)])


@given(ROWS, ROWS)
def test_what_is_missing_and_what_is_too_much(made: list[Row], found: list[Row]) -> None:
    """By the positions alone, where the rows are alike."""
    kinds = {(kind, position) for kind, position, _ in told(made, found)}
    there, given_ = ({each.position for each in rows} for rows in (found, made))  # type: ignore[attr-defined]
    assert kinds == {("missing", p) for p in given_ - there} | {("added", p) for p in there - given_}


def test_a_changed_column_has_both_values() -> None:
    """Of each column that differs; none is told as none."""
    assert told([row(3, reason="late")], [row(3, "Q")]) == [
        ("changed", 3, "Table t, row at position 3: partner is 'Q'; the events give 'P'."),
        ("changed", 3, "Table t, row at position 3: reason is none; the events give 'late'."),
    ]


def test_lines_are_compared_one_by_one() -> None:
    """Two lines of one event are told apart; so are two rows where one must be."""
    assert told([line(3, 1), line(3, 2)], [line(3, 1), line(3, 2, "2.00")]) == [
        ("changed", 3, "Table t, row L3-2: amount is 2.00; the events give 1.00.")
    ]
    [(kind, position, detail)] = told([row(3)], [row(3), row(3, "Q")])
    assert (kind, position) == ("added", 3)
    assert "partner 'Q'" in detail
