"""What differs between what is and what would be: partner by partner with the causes, and in sum.

What is comes from the live projections, never from deciding twice; so where nothing was changed, an empty difference proves both.
Amounts of several currencies are compared in base currency, at the rates of the version in force on the date.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from domain.events import TierEvidence
from domain.money import currency_digits, minor_of, to_amount
from domain.terms import Programmes
from projections.queries import PartnersAnswer, PartnerStanding, SchemeBonus, Total, TotalsBy
from projections.tier_status import TierRow
from projections.what_if_holders import QuarterHolders, holders_by_quarter
from projections.what_if_result import Result
from projections.what_if_tally import GROUPS, Outcome, RefusedFact


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
            and _told(self.actual) == _told(self.candidate)
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
    tiers: tuple[str, ...]
    """All tiers that are or would be held, lowest first as in the version in force on the date."""
    partners: Mapping[str, PartnerDifference]
    money: Mapping[TotalsBy, tuple[GroupChange, ...]]
    refused: tuple[RefusedFact, ...]

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
    programmes, as_of = result.rules.programmes, result.rules.as_of
    there = {standing.partner.partner: standing for standing in actual.partners}
    worth = Worth(programmes, as_of)
    partners = {}
    for partner in sorted({*there, *result.outcomes}):
        outcome = result.outcomes.get(partner)
        if partner in there or (outcome is not None and outcome.standing is not None):
            partners[partner] = _partner(partner, there.get(partner), outcome, bonuses.get(partner, ()), worth)
    return Difference(
        as_of=as_of,
        position=actual.position,
        base_currency=worth.currency,
        tiers=_tiers(programmes, as_of, partners.values()),
        partners=partners,
        money={by: _groups(totals[by], result.totals.by(by)) for by in GROUPS},
        refused=tuple(result.refused),
    )


def _partner(
    partner: str,
    actual: PartnerStanding | None,
    outcome: Outcome | None,
    bonuses: Sequence[SchemeBonus],
    worth: "Worth",
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


def _told(standing: PartnerStanding | None) -> object:
    """Give what `partners --json` tells of a partner."""
    if standing is None:
        return None
    history = tuple(_entry(row) for row in standing.tier_history)
    return history, standing.specialisations, standing.loyalty_days, standing.balances, standing.lines


def _held(standing: PartnerStanding | None) -> str | None:
    return None if standing is None else standing.held_tier


def _specialisations(standing: PartnerStanding | None) -> set[str]:
    return set() if standing is None else set(standing.specialisations)


def _tiers(programmes: Programmes, as_of: dt.date, partners: Iterable[PartnerDifference]) -> tuple[str, ...]:
    terms = programmes.in_force(as_of)
    order = [] if terms is None else [tier.code for tier in terms.tiers]
    held = {tier for each in partners for tier in (each.tier_then, each.tier_now) if tier is not None}
    return (*order, *sorted(held - set(order)))


class Worth:
    """What amounts are worth in base currency."""

    def __init__(self, programmes: Programmes, as_of: dt.date) -> None:
        in_force = programmes.in_force(as_of) or programmes.versions[0]
        self.currency = in_force.base_currency
        self._digits = in_force.base_digits
        self._terms = {currency: terms for terms in programmes.versions for currency in terms.currency_digits}
        """The latest version that has a rate for a currency, but for those that the one in force has."""
        self._terms |= dict.fromkeys(in_force.currency_digits, in_force)

    def of(self, changes: Iterable[SchemeChange]) -> Decimal:
        """Add up changes; those in a currency that no version knows any more count nothing."""
        by_currency: Counter[str] = Counter()
        for change in changes:
            by_currency[change.currency] += minor_of(change.change, currency_digits(change.currency))
        minor = sum(
            self._terms[currency].qualifying(amount, currency)
            for currency, amount in by_currency.items()
            if currency in self._terms
        )
        return to_amount(minor, self._digits)
