"""A partner's standing: all that decisions need to know of it, and how each event changes it.

`CHANGES` says how each event changes it, when an event is decided (`decisions.desk`) as when it is read back (`evolve`);
nothing else does. Inside are ints of minor units and dates; the size grows with days and quarters, not with deals.
"""

import datetime as dt
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

from domain import events as e
from domain.calendar import quarter_start
from domain.deal import ClosedDeal
from domain.loyalty import Suspension
from domain.money import currency_digits, minor_of


class TierEntry(NamedTuple):
    """A recorded tier: from when, and whether a fact made it (it then does not count at the start of its own day)."""

    effective_on: dt.date
    tier: str
    by_fact: bool


class SpecialisationEntry(NamedTuple):
    """A recorded change of a specialisation."""

    effective_on: dt.date
    held: bool
    by_fact: bool


class Completion(NamedTuple):
    """A recorded completion that was not revoked."""

    person: str
    course: str
    completed_on: dt.date


class Promotion(NamedTuple):
    """A promotion that may be withdrawn: what it rests on, and what comes back if it falls.

    The window is (after, last]: the revenue of the days after `window_after` up to `window_last` must reach `required`.
    """

    tier_before: str
    effective_on: dt.date
    window_after: dt.date
    window_last: dt.date
    required: int
    protected_from_before: dt.date
    missed_before: int
    kickback_index: int


class Revenue:
    """Qualifying revenue by day, in minor units of the base currency, with sums over windows of days.

    The last window asked for is kept, as its dates and as the indexes `_first` to `_end` of the days in it, and moved along:
    a partner's sales in order of date cost no more for a long window than for a short one.
    """

    __slots__ = ("_after", "_amounts", "_days", "_end", "_first", "_last", "_sum")

    def __init__(self, days: "array[int] | None" = None, amounts: list[int] | None = None) -> None:
        """Take days, as ordinals in order, and the amount of each; none at first."""
        self._days = array("l") if days is None else days
        self._amounts: list[int] = [] if amounts is None else amounts
        self._after = self._last = self._sum = 0
        self._first = self._end = 0

    def add(self, date: dt.date, amount: int) -> None:
        """Add an amount (negative for what a reversal takes) to a day."""
        day = date.toordinal()
        days = self._days
        index = len(days) - 1
        if index < 0 or day != days[index]:
            index = bisect_left(days, day)
        if index < len(days) and days[index] == day:
            self._amounts[index] += amount
        else:
            days.insert(index, day)
            self._amounts.insert(index, amount)
            if day <= self._after:
                self._first += 1
            if day <= self._last:
                self._end += 1
        if self._after < day <= self._last:
            self._sum += amount

    def between(self, after: dt.date, last: dt.date) -> int:
        """Give the sum of the days after the first date up to and including the second."""
        lower, upper = after.toordinal(), last.toordinal()
        days, amounts = self._days, self._amounts
        if lower < self._after or upper < self._last:
            self._first, self._end = bisect_right(days, lower), bisect_right(days, upper)
            self._sum = sum(amounts[self._first : self._end])
        else:
            count = len(days)
            while self._end < count and days[self._end] <= upper:
                self._sum += amounts[self._end]
                self._end += 1
            while self._first < count and days[self._first] <= lower:
                self._sum -= amounts[self._first]
                self._first += 1
        self._after, self._last = lower, upper
        return self._sum

    def first_day_after(self, after: dt.date) -> dt.date | None:
        """Give the first day after a date that has revenue, None if there is none."""
        days = self._days
        index = bisect_right(days, after.toordinal())
        while index < len(days) and not self._amounts[index]:
            index += 1
        return dt.date.fromordinal(days[index]) if index < len(days) else None

    def by_day(self) -> "tuple[array[int], list[int]]":
        """Give the days that anything was added to, as ordinals in order, and the amount of each."""
        return self._days, self._amounts

    def copy(self) -> "Revenue":
        """Give an independent copy."""
        other = Revenue(self._days[:], self._amounts.copy())
        other._after, other._last, other._sum = self._after, self._last, self._sum
        other._first, other._end = self._first, self._end
        return other


class Quarter:
    """What a calendar quarter's kickback follows from: net earning sales, their qualifying amounts, what was settled."""

    __slots__ = ("sales", "settled")

    def __init__(self) -> None:
        self.sales: dict[tuple[str, str], list[int]] = {}
        """By (family, currency): the net amount, and the qualifying amount in base currency."""
        self.settled: dict[tuple[str, str], int] = {}
        """By (scheme, currency)."""

    def add(self, family: str, currency: str, net: int, qualifying: int) -> None:
        """Add a sale, or what a reversal takes of one (negative)."""
        sums = self.sales.get((family, currency))
        if sums is None:
            self.sales[family, currency] = [net, qualifying]
        else:
            sums[0] += net
            sums[1] += qualifying

    def copy(self) -> "Quarter":
        """Give an independent copy."""
        other = Quarter()
        other.sales = {key: sums.copy() for key, sums in self.sales.items()}
        other.settled = self.settled.copy()
        return other


class Standing:
    """A partner as decisions see it. Made from its `PartnerEnrolled`; changed as `CHANGES` says."""

    __slots__ = (
        "awarded",
        "clock",
        "completions",
        "country",
        "currency",
        "due",
        "due_under",
        "ended_on",
        "enrolled_on",
        "held",
        "kickback_tiers",
        "missed",
        "name",
        "partner_id",
        "processed",
        "programme",
        "promotions",
        "protected_from",
        "quarters",
        "revenue",
        "specialisation_changes",
        "suspended_since",
        "suspensions",
        "tier",
        "tier_changes",
    )

    def __init__(self, enrolled: e.PartnerEnrolled) -> None:
        self.partner_id = enrolled.partner_id
        self.name = enrolled.name
        self.country = enrolled.country
        self.currency = enrolled.currency
        self.enrolled_on = enrolled.enrolled_on
        self.clock = enrolled.enrolled_on
        self.programme = enrolled.programme
        self.tier = enrolled.tier
        self.awarded = False
        self.tier_changes = [TierEntry(enrolled.enrolled_on, enrolled.tier, by_fact=False)]
        self.kickback_tiers: list[tuple[dt.date, str]] = [(enrolled.enrolled_on, enrolled.tier)]
        self.promotions: list[Promotion] = []
        self.protected_from = enrolled.enrolled_on
        self.missed = 0
        self.suspensions: list[Suspension] = []
        self.suspended_since: dt.date | None = None
        self.ended_on: dt.date | None = None
        self.completions: dict[str, Completion] = {}
        self.held: dict[str, dt.date] = {}
        self.specialisation_changes: dict[str, list[SpecialisationEntry]] = {}
        self.revenue = Revenue()
        self.quarters: dict[dt.date, Quarter] = {}
        self.processed = enrolled.enrolled_on
        """The last date that `decisions.time` has decided; where no event came of it, deciding it again is harmless."""
        self.due: dt.date | None = None
        """The next date on which time alone may do something, as `decisions.time` worked it out; None when unknown."""
        self.due_under: Any = None

    def copy(self) -> "Standing":
        """Give an independent copy, for decisions that may have to be rolled back."""
        other = object.__new__(Standing)
        for name in Standing.__slots__:
            setattr(other, name, getattr(self, name))
        for name in ("tier_changes", "kickback_tiers", "promotions", "suspensions", "completions", "held", "revenue"):
            setattr(other, name, getattr(self, name).copy())
        other.specialisation_changes = {code: list(changes) for code, changes in self.specialisation_changes.items()}
        other.quarters = {first: quarter.copy() for first, quarter in self.quarters.items()}
        return other

    # --- what is in force (rules.md, What is in force) ---

    def tier_at_start_of(self, on: dt.date) -> TierEntry | None:
        """Give the tier at the start of a day: without what facts changed on it; None before enrolment."""
        for entry in reversed(self.tier_changes):
            if entry.effective_on < on or (entry.effective_on == on and not entry.by_fact):
                return entry
        return None

    def kickback_tier_on(self, on: dt.date) -> str | None:
        """Give the tier that counts for kickbacks at the end of a day: without promotions withdrawn since."""
        for effective_on, tier in reversed(self.kickback_tiers):
            if effective_on <= on:
                return tier
        return None

    def held_at_start_of(self, specialisation: str, on: dt.date) -> dt.date | None:
        """Give since when a specialisation was held at the start of a day, None where it was not."""
        for entry in reversed(self.specialisation_changes.get(specialisation, ())):
            if entry.effective_on < on or (entry.effective_on == on and not entry.by_fact):
                return entry.effective_on if entry.held else None
        return None

    def suspended_on(self, on: dt.date) -> bool:
        """Tell whether a date lies in a suspension: its first day to the day before resumption."""
        if not self.suspensions:
            return False
        return any(first <= on and (resumed is None or on < resumed) for first, resumed in self.suspensions)


# --- how each event changes the standing ------------------------------------------------------------------------------


def _suspended(standing: Standing, event: e.MembershipSuspended) -> None:
    standing.clock = max(standing.clock, event.effective_on)
    standing.suspended_since = event.effective_on
    standing.suspensions.append((event.effective_on, None))


def _close_suspension(standing: Standing, on: dt.date) -> None:
    if standing.suspended_since is not None:
        first, _ = standing.suspensions[-1]
        standing.suspensions[-1] = (first, on)
        standing.suspended_since = None


def _resumed(standing: Standing, event: e.MembershipResumed) -> None:
    standing.clock = max(standing.clock, event.effective_on)
    _close_suspension(standing, event.effective_on)


def _ended(standing: Standing, event: e.MembershipEnded) -> None:
    standing.clock = max(standing.clock, event.effective_on)
    _close_suspension(standing, event.effective_on)
    standing.ended_on = event.effective_on
    standing.awarded = False
    standing.due = None


def _training(standing: Standing, event: e.TrainingCompleted) -> None:
    standing.clock = max(standing.clock, event.clock)
    standing.completions[event.completion_id] = Completion(event.person, event.course, event.completed_on)
    standing.due = None


def _revoked(standing: Standing, event: e.CertificateRevoked) -> None:
    standing.clock = max(standing.clock, event.clock)
    standing.completions.pop(event.completion_id, None)
    standing.due = None


def _quarter(standing: Standing, closed_on: dt.date) -> Quarter:
    first = quarter_start(closed_on)
    quarter = standing.quarters.get(first)
    if quarter is None:
        quarter = standing.quarters[first] = Quarter()
    return quarter


def take_earning(standing: Standing, deal: ClosedDeal | e.SaleRecorded, net: int, qualifying: int) -> None:
    """Take a deal that earns, whose amount and qualifying amount are known in minor units."""
    closed_on = deal.closed_on
    standing.revenue.add(closed_on, qualifying)
    _quarter(standing, closed_on).add(deal.family, deal.currency, net, qualifying)


def _sale(standing: Standing, event: e.SaleRecorded) -> None:
    standing.clock = max(standing.clock, event.clock)
    if event.earning:
        net = minor_of(event.amount, currency_digits(event.currency))
        take_earning(standing, event, net, minor_of(event.qualifying, currency_digits(event.base_currency)))


def _reversal(standing: Standing, event: e.SaleReversed) -> None:
    standing.clock = max(standing.clock, event.clock)
    if event.earning:
        net = -minor_of(event.amount, currency_digits(event.currency))
        qualifying = minor_of(event.qualifying_change, currency_digits(event.base_currency))
        standing.revenue.add(event.closed_on, qualifying)
        _quarter(standing, event.closed_on).add(event.family, event.currency, net, qualifying)


def _awarded(standing: Standing, event: e.TierAwarded) -> None:
    standing.clock = max(standing.clock, event.effective_on)


def _entered(standing: Standing, event: e.ProgrammeEntered) -> None:
    standing.clock = max(standing.clock, event.effective_on)
    standing.programme = event.programme
    standing.awarded = event.awarded
    standing.due = None
    if event.renamed:
        standing.promotions = [
            promotion._replace(tier_before=event.renamed.get(promotion.tier_before, promotion.tier_before))
            for promotion in standing.promotions
        ]


def _specialisation_awarded(standing: Standing, event: e.SpecialisationAwarded) -> None:
    standing.clock = max(standing.clock, event.effective_on)
    standing.held[event.specialisation] = event.effective_on
    standing.specialisation_changes.setdefault(event.specialisation, []).append(
        SpecialisationEntry(event.effective_on, held=True, by_fact=event.by_fact)
    )


def _specialisation_lapsed(standing: Standing, event: e.SpecialisationLapsed) -> None:
    standing.clock = max(standing.clock, event.effective_on)
    standing.held.pop(event.specialisation, None)
    standing.specialisation_changes.setdefault(event.specialisation, []).append(
        SpecialisationEntry(event.effective_on, held=False, by_fact=event.by_fact)
    )


def _tier_changed(standing: Standing, event: e.TierChanged) -> None:
    standing.clock = max(standing.clock, event.effective_on)
    if event.reason == "withdrawal":
        _withdraw(standing, event)
    else:
        if event.reason == "promotion":
            standing.promotions.append(_rests_on(standing, event, standing.tier))
        else:
            standing.promotions.clear()  # what came before a migration, demotion or award cannot be withdrawn any more
        standing.kickback_tiers.append((event.effective_on, event.to_tier))
        if event.reason != "migration":
            standing.protected_from, standing.missed = event.effective_on, 0
    standing.tier = event.to_tier
    standing.awarded = event.to_awarded
    standing.tier_changes.append(TierEntry(event.effective_on, event.to_tier, event.by_fact))


def _withdraw(standing: Standing, event: e.TierChanged) -> None:
    withdrawn = standing.promotions[-event.withdrawn :]
    del standing.promotions[-event.withdrawn :]
    earliest = withdrawn[0]
    del standing.kickback_tiers[earliest.kickback_index :]
    standing.kickback_tiers.append((earliest.effective_on, event.to_tier))
    standing.protected_from, standing.missed = earliest.protected_from_before, earliest.missed_before
    if event.rests_on_evidence:
        standing.promotions.append(_rests_on(standing, event, event.reached_tier or earliest.tier_before))


def _rests_on(standing: Standing, event: e.TierChanged, tier_before: str) -> Promotion:
    evidence = event.evidence
    if evidence is None:
        raise ValueError(f"a {event.reason} of {standing.partner_id} on {event.effective_on} has no evidence")
    return Promotion(
        tier_before=tier_before,
        effective_on=event.effective_on,
        window_after=evidence.window_first_day - dt.timedelta(days=1),
        window_last=evidence.window_last_day,
        required=minor_of(evidence.required_revenue, currency_digits(evidence.base_currency)),
        protected_from_before=standing.protected_from,
        missed_before=standing.missed,
        kickback_index=len(standing.kickback_tiers),
    )


def _review_passed(standing: Standing, event: e.ReviewPassed) -> None:
    standing.clock = max(standing.clock, event.reviewed_on)
    standing.missed = 0


def _review_missed(standing: Standing, event: e.ReviewMissed) -> None:
    standing.clock = max(standing.clock, event.reviewed_on)
    standing.missed = event.missed


def _settled(standing: Standing, event: e.KickbackSettled) -> None:
    standing.clock = max(standing.clock, event.posting_date)
    quarter = _quarter(standing, event.quarter)
    for line in event.lines:
        key = (line.scheme, line.currency)
        quarter.settled[key] = quarter.settled.get(key, 0) + minor_of(line.amount, currency_digits(line.currency))


CHANGES: dict[type[e.Event], Callable[[Standing, Any], None] | None] = {
    e.MembershipSuspended: _suspended,
    e.MembershipResumed: _resumed,
    e.MembershipEnded: _ended,
    e.TrainingCompleted: _training,
    e.CertificateRevoked: _revoked,
    e.SaleRecorded: _sale,
    e.SaleReversed: _reversal,
    e.TierAwarded: _awarded,
    e.ProgrammeEntered: _entered,
    e.SpecialisationAwarded: _specialisation_awarded,
    e.SpecialisationLapsed: _specialisation_lapsed,
    e.TierChanged: _tier_changed,
    e.ReviewPassed: _review_passed,
    e.ReviewMissed: _review_missed,
    e.KickbackSettled: _settled,
    e.BonusAccrued: None,
    e.BonusClawedBack: None,
}
"""How each event of a partner's stream changes its standing. Instant bonuses change nothing that decisions look at: a
reversal gets its deal's lines by identity."""


def evolve(standing: Standing | None, event: e.Event) -> Standing:
    """Apply one event of a partner's stream; the first one, `PartnerEnrolled`, makes the standing."""
    if standing is None:
        if not isinstance(event, e.PartnerEnrolled):
            raise ValueError(f"a partner's stream begins with {type(event).__name__}, not with PartnerEnrolled")
        return Standing(event)
    change = CHANGES[type(event)]
    if change is not None:
        change(standing, event)
    return standing
