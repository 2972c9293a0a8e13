"""What a partner comes to in a what-if, added up from what was decided: its standing as of a date, and its bonuses by group.

The rows are those of the projections, and so is the answer (`projections.queries.PartnerStanding`): both sides of a what-if
are told by the same means. A row cites the position of the fact, or of the advance, that it was decided at.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from domain import events as e
from domain.calendar import quarter_start
from domain.deal import ClosedDeal
from domain.decisions.desk import Desk, Earned
from domain.money import currency_digits, minor_of, to_amount
from domain.standing import Standing
from domain.terms import Programmes, Terms
from projections import loyalty, tier_status
from projections.queries import Balance, PartnerStanding, SchemeBonus, Total, TotalsBy
from projections.what_if_holders import quarter_name
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

    `evidence` has what each entry of the tier history rests on, in their order: of a demotion, what the review missed; None for an
    enrolment.
    """

    partner: str
    standing: PartnerStanding | None
    bonuses: tuple[SchemeBonus, ...]
    evidence: tuple[e.TierEvidence | None, ...]
    refused: tuple[RefusedFact, ...]
    due_at_end: bool
    """Whether something was due by the ledger's last date that no fact of the partner has led to."""


_Key = tuple[str, str, str, dt.date, bool]
"""Currency, tier, family, quarter of the posting date, and whether a reversal caused it."""
_Sums = dict[str, list[int]]
"""By scheme: the amount in minor units, and the number of lines."""


class Tally:
    """Adds up what is decided about one partner, as of a date."""

    WANTS_EVENTS: ClassVar[bool] = False
    """Whether it is to be given the events of every deal; else what most deals earn is added up without any (`TallyingDesk`)."""

    __slots__ = (
        *("_as_of", "_enrolled", "_evidence", "_held", "_memberships", "_missed", "_money", "_tiers"),
        *("due_at_end", "partner", "refused"),
    )

    def __init__(self, partner: str, rules: Rules) -> None:
        self.partner = partner
        self.refused: list[RefusedFact] = []
        self.due_at_end = False
        self._as_of = rules.as_of
        self._enrolled: tier_status.PartnerRow | None = None
        self._tiers: list[tier_status.TierRow] = []
        self._evidence: list[e.TierEvidence | None] = []
        self._missed: e.TierEvidence | None = None
        self._held: dict[str, bool] = {}
        self._memberships: list[loyalty.MembershipRow] = []
        self._money: dict[_Key, _Sums] = {}

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

    def sums(self, currency: str, tier: str, family: str, posted_on: dt.date, *, clawed_back: bool) -> _Sums:
        """Give where bonuses of a group are added up."""
        key = (currency, tier, family, quarter_start(posted_on), clawed_back)
        sums = self._money.get(key)
        if sums is None:
            sums = self._money[key] = {}
        return sums

    def _post(self, event: "_Posting", family: str, *, clawed_back: bool) -> None:
        if self.counts(event.posting_date):
            for line in event.lines:
                sums = self.sums(line.currency, line.tier, family, event.posting_date, clawed_back=clawed_back)
                post(sums, line.scheme, minor_of(line.amount, currency_digits(line.currency)))

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
            self._evidence.append(self._missed if event.reason == "demotion" else event.evidence)

    def _review(self, _position: int, event: e.ReviewMissed, _family: str) -> None:
        self._missed = event.evidence

    def _specialise(
        self, _position: int, event: e.SpecialisationAwarded | e.SpecialisationLapsed, _family: str
    ) -> None:
        if self.counts(event.effective_on):
            self._held[event.specialisation] = isinstance(event, e.SpecialisationAwarded)

    # --- what it comes to ---

    def outcome(self) -> Outcome:
        """Give what the partner comes to."""
        evidence, refused = tuple(self._evidence), tuple(self.refused)
        return Outcome(self.partner, self._standing(), self._bonuses(), evidence, refused, self.due_at_end)

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
            sum(lines for schemes in self._money.values() for _, lines in schemes.values()),
        )

    def _balances(self) -> tuple[Balance, ...]:
        sides: dict[str, list[int]] = {}
        for (currency, _, _, _, clawed_back), schemes in self._money.items():
            sides.setdefault(currency, [0, 0])[clawed_back] += sum(minor for minor, _ in schemes.values())
        return tuple(
            Balance(currency, *(_amount(each, currency) for each in (*minor, 0)))
            for currency, minor in sorted(sides.items())
        )

    def _bonuses(self) -> tuple[SchemeBonus, ...]:
        sums: dict[tuple[str, str], list[int]] = {}
        for (currency, *_), schemes in self._money.items():
            for scheme, (minor, lines) in schemes.items():
                sofar = sums.setdefault((scheme, currency), [0, 0])
                sofar[0] += minor
                sofar[1] += lines
        return tuple(
            SchemeBonus(scheme, currency, _amount(minor, currency), lines)
            for (scheme, currency), (minor, lines) in sorted(sums.items())
        )

    def add_to(self, totals: "Totals") -> None:
        """Add the partner's bonuses to the sums of many."""
        if self._enrolled is not None:
            totals.add(self._enrolled.country, self._money)


def post(sums: _Sums, scheme: str, minor: int) -> None:
    """Add a line to the sums of its group."""
    sofar = sums.get(scheme)
    if sofar is None:
        sums[scheme] = [minor, 1]
    else:
        sofar[0] += minor
        sofar[1] += 1


class TallyingDesk(Desk):
    """A desk that adds up what a deal earns and makes no events of the deal and its bonuses: nobody reads them in a what-if.

    What else comes of a deal (settlements, transitions, promotions) is kept as events, as on any desk.
    """

    __slots__ = ("_tally",)

    def __init__(self, standing: Standing, programmes: Programmes, tally: Tally) -> None:
        super().__init__(standing, programmes)
        self._tally = tally

    def close_deal(self, deal: ClosedDeal, _terms: Terms, minor: int, qualifying: int | None, clock: dt.date) -> None:
        """Let a deal change the standing."""
        self.take_deal(deal, minor, qualifying, clock)

    def accrue(self, deal: ClosedDeal, _terms: Terms, _minor: int, earned: Earned, clock: dt.date) -> None:
        """Add up what a deal earns."""
        if not self._tally.counts(clock):
            return
        entry, bonuses = earned
        sums = self._tally.sums(deal.currency, entry.tier, deal.family, clock, clawed_back=False)
        for bonus in bonuses:
            post(sums, bonus[0].code, bonus[1])


_Posting = e.BonusAccrued | e.BonusClawedBack | e.KickbackSettled

_TAKES: dict[type[e.Event], Callable[[Tally, int, Any, str], None]] = {
    e.PartnerEnrolled: Tally._enrol,
    e.MembershipSuspended: Tally._change_membership,
    e.MembershipResumed: Tally._change_membership,
    e.MembershipEnded: Tally._change_membership,
    e.TierChanged: Tally._change_tier,
    e.ReviewMissed: Tally._review,
    e.SpecialisationAwarded: Tally._specialise,
    e.SpecialisationLapsed: Tally._specialise,
    e.BonusClawedBack: Tally._clawed_back,
    e.KickbackSettled: Tally._settled,
}


_Cell = tuple[str, str, str, str, str, dt.date, bool]
"""Scheme, country, and the parts of a `_Key`."""


class Totals:
    """Bonuses of many partners: summed by all that groups are made of, and by each kind of group when asked."""

    def __init__(self, cells: "Iterable[Cell]" = ()) -> None:
        self._cells: dict[_Cell, list[int]] = {}
        self.merge(cells)

    def add(self, country: str, money: Mapping[_Key, _Sums]) -> None:
        """Add the bonuses of a partner of a country."""
        for key, schemes in money.items():
            for scheme, (minor, lines) in schemes.items():
                self._add((scheme, country, *key), minor, lines)

    def _add(self, cell: _Cell, minor: int, lines: int) -> None:
        sums = self._cells.get(cell)
        if sums is None:
            self._cells[cell] = [minor, lines]
        else:
            sums[0] += minor
            sums[1] += lines

    def cells(self) -> "list[Cell]":
        """Give the sums, to be merged elsewhere."""
        return [Cell(*cell, *sums) for cell, sums in self._cells.items()]

    def merge(self, cells: "Iterable[Cell]") -> None:
        """Add sums that were made elsewhere."""
        for each in cells:
            *cell, minor, lines = msgspec.structs.astuple(each)
            self._add(tuple(cell), minor, lines)

    def by(self, by: TotalsBy) -> tuple[Total, ...]:
        """Give the sums of one kind of group, in order of group and currency."""
        groups: dict[tuple[str, str], list[int]] = {}
        for cell, (minor, lines) in self._cells.items():
            scheme, country, currency, tier, family, quarter, clawed_back = cell
            group = dict(zip(GROUPS, (scheme, tier, country, family, quarter_name(quarter)), strict=True))[by]
            sums = groups.setdefault((group, currency), [0, 0, 0])
            sums[clawed_back] += minor
            sums[2] += lines
        return tuple(
            Total(group, currency, _amount(accrued, currency), _amount(clawed_back, currency), lines)
            for (group, currency), (accrued, clawed_back, lines) in sorted(groups.items())
        )


def _amount(minor: int, currency: str) -> Decimal:
    return to_amount(minor, currency_digits(currency))


class Cell(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A sum of bonuses, and all that it can be grouped by."""

    scheme: str
    country: str
    currency: str
    tier: str
    family: str
    quarter: dt.date
    clawed_back: bool
    minor: int
    lines: int
