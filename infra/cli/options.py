"""Options that several commands have, and how their values are read; a wrong value is wrong usage."""

import datetime as dt
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from domain.programme import is_country
from infra.bootstrap import Runtime
from infra.cli.console import warn
from projections.counted import counted

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def parse_date(text: str) -> dt.date:
    """Read a date argument."""
    try:
        if len(text) != len("2012-01-31"):
            raise ValueError(text)
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date (YYYY-MM-DD)") from None


def parse_moment(text: str) -> dt.datetime:
    """Read a moment: a time without an offset is in the ledger's time zone, a date alone is its end."""
    try:
        if len(text) == len("2012-01-31"):
            return dt.datetime.combine(dt.date.fromisoformat(text), dt.time.max)
        return dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a moment (YYYY-MM-DDTHH:MM:SS, with an offset if wanted)") from None


def parse_country(text: str) -> str:
    """Read a country argument, in small letters too."""
    if not is_country(text.upper()):
        raise typer.BadParameter(f"{text!r} is not an ISO 3166-1 country code of two letters")
    return text.upper()


Country = Annotated[
    str | None, typer.Option("--country", parser=parse_country, metavar="CC", help="One country only (ISO 3166-1).")
]
AsOf = Annotated[
    dt.date | None,
    typer.Option(
        "--as-of",
        parser=parse_date,
        metavar="DATE",
        help="What was in force at the end of this date (default: the ledger's date or the latest business date).",
    ),
]
KnownAt = Annotated[
    dt.datetime | None,
    typer.Option(
        "--known-at",
        parser=parse_moment,
        metavar="TIMESTAMP",
        help="As the ledger knew it then, by the time of recording (default: all that is recorded).",
    ),
]

Workers = Annotated[
    int | None, typer.Option("--workers", min=1, max=1000, metavar="N", help="Processes (default: one for each core).")
]


def check_not_future(as_of: dt.date | None, runtime: Runtime) -> None:
    """Refuse a date that is in the future, where an answer goes through the time up to it."""
    today = dt.datetime.now(ZoneInfo(runtime.settings.timezone)).date()
    if as_of is not None and as_of > today:
        raise typer.BadParameter(f"{as_of} is in the future: today is {today}", param_hint="--as-of")


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does: its processes with it, and nothing half written left."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    handlers = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def note_parked(runtime: Runtime) -> int:
    """Say that an answer lacks what is parked, if anything is; give the number of parked records."""
    standing = runtime.read_models.standing()
    if standing.parked:
        waiting = (
            f"{counted(standing.waiting, 'event')} of the ledger cannot be applied yet: what follows from them is in no answer"
            if standing.waiting
            else "no event of the ledger waits behind them so far"
        )
        warn(f"{counted(standing.parked, 'record')} parked; {waiting}. See `partner-ledger parked list`.")
    return standing.parked


def known_position(runtime: Runtime, known_at: dt.datetime | None) -> int | None:
    """Give the last position recorded by a moment: recorded-at never runs against position."""
    if known_at is None:
        return None
    if known_at.tzinfo is None:
        known_at = known_at.replace(tzinfo=ZoneInfo(runtime.settings.timezone))
    return runtime.read_models.position_at(known_at)
