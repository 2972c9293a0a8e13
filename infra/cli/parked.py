"""Commands for records that the projector has set aside: look at them, try again, have the ledger drop a forged one."""

import json as json_library
import uuid
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any

import typer

from domain.errors import Refused
from domain.recording import TopicRecord
from infra.bootstrap import Runtime
from infra.cli.console import hint, out, print_json, progress, say, table
from infra.cli.facts import wait_for_projections
from infra.cli.options import Json
from infra.settings import load_settings
from projections.counted import counted
from projections.queries import ParkedRecord

parked_commands = typer.Typer(
    help="Records on Kafka that were set aside, because they are forged or cannot be applied, and those that wait behind"
    " them.\n\nExample: partner-ledger parked list",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SHOWN_BYTES = 4_000
Which = Annotated[
    str, typer.Argument(metavar="STREAM|PARTITION:OFFSET", help="A parked stream, or one record by its place.")
]


@parked_commands.command("list")
def parked_list(*, json: Json = False) -> None:
    """List the parked streams: how many records wait, which of them the event store does not hold, and why the first parked.

    Example: partner-ledger parked list
    """
    records = Runtime(load_settings(), say).read_models.parked()
    streams = [_stream_document(list(group)) for _, group in groupby(records, key=lambda record: record.stream)]
    if json:
        print_json({"records": len(records), "streams": streams})
        return
    if not streams:
        out.print("Nothing is parked.")
        return
    view = table(
        f"Parked: {counted(len(records), 'record')} of {counted(len(streams), 'stream')}",
        *("stream", "records", "not in the store", "since", "why"),
        right=("records",),
        fold=("not in the store", "why"),
    )
    for each in streams:
        unknown = ", ".join(each["not_in_store"])
        view.add_row(each["stream"], f"{each['records']:,}", unknown, f"{each['since']:%Y-%m-%d %H:%M}", each["reason"])
    out.print(view)
    hint("`partner-ledger parked show STREAM` shows the records; `parked drop` drops one that the store does not hold.")


def _stream_document(records: Sequence[ParkedRecord]) -> dict[str, Any]:
    return {
        "stream": records[0].stream,
        "records": len(records),
        "not_in_store": [record.place for record in records if record.position is None],
        "since": min(record.parked_at for record in records),
        "reason": records[0].reason,
    }


@parked_commands.command("show")
def parked_show(which: Which, *, json: Json = False) -> None:
    """Show parked records whole: place, reason, what the event store says, key and value.

    Example: partner-ledger parked show partner:CH-0001

    Example: partner-ledger parked show 3:1742 --json
    """
    records = _found(Runtime(load_settings(), say), which)
    if json:
        print_json({"records": [_document(record) for record in records]})
        return
    for record in records:
        out.print(f"{record.place}  {record.stream}", style="bold")
        out.print(record.reason)
        held = "not held by the event store" if record.position is None else f"event {record.position:,} of the store"
        out.print(f"On {record.topic} since {record.parked_at:%Y-%m-%d %H:%M:%S %Z}; {held}.")
        out.print(f"Key: {_text(record.key)}")
        out.print(_text(record.value))
        out.print("")


def _document(record: ParkedRecord) -> dict[str, Any]:
    return {
        "stream": record.stream,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "position": record.position,
        "reason": record.reason,
        "parked_at": record.parked_at,
        "leaf_hash": None if record.leaf_hash is None else record.leaf_hash.hex(),
        "key": None if record.key is None else record.key.decode(errors="backslashreplace"),
        "value": None if record.value is None else record.value.decode(errors="backslashreplace"),
    }


def _text(content: bytes | None) -> str:
    """Give bytes for a person: JSON indented, other things as far as they are text, long ones cut."""
    if content is None:
        return "none"
    try:
        text = json_library.dumps(json_library.loads(content), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = content.decode(errors="backslashreplace")
    text = "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]} … ({len(content):,} bytes)"


def _found(runtime: Runtime, which: str) -> Sequence[ParkedRecord]:
    records = [record for record in runtime.read_models.parked() if which in (record.stream, record.place)]
    if not records:
        raise Refused(f"Nothing is parked as {which!r}; `partner-ledger parked list` shows what is.")
    return records


@parked_commands.command("retry")
def parked_retry(
    stream: Annotated[
        str | None, typer.Argument(metavar="[STREAM]", help="A parked stream; left out, all of them.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Try to apply parked streams again, in order; what still cannot be applied stays parked. Exit code 1 if any is.

    Example: partner-ledger parked retry partner:CH-0001
    """
    runtime = Runtime(load_settings(), say)
    records = runtime.read_models.parked() if stream is None else _found(runtime, stream)
    streams = sorted({record.stream for record in records})
    outcomes = {each: runtime.retry_parked(each) for each in streams}
    still_parked = sum(outcome.still_parked for outcome in outcomes.values())
    if json:
        told = {each: {"applied": o.applied, "still_parked": o.still_parked} for each, o in outcomes.items()}
        print_json({"streams": told, "still_parked": still_parked})
    elif not outcomes:
        out.print("Nothing is parked.")
    for each, outcome in outcomes.items() if not json else ():
        kept = (
            f"{counted(outcome.still_parked, 'record')} still parked"
            if outcome.still_parked
            else "nothing parked any more"
        )
        out.print(f"{each}: {counted(outcome.applied, 'event')} applied, {kept}.")
    if still_parked:
        raise typer.Exit(1)


@parked_commands.command("drop")
def parked_drop(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="The record, as `parked list` shows it.")],
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the event for ever.")],
    json: Json = False,
) -> None:
    """Drop a forged record: an event of the ledger, so every rebuild passes it over as well. Its stream then goes on.

    Refused for what the event store holds: that is genuine, and only `parked retry` can apply it.

    Example: partner-ledger parked drop 3:1742 --reason "put there by a test of ours"
    """
    if not reason.strip():
        raise typer.BadParameter("the reason is empty; auditors will ask for it")
    runtime = Runtime(load_settings(), say)
    records = [record for record in runtime.read_models.parked() if record.place == place]
    if not records:
        raise Refused(
            f"No record is parked at {place!r} (PARTITION:OFFSET); `partner-ledger parked list` shows what is."
        )
    (record,) = records
    dropped = runtime.ledger.drop_record(
        TopicRecord(record.topic, record.partition, record.offset, record.leaf_hash), reason, f"drop:{uuid.uuid4()}"
    )
    with progress(shown=not json) as bar:
        position = wait_for_projections(runtime, bar)
    runtime.retry_parked(record.stream)
    runtime.close()
    waiting = len(runtime.read_models.parked(record.stream))
    if json:
        document = {"record": place, "stream": record.stream, "dropped": dropped, "position": position}
        print_json({**document, "still_parked": waiting})
        return
    state = "is dropped" if dropped else "was dropped before"
    rest = f"{counted(waiting, 'record')} of {record.stream} still parked" if waiting else f"{record.stream} goes on"
    out.print(f"The record at {place} {state}; {rest}.")
