"""The chart of a sweep: what each point would cost, against how many would hold a tier."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from infra.replay.charts import INK, QUIET, WIDTH_PX, Spec, draw

HUES = [f"var(--hue-{number})" for number in range(1, 7)]
_PANEL_PX = (WIDTH_PX - 70, 170)
_LABEL_PX = (46, 13)


class Cost(NamedTuple):
    """What a point of a sweep would cost more (or less, negative), and how many would hold a tier."""

    tier: str
    point: str
    order: int
    group: str
    cost: Decimal
    holders: int


def costs(rows: Sequence[Cost], actual: Mapping[str, int], unit: str, group: str | None) -> str:
    """Draw holders against cost, a panel for each tier; points of a `group` are joined in their order.

    `actual` has the holders of each tier as it is, at no other cost.
    """
    whole = _scale([float(row.cost) for row in rows] + [0.0])
    x = {
        "field": "cost",
        "type": "quantitative",
        "scale": {"domain": whole, "nice": False},
        "axis": {"grid": True, "tickCount": 5, "format": "+,d", "title": unit},
    }
    layers = _layers(list(dict.fromkeys(row.group for row in rows)), group)
    panels: list[Spec] = []
    values: list[Spec] = []
    for tier in dict.fromkeys(row.tier for row in rows):
        own = [row for row in rows if row.tier == tier]
        holders = [actual[tier], *(row.holders for row in own)]
        low, high = min(holders), max(holders)
        shown = _without_overlap([(float(row.cost), row.holders) for row in own], whole, (low - 1, high + 1))
        values += [{**row._asdict(), "cost": float(row.cost), "shown": n in shown} for n, row in enumerate(own)]
        values.append({"tier": tier, "order": -1, "group": "", "cost": 0.0, "holders": actual[tier], "shown": False})
        y = {
            "field": "holders",
            "type": "quantitative",
            "scale": {"domain": [max(0, low - 1), high + 1], "nice": False},
            "axis": {
                "grid": True,
                "values": list(range(low, high + 1, -(-(high - low + 1) // 6))),
                "format": ",d",
                "title": "holders",
            },
        }
        panels.append(
            {
                "title": {"text": tier, "anchor": "start", "color": INK, "fontSize": 13, "fontWeight": "normal"},
                "transform": [{"filter": {"field": "tier", "equal": tier}}],
                "width": _PANEL_PX[0],
                "height": _PANEL_PX[1],
                "encoding": {"x": x, "y": y},
                "layer": layers,
            }
        )
    return draw({"columns": 2, "spacing": 28, "concat": panels, "resolve": {"legend": {"color": "shared"}}}, values)


def _layers(groups: Sequence[str], group: str | None) -> list[Spec]:
    """Give lines, points, their labels, and the circle of what is; more groups than there are colours are not joined."""
    colour: Spec = {"value": HUES[0]}
    if group is not None and len(groups) <= len(HUES):
        legend = {"title": group, "labelColor": INK, "labelFontSize": 12, "titleColor": QUIET, "orient": "top"}
        scale = {"domain": list(groups), "range": HUES[: len(groups)]}
        colour = {"field": "group", "type": "nominal", "sort": list(groups), "legend": legend, "scale": scale}
    points = {"filter": "datum.order >= 0"}
    line = {
        "transform": [points],
        "mark": {"type": "line", "strokeWidth": 1.5},
        "encoding": {"order": {"field": "order"}, "color": colour, "detail": {"field": "group"}},
    }
    dots = {
        "transform": [points],
        "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
        "encoding": {"color": colour},
    }
    labels = {
        "transform": [points, {"filter": "datum.shown"}],
        "mark": {"type": "text", "dy": -10, "fontSize": 11},
        "encoding": {"text": {"field": "point", "type": "nominal"}},
    }
    here = {
        "transform": [{"filter": "datum.order < 0"}],
        "mark": {"type": "point", "size": 130, "stroke": INK, "strokeWidth": 1.5, "fill": None, "opacity": 1},
    }
    return [*([line] if len(groups) <= len(HUES) else []), dots, labels, here]


def _scale(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.1 or 1.0
    return low - room, high + room


def _without_overlap(
    points: Sequence[tuple[float, int]], width: tuple[float, float], height: tuple[int, int]
) -> set[int]:
    """Choose the points that are labelled: the first and the last, and of the others those that have room."""
    scales = (_PANEL_PX[0] / (width[1] - width[0]), _PANEL_PX[1] / (height[1] - height[0]))
    chosen: list[int] = []
    for number in dict.fromkeys((0, len(points) - 1, *range(len(points)))):
        x, y = points[number]
        if all(
            abs(x - points[other][0]) * scales[0] > _LABEL_PX[0] or abs(y - points[other][1]) * scales[1] > _LABEL_PX[1]
            for other in chosen
        ):
            chosen.append(number)
    return set(chosen)
