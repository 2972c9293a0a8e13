"""The balances of some partners on a date, read from the sums by month or, as known at a position, from the lines themselves."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from domain.money import currency_digits
from projections.queries import Balance

_BALANCES_NOW = """
SELECT partner, currency, sum(accrued), sum(clawed_back), sum(paid), sum(lines)::bigint FROM (
    SELECT partner, currency, accrued, clawed_back, paid, lines FROM balance
    WHERE partner = ANY (%(ids)s) AND posting_month < date_trunc('month', %(as_of)s::date)
    UNION ALL
    SELECT partner, currency, coalesce(sum(amount) FILTER (WHERE category = 'accrued'), 0),
        coalesce(sum(amount) FILTER (WHERE category = 'clawed_back'), 0),
        coalesce(sum(amount) FILTER (WHERE category = 'paid'), 0), count(*)
    FROM bonus_line
    WHERE partner = ANY (%(ids)s) AND posting_date BETWEEN date_trunc('month', %(as_of)s::date) AND %(as_of)s
    GROUP BY partner, currency
) AS months_and_days GROUP BY partner, currency ORDER BY partner, currency
"""

_BALANCES_AS_KNOWN_AT = """
SELECT partner, currency, coalesce(sum(amount) FILTER (WHERE category = 'accrued'), 0),
    coalesce(sum(amount) FILTER (WHERE category = 'clawed_back'), 0),
    coalesce(sum(amount) FILTER (WHERE category = 'paid'), 0), count(*)
FROM bonus_line WHERE partner = ANY (%(ids)s) AND position <= %(position)s AND posting_date <= %(as_of)s
GROUP BY partner, currency ORDER BY partner, currency
"""


def balances_of(
    cursor: Cursor, partners: Sequence[str], as_of: dt.date, position: int, *, now: bool
) -> Mapping[str, list[tuple[Balance, int]]]:
    """Give each partner's balances by currency, each with its number of lines; `now`: nothing is applied beyond the position."""
    statement = _BALANCES_NOW if now else _BALANCES_AS_KNOWN_AT
    cursor.execute(statement, {"ids": list(partners), "as_of": as_of, "position": position})
    found: dict[str, list[tuple[Balance, int]]] = defaultdict(list)
    for partner, currency, accrued, clawed_back, paid, lines in cursor.fetchall():
        amounts = (in_digits(amount, currency) for amount in (accrued, clawed_back, paid))
        found[partner].append((Balance(currency, *amounts), lines))
    return found


def in_digits(amount: Decimal, currency: str) -> Decimal:
    """Give an amount with exactly its currency's digits."""
    return amount.quantize(Decimal(1).scaleb(-currency_digits(currency)))
