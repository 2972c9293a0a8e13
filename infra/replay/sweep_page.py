"""A sweep as one page: cost against holders of each tier, and the table of all points."""

from decimal import Decimal

from infra.replay import charts
from infra.replay.page import Drawn, render
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
        "change": swept.cost(sums) - swept.cost(swept.actual),
        "refused": sums.counts.refused,
    }


def _costs(swept: Sweep) -> Drawn:
    """Draw holders against cost: along the first parameter, a line for each combination of the others."""
    first, *others = [each.path for each in swept.settings]
    rows = [
        charts.Cost(
            tier,
            f"{point.values[first]:,}",
            number,
            " · ".join(f"{point.values[path]:,}" for path in others),
            swept.cost(point),
            point.counts.holders.get(tier, 0),
        )
        for tier in reversed(swept.tiers)
        for number, point in enumerate(swept.points)
    ]
    joined = f", a line for each value of {' · '.join(others)}" if others else ""
    caption = (
        f"Each point is a value of {first}{joined}. To the right it costs more, upwards more partners hold the tier."
    )
    unit = f"all bonuses, {swept.base_currency}"
    return Drawn(
        "Cost against holders of each tier", caption, charts.costs(rows, unit, " · ".join(others) if others else None)
    )
