"""A what-if as one page to put before a board."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from domain.programme import Programme
from infra.replay import charts
from infra.replay.page import Drawn, figure, render, signed
from infra.replay.rehearsing import Explained, Rehearsal
from projections.programme_sentences import programme_changes
from projections.sentences import measured
from projections.tier_status import TierRow
from projections.what_if_board import Bucket, Rest, control_totals, in_short, key_figures, largest_lines, spread
from projections.what_if_difference import Difference, GroupChange
from projections.what_if_lines import LineDifference

LINES_SHOWN = 12
"""So many lines of a partner are shown, those by which most differs; the others are summed."""
REFUSED_SHOWN = 40


class Change(NamedTuple):
    """What a candidate changes, in words."""

    heading: str
    sentences: Sequence[tuple[str | None, str | None]]


class Sum(NamedTuple):
    """All bonuses of a partner in a currency."""

    currency: str
    then: Decimal
    now: Decimal


@dataclass(frozen=True)
class Told:
    """One of the largest differences, as the page tells it."""

    partner: str
    name: str
    country: str
    change: Decimal
    sentences: Sequence[str]
    lines: Sequence[LineDifference]
    rest: Sequence[Rest]
    sums: Sequence[Sum]


def what_if_page(rehearsal: Rehearsal, digest: str) -> str:
    """Give the page of a what-if, whose digest is known.

    Raises:
        InvalidInput: the library that makes pages, or the one that draws, is not installed.

    """
    compared = rehearsal.difference
    figures = key_figures(compared)
    published = rehearsal.result.rules.own.published
    replaced = {each.effective_from: each for each in published}
    return render(
        "what_if.html",
        {
            "title": _title(rehearsal.candidates, replaced),
            "question": _question(rehearsal.candidates, replaced),
            "changes": [_change(each, replaced, rehearsal.result.rules.versions) for each in rehearsal.candidates],
            "answer": in_short(compared),
            "compared": compared,
            "figures": figures,
            "charts": _charts(compared),
            "largest": [_told(each) for each in rehearsal.largest],
            "refused_shown": REFUSED_SHOWN,
            "controls": control_totals(compared),
            "versions": rehearsal.result.rules.versions,
            "candidates": rehearsal.candidates,
            "facts": rehearsal.facts,
            "digest": digest,
        },
    )


# --- in words ---


def _title(candidates: Sequence[Programme], replaced: Mapping[dt.date, Programme]) -> str:
    names = " and ".join(each.title for each in candidates)
    against = [replaced[each.effective_from].title for each in candidates if each.effective_from in replaced]
    return f"{names} against {' and '.join(against)}" if against else f"{names}, added"


def _question(candidates: Sequence[Programme], replaced: Mapping[dt.date, Programme]) -> str:
    stood = []
    for each in candidates:
        there = replaced.get(each.effective_from)
        instead = f"in place of {there.programme}" if there is not None else "besides what was published"
        stood.append(f"{each.programme}, from {each.effective_from} on, {instead}")
    return (
        f"What would our partners hold, and what would we owe them, had the terms been those of {' and '.join(stood)}?"
    )


def _change(candidate: Programme, replaced: Mapping[dt.date, Programme], versions: Sequence[Programme]) -> Change:
    """Tell what a candidate changes: in the version whose place it takes, or after the one before it, be that a candidate too."""
    there = replaced.get(candidate.effective_from)
    if there is not None:
        return Change(f"What {candidate.programme} changes in {there.programme}", programme_changes(there, candidate))
    before = [each for each in versions if each.effective_from < candidate.effective_from]
    if before:
        return Change(
            f"What {candidate.programme} changes after {before[-1].programme}", programme_changes(before[-1], candidate)
        )
    return Change(f"{candidate.programme} comes before all that was published", [])


def _told(each: Explained) -> Told:
    partner = each.partner
    lines, rest = largest_lines(each.lines, LINES_SHOWN)
    sums: dict[str, Sum] = {}
    for bonus in partner.bonuses:
        was = sums.get(bonus.currency, Sum(bonus.currency, Decimal(0), Decimal(0)))
        sums[bonus.currency] = Sum(bonus.currency, was.then + bonus.then, was.now + bonus.now)
    return Told(
        partner.partner,
        partner.name,
        partner.country,
        partner.change,
        _sentences(each),
        lines,
        rest,
        [sums[currency] for currency in sorted(sums)],
    )


def _sentences(each: Explained) -> list[str]:
    partner = each.partner
    then, now = partner.tier_then or "no tier", partner.tier_now or "no tier"
    told = [f"Holds {then}, as before." if then == now else f"Would hold {now} instead of {then}."]
    first = partner.first_tier
    if first is not None:
        told.append(f"First other step: {_step(first.now)} instead of {_step(first.then)}.")
        for side, evidence in (("as it is", each.evidence_then), ("as it would be", first.evidence)):
            if evidence is not None:
                told.append(f"Measured for {evidence.tier}, {side}: {measured(evidence)}.")
    for what, specialisations in (("hold besides", partner.gained), ("not hold", partner.lost)):
        if specialisations:
            told.append(f"Would {what}: {', '.join(specialisations)}.")
    return told


def _step(row: TierRow | None) -> str:
    return "none" if row is None else f"{row.tier} from {row.effective_on} ({row.reason})"


# --- charts ---


def _charts(compared: Difference) -> list[Drawn]:
    drawn = [_holders(compared), *_holders_by_quarter(compared)]
    if compared.money["scheme"]:
        drawn += [_by_scheme(compared), _by_quarter(compared), _by_country_or_tier(compared)]
    buckets = spread(partner.change for partner in compared.partners.values())
    if buckets:
        drawn.append(_spread(buckets, compared.base_currency))
    return drawn


def _holders(compared: Difference) -> Drawn:
    rows = [charts.Pair(each.tier, Decimal(each.then), Decimal(each.now)) for each in compared.holders_in_all]
    moved = [f"{each.tier} {signed(each.now - each.then)}" for each in compared.holders_in_all if each.now != each.then]
    return Drawn("Holders of each tier", ", ".join(moved) or "As many in each tier as now.", charts.pairs(rows))


def _by_scheme(compared: Difference) -> Drawn:
    changes = compared.money["scheme"]
    rows = [charts.Pair(f"{each.group}, {each.currency}", each.then, each.now) for each in changes]
    return Drawn("Bonuses by scheme", _most(changes), charts.pairs(rows))


def _holders_by_quarter(compared: Difference) -> list[Drawn]:
    """Draw the tiers of which the holders differ in any quarter, highest first."""
    ends = compared.holders_by_quarter
    differing = {each.tier for each in ends if each.then != each.now}
    rows = [
        charts.Moment(each.quarter, tier, Decimal(each.then), Decimal(each.now))
        for tier in reversed(compared.ever_held)
        for each in ends
        if each.tier == tier and tier in differing
    ]
    caption = "Broad line: as it is. Tiers with the same holders at the end of every quarter are left out."
    return [Drawn("Holders at the end of each quarter", caption, charts.stocks(rows))] if rows else []


def _by_quarter(compared: Difference) -> Drawn:
    changes = sorted(compared.money["quarter"], key=lambda each: (each.currency, each.group))
    rows = [charts.Moment(each.group, each.currency, each.then, each.now) for each in changes]
    return Drawn("Bonuses by quarter posted", _most(changes), charts.flows(rows))


def _by_country_or_tier(compared: Difference) -> Drawn:
    """Draw the difference by country, or, where there is but one, by the tier that earned it."""
    by_country = len({each.country for each in compared.partners.values()}) > 1
    changes = compared.money["country" if by_country else "tier"]
    rows = [charts.Signed(f"{each.group}, {each.currency}", each.change, signed(each.change)) for each in changes]
    title = "Difference by country" if by_country else "Difference by the tier that earns it"
    return Drawn(title, _most(changes), charts.signed(rows))


def _most(changes: Sequence[GroupChange]) -> str:
    most = max(changes, key=lambda each: abs(each.change))
    if not most.change:
        return "No difference."
    return f"Most by {most.group}: {most.currency} {signed(most.change)}."


def _spread(buckets: Sequence[Bucket], base_currency: str) -> Drawn:
    rows = [
        charts.Signed(
            _bucket(each), Decimal(each.partners if each.up_to > 0 else -each.partners), figure(each.partners)
        )
        for each in buckets
    ]
    caption = f"Partners by what they would have more or less, in {base_currency}; those with the same are left out."
    return Drawn("Gains and losses", caption, charts.signed(rows))


def _bucket(bucket: Bucket) -> str:
    low, high = abs(bucket.above), abs(bucket.up_to)
    return f"{low.normalize():,f} to {high.normalize():,f} {'more' if bucket.up_to > 0 else 'less'}"
