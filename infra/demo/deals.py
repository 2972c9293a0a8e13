"""Deals and reversals: each partner's plan or activity as deals, in order of date, within its ceilings and milestones."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial

from infra.demo.dice import Dice
from infra.demo.partners import CHANGE, LAST_DAY, YEARS, Milestone, Partner, Reversal, ScriptedDeal

MONTHS = {1: 5, 2: 7, 3: 10, 4: 7, 5: 8, 6: 11, 7: 6, 8: 5, 9: 9, 10: 8, 11: 11, 12: 13}
"""How many of a hundred deals close in each month: more as a quarter ends, most at year end."""
HOLIDAYS = {(1, 1), (1, 2), (8, 1), (12, 24), (12, 25), (12, 26), (12, 31)}
FAMILIES = {"content-security": 38, "endpoint-security": 34, "virtualisation": 12, "cloud": 6, "saas": 10}
LATER_FAMILIES = {"content-security": 24, "endpoint-security": 27, "virtualisation": 21, "cloud": 15, "saas": 13}
"""What is sold from 2011 on."""

EURO_PER_MILLE = 70
"""Deals in EUR; all others are in CHF."""
REVERSED_PER_MILLE = 12
"""Deals of the long tail that are taken back, in part or whole."""
REASONS = ("customer withdrew from the contract", "fewer licences than ordered", "invoice corrected", "order cancelled")

SMALLEST = 400_00
"""Rappen; a deal that a ceiling makes smaller than this is not closed."""
MEDIAN = 4_200_00
ROUNDING = 5
"""Amounts are multiples of five rappen or cents."""


@dataclass
class Deal:
    """A deal; `amount` in minor units. It gets its id when all deals are in order of date."""

    partner_id: str
    closed_on: date
    family: str
    amount: int
    currency: str
    reversal: Reversal | None = None
    deal_id: str = field(default="", compare=False)


def partner_deals(partner: Partner, seed: int) -> list[Deal]:
    """Give a partner's deals, in order of date."""
    dice = Dice(seed, "deals", partner.partner_id)
    book = _Book(partner, dice)
    planned = _planned(partner, dice) if partner.plan else _by_activity(partner, dice)
    steps: list[tuple[date, Callable[[], None]]] = [
        *((on, partial(book.close, on, rappen)) for on, rappen in planned),
        *((deal.on, partial(book.close_scripted, deal)) for deal in partner.deals),
        *((milestone.on, partial(book.make_up, milestone)) for milestone in partner.milestones),
    ]
    for _, close in sorted(steps, key=lambda step: step[0]):
        close()
    return book.deals


def _planned(partner: Partner, dice: Dice) -> list[tuple[date, int]]:
    """Share each year's plan out among deals of log-normal sizes; their sum is the plan."""
    planned = []
    for year, thousands in zip(YEARS, partner.plan, strict=True):
        if not thousands:
            continue
        days = _days(partner, dice, year, 6 + thousands // 40)
        sizes = [dice.lognormal(10_000, "0.7") for _ in days]
        planned += [(on, thousands * 1_000_00 * size // sum(sizes)) for on, size in zip(days, sizes, strict=True)]
    return planned


def _by_activity(partner: Partner, dice: Dice) -> list[tuple[date, int]]:
    """Close as many deals a year as the partner is active, give or take one, of log-normal sizes."""
    deals = []
    for year in YEARS:
        count = partner.activity // 1000 + dice.happens(partner.activity % 1000) + dice.between(-1, 1)
        deals += [(on, dice.lognormal(MEDIAN, "0.9")) for on in _days(partner, dice, year, max(0, count))]
    return deals


def _days(partner: Partner, dice: Dice, year: int, count: int) -> list[date]:
    """Give working days of a year on which deals close; those outside of the membership are left out."""
    days = (_working_day(dice, year) for _ in range(count))
    return [on for on in days if partner.enrolled_on <= on <= partner.last_day]


def _working_day(dice: Dice, year: int) -> date:
    while True:
        first = date(year, dice.weighted(MONTHS), 1)
        on = first + timedelta(days=dice.below(31))
        if on.month == first.month and on.weekday() < 5 and (on.month, on.day) not in HOLIDAYS:
            return on


class _Book:
    """A partner's order book: closes deals in order of date and knows the revenue of the last twelve months.

    That revenue is a planner's figure, without what reversals will take; what counts is the ledger's.
    """

    def __init__(self, partner: Partner, dice: Dice) -> None:
        self._partner = partner
        self._dice = dice
        self._revenue: list[tuple[date, int]] = []
        self.deals: list[Deal] = []

    def close(self, on: date, rappen: int) -> None:
        """Close a deal of the plan, or a smaller one, or none, where a ceiling says so."""
        for ceiling in self._partner.ceilings:
            if ceiling.since <= on <= ceiling.until:
                rappen = min(rappen, _rappen(ceiling.euros * 100 - self._window(on), on))
        if rappen < SMALLEST:
            return
        in_euros = self._dice.happens(EURO_PER_MILLE)
        amount = _rounded(_cents(rappen, on) if in_euros else rappen)
        reversal = None if self._partner.plan else self._chance_reversal(on, amount)
        self._add(on, self._family(on), amount, "EUR" if in_euros else "CHF", reversal)

    def close_scripted(self, deal: ScriptedDeal) -> None:
        """Close a deal that the story needs."""
        self._add(deal.on, deal.family, deal.rappen, "CHF", deal.reversal)

    def make_up(self, milestone: Milestone) -> None:
        """Close a deal that takes the revenue to a milestone, if it is not there."""
        on = milestone.on
        missing = _rappen(milestone.euros * 100 - self._window(milestone.counted_on), on)
        if missing > 0:
            self._add(on, self._family(on), _rounded(max(missing, SMALLEST)) + ROUNDING, "CHF", None)

    def _family(self, on: date) -> str:
        return self._dice.weighted(FAMILIES if on.year < CHANGE.year else LATER_FAMILIES)

    def _window(self, on: date) -> int:
        return sum(cents for closed_on, cents in self._revenue if closed_on > _year_before(on))

    def _add(self, on: date, family: str, amount: int, currency: str, reversal: Reversal | None) -> None:
        self.deals.append(Deal(self._partner.partner_id, on, family, amount, currency, reversal))
        left = amount if reversal is None else amount - (reversal.minor or amount)
        self._revenue.append((on, left if currency == "EUR" else _cents(left, on)))

    def _chance_reversal(self, on: date, amount: int) -> Reversal | None:
        if not self._dice.happens(REVERSED_PER_MILLE):
            return None
        reversed_on = on + timedelta(weeks=self._dice.between(1, 12))
        part = None if self._dice.happens(500) else _rounded(amount * self._dice.between(2, 6) // 10)
        reason = self._dice.pick(REASONS)
        return Reversal(reversed_on, part, reason) if reversed_on <= LAST_DAY else None


def _year_before(on: date) -> date:
    return date(on.year - 1, on.month, 28 if (on.month, on.day) == (2, 29) else on.day)


def _rate(on: date) -> int:
    """Give how many hundredths of a euro one franc is: the programmes' rate on a day."""
    return 63 if on < CHANGE else 82


def _cents(rappen: int, on: date) -> int:
    return rappen * _rate(on) // 100


def _rappen(cents: int, on: date) -> int:
    return cents * 100 // _rate(on)


def _rounded(minor: int) -> int:
    return minor - minor % ROUNDING
