"""How many partners hold each tier at the end of each quarter, as it is and as it would be."""

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from domain.calendar import next_quarter, quarter_start
from projections.queries import PartnerStanding


class QuarterHolders(NamedTuple):
    """Holders of a tier at the end of a quarter; in the quarter of the date wanted, at the end of that date."""

    quarter: str
    tier: str
    then: int
    now: int


def holders_by_quarter(
    actual: Iterable[PartnerStanding], candidate: Iterable[PartnerStanding], tiers: Sequence[str], as_of: dt.date
) -> list[QuarterHolders]:
    """Count holders from the quarter of the first enrolment on, in order of quarter and tier; ended partners hold none."""
    sides = tuple(actual), tuple(candidate)
    first = min((each.partner.enrolled_on for side in sides for each in side), default=as_of)
    quarters = [quarter_start(first)]
    while (following := next_quarter(quarters[-1])) <= as_of:
        quarters.append(following)
    then, now = (_held(side, quarters) for side in sides)
    none = [0] * len(quarters)
    counted = [
        QuarterHolders(quarter_name(quarter), tier, then.get(tier, none)[n], now.get(tier, none)[n])
        for n, quarter in enumerate(quarters)
        for tier in tiers
    ]
    return [each for each in counted if each.then or each.now]


def quarter_name(day: dt.date) -> str:
    """Give the name of the quarter that a day lies in: `2012-Q1`."""
    return f"{day.year}-Q{(day.month + 2) // 3}"


def _held(standings: Iterable[PartnerStanding], quarters: Sequence[dt.date]) -> dict[str, list[int]]:
    """Give, by tier, the holders at the end of each quarter: a tier held from one date to before another counts in the quarters between."""
    first, count = quarters[0], len(quarters)
    changes: dict[str, list[int]] = {}
    for standing in standings:
        starts = [_index(first, row.effective_on) for row in standing.tier_history]
        last = count if standing.ended_on is None else _index(first, standing.ended_on)
        for row, (begin, end) in zip(standing.tier_history, pairwise([*starts, last]), strict=True):
            steps = changes.setdefault(row.tier, [0] * (count + 1))
            steps[begin] += 1
            steps[end] -= 1
    return {tier: list(accumulate(steps)) for tier, steps in changes.items()}


def _index(first: dt.date, day: dt.date) -> int:
    """Give the number of the quarter that a day lies in, counted from the first one."""
    return (day.year - first.year) * 4 + (day.month - 1) // 3 - (first.month - 1) // 3
