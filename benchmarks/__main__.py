"""The one command: `uv run --group bench python -m benchmarks [NAME …] [--json] [--events N] [--rows-times N]`.

It starts a PostgreSQL and a Kafka of its own in a temporary home, runs the benchmarks one after the other, and stops and
removes all of it. It ends by itself within six minutes: what has been measured until then is printed.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from benchmarks import (
    append,
    bulk_import,
    deal,
    decide,
    models,
    projector,
    rebuild,
    relay,
    scale_out,
    tape,
    verify,
    visible,
    what_if,
)
from benchmarks.machine import durability, machine
from benchmarks.measuring import Bench, Figure, say, shown
from tests.servers import servers

EVENTS = 50_000
WITHIN_S = 340
WIDTH = 130
"""Of the tables where standard output is no terminal."""

ON_SERVERS: dict[str, Callable[[Bench], None]] = {
    "append": append.measure,
    "import": bulk_import.measure,
    "relay": relay.measure,
    "projector": projector.measure,
    "rebuild": rebuild.measure,
    "tape": tape.measure,
    "visible": visible.measure,
    "scale-out": scale_out.measure,
    "deal": deal.measure,
    "verify": verify.measure,
}
IN_MEMORY: dict[str, Callable[[Bench], None]] = {
    "decide": decide.measure,
    "models": models.measure,
    "what-if": what_if.measure,
}
BENCHMARKS = ON_SERVERS | IN_MEMORY


class TimeIsUpError(Exception):
    """The whole run has taken too long."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks named, all by default; 1 if the time was not enough for all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the ledger on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument(
        "--events", type=int, default=EVENTS, metavar="N", help="sales or events to measure with (%(default)s)"
    )
    parser.add_argument(
        "--rows-times",
        type=int,
        default=1,
        metavar="N",
        help="import the sales N times as well, for its memory; a minute for 10",
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown or options.events < 1 or options.rows_times < 1:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "--events and --rows-times must be at least 1")
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.alarm(WITHIN_S)
    bench = Bench(options.events, options.rows_times)
    document = run(options.names or list(BENCHMARKS), bench)
    signal.alarm(0)
    if options.json:
        print(json.dumps({**document, "figures": [asdict(figure) for figure in bench.figures]}, indent=1))
    else:
        _print(document, bench.figures)
    return 0 if document["complete"] else 1


def run(names: Sequence[str], bench: Bench) -> dict[str, Any]:
    """Run benchmarks, one after the other; describe what they ran on, and whether all of them came to their end."""
    began = time.monotonic()
    document: dict[str, Any] = {"events": bench.events, "machine": machine(), "complete": False}
    try:
        if any(name in ON_SERVERS for name in names):
            say("Starting PostgreSQL and Kafka.")
            document["durability"] = durability(servers()[0].home)
        for name in names:
            bench.name = name
            BENCHMARKS[name](bench)
        document["complete"] = True
    except TimeIsUpError:
        say(f"{WITHIN_S} s are up: {bench.name} and what follows it is missing.")
    return {**document, "seconds": round(time.monotonic() - began, 1)}


def _print(document: dict[str, Any], figures: Sequence[Figure]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    for title in ("machine", "durability"):
        if title in document:
            table = Table(title=title.capitalize(), title_justify="left", show_header=False)
            for name, value in document[title].items():
                table.add_row(name, value)
            console.print(table)
    table = Table(title=f"With {document['events']:,}, in {document['seconds']:.0f} s", title_justify="left")
    table.add_column("benchmark", no_wrap=True)
    table.add_column("what")
    for column in ("median", "of runs from", "to"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for column in ("CPU µs", "load"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in figures:
        cpu = "" if each.cpu_us is None else shown(each.cpu_us)
        spread = (shown(min(each.runs)), shown(max(each.runs))) if len(each.runs) > 1 else ("", "")
        table.add_row(each.benchmark, each.what, shown(each.value), *spread, each.unit, cpu, f"{each.load}")
    console.print(table)


def _leave(_signal: int, _frame: object) -> NoReturn:
    sys.exit(143)  # by way of atexit, which stops the servers


def _time_is_up(_signal: int, _frame: object) -> NoReturn:
    raise TimeIsUpError


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
