"""Pages that stand alone: they load nothing, run no script, and print on A4.

Jinja2 makes them, escaping all that it is given: names are other people's texts. The same values always make the same page. It is
an extra of the package, imported when a page is made and never before.
"""

from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import version
from typing import Any, NamedTuple

from domain.errors import InvalidInput
from infra.replay.charts import vl_convert
from projections.counted import counted


class Drawn(NamedTuple):
    """A chart with what it says in words."""

    title: str
    caption: str
    svg: str


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill a template of `infra/replay/pages`; what the charts have drawn is taken as it is, all else is escaped.

    Raises:
        InvalidInput: the library that makes pages is not installed.

    """
    jinja2 = _jinja2()
    from markupsafe import Markup

    loader = jinja2.PackageLoader("infra.replay", "pages")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    css, _, _ = loader.get_source(environment, "page.css")
    drawn = [
        {
            "title": each.title,
            "caption": each.caption,
            "svg": Markup('<svg role="img" aria-label="{}"').format(each.title) + Markup(each.svg.removeprefix("<svg")),
        }
        for each in values["charts"]
    ]
    told = {**values, "charts": drawn, "css": Markup(css), "release": version("partner-ledger"), "counted": counted}
    environment.filters |= {"figure": figure, "signed": signed}
    return str(environment.get_template(template).render(told)) + "\n"


def check_installed() -> None:
    """See to it that pages can be made, before anything long is begun.

    Raises:
        InvalidInput: the library that makes pages, or the one that draws, is not installed.

    """
    _jinja2()
    vl_convert()


def _jinja2() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise InvalidInput(
            "Pages are made by Jinja2, which is not installed: install partner-ledger[charts]."
        ) from error
    return jinja2


def figure(value: Decimal | int) -> str:
    """Give a figure with thousands separated, and a minus as it is printed."""
    return f"{value:,}".replace("-", "−")


def signed(value: Decimal | int) -> str:
    """Give a difference with its sign."""
    return f"{value:+,}".replace("-", "−") if value else "±0"
