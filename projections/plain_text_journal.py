"""The bonus journal as plain text that other people's accounting programs read: a second opinion on every balance.

One transaction a bonus line, dated by its posting date, in order of position (the programs sort by date themselves): it
debits bonus expense by scheme and credits payable by partner (rules.md, Balances). The line's id, its cause and its position
stand with it, so that an auditor gets from a posting back to the event. After the lines, every partner's balance in every
currency is asserted as the ledger answers it, so that a program that reads the file says so itself if they differ.

What a program makes of it is in `projections.hledger` and `projections.beancount`; here is what both have in common.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from domain.errors import IntegrityFault
from domain.money import ZERO, currency_digits
from projections.bonus_journal import BonusLine
from projections.queries import Balance, BonusJournal, CurrencyTotal
from projections.tier_status import PartnerRow


class JournalStyle(Protocol):
    """How one program wants the journal written. Each text ends with a line end; a comment begins with `;` in all of them."""

    def opening(self, journal: BonusJournal) -> str:
        """Give what stands before all else: what the file is, options, the accounts of the schemes."""
        ...

    def partner(self, partner: PartnerRow) -> str:
        """Give the account of a partner."""
        ...

    def line(self, line: BonusLine) -> str:
        """Give the transaction of a bonus line."""
        ...

    def balances(self, partner: str, balances: Iterable[Balance], as_of: dt.date) -> str:
        """Give the assertions of a partner's balances at the end of a day."""
        ...


@dataclass
class CurrencyControl:
    """What was written in one currency: what the lines debited and credited to bonus expense, and what is asserted as payable."""

    debit: Decimal
    credit: Decimal
    payable: Decimal
    lines: int = 0


@dataclass
class Control:
    """The control totals: counted as the journal is written, to be compared with what the programs that read it count."""

    partners: int = 0
    lines: int = 0
    balances: int = 0
    currencies: dict[str, CurrencyControl] = field(default_factory=dict)

    def add_line(self, line: BonusLine) -> None:
        """Count a line."""
        self.lines += 1
        currency = self.of(line.currency)
        currency.lines += 1
        if line.amount > 0:
            currency.debit += line.amount
        else:
            currency.credit -= line.amount

    def add_balance(self, balance: Balance) -> None:
        """Count a balance."""
        self.balances += 1
        self.of(balance.currency).payable += balance.payable

    def of(self, currency: str) -> CurrencyControl:
        """Give the totals of a currency."""
        found = self.currencies.get(currency)
        if found is None:
            nothing = ZERO[currency_digits(currency)]
            found = self.currencies[currency] = CurrencyControl(nothing, nothing, nothing)
        return found


def journal_text(journal: BonusJournal, style: JournalStyle, control: Control) -> Iterator[str]:
    """Give the journal in pieces, each of whole lines, counting in `control` what they hold; memory stays flat.

    Raises:
        IntegrityFault: the lines read do not come to what was counted when the reading began.

    """
    yield style.opening(journal)
    for partner in journal.partners:
        control.partners += 1
        yield style.partner(partner)
    for line in journal.lines:
        control.add_line(line)
        yield style.line(line)
    _check_complete(journal.totals, control)
    if journal.as_of is not None:
        for name, balances in journal.balances:
            for balance in balances:
                control.add_balance(balance)
            yield style.balances(name, balances, journal.as_of)
    yield _closing(journal, control)


def _check_complete(expected: Iterable[CurrencyTotal], control: Control) -> None:
    for total in expected:
        written = control.of(total.currency)
        if (written.lines, written.debit - written.credit) != (total.lines, total.amount):
            raise IntegrityFault(
                f"The projections changed while they were read: {total.lines:,} lines came to {total.currency} {total.amount}"
                f" at first, then {written.lines:,} to {written.debit - written.credit}. Nothing of this export may be used; run it again."
            )


def heading(journal: BonusJournal, program: str) -> list[str]:
    """Give the comments at the head of a file, as whole lines."""
    return [
        f"; Bonus journal of the partner ledger, for {program}.",
        f"; As of {journal.as_of or 'no date: the ledger is empty'}, known up to position {journal.position}.",
        "; One transaction a bonus line, in order of position. Credits of a payable account are what is owed to the partner.",
    ]


def _closing(journal: BonusJournal, control: Control) -> str:
    lines = [
        "",
        "; Control totals",
        f"; position: {journal.position}",
        f"; as of: {journal.as_of or '-'}",
        f"; partners: {control.partners}",
        f"; lines: {control.lines}",
        f"; balances: {control.balances}",
    ]
    for currency, total in sorted(control.currencies.items()):
        lines.append(
            f"; {currency}: {total.lines} lines; bonus expense debited {total.debit:f}, credited {total.credit:f};"
            f" payable {total.payable:f}"
        )
    return "\n".join([*lines, ""])


def details(line: BonusLine) -> dict[str, str]:
    """Give the texts by which a line is found again, and by which it came about."""
    found = {"line": line.line_id, "partner": line.partner}
    if line.cause is not None:
        found["reversal" if line.category == "clawed_back" else "deal"] = line.cause
    return found | {
        "kind": line.kind,
        "category": line.category,
        "scheme": line.scheme,
        "tier": line.tier,
        "programme": line.programme,
    }
