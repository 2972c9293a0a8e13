"""What differs between what is and what would be: partner by partner with the causes, and in sum.

What is comes from the live projections, never from deciding twice; so where nothing was changed, an empty difference proves both.
Amounts of several currencies are compared in base currency (`projections.what_if_worth`).
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from domain.events import TierEvidence
from domain.money import currency_digits, to_amount
from domain.terms import Programmes
from projections.queries import PartnersAnswer, PartnerStanding, SchemeBonus, Total, TotalsBy
from projections.tier_status import TierRow
from projections.what_if_holders import QuarterHolders, holders_by_quarter
from projections.what_if_result import Result
from projections.what_if_tally import GROUPS, Outcome, RefusedFact
from projections.what_if_worth import Worth


class SchemeChange(NamedTuple):
    """One partner's bonuses of a scheme in a currency, as they are and as they would be."""

    scheme: str
    currency: str
    then: Decimal
    now: Decimal

    @property
    def change(self) -> Decimal:
        """What would be more (or less, negative)."""
        return self.now - self.then


class TierDifference(NamedTuple):
    """The first entry of the tier histories that differs; None on the side that has no such entry.

    `evidence` is what was measured for the entry that would be (of a demotion: what the review missed); None for an enrolment, or
    where there is none.
    """

    then: TierRow | None
    now: TierRow | None
    evidence: TierEvidence | None


@dataclass(frozen=True, slots=True)
class PartnerDifference:
    """One partner as it is and as it would be; None on the side where it is not enrolled by the date."""

    partner: str
    name: str
    country: str
    actual: PartnerStanding | None
    candidate: PartnerStanding | None
    bonuses: tuple[SchemeChange, ...]
    change: Decimal
    """What all bonuses would be more (or less), in base currency."""
    first_tier: TierDifference | None
    gained: tuple[str, ...]
    """Specialisations that would be held besides."""
    lost: tuple[str, ...]
    """Specialisations that would not be held."""
    refused: tuple[RefusedFact, ...]

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs that `partners --json` tells, nor any bonus, and no fact is refused."""
        return (
            self.first_tier is None
            and not (self.gained or self.lost or self.refused)
            and all(bonus.then == bonus.now for bonus in self.bonuses)
            and told(self.actual) == told(self.candidate)
        )

    @property
    def tier_then(self) -> str | None:
        """The tier held; None where it holds none, because it is not enrolled or the membership has ended."""
        return _held(self.actual)

    @property
    def tier_now(self) -> str | None:
        """The tier that would be held."""
        return _held(self.candidate)


class HoldersChange(NamedTuple):
    """How many hold a tier in a country, and how many would."""

    country: str
    tier: str
    then: int
    now: int


class Move(NamedTuple):
    """So many partners hold one tier and would hold another; None for no tier."""

    tier_then: str | None
    tier_now: str | None
    partners: int


class GroupChange(NamedTuple):
    """Bonuses of a group in a currency, as they are and as they would be; with how many lines."""

    group: str
    currency: str
    then: Decimal
    now: Decimal
    lines_then: int
    lines_now: int

    @property
    def change(self) -> Decimal:
        """What would be more (or less, negative)."""
        return self.now - self.then


@dataclass(frozen=True)
class Difference:
    """A what-if held against what is."""

    as_of: dt.date
    position: int
    base_currency: str
    worth: Worth
    tiers_then: tuple[str, ...]
    """The tiers of the published version in force on the date, lowest first."""
    tiers_now: tuple[str, ...]
    """The tiers of the version that would be."""
    partners: Mapping[str, PartnerDifference]
    money: Mapping[TotalsBy, tuple[GroupChange, ...]]
    refused: tuple[RefusedFact, ...]

    @cached_property
    def tiers(self) -> tuple[str, ...]:
        """All tiers of the version that would be, and those that are held besides, lowest first."""
        held = {tier for each in self.partners.values() for tier in (each.tier_then, each.tier_now) if tier is not None}
        return merged(self.tiers_then, self.tiers_now, held)

    def rank_change(self, then: str | None, now: str | None) -> int:
        """Tell whether a tier is higher (1) or lower (-1) than another one; 0 where they cannot be compared, as one renamed.

        Two tiers are compared in the version that has both, the one that would be before the one that is.
        """
        if then == now:
            return 0
        if then is None or now is None:
            return 1 if then is None else -1
        for tiers in (self.tiers_now, self.tiers_then):
            if then in tiers and now in tiers:
                return 1 if tiers.index(now) > tiers.index(then) else -1
        return 0

    def sum_of(self, partners: Iterable[PartnerDifference]) -> Decimal:
        """Give what the bonuses of partners would be more (or less) in all, in base currency, rounded once a currency."""
        return self.worth.of(bonus for each in partners for bonus in each.bonuses)

    @property
    def differing(self) -> Sequence[PartnerDifference]:
        """The partners of whom anything differs."""
        return [each for each in self.partners.values() if not each.is_equal]

    @property
    def gaining(self) -> Sequence[PartnerDifference]:
        """Who would have more, the most first."""
        return sorted((p for p in self.partners.values() if p.change > 0), key=lambda p: (-p.change, p.partner))

    @property
    def losing(self) -> Sequence[PartnerDifference]:
        """Who would have less, the most first."""
        return sorted((p for p in self.partners.values() if p.change < 0), key=lambda p: (p.change, p.partner))

    @property
    def moving(self) -> Sequence[PartnerDifference]:
        """Who would hold another tier and have the same money."""
        return [each for each in self.partners.values() if each.tier_then != each.tier_now and not each.change]

    def largest(self, count: int) -> Sequence[PartnerDifference]:
        """Give the partners of whom most differs: by money, then by whether the tier does."""
        ranked = sorted(
            self.differing, key=lambda p: (-abs(p.change), p.tier_then == p.tier_now, p.first_tier is None, p.partner)
        )
        return ranked[:count]

    @cached_property
    def holders(self) -> tuple[HoldersChange, ...]:
        """Holders by country and tier; ended partners hold none."""
        then = Counter((p.country, p.tier_then) for p in self.partners.values())
        now = Counter((p.country, p.tier_now) for p in self.partners.values())
        return tuple(
            HoldersChange(country, tier, then[country, tier], now[country, tier])
            for country in sorted({p.country for p in self.partners.values()})
            for tier in self.tiers
            if then[country, tier] or now[country, tier]
        )

    @cached_property
    def holders_in_all(self) -> tuple[HoldersChange, ...]:
        """Holders of each tier in all countries."""
        return tuple(
            HoldersChange(
                "all",
                tier,
                sum(each.then for each in self.holders if each.tier == tier),
                sum(each.now for each in self.holders if each.tier == tier),
            )
            for tier in self.tiers
        )

    @cached_property
    def holders_by_quarter(self) -> Sequence[QuarterHolders]:
        """Holders of each tier at the end of each quarter up to the date."""
        actual = [p.actual for p in self.partners.values() if p.actual is not None]
        candidate = [p.candidate for p in self.partners.values() if p.candidate is not None]
        return holders_by_quarter(actual, candidate, self.ever_held, self.as_of)

    @cached_property
    def ever_held(self) -> tuple[str, ...]:
        """All tiers that were ever held or would have been: those of `tiers`, then the others."""
        sides = (side for p in self.partners.values() for side in (p.actual, p.candidate) if side is not None)
        held = {row.tier for side in sides for row in side.tier_history}
        return (*self.tiers, *sorted(held - set(self.tiers)))

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """Which tiers partners come from and to, those who would stay included."""
        moves = Counter((p.tier_then, p.tier_now) for p in self.partners.values())
        order = {tier: number for number, tier in enumerate(self.tiers)}
        ranked = sorted(moves, key=lambda move: tuple(-1 if tier is None else order[tier] for tier in move))
        return tuple(Move(*move, moves[move]) for move in ranked)


def difference(
    actual: PartnersAnswer,
    bonuses: Mapping[str, Sequence[SchemeBonus]],
    totals: Mapping[TotalsBy, Sequence[Total]],
    result: Result,
) -> Difference:
    """Hold a result against the live projections' answer as of the same date, at the position that the facts were read up to."""
    rules, as_of = result.rules, result.rules.as_of
    published = Programmes(rules.own.published)
    there = {standing.partner.partner: standing for standing in actual.partners}
    worth = Worth(published, as_of, [rules.programmes])
    partners = {}
    for partner in sorted({*there, *result.outcomes}):
        outcome = result.outcomes.get(partner)
        if partner in there or (outcome is not None and outcome.standing is not None):
            partners[partner] = _partner(partner, there.get(partner), outcome, bonuses.get(partner, ()), worth)
    return Difference(
        as_of=as_of,
        position=actual.position,
        base_currency=worth.currency,
        worth=worth,
        tiers_then=_tiers(published, as_of),
        tiers_now=_tiers(rules.programmes, as_of),
        partners=partners,
        money={by: _groups(totals[by], result.totals.by(by)) for by in GROUPS},
        refused=tuple(result.refused),
    )


def _partner(
    partner: str,
    actual: PartnerStanding | None,
    outcome: Outcome | None,
    bonuses: Sequence[SchemeBonus],
    worth: Worth,
) -> PartnerDifference:
    candidate = None if outcome is None else outcome.standing
    known = actual or candidate
    assert known is not None, "a partner is enrolled on one side at least"
    changes = _scheme_changes(bonuses, () if outcome is None else outcome.bonuses)
    held_then, held_now = _specialisations(actual), _specialisations(candidate)
    return PartnerDifference(
        partner=partner,
        name=known.partner.name,
        country=known.partner.country,
        actual=actual,
        candidate=candidate,
        bonuses=changes,
        change=worth.of(changes),
        first_tier=_first_tier(actual, candidate, () if outcome is None else outcome.evidence),
        gained=tuple(sorted(held_now - held_then)),
        lost=tuple(sorted(held_then - held_now)),
        refused=() if outcome is None else outcome.refused,
    )


def _scheme_changes(then: Sequence[SchemeBonus], now: Sequence[SchemeBonus]) -> tuple[SchemeChange, ...]:
    before = {(each.scheme, each.currency): each.amount for each in then}
    after = {(each.scheme, each.currency): each.amount for each in now}
    return tuple(
        SchemeChange(*key, before.get(key, _zero(key[1])), after.get(key, _zero(key[1])))
        for key in sorted({*before, *after})
    )


def _groups(then: Iterable[Total], now: Iterable[Total]) -> tuple[GroupChange, ...]:
    before = {(each.group, each.currency): each for each in then}
    after = {(each.group, each.currency): each for each in now}
    changes = []
    for key in sorted({*before, *after}):
        nothing = Total(*key, _zero(key[1]), _zero(key[1]), 0)
        was, is_ = before.get(key, nothing), after.get(key, nothing)
        changes.append(GroupChange(*key, was.total, is_.total, was.lines, is_.lines))
    return tuple(changes)


def _zero(currency: str) -> Decimal:
    return to_amount(0, currency_digits(currency))


def _first_tier(
    actual: PartnerStanding | None, candidate: PartnerStanding | None, evidence: Sequence[TierEvidence | None]
) -> TierDifference | None:
    then = () if actual is None else actual.tier_history
    now = () if candidate is None else candidate.tier_history
    for number in range(max(len(then), len(now))):
        was = then[number] if number < len(then) else None
        is_ = now[number] if number < len(now) else None
        if was is None or is_ is None or _entry(was) != _entry(is_):
            return TierDifference(was, is_, evidence[number] if is_ is not None else None)
    return None


def _entry(row: TierRow) -> tuple[dt.date, str, str]:
    return row.effective_on, row.tier, row.reason


def told(standing: PartnerStanding | None) -> object:
    """Give what `partners --json` tells of a partner."""
    if standing is None:
        return None
    history = tuple(_entry(row) for row in standing.tier_history)
    return history, standing.specialisations, standing.loyalty_days, standing.balances, standing.lines


def _held(standing: PartnerStanding | None) -> str | None:
    return None if standing is None else standing.held_tier


def _specialisations(standing: PartnerStanding | None) -> set[str]:
    return set() if standing is None else set(standing.specialisations)


def _tiers(programmes: Programmes, as_of: dt.date) -> tuple[str, ...]:
    terms = programmes.in_force(as_of)
    return () if terms is None else tuple(tier.code for tier in terms.tiers)


def merged(published: Sequence[str], candidate: Sequence[str], held: Collection[str]) -> tuple[str, ...]:
    """Give the tiers of both sides, lowest first, each that the candidate lacks behind the one below it; then others that are held."""
    merged = list(candidate)
    for number, tier in enumerate(published):
        if tier not in merged and tier in held:
            below = next((each for each in reversed(published[:number]) if each in merged), None)
            merged.insert(0 if below is None else merged.index(below) + 1, tier)
    return (*merged, *sorted(set(held) - set(merged)))
