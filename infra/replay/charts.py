"""Charts as SVG that stands inside a page: Vega-Lite draws them, in this process, and nothing is loaded from anywhere.

Colours are the page's own (`var(--…)`), so that one drawing serves screen, dark screen and paper. vl-convert, which holds Vega-Lite,
is an extra of the package, imported when a chart is drawn and never before.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from domain.errors import InvalidInput

Spec = dict[str, Any]

WIDTH_PX = 400
LANGUAGE = "5.20"
"""The version of Vega-Lite that the drawings are written in."""
ACTUAL, CANDIDATE, GAIN, LOSS = "var(--actual)", "var(--candidate)", "var(--gain)", "var(--loss)"
AS_IT_IS, AS_IT_WOULD_BE = "as it is", "as it would be"
INK, QUIET, RULE = "var(--ink)", "var(--quiet)", "var(--rule)"
_FONT = "var(--font)"

_CONFIG: Spec = {
    "background": "transparent",
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 190,
        "titleColor": QUIET,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "gridColor": RULE,
    },
    "header": {"labelColor": INK, "labelFontSize": 12, "labelAnchor": "start", "title": None},
    "text": {"fill": INK, "fontSize": 12},
}


class Pair(NamedTuple):
    """A figure as it is and as it would be."""

    name: str
    then: Decimal
    now: Decimal


class Signed(NamedTuple):
    """A difference, or a number of those who gain (`value` above nothing) or lose; `shown` is what stands beside the bar."""

    name: str
    value: Decimal
    shown: str


class Moment(NamedTuple):
    """A figure of a quarter, as it is and as it would be."""

    quarter: str
    name: str
    then: Decimal
    now: Decimal


def pairs(rows: Sequence[Pair]) -> str:
    """Draw two bars for each name, one below the other."""
    values = [
        {"name": row.name, "side": side, "value": float(value), "shown": f"{value:,}"}
        for row in rows
        for side, value in ((AS_IT_IS, row.then), (AS_IT_WOULD_BE, row.now))
    ]
    sides = [AS_IT_IS, AS_IT_WOULD_BE]
    bars = {
        "mark": {"type": "bar"},
        "encoding": {
            "color": {"field": "side", "scale": {"domain": sides, "range": [ACTUAL, CANDIDATE]}, "legend": None}
        },
    }
    return _bars(values, [row.name for row in rows], bars, {"yOffset": {"field": "side", "sort": sides}}, step=17)


def signed(rows: Sequence[Signed]) -> str:
    """Draw a bar for each name, to the right for more and to the left for less."""
    values = [{"name": row.name, "value": float(row.value), "shown": row.shown} for row in rows]
    bars = {
        "mark": {"type": "bar"},
        "encoding": {"color": {"condition": {"test": "datum.value < 0", "value": LOSS}, "value": GAIN}},
    }
    return _bars(values, [row.name for row in rows], bars, {}, step=24)


def _bars(values: Sequence[Spec], names: Sequence[str], bars: Spec, offset: Spec, step: int) -> str:
    """Draw bars with their figures beside them; so they need no axis."""
    figures = [value["value"] for value in values]
    low, high = min([0.0, *figures]), max([0.0, *figures])
    room = (high - low or 1.0) * (0.06 + 0.045 * max((len(value["shown"]) for value in values), default=1))
    ends = [low - room if low < 0 else 0.0, high + room if high > 0 or low == 0 else 0.0]
    x: Spec = {"field": "value", "type": "quantitative", "axis": None, "scale": {"domain": ends, "nice": False}}
    y = {"field": "name", "type": "nominal", "sort": list(dict.fromkeys(names)), "axis": {"title": None}}
    text: Spec = {"encoding": {"text": {"field": "shown", "type": "nominal"}}}
    layers = [
        bars,
        {"transform": [{"filter": "datum.value >= 0"}], "mark": {"type": "text", "align": "left", "dx": 4}, **text},
        {"transform": [{"filter": "datum.value < 0"}], "mark": {"type": "text", "align": "right", "dx": -4}, **text},
        {
            "mark": {"type": "rule", "color": QUIET},
            "encoding": {
                "x": {"datum": 0},
                "y": {"value": 0},
                "y2": {"value": {"expr": "height"}},
                "yOffset": {"value": 0},
            },
        },
    ]
    height = {"step": step, "for": "offset" if offset else "position"}
    return draw({"height": height, "encoding": {"x": x, "y": y, **offset}, "layer": layers}, values)


def flows(rows: Sequence[Moment]) -> str:
    """Draw what was posted quarter by quarter, two bars for each, a panel for each name."""
    sides = [AS_IT_IS, AS_IT_WOULD_BE]
    layer = {
        "mark": {"type": "bar"},
        "encoding": {
            "xOffset": {"field": "side", "sort": sides},
            "color": {"field": "side", "scale": {"domain": sides, "range": [ACTUAL, CANDIDATE]}, "legend": None},
        },
    }
    return _over_time(rows, [layer], height=130, y={})


def stocks(rows: Sequence[Moment]) -> str:
    """Draw how much there was at the end of each quarter, two lines, a panel for each name."""
    layers: list[Spec] = [
        {
            "transform": [{"filter": {"field": "side", "equal": side}}],
            "mark": {"type": "line", "interpolate": "step-after", "color": colour, "strokeWidth": width},
        }
        for side, colour, width in ((AS_IT_IS, ACTUAL, 4), (AS_IT_WOULD_BE, CANDIDATE, 1.75))
    ]
    return _over_time(rows, layers, height=72, y={"scale": {"zero": True, "nice": True}})


def _over_time(rows: Sequence[Moment], layers: Sequence[Spec], height: int, y: Spec) -> str:
    values = [
        {"quarter": row.quarter, "name": row.name, "side": side, "value": float(value)}
        for row in rows
        for side, value in ((AS_IT_IS, row.then), (AS_IT_WOULD_BE, row.now))
    ]
    quarters = sorted({row.quarter for row in rows})
    firsts = [quarter for quarter in quarters if quarter.endswith("-Q1")] or quarters[:1]
    shown = firsts[:: -(-len(firsts) // 8)]
    x: Spec = {
        "field": "quarter",
        "type": "ordinal",
        "scale": {"domain": quarters, "paddingInner": 0.2, "paddingOuter": 0.1},
        "axis": {"title": None, "values": shown, "labelAngle": 0, "labelExpr": "slice(datum.label, 0, 4)"},
    }
    axis = {"title": None, "format": ",d", "tickCount": 3, "tickMinStep": 1, "grid": True, "minExtent": 62}
    panels = [
        {
            "title": {"text": name, "anchor": "start", "color": INK, "fontSize": 12, "fontWeight": "normal"},
            "transform": [{"filter": {"field": "name", "equal": name}}],
            "width": WIDTH_PX - 72,
            "height": height,
            "encoding": {"x": x, "y": {"field": "value", "type": "quantitative", "axis": axis, **y}},
            "layer": layers,
        }
        for name in dict.fromkeys(row.name for row in rows)
    ]
    return draw({"vconcat": panels, "spacing": 14}, values)


def draw(spec: Mapping[str, Any], values: Sequence[Spec]) -> str:
    """Draw a Vega-Lite specification of data; give an `svg` element, to stand in HTML, where it needs no namespace.

    Raises:
        InvalidInput: the library that draws is not installed.

    """
    whole: Spec = {"data": {"values": list(values)}, "config": _CONFIG, "padding": 2, **spec}
    if "layer" in whole:
        whole |= {"width": WIDTH_PX, "autosize": {"type": "fit-x", "contains": "padding"}}
    svg: str = vl_convert().vegalite_to_svg(whole, vl_version=LANGUAGE)
    for name in (' xmlns="http://www.w3.org/2000/svg"', ' xmlns:xlink="http://www.w3.org/1999/xlink"'):
        svg = svg.replace(name, "", 1)
    return svg


def vl_convert() -> Any:
    """Give the package that draws.

    Raises:
        InvalidInput: it is not installed.

    """
    try:
        import vl_convert as package
    except ImportError as error:
        raise InvalidInput(
            "The charts of a page are drawn by vl-convert, which is not installed: install partner-ledger[charts]."
        ) from error
    return package
