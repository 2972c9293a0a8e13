"""Commands that tell the ledger something: import, advance."""

import csv
import datetime as dt
import sys
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from eventsourcing.persistence import OperationalError
from rich.progress import Progress

from infra.bootstrap import Runtime
from infra.cli.console import hint, out, print_json, progress, say, table
from infra.cli.options import Json, note_parked, parse_date
from infra.settings import load_settings
from producers.feeds import FeedFolder
from producers.importer import ImportSummary
from projections.counted import counted

facts_commands = typer.Typer()

NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until the projections have caught up.")]
SHOWN_REFUSALS = 20
PARTNERS_A_PAGE = 500


@facts_commands.command("import")
def import_feeds(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Feed folders, imported one after the other.", metavar="FOLDER…"),
    ],
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Import feed folders: facts become events, refused rows are listed with file, line and reason.

    Cut off at any point and run again, an import goes on where it was. Exit code 1 if rows were refused.

    Example: partner-ledger import feeds/2012-01 --json
    """
    for folder in folders:
        if not folder.is_dir():
            raise typer.BadParameter(
                f"{folder} is not a folder; import takes folders with files such as sales.csv.", param_hint="FOLDER"
            )
    feeds = [FeedFolder(folder) for folder in folders]
    runtime = Runtime(load_settings(), say)
    runtime.up()
    began = time.monotonic()
    with progress(shown=not json) as bar:
        summaries: list[tuple[FeedFolder, ImportSummary]] = []
        for feed in feeds:
            told = [summary.key for _, summary in summaries]
            summaries.append((feed, import_feed(runtime, feed, bar, told=told)))
        position = runtime.last_position() if no_wait else wait_for_projections(runtime, bar)
    parked = 0 if no_wait else note_parked(runtime)
    seconds = round(time.monotonic() - began, 3)
    refused = sum(summary.refused for _, summary in summaries)
    rejects = _write_rejects(runtime, summaries) if refused else None
    document = {
        "recorded": sum(summary.recorded for _, summary in summaries),
        "duplicates": sum(summary.duplicates for _, summary in summaries),
        "refused": _refusals(rejects, named=len(feeds) > 1),
        "events": sum(summary.events for _, summary in summaries),
        "seconds": seconds,
        "position": position,
        "parked": parked,
        "rejects_file": None if rejects is None else str(rejects),
    }
    if json:
        print_json(document)
    else:
        _print_import(document, refused, waited=not no_wait)
    sys.stdout.flush()
    runtime.finish_imports([summary.key for _, summary in summaries])
    runtime.close()
    if refused:
        raise typer.Exit(1)


def _refusals(rejects: Path | None, *, named: bool) -> Iterator[dict[str, Any]]:
    """Give what was refused, row by row: a million of them are held by the rejects file, not by memory."""
    if rejects is None:
        return
    with rejects.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            refusal = {"file": row["file"], "line": int(row["line"]), "reason": row["reason"]}
            yield {"folder": row["folder"], **refusal} if named else refusal


def import_feed(runtime: Runtime, feed: FeedFolder, bar: Progress, *, told: Collection[str] = ()) -> ImportSummary:
    """Import one folder with its progress on a bar; where PostgreSQL goes away meanwhile, go on when it is back.

    The run stays open until `Runtime.finish_imports`; `told` are the runs that this command has imported before.
    """
    while True:
        try:
            return _import_feed(runtime, feed, bar, told)
        except OperationalError as error:
            runtime.patience(error)
            feed = FeedFolder(feed.folder)  # what was staged is gone; how far the import is stands with its facts


def _import_feed(runtime: Runtime, feed: FeedFolder, bar: Progress, told: Collection[str]) -> ImportSummary:
    importer, staging = runtime.importer()
    reading = bar.add_task(f"Reading {feed.folder}", total=None)
    deciding = bar.add_task("Deciding", total=None, visible=False)

    def on_staged(rows: int, _: int) -> None:
        bar.update(reading, completed=rows)

    def on_progress(done: int, rows: int) -> None:
        bar.update(reading, visible=False)
        bar.update(deciding, completed=done, total=rows, visible=True)

    try:
        return importer.run(feed, on_staged, on_progress, told=told)
    finally:
        staging.close()
        for task in (reading, deciding):
            bar.remove_task(task)


def wait_for_projections(runtime: Runtime, bar: Progress) -> int:
    """Wait until the projections have caught up; give the position they then stand at."""
    waiting = bar.add_task("Projecting", total=None)

    def on_wait(reached: int, target: int) -> None:
        bar.update(waiting, completed=reached, total=target)

    return runtime.wait_until_projected(on_wait)


def _write_rejects(runtime: Runtime, summaries: Sequence[tuple[FeedFolder, ImportSummary]]) -> Path:
    """Write what was refused beside the ledger's logs, in the shape in which it can be worked off."""
    folder = runtime.settings.home / "rejects"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["folder", "file", "line", "reason"])
        for feed, summary in summaries:
            rows = runtime.refused_rows(summary.key)
            writer.writerows([str(feed.folder), row.file, row.line, row.reason] for row in rows)
    return path


def _print_import(document: dict[str, Any], refused: int, *, waited: bool) -> None:
    out.print(
        f"{counted(document['recorded'], 'fact')} recorded, {counted(document['duplicates'], 'duplicate')},"
        f" {refused:,} refused; {counted(document['events'], 'event')} in {document['seconds']:,.1f} s."
    )
    if waited:
        but = " but for what is parked" if document["parked"] else ""
        hint(f"The projections have caught up{but}, at position {document['position']:,}.")
    if refused:
        view = table(
            f"Refused ({min(refused, SHOWN_REFUSALS)} of {refused:,})",
            "file",
            "line",
            "reason",
            right=("line",),
            fold=("reason",),
        )
        for row in islice(document["refused"], SHOWN_REFUSALS):
            view.add_row(row["file"], f"{row['line']:,}", row["reason"])
        out.print(view)
        hint(f"All of them are in {document['rejects_file']}")


@facts_commands.command("advance")
def advance(
    to: Annotated[dt.date, typer.Option("--to", parser=parse_date, metavar="DATE", help="The ledger's new date.")],
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Set the ledger's date and decide what falls due up to it, for every partner. Run it daily.

    The same date told again only finishes what an interrupted run left.

    Example: partner-ledger advance --to 2012-04-01
    """
    runtime = Runtime(load_settings(), say)
    began = time.monotonic()
    with progress(shown=not json) as bar:
        advanced, events = advance_ledger(runtime, to, bar)
        position = runtime.last_position() if no_wait else wait_for_projections(runtime, bar)
    parked = 0 if no_wait else note_parked(runtime)
    runtime.close()
    seconds = round(time.monotonic() - began, 3)
    if json:
        print_json(
            {
                "ledger_date": to,
                "advanced": advanced,
                "events": events,
                "seconds": seconds,
                "position": position,
                "parked": parked,
            }
        )
        return
    state = f"The ledger's date is {to} now" if advanced else f"The ledger's date was {to} already"
    out.print(f"{state}; {counted(events, 'event')} in {seconds:,.1f} s.")


def advance_ledger(runtime: Runtime, to: dt.date, bar: Progress) -> tuple[bool, int]:
    """Advance the ledger and decide what is due, page by page; give whether its date changed, and the number of events."""
    ledger = runtime.ledger
    advanced = ledger.advance(to, f"advance:{to}:{uuid.uuid4()}")
    events = int(advanced)
    deciding = bar.add_task("Deciding what is due", total=None)
    page = ledger.partner_ids(None, PARTNERS_A_PAGE)
    while page:
        events += ledger.decide_due(page, f"advance:{to}:{page[0]}")
        bar.update(deciding, advance=len(page))
        page = ledger.partner_ids(page[-1], PARTNERS_A_PAGE)
    return advanced, events
