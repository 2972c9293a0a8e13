"""The bonus journal: every bonus line, and what it changes in a balance (rules.md, Balances).

A line of +X debits `bonus-expense:<scheme>` and credits `payable:<partner>`; a negative one the other way round. A line is
its double entry: both sides are one amount in one row, so none can be half there (`infra/postgres/projections/build.sql`
shows them by account). Balances are kept beside the lines, as sums of their own.
"""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal, NamedTuple

from domain.errors import IntegrityFault
from domain.events import BonusAccrued, BonusClawedBack, KickbackSettled
from projections.row import Row

Category = Literal["accrued", "clawed_back", "paid"]
BonusEvent = BonusAccrued | BonusClawedBack | KickbackSettled


class BonusLine(Row, frozen=True, array_like=True, gc=False):
    """One line: `n` counts an event's lines from 1. `cause` is the deal, the reversal, or None where time settled."""

    position: int
    n: int
    partner: str
    kind: str
    cause: str | None
    scheme: str
    category: Category
    business_date: dt.date
    posting_date: dt.date
    currency: str
    amount: Decimal
    basis: Decimal
    rate_bp: int
    programme: str
    tier: str

    @property
    def line_id(self) -> str:
        """The line's name for people and commands: `L<position>-<n>`."""
        return line_id(self.position, self.n)


class BalanceChange(NamedTuple):
    """What the lines of one partner, currency and month of posting (its first day) add up to."""

    partner: str
    currency: str
    posting_month: dt.date
    accrued: Decimal
    clawed_back: Decimal
    paid: Decimal
    lines: int


def line_id(position: int, n: int) -> str:
    """Give a line's name: `L<position>-<n>`."""
    return f"L{position}-{n}"


def bonus_lines(position: int, partner: str, event: BonusEvent) -> list[BonusLine]:
    """Give the lines of an accrual, a clawback or a settlement (rules.md, Balances: which category they are in).

    Raises:
        IntegrityFault: a line has an amount that is zero or no number; neither is a line.

    """
    category: Category = "accrued"
    cause: str | None
    match event:
        case BonusAccrued():
            cause = event.deal_id
        case BonusClawedBack():
            cause, category = event.reversal_id, "clawed_back"
        case KickbackSettled():
            cause = event.cause_id
            if event.cause == "reversal":
                category = "clawed_back"
    kind = type(event).__name__
    for line in event.lines:
        if not line.amount or not line.amount.is_finite():
            raise IntegrityFault(f"The {kind} at position {position} has a line of {line.amount} {line.currency}.")
    business_date, posting_date, programme = event.business_date, event.posting_date, event.programme
    return [
        BonusLine(
            position,
            n,
            partner,
            kind,
            cause,
            line.scheme,
            category,
            business_date,
            posting_date,
            line.currency,
            line.amount,
            line.basis,
            line.rate_bp,
            programme,
            line.tier,
        )
        for n, line in enumerate(event.lines, 1)
    ]


def balance_changes(lines: Iterable[BonusLine]) -> list[BalanceChange]:
    """Sum lines per partner, currency and month of posting, in the order of these keys."""
    sums: dict[tuple[str, str, dt.date], list[Decimal | int]] = {}
    months: dict[dt.date, dt.date] = {}
    for line in lines:
        month = months.get(line.posting_date)
        if month is None:
            month = months[line.posting_date] = line.posting_date.replace(day=1)
        key = (line.partner, line.currency, month)
        entry = sums.get(key)
        if entry is None:
            sums[key] = entry = [_ZERO, _ZERO, _ZERO, 0]
        entry[_COLUMN[line.category]] += line.amount
        entry[3] += 1
    return [
        BalanceChange(*key, Decimal(accrued), Decimal(clawed_back), Decimal(paid), int(lines))
        for key, (accrued, clawed_back, paid, lines) in sorted(sums.items())
    ]


_ZERO = Decimal(0)
_COLUMN: dict[Category, int] = {"accrued": 0, "clawed_back": 1, "paid": 2}
