"""A what-if in the few figures that a board decides by: sums, who moves, how gains and losses are spread, what ties out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from domain.money import format_amount
from projections.counted import counted
from projections.queries import PartnerStanding
from projections.what_if_difference import Difference, GroupChange, PartnerDifference
from projections.what_if_lines import LineDifference
from projections.what_if_tally import GROUPS

BUCKETS = 6
"""So many steps on either side have gains and losses at most."""
_STEPS = (Decimal(1), Decimal(2), Decimal(5))


class Side(NamedTuple):
    """So many partners would have more (or less), and by how much in all, in base currency."""

    partners: int
    change: Decimal


@dataclass(frozen=True)
class KeyFigures:
    """What stands at the head of a board's page."""

    money: tuple[GroupChange, ...]
    """All bonuses, by currency."""
    in_base: Decimal
    """What all bonuses would be more (or less), in base currency."""
    gaining: Side
    losing: Side
    unchanged: int
    """Partners of whom nothing differs."""
    higher: int
    """Partners who would hold a higher tier."""
    lower: int
    other: int
    """Partners who would hold a tier that can be compared with none of before: one renamed, say."""


def key_figures(compared: Difference) -> KeyFigures:
    """Give what stands at the head of a board's page."""
    moves = [(compared.rank_change(each.tier_then, each.tier_now), each) for each in compared.moves]
    return KeyFigures(
        money=by_currency(compared.money["scheme"]),
        in_base=compared.worth.of(compared.money["scheme"]),
        gaining=_side(compared, compared.gaining),
        losing=_side(compared, compared.losing),
        unchanged=len(compared.partners) - len(compared.differing),
        higher=sum(each.partners for rank, each in moves if rank > 0),
        lower=sum(each.partners for rank, each in moves if rank < 0),
        other=sum(each.partners for rank, each in moves if not rank and each.tier_then != each.tier_now),
    )


def _side(compared: Difference, partners: Sequence[PartnerDifference]) -> Side:
    return Side(len(partners), compared.sum_of(partners))


def by_currency(groups: Iterable[GroupChange]) -> tuple[GroupChange, ...]:
    """Sum groups up to one for each currency."""
    sums: dict[str, GroupChange] = {}
    for each in groups:
        was = sums.get(each.currency, GroupChange("all", each.currency, Decimal(0), Decimal(0), 0, 0))
        figures = (was.then + each.then, was.now + each.now)
        lines = (was.lines_then + each.lines_then, was.lines_now + each.lines_now)
        sums[each.currency] = GroupChange("all", each.currency, *figures, *lines)
    return tuple(sums[currency] for currency in sorted(sums))


def in_short(compared: Difference) -> str:
    """Give the answer in a sentence or two: what it would cost, who gains and loses, who moves."""
    figures = key_figures(compared)
    if not compared.differing:
        return f"Nothing would differ for any of {counted(len(compared.partners), 'partner')}."
    base = compared.base_currency
    size = format_amount(abs(figures.in_base), base)
    cost = f"{size} more" if figures.in_base > 0 else f"{size} less" if figures.in_base < 0 else "the same in all"
    return (
        f"By {compared.as_of} we would owe {cost}. Of {counted(len(compared.partners), 'partner')},"
        f" {figures.gaining.partners:,} would have more and {figures.losing.partners:,} less;"
        f" {figures.higher:,} would hold a higher tier and {figures.lower:,} a lower one{_other(figures.other)};"
        f" for {figures.unchanged:,} nothing would differ."
    )


def _other(partners: int) -> str:
    return f", {partners:,} one of another name" if partners else ""


# --- how gains and losses are spread ---


class Bucket(NamedTuple):
    """So many partners would have more by over `above` and at most `up_to`, in base currency; negative ones: less by so much."""

    above: Decimal
    up_to: Decimal
    partners: int


def spread(changes: Iterable[Decimal]) -> tuple[Bucket, ...]:
    """Sort changes other than none into steps of 1, 2, 5, 10, …, the largest gains first and the largest losses last.

    Steps beyond the largest change on either side are left out, those between are there, empty or not.
    """
    wanted = [change for change in changes if change]
    if not wanted:
        return ()
    bounds = _bounds(max(abs(change) for change in wanted))
    counts: Counter[tuple[bool, int]] = Counter()
    for change in wanted:
        counts[change > 0, next(n for n, bound in enumerate(bounds) if abs(change) <= bound)] += 1
    steps = list(zip((Decimal(0), *bounds), bounds, strict=False))
    most = {gain: max((n for side, n in counts if side is gain), default=-1) for gain in (True, False)}
    gains = [Bucket(*steps[n], counts[True, n]) for n in range(most[True], -1, -1)]
    losses = [Bucket(-steps[n][0], -steps[n][1], counts[False, n]) for n in range(most[False] + 1)]
    return (*gains, *losses)


def _bounds(largest: Decimal) -> list[Decimal]:
    """Give the upper ends of steps, the last one being the first of 1, 2, 5, 10, … that no change is above."""
    exponent = largest.adjusted()
    ladder = [step.scaleb(power) for power in range(exponent - 2, exponent + 2) for step in _STEPS]
    last = next(n for n, bound in enumerate(ladder) if bound >= largest)
    return ladder[max(0, last - BUCKETS + 1) : last + 1]


# --- what ties out ---


class ControlTotal(NamedTuple):
    """All bonuses of a currency, summed in one way; `lines` are those of the journal, None where they are not counted so."""

    summed_by: str
    currency: str
    then: Decimal
    now: Decimal
    lines_then: int | None
    lines_now: int | None


def control_totals(compared: Difference) -> tuple[ControlTotal, ...]:
    """Sum all bonuses by each kind of group, and by the partners' balances: in each currency all have to be the same.

    A partner's lines are counted in all its currencies together, so they are told only where there is one.
    """
    totals = [
        ControlTotal(by, each.currency, each.then, each.now, each.lines_then, each.lines_now)
        for by in GROUPS
        for each in by_currency(compared.money[by])
    ]
    actual = [each.actual for each in compared.partners.values() if each.actual is not None]
    candidate = [each.candidate for each in compared.partners.values() if each.candidate is not None]
    then, now = _balances(actual), _balances(candidate)
    currencies = sorted({*then, *now})
    for currency in currencies:
        sums = (then.get(currency, Decimal(0)), now.get(currency, Decimal(0)))
        lines = [sum(each.lines for each in side) if len(currencies) == 1 else None for side in (actual, candidate)]
        totals.append(ControlTotal("partner", currency, *sums, *lines))
    return tuple(totals)


def _balances(standings: Iterable[PartnerStanding]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for standing in standings:
        for balance in standing.balances:
            sums[balance.currency] = sums.get(balance.currency, Decimal(0)) + balance.accrued + balance.clawed_back
    return sums


# --- lines of a large difference ---


class Rest(NamedTuple):
    """Lines that are not shown, and what they come to in a currency."""

    currency: str
    lines: int
    change: Decimal


def largest_lines(lines: Sequence[LineDifference], count: int) -> tuple[list[LineDifference], list[Rest]]:
    """Give the lines by which most differs, in their order, and the others summed by currency."""
    ranked = sorted(range(len(lines)), key=lambda n: (-abs(lines[n].change), n))
    shown = set(ranked[:count])
    rest: dict[str, Rest] = {}
    for number, line in enumerate(lines):
        if number not in shown:
            was = rest.get(line.currency, Rest(line.currency, 0, Decimal(0)))
            rest[line.currency] = Rest(line.currency, was.lines + 1, was.change + line.change)
    return [lines[number] for number in sorted(shown)], [rest[currency] for currency in sorted(rest)]
