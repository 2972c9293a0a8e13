"""The bonus journal for hledger (1.25 or later), with accounts and commodities declared: `hledger check --strict` passes.

Characters that hledger would misread are written as in URLs (`%3A` is a colon), which keeps names apart: decoded, they
are the original. In account names that is all but letters, digits and `_-.~`; in tags `%`, `,`, `;`, square brackets (hledger
takes a bracketed date for the posting's) and what does not print.
"""

import datetime as dt
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from urllib.parse import quote

from domain.money import currency_digits
from projections.bonus_journal import BonusLine
from projections.plain_text_journal import details, heading
from projections.queries import Balance, BonusJournal
from projections.tier_status import PartnerRow

_NOT_IN_NAMES = re.compile(r"[^\w.~-]")
_NOT_IN_TAGS = re.compile(r"[%,;\[\]]")
_PLAIN = re.compile(r"[\w.~-]*")


def expense_account(scheme: str) -> str:
    """Name the account that a scheme's bonuses are debited to."""
    return f"expenses:bonus:{_name(scheme)}"


def payable_account(partner: str) -> str:
    """Name the account that a partner's bonuses are credited to; no two partners share one."""
    return f"liabilities:payable:{_name(partner)}"


class Hledger:
    """hledger's way to write a journal: port `projections.plain_text_journal.JournalStyle`."""

    def opening(self, journal: BonusJournal) -> str:
        """Give the head, the currencies with their digits, and the accounts of the schemes."""
        lines = [
            *heading(journal, "hledger 1.25 or later; its text is UTF-8 (LC_ALL=C.UTF-8)"),
            "; Characters in names and tags that hledger would misread stand as in URLs: %3A is a colon.",
            "",
            "decimal-mark .",
        ]
        for total in journal.totals:
            digits = currency_digits(total.currency)
            lines.append(f"commodity {total.currency} 1000.{'0' * digits}")
        lines += [f"account {expense_account(scheme)}  ; scheme:{_tag(scheme)}" for scheme, _ in journal.schemes]
        return "\n".join([*lines, ""])

    def partner(self, partner: PartnerRow) -> str:
        """Give the account of a partner, with its id and name as tags."""
        tags = f"partner:{_tag(partner.partner)}, name:{_tag(partner.name)}, country:{_tag(partner.country)}"
        return f"account {payable_account(partner.partner)}  ; {tags}\n"

    def line(self, line: BonusLine) -> str:
        """Give the transaction of a bonus line; the line's id is its code."""
        tags = ", ".join([f"{key}:{_tag(value)}" for key, value in details(line).items()])
        currency, amount = line.currency, line.amount
        return (
            f"\n{line.posting_date} ({line.line_id}) {line.kind} {_name(line.scheme)}\n"
            f"    ; {tags}\n"
            f"    ; business-date:{line.business_date}, basis:{currency} {line.basis:f}, rate-bp:{line.rate_bp},"
            f" position:{line.position}\n"
            f"    {expense_account(line.scheme)}  {currency} {amount:f}\n"
            f"    {payable_account(line.partner)}  {currency} {-amount:f}\n"
        )

    def balances(self, partner: str, balances: Iterable[Balance], as_of: dt.date) -> str:
        """Give a transaction of nothing with the assertions: it stands after all lines of the day."""
        account = payable_account(partner)
        asserted = [
            f"    {account}  {balance.currency} {_zero(balance.payable):f} = {balance.currency} {-balance.payable:f}\n"
            for balance in balances
        ]
        return f"\n{as_of} balance as the ledger answers it\n{''.join(asserted)}" if asserted else ""


def _zero(amount: Decimal) -> Decimal:
    return amount - amount


@lru_cache(maxsize=65_536)
def _name(text: str) -> str:
    """Write a text so that it can be a part of an account's name."""
    return _NOT_IN_NAMES.sub(_in_url, text)


@lru_cache(maxsize=65_536)
def _tag(text: str) -> str:
    """Write a text so that hledger takes the whole of it, and nothing more, for a tag's value."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = _NOT_IN_TAGS.sub(_in_url, text)
    return escaped if escaped.isprintable() else "".join(c if c.isprintable() else quote(c, safe="") for c in escaped)


def _in_url(found: re.Match[str]) -> str:
    return quote(found[0], safe="")
