"""`replay sweep`: several parameters of a programme varied at once, each point rehearsed on all that was recorded."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import InvalidInput
from infra.bootstrap import Runtime
from infra.cli.console import amount, hint, out, print_json, say, table
from infra.cli.options import AsOf, Json, Workers, check_not_future, ended_in_order, note_parked
from infra.cli.tapes import TapeFolder, TopUp
from infra.cli.what_if import Told, new_file, told
from infra.settings import load_settings
from producers.programme_files import read_programme_file
from projections.counted import counted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from infra.replay.sweeping import Sweep
    from projections.sweep import PointSums, Setting

sweep_commands = typer.Typer()


def parse_setting(text: str) -> "Setting":
    """Read a parameter and its values."""
    from projections.sweep import setting

    try:
        return setting(text)
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from None


SHOWN_IMPOSSIBLE = 5


@sweep_commands.command("sweep")
def sweep(
    *,
    settings: Annotated[
        list[Any],
        typer.Option(
            "--set",
            parser=parse_setting,
            metavar="PATH=VALUES",
            help="A parameter and its values: numbers and ranges FROM..TO/STEP, commas between. May be given several times.",
        ),
    ],
    programme: Annotated[
        str | None,
        typer.Option(
            "--programme",
            metavar="PROGRAMME",
            help="A published version's name, or a file (*.yaml), to vary (default: the version in force on the date).",
        ),
    ] = None,
    as_of: AsOf = None,
    tape: TapeFolder = None,
    top_up: TopUp = True,
    workers: Workers = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with a chart to show or print, to a new file."),
    ] = None,
    json: Json = False,
) -> None:
    """Vary parameters of a programme, and show what each point would have cost and who would hold which tier. Nothing is changed.

    Each value goes with each of the others. Parameters are named by path: TIER.revenue, TIER.specialisations, TIER.seats.CC;
    SCHEME.rate_bp.TIER, SCHEME.loyalty_bp.YEARS, SCHEME.minimum; SPECIALISATION.people, SPECIALISATION.valid_months;
    review.grace, review.protect_months; window_months; exchange_rates.CUR. The tape is read once, whatever the number of points.

    Example: partner-ledger replay sweep --set silver.revenue=40000..80000/5000

    Example: partner-ledger replay sweep --set silver.revenue=40000,60000 --set deal.rate_bp.silver=250..350/50 --html sweep.html
    """
    from infra.replay.sweeping import SweepRequest

    wanted: list[Setting] = settings
    version = read_programme_file(Path(programme)) if programme and programme.endswith((".yaml", ".yml")) else programme
    if html is not None:
        from infra.replay.page import check_installed

        check_installed()
    runtime = Runtime(load_settings(), say)
    check_not_future(as_of, runtime)
    request = SweepRequest(runtime.tape_folder(tape), top_up, wanted, version, as_of, workers or os.cpu_count() or 1)
    began = time.monotonic()
    with ended_in_order(), new_file(html) as write_page, told(shown=not json) as telling:
        swept = runtime.sweep(request, telling)
        write_page(lambda: _page(swept, telling))
    seconds = time.monotonic() - began
    parked = note_parked(runtime)
    if json:
        document = sweep_document(swept)
        print_json({**document, "parked": parked, "seconds": round(seconds, 3), "workers": request.workers})
        return
    print_sweep(swept)
    rate = f", {telling.rate:,.0f} decided a second" if telling.rate else ""
    out.print(
        f"{counted(swept.facts, 'fact')} of partners decided anew for each of {counted(len(swept.points), 'point')},"
        f" up to position {swept.position:,} ({seconds:,.1f} s in all{rate})."
    )


def _page(swept: "Sweep", telling: Told) -> str:
    from infra.replay.sweep_page import sweep_page

    telling.stage("Drawing the page")
    return sweep_page(swept)


def print_sweep(swept: "Sweep") -> None:
    """Print a row for what is and for each point: values, holders of each tier, bonuses by currency, the difference."""
    from projections.sweep import as_set

    paths = [each.path for each in swept.settings]
    cost = f"change in {swept.base_currency}"
    figures = [*paths, *swept.tiers, *swept.currencies, cost, "refused"]
    view = table(f"Sweep of {swept.programme.programme} as of {swept.as_of}", "", *figures, right=figures)
    view.add_row("as it is", *("" for _ in paths), *_row(swept, swept.actual))
    for point in swept.points:
        values = (f"{value:,}" for value in point.values.values())
        view.add_row("", *values, *_row(swept, point))
    out.print(view)
    for each in swept.impossible[:SHOWN_IMPOSSIBLE]:
        hint(f"Left out: {as_set(each.values)}: {each.why}.")
    if swept.impossible[SHOWN_IMPOSSIBLE:]:
        hint(f"Left out besides: {counted(len(swept.impossible) - SHOWN_IMPOSSIBLE, 'point')}; --json says why.")


def _row(swept: "Sweep", sums: "PointSums") -> list[str]:
    change = swept.change(sums)
    return [
        *(f"{sums.counts.holders.get(tier, 0):,}" for tier in swept.tiers),
        *(amount(sums.money[currency]) if currency in sums.money else "-" for currency in swept.currencies),
        f"{change:+,}",
        f"{sums.counts.refused:,}",
    ]


def sweep_document(swept: "Sweep") -> dict[str, Any]:
    """Give a sweep as a JSON document."""
    return {
        "as_of": swept.as_of,
        "position": swept.position,
        "facts": swept.facts,
        "programme": swept.programme.programme,
        "parameters": {each.path: [f"{value:f}" for value in each.values] for each in swept.settings},
        "base_currency": swept.base_currency,
        "actual": _sums(swept, swept.actual),
        "points": [{"values": _values(each.values), **_sums(swept, each)} for each in swept.points],
        "impossible": [{"values": _values(each.values), "why": each.why} for each in swept.impossible],
    }


def _values(values: "Mapping[str, Decimal]") -> dict[str, str]:
    return {path: f"{value:f}" for path, value in values.items()}


def _sums(swept: "Sweep", sums: "PointSums") -> dict[str, Any]:
    return {
        "holders": {tier: sums.counts.holders.get(tier, 0) for tier in swept.tiers},
        "money": sums.money,
        "cost": swept.cost(sums),
        "change": swept.change(sums),
        "by_scheme": [
            {"scheme": each.group, "currency": each.currency, "total": each.total, "lines": each.lines}
            for each in sums.by_scheme
        ],
        "refused": sums.counts.refused,
    }
