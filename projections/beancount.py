"""The bonus journal for Beancount (3.0 or later): accounts opened with the original names, everything exact.

Beancount's account names are made of letters, digits and dashes. Any other character of a name is written `--<its code point
in hexadecimal>-`, and so is a dash that another letter or digit does not follow: a double dash then always begins such a
code, and no two names are written alike. The accounts' metadata have the originals.
"""

import datetime as dt
import re
from collections.abc import Iterable
from functools import lru_cache

from projections.bonus_journal import BonusLine
from projections.plain_text_journal import details, heading
from projections.queries import Balance, BonusJournal
from projections.tier_status import PartnerRow

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]|-(?![A-Za-z0-9])")
_IN_STRINGS = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"})
_A_DAY = dt.timedelta(days=1)


def expense_account(scheme: str) -> str:
    """Name the account that a scheme's bonuses are debited to."""
    return f"Expenses:Bonus:Scheme-{_name(scheme)}"


def payable_account(partner: str) -> str:
    """Name the account that a partner's bonuses are credited to; no two partners share one."""
    return f"Liabilities:Payable:Partner-{_name(partner)}"


class Beancount:
    """Beancount's way to write a journal: port `projections.plain_text_journal.JournalStyle`."""

    def opening(self, journal: BonusJournal) -> str:
        """Give the head, the currencies, no tolerance at all, and the accounts of the schemes, open from their first line on."""
        lines = [
            *heading(journal, "Beancount 3.0 or later"),
            "",
            f'option "title" "Bonus journal as of {journal.as_of}, position {journal.position}"',
            *(f'option "operating_currency" "{total.currency}"' for total in journal.totals),
            'option "tolerance_multiplier" "0"',
            "",
        ]
        for scheme, opened_on in journal.schemes:
            lines += [f"{opened_on} open {expense_account(scheme)}", f"  scheme: {_string(scheme)}"]
        return "\n".join([*lines, ""])

    def partner(self, partner: PartnerRow) -> str:
        """Give the account of a partner, open from its enrolment on, with its id and name as metadata."""
        return (
            f"{partner.enrolled_on} open {payable_account(partner.partner)}\n"
            f"  partner: {_string(partner.partner)}\n"
            f"  name: {_string(partner.name)}\n"
            f"  country: {_string(partner.country)}\n"
        )

    def line(self, line: BonusLine) -> str:
        """Give the transaction of a bonus line."""
        texts = "".join([f"  {key}: {_string(value)}\n" for key, value in details(line).items()])
        currency, amount = line.currency, line.amount
        return (
            f"\n{line.posting_date} * {_string(f'{line.kind} {line.scheme}')}\n{texts}"
            f"  business-date: {line.business_date}\n"
            f"  basis: {line.basis:f} {currency}\n"
            f"  rate-bp: {line.rate_bp}\n"
            f"  position: {line.position}\n"
            f"  {expense_account(line.scheme)}  {amount:f} {currency}\n"
            f"  {payable_account(line.partner)}  {-amount:f} {currency}\n"
        )

    def balances(self, partner: str, balances: Iterable[Balance], as_of: dt.date) -> str:
        """Give the assertions; Beancount holds them at the beginning of a day, so they are the next day's."""
        day = min(as_of, dt.date.max - _A_DAY) + _A_DAY
        account = payable_account(partner)
        return "".join(f"\n{day} balance {account}  {-each.payable:f} {each.currency}\n" for each in balances)


@lru_cache(maxsize=65_536)
def _name(text: str) -> str:
    """Write a text so that it can be a part of an account's name behind a prefix."""
    return _NOT_IN_NAMES.sub(lambda found: f"--{ord(found[0]):x}-", text)


def _string(text: str) -> str:
    return f'"{text.translate(_IN_STRINGS)}"'
