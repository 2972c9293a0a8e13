"""Commands that read the whole log again: `replay rebuild`, and the builds of the projections that it leaves."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from consumers.rebuild import Comparison, Difference, Plan, Rebuilt, Totals
from domain.errors import Refused
from infra.bootstrap import Runtime
from infra.cli.console import amount, err, hint, out, print_json, progress, say, table
from infra.cli.options import Json
from infra.postgres.projections.tables import PROJECTIONS
from infra.settings import load_settings, mask_password
from projections.counted import counted

replay_commands = typer.Typer(
    help="Read the whole log again: make the projections anew from Kafka, or as they were at a position.\n\n"
    "Example: partner-ledger replay rebuild",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def parse_projection(text: str) -> str:
    """Read a projection's name."""
    if text not in PROJECTIONS:
        raise typer.BadParameter(f"{text!r} is not a projection; they are {', '.join(PROJECTIONS)}")
    return text


@replay_commands.command("rebuild")
def rebuild(
    projection: Annotated[
        str | None,
        typer.Argument(
            parser=parse_projection,
            metavar="[PROJECTION]",
            help=f"One of {', '.join(PROJECTIONS)}; left out, all of them.",
        ),
    ] = None,
    *,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, max=1000, metavar="N", help="Processes that read Kafka (default: one for each core)."
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            "--until",
            min=1,
            metavar="POSITION",
            help="Make the state after this position, beside the live one and under a name of its own.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make the projections anew from Kafka, compare them with the live ones and switch, while everything goes on.

    Whatever stops it leaves the live projections as they were. If the new ones differ, it says where, makes them live all the
    same, as they follow from Kafka, keeps the old ones as evidence, and ends with exit code 1.

    Example: partner-ledger replay rebuild

    Example: partner-ledger replay rebuild sales --workers 2

    Example: partner-ledger replay rebuild --until 120000
    """
    runtime = Runtime(load_settings(), say)
    names = tuple(PROJECTIONS) if projection is None else (projection,)
    plan = Plan(names, _workers(runtime, workers), projection is None, until)
    if until is not None:
        _check_past(runtime, until)
    began = time.monotonic()
    with _told(shown=not json) as telling:
        rebuilt = runtime.rebuild(plan, telling)
    seconds = time.monotonic() - began
    if json:
        print_json(_document(runtime, plan, rebuilt, seconds, telling))
    else:
        _print(runtime, plan, rebuilt, seconds, telling)
    if rebuilt.compared is not None and not rebuilt.compared.equal:
        raise typer.Exit(1)


def _workers(runtime: Runtime, wanted: int | None) -> int:
    partitions = runtime.settings.kafka_partitions
    if wanted is not None and wanted > partitions:
        say(f"The events topic has {counted(partitions, 'partition')}: {partitions} processes are used, not {wanted}.")
    return min(wanted or os.cpu_count() or 1, partitions)


def _check_past(runtime: Runtime, until: int) -> None:
    last, relayed = runtime.last_position(), runtime.relayed()
    if until > last:
        raise Refused(f"The ledger's last position is {last:,}: there is no state at position {until:,} yet.")
    if until > relayed:
        raise Refused(f"Kafka has events up to position {relayed:,} so far: wait for the relay, then try again.")
    if any(build.name == f"past_{until}" for build in runtime.builds.all()):
        raise Refused(
            f"past_{until} is there already: query it, or drop it first (`partner-ledger replay drop past_{until}`)."
        )


@dataclass
class _Told:
    """Tells a person how a rebuild goes on: port `consumers.rebuild.Telling`."""

    bar: Progress
    task: TaskID
    events: int = 0
    """Records read by the processes."""
    reading_s: float = 0.0
    """How long that took."""
    _began: float = 0.0
    _doing: str = ""

    def stage(self, doing: str, total: int | None = None) -> None:
        """Begin something."""
        now = time.monotonic()
        if self._doing == "Reading the events":
            self.reading_s = now - self._began
        self._doing, self._began = doing, now
        self.bar.reset(self.task, description=doing, total=total)

    def note(self, done: int, total: int) -> None:
        """Tell of so many steps done."""
        if self._doing == "Reading the events":
            self.events = done
        self.bar.update(self.task, completed=done, total=total)


@contextmanager
def _told(*, shown: bool) -> Iterator[_Told]:
    with progress(shown=shown) as bar:
        yield _Told(bar, bar.add_task("Starting", total=None))


def _document(runtime: Runtime, plan: Plan, rebuilt: Rebuilt, seconds: float, telling: _Told) -> dict[str, Any]:
    compared = rebuilt.compared
    live = None if compared is None else compared.live
    return {
        "schema": rebuilt.name,
        "projections": list(plan.projections),
        "until": plan.until,
        "live": plan.until is None,
        "replaced": rebuilt.replaced,
        "position": rebuilt.position,
        "events": rebuilt.events,
        "parked": rebuilt.parked,
        "tables_version": rebuilt.tables_version,
        "topic": rebuilt.topic._asdict(),
        "workers": plan.workers,
        "seconds": round(seconds, 1),
        "events_per_second": round(telling.events / telling.reading_s)
        if telling.events and telling.reading_s
        else None,
        "compared": compared is not None,
        "not_compared": rebuilt.not_compared,
        "compared_up_to": None if compared is None else compared.up_to,
        "equal": None if compared is None else compared.equal,
        "applied_anew": 0 if compared is None else compared.applied_anew,
        "differing": {} if compared is None else dict(compared.differing),
        "differences": [] if compared is None else [each._asdict() for each in compared.differences],
        "evidence": rebuilt.evidence,
        "rows": _rows(rebuilt.totals, compared),
        "totals": {
            "sales": _sums(rebuilt.totals.sales, None if live is None else live.sales),
            "bonus_lines": _sums(rebuilt.totals.bonus_lines, None if live is None else live.bonus_lines),
        },
        "query": None if plan.until is None else _query(runtime, rebuilt.name),
    }


def _rows(new: Totals, compared: Comparison | None) -> dict[str, dict[str, int | None]]:
    return {
        name: {"new": count, "live": None if compared is None else compared.live.rows[name]}
        for name, count in new.rows.items()
    }


Sums = Mapping[str, tuple[int, Decimal]]


def _sums(new: Sums, live: Sums | None) -> dict[str, dict[str, Any]]:
    document = {}
    for currency in sorted({*new, *(live or {})}):
        count, sum_ = new.get(currency, (0, Decimal(0)))
        before = None if live is None else live.get(currency, (0, Decimal(0)))
        document[currency] = {
            "new": {"rows": count, "amount": sum_},
            "live": before and {"rows": before[0], "amount": before[1]},
        }
    return document


def _print(runtime: Runtime, plan: Plan, rebuilt: Rebuilt, seconds: float, telling: _Told) -> None:
    what = "All projections" if plan.whole else plan.projections[0]
    if plan.until is None:
        out.print(f"{what} rebuilt from Kafka up to position {rebuilt.position:,}; {rebuilt.name} is live now.")
    else:
        out.print(f"{what} as at position {plan.until:,}: schema {rebuilt.name}, which only a query by its name reads.")
    _print_comparison(rebuilt)
    up_to = "" if rebuilt.compared is None else f" up to position {rebuilt.compared.up_to:,}"
    view = table(f"Control totals{up_to}", "what", "new", "live", right=("new", "live"))
    for name, rows in _rows(rebuilt.totals, rebuilt.compared).items():
        view.add_row(f"rows of {name}", f"{rows['new']:,}", "-" if rows["live"] is None else f"{rows['live']:,}")
    live = None if rebuilt.compared is None else rebuilt.compared.live
    for name, new, old in (
        ("sales", rebuilt.totals.sales, None if live is None else live.sales),
        ("bonus lines", rebuilt.totals.bonus_lines, None if live is None else live.bonus_lines),
    ):
        for currency, each in _sums(new, old).items():
            before = "-" if each["live"] is None else amount(each["live"]["amount"])
            view.add_row(f"{name}, {currency}", amount(each["new"]["amount"]), before)
    out.print(view)
    known = telling.events and telling.reading_s  # a small topic is read before anything is told of it
    rate = f", {telling.events / telling.reading_s:,.0f} a second" if known else ""
    workers = "1 process" if plan.workers == 1 else f"{plan.workers} processes"
    out.print(
        f"{counted(rebuilt.events, 'event')} applied by {workers}{rate}; {seconds:,.1f} s in all;"
        f" {counted(rebuilt.parked, 'record')} parked; tables of version {rebuilt.tables_version};"
        f" topic {rebuilt.topic.topic} ({rebuilt.topic.topic_id})."
    )
    if plan.until is not None:
        hint(f"Query it: {_query(runtime, rebuilt.name)}")
        hint(f"When it is not needed any more: partner-ledger replay drop {rebuilt.name}")


def _query(runtime: Runtime, name: str) -> str:
    url = mask_password(runtime.endpoints.read_database_url)
    return f'psql "{url}" -c "SET search_path = {name}" -c "SELECT * FROM partition_progress"'


def _print_comparison(rebuilt: Rebuilt) -> None:
    compared = rebuilt.compared
    if compared is None:
        out.print(f"Not compared: {rebuilt.not_compared}.")
        return
    if compared.applied_anew:
        out.print(f"{counted(compared.applied_anew, 'event')} that the live build had parked could be applied.")
    if compared.equal:
        out.print(f"Compared row by row up to position {compared.up_to:,}: equal.")
        return
    many = ", ".join(f"{name}: {count:,}" for name, count in compared.differing.items())
    err.print(f"The live build was not what follows from Kafka. Rows that differ, by table: {many}.", style="red")
    for each in compared.differences:
        err.print(_sentence(each), style="red")
    err.print(f"What was live is kept as evidence in the schema {rebuilt.evidence}.", style="red")


def _sentence(each: Difference) -> str:
    at = "" if each.position is None else f", position {each.position:,}"
    return f"{each.projection}, {each.table}{at}: from Kafka {each.new or 'no such row'}; was live {each.live or 'no such row'}"


@replay_commands.command("builds")
def list_builds(*, json: Json = False) -> None:
    """List the builds of the projections: the live one, past states, what was kept as evidence.

    Example: partner-ledger replay builds
    """
    runtime = Runtime(load_settings(), say)
    found = runtime.builds.all()
    if json:
        print_json({"builds": [each._asdict() for each in found]})
        return
    columns = ("build", "kind", "position", "events", "parked", "MB")
    view = table("Builds of the projections", *columns, right=columns[2:])
    for each in found:
        figures = ("-" if figure is None else f"{figure:,}" for figure in (each.position, each.events, each.parked))
        view.add_row(each.name, each.kind, *figures, f"{each.size_bytes / 1e6:,.1f}")
    out.print(view)


@replay_commands.command("drop")
def drop(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A build, as `replay builds` lists it.")],
    *,
    json: Json = False,
) -> None:
    """Drop a past state, or what was kept as evidence. The live build is never dropped.

    Example: partner-ledger replay drop past_120000
    """
    runtime = Runtime(load_settings(), say)
    runtime.builds.drop(name)
    if json:
        print_json({"dropped": name})
    else:
        out.print(f"Dropped {name}.")
