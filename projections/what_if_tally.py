"""What a partner comes to in a what-if, added up from what was decided: its standing as of a date, and its bonuses by group.

The rows are those of the projections, and so is the answer (`projections.queries.PartnerStanding`): both sides of a what-if
are told by the same means. A row cites the position of the fact, or of the advance, that it was decided at.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from domain import events as e
from domain.calendar import quarter_start
from projections import loyalty, tier_status
from projections.queries import Balance, PartnerStanding, SchemeBonus, Total, TotalsBy
from projections.what_if_rules import Rules

ACROSS_FAMILIES = "(kickbacks)"
"""The group of what is paid on a quarter and not on a deal, where bonuses are summed by family; no family is named so."""

GROUPS: tuple[TotalsBy, ...] = ("scheme", "tier", "country", "family", "quarter")


class RefusedFact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A recorded fact that the rules of a what-if refuse: it is not applied."""

    position: int
    partner: str
    what: str
    reason: str


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What one partner comes to. `standing` is None where it is not enrolled by the date.

    `evidence` has what each entry of the tier history rests on, in their order; None for an enrolment.
    """

    partner: str
    standing: PartnerStanding | None
    bonuses: tuple[SchemeBonus, ...]
    evidence: tuple[e.TierEvidence | None, ...]
    refused: tuple[RefusedFact, ...]


_Key = tuple[str, str, str, str, dt.date, bool]
"""Scheme, currency, tier, family, quarter of the posting date, and whether a reversal caused it."""


class Tally:
    """Adds up what is decided about one partner, as of a date."""

    __slots__ = ("_as_of", "_enrolled", "_evidence", "_held", "_memberships", "_money", "_tiers", "partner", "refused")

    def __init__(self, partner: str, rules: Rules) -> None:
        self.partner = partner
        self.refused: list[RefusedFact] = []
        self._as_of = rules.as_of
        self._enrolled: tier_status.PartnerRow | None = None
        self._tiers: list[tier_status.TierRow] = []
        self._evidence: list[e.TierEvidence | None] = []
        self._held: dict[str, bool] = {}
        self._memberships: list[loyalty.MembershipRow] = []
        self._money: dict[_Key, list[Any]] = {}

    def take(self, position: int, events: Sequence[e.Event]) -> None:
        """Take what was decided at a position, in order."""
        family = ACROSS_FAMILIES
        for event in events:
            kind = type(event)
            if kind is e.SaleRecorded or kind is e.SaleReversed:
                family = event.family  # type: ignore[attr-defined]  # both have one
            elif kind is e.BonusAccrued:
                self._post(event, family, clawed_back=False)  # type: ignore[arg-type]
            else:
                take = _TAKES.get(kind)
                if take is not None:
                    take(self, position, event, family)

    def counts(self, on: dt.date) -> bool:
        """Tell whether what counts from a date is in force as of the date wanted."""
        return on <= self._as_of

    def _post(self, event: "_Posting", family: str, *, clawed_back: bool) -> None:
        posted_on = event.posting_date
        if posted_on > self._as_of:
            return
        quarter, money = quarter_start(posted_on), self._money
        for line in event.lines:
            key = (line.scheme, line.currency, line.tier, family, quarter, clawed_back)
            sums = money.get(key)
            if sums is None:
                money[key] = [line.amount, 1]
            else:
                sums[0] += line.amount
                sums[1] += 1

    def _clawed_back(self, _position: int, event: e.BonusClawedBack, family: str) -> None:
        self._post(event, family, clawed_back=True)

    def _settled(self, _position: int, event: e.KickbackSettled, _family: str) -> None:
        self._post(event, ACROSS_FAMILIES, clawed_back=event.cause == "reversal")

    def _enrol(self, position: int, event: e.PartnerEnrolled, _family: str) -> None:
        if self.counts(event.enrolled_on):
            self._enrolled = tier_status.partner_row(position, self.partner, event)
            self._tiers.append(tier_status.first_tier(position, self.partner, event))
            self._evidence.append(None)
            self._memberships.append(loyalty.enrolment(position, self.partner, event))

    def _change_membership(
        self, position: int, event: e.MembershipSuspended | e.MembershipResumed | e.MembershipEnded, _family: str
    ) -> None:
        if self.counts(event.effective_on):
            self._memberships.append(loyalty.membership_change(position, self.partner, event))

    def _change_tier(self, position: int, event: e.TierChanged, _family: str) -> None:
        if self.counts(event.effective_on):
            self._tiers.append(tier_status.tier_change(position, self.partner, event))
            self._evidence.append(event.evidence)

    def _specialise(
        self, _position: int, event: e.SpecialisationAwarded | e.SpecialisationLapsed, _family: str
    ) -> None:
        if self.counts(event.effective_on):
            self._held[event.specialisation] = isinstance(event, e.SpecialisationAwarded)

    # --- what it comes to ---

    def outcome(self) -> Outcome:
        """Give what the partner comes to."""
        return Outcome(self.partner, self._standing(), self._bonuses(), tuple(self._evidence), tuple(self.refused))

    def _standing(self) -> PartnerStanding | None:
        if self._enrolled is None:
            return None
        so_far = loyalty.membership((row.change, row.effective_on) for row in self._memberships)
        return PartnerStanding(
            self._enrolled,
            tuple(self._tiers),
            tuple(sorted(code for code, held in self._held.items() if held)),
            tuple(self._memberships),
            so_far.ended_on,
            so_far.loyalty_days(self._as_of),
            self._balances(),
            sum(lines for _, lines in self._money.values()),
        )

    def _balances(self) -> tuple[Balance, ...]:
        zeros: dict[str, Decimal] = {}
        sides: dict[tuple[str, bool], Decimal] = {}
        for (_, currency, _, _, _, clawed_back), (amount, _) in self._money.items():
            zeros[currency] = zeros.get(currency, amount - amount)  # carries the currency's digits
            sides[currency, clawed_back] = sides.get((currency, clawed_back), zeros[currency]) + amount
        return tuple(
            Balance(currency, sides.get((currency, False), zero), sides.get((currency, True), zero), zero)
            for currency, zero in sorted(zeros.items())
        )

    def _bonuses(self) -> tuple[SchemeBonus, ...]:
        sums: dict[tuple[str, str], tuple[Decimal, int]] = {}
        for (scheme, currency, *_), (amount, lines) in self._money.items():
            before, lines_before = sums.get((scheme, currency), (amount - amount, 0))
            sums[scheme, currency] = before + amount, lines_before + lines
        return tuple(SchemeBonus(*key, amount, lines) for key, (amount, lines) in sorted(sums.items()))

    def add_to(self, totals: "Totals") -> None:
        """Add the partner's bonuses to the sums of many."""
        if self._enrolled is None:
            return
        country = self._enrolled.country
        for (scheme, currency, tier, family, quarter, clawed_back), (amount, lines) in self._money.items():
            named = f"{quarter.year}-Q{(quarter.month + 2) // 3}"
            for by, group in zip(GROUPS, (scheme, tier, country, family, named), strict=True):
                totals.add(by, group, currency, amount, lines, clawed_back=clawed_back)


_Posting = e.BonusAccrued | e.BonusClawedBack | e.KickbackSettled

_TAKES: dict[type[e.Event], Callable[[Tally, int, Any, str], None]] = {
    e.PartnerEnrolled: Tally._enrol,
    e.MembershipSuspended: Tally._change_membership,
    e.MembershipResumed: Tally._change_membership,
    e.MembershipEnded: Tally._change_membership,
    e.TierChanged: Tally._change_tier,
    e.SpecialisationAwarded: Tally._specialise,
    e.SpecialisationLapsed: Tally._specialise,
    e.BonusClawedBack: Tally._clawed_back,
    e.KickbackSettled: Tally._settled,
}


class Totals:
    """Bonuses of many partners, summed by each kind of group."""

    def __init__(self) -> None:
        self._sums: dict[tuple[TotalsBy, str, str], list[Any]] = {}

    def add(self, by: TotalsBy, group: str, currency: str, amount: Decimal, lines: int, *, clawed_back: bool) -> None:
        """Add an amount of so many lines."""
        sums = self._sums.get((by, group, currency))
        if sums is None:
            zero = amount - amount
            sums = self._sums[by, group, currency] = [zero, zero, 0]
        sums[clawed_back] += amount
        sums[2] += lines

    def merge(self, totals: Iterable[tuple[TotalsBy, Total]]) -> None:
        """Add sums that were made elsewhere."""
        for by, total in totals:
            self.add(by, total.group, total.currency, total.accrued, total.lines, clawed_back=False)
            self.add(by, total.group, total.currency, total.clawed_back, 0, clawed_back=True)

    def all(self) -> Sequence[tuple[TotalsBy, Total]]:
        """Give the sums, in order of kind, group and currency."""
        return [(by, Total(group, currency, *sums)) for (by, group, currency), sums in sorted(self._sums.items())]

    def by(self, by: TotalsBy) -> tuple[Total, ...]:
        """Give the sums of one kind of group, in order of group and currency."""
        return tuple(total for each, total in self.all() if each == by)
