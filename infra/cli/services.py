"""Commands for the servers and processes of a ledger: up, down, status, settings, run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from infra import bootstrap
from infra.bootstrap import BACKGROUND_PROCESSES, PROJECTOR, RELAY, Runtime, projectors_of
from infra.cli.console import out, print_json, say, table
from infra.cli.options import Json
from infra.embedded import processes
from infra.settings import load_settings, settings_table

services_commands = typer.Typer()
run_commands = typer.Typer(
    help="Run relay or projector in the foreground, against the servers named in the settings (or the embedded ones).\n\n"
    "Example: partner-ledger run projector",
    no_args_is_help=True,
    rich_markup_mode=None,
)


Projectors = Annotated[
    int | None,
    typer.Option(
        "--projectors",
        min=1,
        max=64,
        metavar="N",
        help="Have so many projectors, which share the partitions (default: as many as there were, 1 at first).",
    ),
]


@services_commands.command("up")
def up(*, projectors: Projectors = None, json: Json = False) -> None:
    """Start the embedded Kafka and PostgreSQL, the relay and the projector, where they are not up.

    Servers named in the settings are used instead of embedded ones. A second `up` finds the first; with --projectors it
    starts or stops as many projectors as are missing or too many.

    Example: PARTNER_LEDGER_HOME=~/ledger partner-ledger up --projectors 2
    """
    runtime = Runtime(load_settings(), say)
    endpoints = runtime.up(projectors)
    if projectors is not None and projectors > runtime.settings.kafka_partitions:
        say(
            f"The events topic has {runtime.settings.kafka_partitions} partitions: further projectors only wait to take over."
        )
    if json:
        print_json(_status(runtime))
        return
    out.print(f"Up. Kafka: {endpoints.bootstrap_servers}", markup=False)
    out.print(f"PostgreSQL (to read): {endpoints.read_database_url}", markup=False)
    out.print(f"Logs: {runtime.settings.home / 'logs'}", markup=False)


@services_commands.command("down")
def down(*, json: Json = False) -> None:
    """Stop relay, projectors and the embedded servers; the data stay. Servers of your own are left alone.

    Example: partner-ledger down
    """
    runtime = Runtime(load_settings(), say)
    stopped = runtime.down()
    if json:
        print_json({"home": str(runtime.settings.home), "stopped": stopped})
    else:
        out.print("Stopped." if stopped else "Nothing was running.")


@services_commands.command("status")
def status(*, json: Json = False) -> None:
    """Show what runs and how far the relay and the projections are. Starts nothing.

    Example: partner-ledger status --json
    """
    runtime = Runtime(load_settings(), say)
    document = _status(runtime)
    if json:
        print_json(document)
        return
    view = table(f"Ledger in {document['home']}", "what", "state", "where or how far", fold=("where or how far",))
    for name, place in (("kafka", "bootstrap_servers"), ("postgres", "dsn")):
        server = document[name]
        view.add_row(name, "running" if server["running"] else "not running", server[place] or "-")
    for process in (document[RELAY], *document["projectors"]):
        state = f"running, pid {process['pid']}" if process["running"] else "not running"
        view.add_row(process["name"], state, process["log"])
    for name in ("events", "relayed", "projected", "parked", "lag"):
        view.add_row(name, "", "-" if document[name] is None else f"{document[name]:,}")
    out.print(view)


def _status(runtime: Runtime) -> dict[str, Any]:
    """Give the status document; figures of what does not run are null."""
    servers = runtime.servers.status()
    home = runtime.settings.home
    figures: dict[str, int | None] = dict.fromkeys(("events", "relayed", "projected", "parked", "lag"))
    if servers.endpoints is not None:
        figures = bootstrap.progress_figures(runtime.settings, servers.endpoints)
    return {
        "home": str(home),
        "kafka": {"bootstrap_servers": servers.kafka.address, "running": servers.kafka.running},
        "postgres": {"dsn": servers.postgres.address, "running": servers.postgres.running},
        **{name: _process(home, name) for name in BACKGROUND_PROCESSES},
        "projectors": [_process(home, name) for name in projectors_of(home)],
        **figures,
    }


def _process(home: Path, name: str) -> dict[str, Any]:
    """Give a background process of a home as the status document has it; its pid is null where it does not run."""
    pid = processes.running(home, name)
    return {"name": name, "running": pid is not None, "pid": pid, "log": str(processes.log_path(home, name))}


@services_commands.command("settings")
def settings(*, json: Json = False) -> None:
    """List all settings: the variable, its value, where the value comes from, and what it means.

    Example: PARTNER_LEDGER_TIMEZONE=Europe/Oslo partner-ledger settings
    """
    rows = settings_table()
    if json:
        print_json(
            [
                {
                    "name": row.variable,
                    "value": row.value,
                    "default": row.default,
                    "source": row.source,
                    "description": row.description,
                }
                for row in rows
            ]
        )
        return
    view = table("Settings", "name", "value", "from", "meaning", fold=("value", "meaning"))
    for row in rows:
        view.add_row(row.variable, row.value, row.source, row.description)
    out.print(view)


@run_commands.command("relay")
def run_relay() -> None:
    """Relay events from the store to Kafka until SIGTERM or Ctrl-C.

    Example: PARTNER_LEDGER_KAFKA=kafka:9092 PARTNER_LEDGER_DATABASE_URL=postgresql://… partner-ledger run relay
    """
    bootstrap.run_in_foreground(RELAY, load_settings())


@run_commands.command("projector")
def run_projector() -> None:
    """Apply events from Kafka to the projections until SIGTERM or Ctrl-C.

    Several processes share the partitions: start more of them, on as many machines as wanted.

    Example: PARTNER_LEDGER_KAFKA=kafka:9092 PARTNER_LEDGER_DATABASE_URL=postgresql://… partner-ledger run projector
    """
    bootstrap.run_in_foreground(PROJECTOR, load_settings())
