"""Commands for those downstream: what the public topics say, as it comes."""

import datetime as dt
import sys
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from consumers.tier_changes import Start, TierChange, read_tier_changes
from infra.bootstrap import Runtime
from infra.cli.console import out, say
from infra.cli.options import Country, parse_date
from infra.settings import load_settings

subscribe_commands = typer.Typer(
    help="Follow what the ledger tells the services downstream.\n\n"
    "Example: partner-ledger subscribe tier-changes --from earliest",
    no_args_is_help=True,
    rich_markup_mode=None,
)


_ENDS: dict[str, Literal["earliest", "latest"]] = {"earliest": "earliest", "latest": "latest"}


def parse_start(text: str) -> str:
    """Check where a subscription is to begin."""
    if text not in _ENDS:
        parse_date(text)
    return text


def _start(text: str, timezone: str) -> Start:
    """Read where a subscription begins; a date begins at midnight in the ledger's time zone."""
    if text in _ENDS:
        return _ENDS[text]
    return dt.datetime.combine(parse_date(text), dt.time.min, ZoneInfo(timezone))


@subscribe_commands.command("tier-changes")
def tier_changes(
    *,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            parser=parse_start,
            metavar="earliest|latest|DATE",
            help="Begin with the first one, with the next one, or with those recorded from this date on.",
        ),
    ] = "latest",
    country: Country = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for more, until Ctrl-C.")] = True,
    json: Annotated[
        bool, typer.Option("--json", help="Print the records themselves, one JSON document a line.")
    ] = False,
) -> None:
    """Print tier changes as they are published: enrolments, every change, ends of membership.

    In order for each partner; between partners there is no order. Nothing is remembered: run again, it begins anew.

    Example: partner-ledger subscribe tier-changes

    Example: partner-ledger subscribe tier-changes --from earliest --country CH --no-follow --json
    """
    settings = load_settings()
    topic = Runtime(settings, say).tier_changes()
    begin = _start(start, settings.timezone)
    if follow:
        say("Following the tier changes; Ctrl-C ends it.")
    try:
        for records in topic.follow(begin, to_the_end=not follow):
            for each in read_tier_changes(records, country):
                _print(each, json=json)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return  # the way to end it


def _print(told: TierChange, *, json: bool) -> None:
    if json:
        sys.stdout.write(told.record.decode() + "\n")
        return
    change = told.change
    tiers = f"{change.before or '-'} → {change.after or '-'}"
    out.print(
        f"{change.effective_date}  {change.country}  {change.partner}  {tiers}  {change.reason}"
        f"  ({change.programme}, position {change.position:,})",
        soft_wrap=True,
    )
