"""A sweep from end to end: the facts read once, decided under each point's programmes, and summed."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from domain.errors import Refused, UnknownReference
from domain.programme import Programme
from domain.terms import Programmes
from infra.replay.folding import fold_all
from infra.replay.rehearsing import DECIDING, Telling, answer_date, check_all_read
from projections.facts_by_stream import RecordedFacts
from projections.queries import ReadModels
from projections.sweep import Impossible, PointSums, Setting, grid, sums_alone
from projections.what_if import Counts
from projections.what_if_difference import SchemeChange
from projections.what_if_rules import LedgersOwn, Rules, ledgers_own, with_candidates
from projections.what_if_worth import Worth


@dataclass(frozen=True)
class SweepRequest:
    """What is to be varied, in which version (one of its own, a published one's name, or the one in force), as of a date."""

    tape: Path
    top_up: bool
    settings: Sequence[Setting]
    programme: Programme | str | None
    as_of: dt.date | None
    workers: int


@dataclass(frozen=True)
class Sweep:
    """What each point would have come to, beside what is; `cost` of a point is all its bonuses in base currency."""

    as_of: dt.date
    position: int
    facts: int
    programme: Programme
    settings: Sequence[Setting]
    base_currency: str
    tiers: Sequence[str]
    actual: PointSums
    points: Sequence[PointSums]
    impossible: Sequence[Impossible]
    worth: Worth

    @property
    def currencies(self) -> Sequence[str]:
        """All currencies that bonuses are in, or would be."""
        return sorted({currency for each in (self.actual, *self.points) for currency in each.money})

    def cost(self, sums: PointSums) -> Decimal:
        """Give all bonuses in base currency, at the rates of the published version in force on the date, rounded once a currency."""
        return self.worth.of(
            SchemeChange("all", currency, Decimal(0), amount) for currency, amount in sums.money.items()
        )

    def change(self, sums: PointSums) -> Decimal:
        """Give what all bonuses would be more (or less), as a what-if of the point says it: the difference is rounded, not either side."""
        nothing, was = Decimal(0), self.actual.money
        return self.worth.of(
            SchemeChange("all", currency, was.get(currency, nothing), sums.money.get(currency, nothing))
            for currency in {*was, *sums.money}
        )


def sweep(
    recorded: RecordedFacts, count: int, read_models: ReadModels, request: SweepRequest, telling: Telling
) -> Sweep:
    """Decide all facts anew under the programmes of each point; the projections must have applied all up to the facts' position.

    Raises:
        InvalidInput: parameters that are not there, values that no programme can have, too many points.
        UnknownReference: no such programme is published.
        Refused: there is nothing to decide by the date.
        LedgerError: the facts cannot be read, or a process was ended.

    """
    own = ledgers_own(recorded.ledgers_own())
    as_of = answer_date(read_models, recorded.position, own, request.as_of)
    version = _version(own, request.programme, as_of)
    points, impossible = grid(version, request.settings)
    sets = [Rules(own, with_candidates(own.published, [point.programme]), as_of) for point in points]
    actual = _actual(read_models, as_of, recorded.position)
    telling.stage(DECIDING, count * len(sets))
    gathering = fold_all(
        recorded,
        sets,
        request.workers,
        lambda done: telling.note(min(done, count) * len(sets), count * len(sets)),
        sums_alone,
    )
    check_all_read(recorded, gathering.facts, count)
    sums = [
        PointSums(point.values, result.counts, result.totals.by("scheme"))
        for point, result in zip(points, gathering.results(), strict=True)
    ]
    published = Programmes(own.published)
    worth = Worth(published, as_of, [each.programmes for each in sets])
    return Sweep(
        as_of=as_of,
        position=recorded.position,
        facts=gathering.facts,
        programme=version,
        settings=request.settings,
        base_currency=worth.currency,
        tiers=_tiers(sets[0].programmes, as_of, [actual, *sums]),
        actual=actual,
        points=sums,
        impossible=impossible,
        worth=worth,
    )


def _version(own: LedgersOwn, wanted: Programme | str | None, as_of: dt.date) -> Programme:
    """Give the version whose parameters are varied."""
    if isinstance(wanted, Programme):
        return wanted
    published = Programmes(own.published)
    if wanted is None:
        return published.required(as_of).programme
    if wanted not in published.by_code:
        raise UnknownReference(f"No programme {wanted!r} is published; there are {', '.join(published.by_code)}.")
    return published.by_code[wanted].programme


def _actual(read_models: ReadModels, as_of: dt.date, position: int) -> PointSums:
    """Give what is, from the live projections."""
    partners = read_models.partners(as_of, up_to_position=position).partners
    if not partners:
        raise Refused(f"No partner was enrolled by {as_of}: a sweep begins with the first fact. Name a later --as-of.")
    holders: dict[str, int] = {}
    for each in partners:
        if each.held_tier is not None:
            holders[each.held_tier] = holders.get(each.held_tier, 0) + 1
    totals = read_models.totals("scheme", None, as_of, up_to_position=position).totals
    return PointSums({}, Counts(len(partners), holders, 0), totals)


def _tiers(programmes: Programmes, as_of: dt.date, sums: Sequence[PointSums]) -> Sequence[str]:
    """Give all tiers that are or would be held, lowest first as in the version in force on the date."""
    order = [tier.code for tier in programmes.required(as_of).tiers]
    held = {tier for each in sums for tier in each.counts.holders}
    return [*order, *sorted(held - set(order))]
