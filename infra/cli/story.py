"""`demo`: the whole story on a small partner network that it makes itself, in a home of its own."""

import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from domain.errors import InvalidInput
from domain.events import (
    BonusAccrued,
    Event,
    KickbackSettled,
    ReviewMissed,
    SaleReversed,
    SpecialisationLapsed,
    TierChanged,
)
from domain.streams import partner_stream
from infra.bootstrap import Runtime
from infra.cli.console import amount, hint, out, progress, say, table
from infra.cli.facts import advance_ledger, import_feed, wait_for_projections
from infra.cli.standings import print_tiers, show_partner, tier_order
from infra.cli.tables import GAP
from infra.demo.network import NetworkSummary, write_network
from infra.settings import Settings, load_settings
from producers.feeds import FeedFolder
from projections.queries import PartnersAnswer
from projections.sentences import sentence

story_commands = typer.Typer()

MARK = "made-by-partner-ledger-demo"
"""A file that says that the folder is the demo's own, and may be made anew."""
CHANGE = dt.date(2011, 10, 1)
LAST_DAY = dt.date(2013, 12, 31)
SHOWN_BALANCES = 10
BAR = "▇"
PARTNERS_A_BAR = (2, 5, 10, 20, 50)
"""How many partners a bar may stand for: as few as the terminal has room for."""
TIER_STYLES = ("bright_white", "yellow", "cyan")
"""From the second lowest tier up."""


@story_commands.command("demo")
def demo(
    *,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="FOLDER", help="Where the demo keeps its feeds and its ledger.")
    ] = Path("partner-ledger-demo"),
) -> None:
    """Make a Swiss network of 600 partners, import it, and show tiers, balances and one partner's history.

    It has a home of its own, made anew each time. Feeds and ledger stay in the folder to be looked at; nothing is left
    running.

    Example: partner-ledger demo
    """
    folder = folder.absolute()
    settings = _own_settings(folder)
    _make_room(folder, settings)
    network = write_network(folder / "feeds")
    out.print(
        f"A network of {network.partners:,} partners, {network.deals:,} deals and {network.trainings:,} trainings"
        f" is in {folder / 'feeds'}",
        markup=False,
    )
    runtime = Runtime(settings, say)
    try:
        _tell(runtime, folder)
        _show(runtime, network)
    finally:
        runtime.close()
        runtime.down()
    hint(f"Nothing is left running. Look on with: PARTNER_LEDGER_HOME={settings.home} uv run partner-ledger partners")


def _own_settings(folder: Path) -> Settings:
    """Give settings with a home of the demo's own and embedded servers, whatever is set otherwise."""
    servers = dict.fromkeys(
        ("kafka", "database_url", "admin_database_url", "read_database_url", "projector_database_url")
    )
    return load_settings().model_copy(update={"home": folder / "ledger", **servers})


def _make_room(folder: Path, settings: Settings) -> None:
    """Clear what an earlier demo left in its folder; refuse a folder that is somebody's own."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise InvalidInput(f"{folder} is not empty and not a demo's own; name another one with --folder.")
        Runtime(settings, say).down()
        for name in ("feeds", "ledger"):
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def _tell(runtime: Runtime, folder: Path) -> None:
    runtime.up()
    with progress() as bar:
        summary = import_feed(runtime, FeedFolder(folder / "feeds"), bar)
        _, due = advance_ledger(runtime, LAST_DAY, bar)
        position = wait_for_projections(runtime, bar)
    runtime.finish_imports([summary.key])
    out.print(
        f"{summary.recorded:,} facts and what follows from them are {summary.events + due:,} events"
        f" on Kafka, positions 1 to {position:,}."
    )
    for row in runtime.refused_rows(summary.key):
        out.print(f"Refused, {row.file} line {row.line}: {row.reason}", markup=False)


def _show(runtime: Runtime, network: NetworkSummary) -> None:
    for as_of in (CHANGE, LAST_DAY):
        out.print()
        answer = runtime.read_models.tiers(as_of)
        print_tiers(answer, tier_order(runtime, answer))
    out.print()
    _print_chart(runtime)
    out.print()
    _print_balances(runtime.read_models.partners(LAST_DAY))
    out.print()
    _print_turns(runtime, network)
    out.print()
    show_partner(runtime, network.protagonist, None, json=False)


def _print_chart(runtime: Runtime) -> None:
    """Draw how many partners are above the lowest tier, half-year by half-year."""
    held: dict[dt.date, dict[str, int]] = {}
    for as_of in _half_years():
        answer = runtime.read_models.tiers(as_of)
        order = tier_order(runtime, answer)[1:]
        held[as_of] = {tier: sum(row.holders for row in answer.holders if row.tier == tier) for tier in order}
    words = {
        as_of: ", ".join(f"{tier} {count}" for tier, count in holders.items() if count)
        for as_of, holders in held.items()
    }
    room = out.width - len("2012-06-30") - max(map(len, words.values())) - 2 * GAP
    most = max(sum(holders.values()) for holders in held.values())
    a_bar = next((n for n in PARTNERS_A_BAR if most / n + len(TIER_STYLES) <= room), PARTNERS_A_BAR[-1])
    view = table(f"Partners above the lowest tier ({BAR} = {a_bar} of them)", "as of", "", "holders")
    for as_of, holders in held.items():
        bars = Text()
        for rank, count in enumerate(holders.values()):
            bars.append(BAR * -(-count // a_bar), style=TIER_STYLES[min(rank, len(TIER_STYLES) - 1)])
        view.add_row(f"{as_of}", bars, words[as_of])
    out.print(view)


def _half_years() -> list[dt.date]:
    return [dt.date(year, month, day) for year in range(2007, 2014) for month, day in ((6, 30), (12, 31))]


def _print_turns(runtime: Runtime, network: NetworkSummary) -> None:
    """Tell the turns of the story, each by the sentence of the event that made it."""
    turns: list[tuple[str, type[Event], str | None]] = [
        (network.platinum[0], TierChanged, "award"),
        (network.withdrawn_promotion, TierChanged, "promotion"),
        (network.withdrawn_promotion, SaleReversed, None),
        (network.withdrawn_promotion, TierChanged, "withdrawal"),
        (network.lapsed_specialisation, SpecialisationLapsed, None),
        (network.demoted, ReviewMissed, None),
        (network.demoted, TierChanged, "demotion"),
        (network.protagonist, KickbackSettled, None),
        (network.protagonist, BonusAccrued, None),
    ]
    told: list[tuple[dt.date, int, str, str]] = []
    for partner_id, event_type, reason in turns:
        found = [
            cited
            for cited in runtime.events.of_stream(partner_stream(partner_id))
            if isinstance(cited.event, event_type) and reason in (None, getattr(cited.event, "reason", None))
        ]
        shown = found if event_type is ReviewMissed else found[:1]  # what was forgiven, and what was not
        told += [(c.event.business_date, c.position, partner_id, sentence(c.event) or "") for c in shown]
    view = table("Turns of the story", "date", "partner", "what happened, and why", fold=("what happened, and why",))
    for date, _, partner_id, text in sorted(told):
        view.add_row(f"{date}", partner_id, text)
    out.print(view)


def _print_balances(answer: PartnersAnswer) -> None:
    """Print the largest balances, and the totals of all of them."""
    balances = [(standing, balance) for standing in answer.partners for balance in standing.balances]
    largest = sorted(balances, key=lambda pair: pair[1].payable, reverse=True)[:SHOWN_BALANCES]
    figures = ("accrued", "clawed back", "payable")
    view = table(
        f"Bonus balances as of {answer.as_of}: the largest {len(largest)} of {len(balances):,} (by partner and currency)",
        *("partner", "name", "tier", "currency", *figures),
        right=figures,
        fold=("name",),
    )
    for standing, b in largest:
        who = standing.partner
        view.add_row(
            who.partner,
            who.name,
            standing.tier,
            b.currency,
            amount(b.accrued),
            amount(b.clawed_back),
            amount(b.payable),
        )
    view.add_section()
    for currency in sorted({b.currency for _, b in balances}):
        of = [b for _, b in balances if b.currency == currency]
        sums = [sum((getattr(b, name) for b in of), Decimal(0)) for name in ("accrued", "clawed_back", "payable")]
        view.add_row("all", "", "", currency, *(amount(total) for total in sums))
    out.print(view)
