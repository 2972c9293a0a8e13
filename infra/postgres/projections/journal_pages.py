"""The bonus journal of all partners, read in pages by key at one position, each page a transaction of its own."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from infra.postgres.projections.balances import balances_of, in_digits
from infra.postgres.projections.tables import BONUS_LINE, PARTNER
from projections.bonus_journal import BonusLine
from projections.queries import Balance, CurrencyTotal, Standing
from projections.tier_status import PartnerRow

LINES_A_PAGE = 5000
PARTNERS_A_PAGE = 1000

_GROUPS = """
SELECT scheme, currency, min(posting_date), count(*), sum(amount) FROM bonus_line
WHERE position <= %(position)s AND posting_date <= %(as_of)s GROUP BY scheme, currency
"""
_LINES = f"""
SELECT {BONUS_LINE.names} FROM bonus_line
WHERE (position, n) > (%(after_position)s, %(after_n)s) AND position <= %(position)s AND posting_date <= %(as_of)s
ORDER BY position, n LIMIT {LINES_A_PAGE}
"""
_PARTNERS = f"""
SELECT {PARTNER.names} FROM partner
WHERE partner > %(after)s AND enrolled_on <= %(as_of)s AND position <= %(position)s
ORDER BY partner LIMIT {PARTNERS_A_PAGE}
"""


def journal_groups(
    cursor: Cursor, as_of: dt.date, position: int
) -> tuple[tuple[tuple[str, dt.date], ...], tuple[CurrencyTotal, ...]]:
    """Give each scheme with the date of its first line, and what the lines of each currency sum to, in order of the names."""
    cursor.execute(_GROUPS, {"as_of": as_of, "position": position})
    schemes: dict[str, dt.date] = {}
    totals: dict[str, CurrencyTotal] = {}
    for scheme, currency, first, lines, amount in cursor.fetchall():
        schemes[scheme] = min(first, schemes.get(scheme, first))
        before = totals.get(currency, CurrencyTotal(currency, 0, Decimal(0)))
        total = in_digits(before.amount + amount, currency)
        totals[currency] = CurrencyTotal(currency, before.lines + lines, total)
    return tuple(sorted(schemes.items())), tuple(totals[currency] for currency in sorted(totals))


@dataclass(frozen=True, slots=True)
class JournalPages:
    """The parts of a journal that can be long; `snapshot` begins a transaction on the live build and ends it."""

    snapshot: Callable[[], AbstractContextManager[tuple[Cursor, Standing]]]
    as_of: dt.date
    position: int

    def lines(self) -> Iterator[BonusLine]:
        """Give the lines in order of position."""
        given = {"as_of": self.as_of, "position": self.position, "after_position": 0, "after_n": 0}
        while True:
            with self.snapshot() as (cursor, _):
                cursor.execute(_LINES, given)
                page = [BonusLine(*row) for row in cursor.fetchall()]
            yield from page
            if len(page) < LINES_A_PAGE:
                return
            given |= {"after_position": page[-1].position, "after_n": page[-1].n}

    def partners(self) -> Iterator[PartnerRow]:
        """Give the partners enrolled by the date, in order of their ids."""
        for page, _ in self._partner_pages():
            yield from page

    def balances(self) -> Iterator[tuple[str, Sequence[Balance]]]:
        """Give the balances of each of the partners."""
        for page, balances in self._partner_pages(with_balances=True):
            for row in page:
                yield row.partner, balances.get(row.partner, ())

    def _partner_pages(
        self, *, with_balances: bool = False
    ) -> Iterator[tuple[list[PartnerRow], dict[str, list[Balance]]]]:
        after = ""
        while True:
            with self.snapshot() as (cursor, standing):
                cursor.execute(_PARTNERS, {"after": after, "as_of": self.as_of, "position": self.position})
                page = [PartnerRow(*row) for row in cursor.fetchall()]
                found: dict[str, list[Balance]] = {}
                if with_balances:
                    ids = [row.partner for row in page]
                    now = self.position >= standing.position
                    of_page = balances_of(cursor, ids, self.as_of, self.position, now=now)
                    found = {partner: [balance for balance, _ in each] for partner, each in of_page.items()}
            yield page, found
            if len(page) < PARTNERS_A_PAGE:
                return
            after = page[-1].partner
