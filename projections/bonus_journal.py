"""The bonus journal: every bonus line, its double entry, and what it changes in a balance (rules.md, Balances).

A line of +X debits `bonus-expense:<scheme>` and credits `payable:<partner>`; a negative one the other way round, so that
both sides are positive numbers. The fold checks that each batch balances per currency, and against its lines.
"""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal, NamedTuple

from domain.errors import IntegrityFault
from domain.events import BonusAccrued, BonusClawedBack, KickbackSettled
from projections.recorded import Recorded

Category = Literal["accrued", "clawed_back", "paid"]
Side = Literal["debit", "credit"]
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
    """One side of a line's double entry; `amount` is positive."""

    position: int
    n: int
    side: Side
    account: str
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


def postings(line: BonusLine) -> tuple[Posting, Posting]:
    """Give the two sides of a line, debit first."""
    debit, credit = EXPENSE + line.scheme, PAYABLE + line.partner
    amount = line.amount
    if amount < 0:
        debit, credit, amount = credit, debit, -amount
    position, n, currency, posting_date = line.position, line.n, line.currency, line.posting_date
    return (
        Posting(position, n, "debit", debit, currency, amount, posting_date),
        Posting(position, n, "credit", credit, currency, amount, posting_date),
    )


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
    """Check that debits equal credits per currency, and that what partners are owed equals the sum of the lines.

    Raises:
        IntegrityFault: they do not; nothing of the batch may be written.
    """
    difference: dict[str, Decimal] = {}
    payable: dict[str, Decimal] = {}
    for entry in entries:
        if entry.amount <= 0:
            raise IntegrityFault(
                f"Posting {line_id(entry.position, entry.n)} has the amount {entry.amount}, not above zero."
            )
        signed = entry.amount if entry.side == "debit" else -entry.amount
        difference[entry.currency] = difference.get(entry.currency, Decimal(0)) + signed
        if entry.account.startswith(PAYABLE):
            payable[entry.currency] = payable.get(entry.currency, Decimal(0)) - signed
    for line in lines:
        payable[line.currency] = payable.get(line.currency, Decimal(0)) - line.amount
    for what, sums in (("debits and credits differ by", difference), ("payables and bonus lines differ by", payable)):
        for currency, amount in sums.items():
            if amount:
                raise IntegrityFault(f"The journal does not balance: {what} {currency} {amount}; nothing was written.")
