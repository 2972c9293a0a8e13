"""A sweep as one page: cost against holders of each tier, and the table of all points."""

from decimal import Decimal

from infra.replay.page import Drawn, render
from infra.replay.sweep_chart import Cost, costs
from infra.replay.sweeping import Sweep
from projections.sweep import PointSums


def sweep_page(swept: Sweep) -> str:
    """Give the page of a sweep.

    Raises:
        InvalidInput: the library that makes pages, or the one that draws, is not installed.

    """
    paths = [each.path for each in swept.settings]
    return render(
        "sweep.html",
        {
            "title": f"{swept.programme.title}: {' and '.join(paths)}",
            "swept": swept,
            "paths": paths,
            "rows": [_row(swept, each) for each in (swept.actual, *swept.points)],
            "charts": [_costs(swept)],
        },
    )


def _row(swept: Sweep, sums: PointSums) -> dict[str, object]:
    return {
        "values": list(sums.values.values()),
        "holders": [sums.counts.holders.get(tier, 0) for tier in swept.tiers],
        "money": [sums.money.get(currency, Decimal(0)) for currency in swept.currencies],
        "change": swept.change(sums),
        "refused": sums.counts.refused,
    }


def _costs(swept: Sweep) -> Drawn:
    """Draw holders against cost: along the first parameter, a line for each combination of the others."""
    first, *others = [each.path for each in swept.settings]
    actual = {tier: swept.actual.counts.holders.get(tier, 0) for tier in swept.tiers}
    holders = {tier: {each.counts.holders.get(tier, 0) for each in swept.points} | {actual[tier]} for tier in actual}
    differing = [tier for tier in swept.tiers if len(holders[tier]) > 1]
    rows = [
        Cost(
            tier,
            f"{point.values[first]:,}",
            number,
            " · ".join(f"{point.values[path]:,}" for path in others),
            swept.change(point),
            point.counts.holders.get(tier, 0),
        )
        for tier in reversed(differing or swept.tiers)
        for number, point in enumerate(swept.points)
    ]
    joined = f", a line for each value of {' · '.join(others)}" if others else ""
    same = [f"{tier} ({actual[tier]:,})" for tier in swept.tiers if tier not in differing]
    caption = (
        f"Each point is a value of {first}{joined}; the open circle is what is. To the right it costs more,"
        f" upwards more partners hold the tier."
    )
    if differing and same:
        caption += f" The same at every point: {', '.join(same)}."
    unit = f"change of all bonuses, {swept.base_currency}"
    svg = costs(rows, actual, unit, " · ".join(others) if others else None)
    return Drawn("Cost against holders of each tier", caption, svg)
