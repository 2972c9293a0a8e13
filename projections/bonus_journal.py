"""The bonus journal: every bonus line, its double entry, and what it changes in a balance (rules.md, Balances).

A line of +X debits `bonus-expense:<scheme>` and credits `payable:<partner>`; a negative one the other way round. Both sides
are one positive amount in one row, so no entry can be half there; the fold checks each batch's accounts against its lines.
"""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal, NamedTuple

from domain.errors import IntegrityFault
from domain.events import BonusAccrued, BonusClawedBack, KickbackSettled
from projections.recorded import Recorded

Category = Literal["accrued", "clawed_back", "paid"]
BonusEvent = BonusAccrued | BonusClawedBack | KickbackSettled

EXPENSE = "bonus-expense:"
PAYABLE = "payable:"


class BonusLine(NamedTuple):
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


class Posting(NamedTuple):
    """A line's double entry: `amount`, which is positive, is debited to one account and credited to the other."""

    position: int
    n: int
    debit: str
    credit: str
    currency: str
    amount: Decimal
    posting_date: dt.date


class BalanceChange(NamedTuple):
    """What the lines of one partner, currency and posting date add up to."""

    partner: str
    currency: str
    posting_date: dt.date
    accrued: Decimal
    clawed_back: Decimal
    paid: Decimal
    lines: int


def line_id(position: int, n: int) -> str:
    """Give a line's name: `L<position>-<n>`."""
    return f"L{position}-{n}"


def bonus_lines(at: Recorded, partner: str, event: BonusEvent) -> list[BonusLine]:
    """Give the lines of an accrual, a clawback or a settlement (rules.md, Balances: which category they are in)."""
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
    position = at.envelope.position
    kind = type(event).__name__
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


def posting(line: BonusLine) -> Posting:
    """Give the double entry of a line."""
    debit, credit, amount = EXPENSE + line.scheme, PAYABLE + line.partner, line.amount
    if amount < 0:
        debit, credit, amount = credit, debit, -amount
    return Posting(line.position, line.n, debit, credit, line.currency, amount, line.posting_date)


def balance_changes(lines: Iterable[BonusLine]) -> list[BalanceChange]:
    """Sum lines per partner, currency and posting date, in the order of these keys."""
    sums: dict[tuple[str, str, dt.date], list[Decimal | int]] = {}
    for line in lines:
        entry = sums.setdefault(
            (line.partner, line.currency, line.posting_date), [Decimal(0), Decimal(0), Decimal(0), 0]
        )
        entry[_COLUMN[line.category]] += line.amount
        entry[3] += 1
    return [
        BalanceChange(*key, Decimal(accrued), Decimal(clawed_back), Decimal(paid), int(lines))
        for key, (accrued, clawed_back, paid, lines) in sorted(sums.items())
    ]


_COLUMN: dict[Category, int] = {"accrued": 0, "clawed_back": 1, "paid": 2}


def check_balanced(lines: Iterable[BonusLine], entries: Iterable[Posting]) -> None:
    """Check per currency that what is owed, what is expensed and the lines are one sum, so that debits equal credits.

    Raises:
        IntegrityFault: they are not, or an entry's amount is not above zero; nothing of the batch may be written.

    """
    zero = Decimal(0)
    due: dict[str, Decimal] = {}
    owed: dict[str, Decimal] = {}
    expensed: dict[str, Decimal] = {}
    for line in lines:
        due[line.currency] = due.get(line.currency, zero) + line.amount
    for entry in entries:
        amount, currency = entry.amount, entry.currency
        if not amount > 0:
            raise IntegrityFault(
                f"The entry of {line_id(entry.position, entry.n)} has the amount {amount}, not above 0."
            )
        for account, change in ((entry.debit, -amount), (entry.credit, amount)):
            if account.startswith(PAYABLE):
                owed[currency] = owed.get(currency, zero) + change
            else:
                expensed[currency] = expensed.get(currency, zero) - change
    for currency in {*due, *owed, *expensed}:
        sums = [side.get(currency, zero) for side in (due, owed, expensed)]
        if sums != [sums[0]] * 3:
            raise IntegrityFault(
                f"The journal does not balance in {currency}: lines {sums[0]}, payables {sums[1]}, expenses {sums[2]}."
            )
