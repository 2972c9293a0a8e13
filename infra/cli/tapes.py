"""`replay tape`: the recorded facts as Parquet files, which replays read; made, topped up and checked."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.bootstrap import Runtime
from infra.cli.console import err, hint, out, print_json, progress, say
from infra.cli.options import Json
from infra.settings import load_settings
from projections.counted import counted

if TYPE_CHECKING:
    from rich.progress import Progress

    from infra.tape.checking import Checked
    from infra.tape.making import Made
    from infra.tape.manifest import Manifest

tape_commands = typer.Typer()

TapeFolder = Annotated[
    Path | None,
    typer.Option("--tape", metavar="DIR", help="The folder of the tape (default: tape in the ledger's folder)."),
]
TopUp = Annotated[
    bool,
    typer.Option(
        "--top-up/--no-top-up",
        help="Add to the tape what was recorded since, or read it as it is.",
    ),
]


@tape_commands.command("tape")
def tape(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the tape with the ledger, row by row, and add nothing.")
    ] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="Make another tape in place of the one that is there, when it is whole.")
    ] = False,
    tape: TapeFolder = None,
    json: Json = False,
) -> None:
    """Make the tape that replays read, or add what was recorded since. With --check, exit code 1 if it is not the ledger's.

    The facts are read from Kafka, partition by partition, and each record is held against the store. Whatever stops it leaves the
    tape that was there; it may run while facts are recorded, and says up to which position it came.

    Example: partner-ledger replay tape

    Example: partner-ledger replay tape --check
    """
    if check and anew:
        raise typer.BadParameter("--check looks at the tape that is there, --anew makes another one; name one of them")
    runtime = Runtime(load_settings(), say)
    folder = runtime.tape_folder(tape)
    with progress(shown=not json) as bar:
        if check:
            checked = runtime.check_tape(folder, _told(bar, "Checking the tape"))
        else:
            made = runtime.make_tape(folder, anew=anew, on_progress=_told(bar, "Reading Kafka"))
    if check:
        _answer_checked(folder, checked, json=json)
    else:
        _answer_made(folder, made, json=json)


def _told(bar: "Progress", title: str) -> "Any":
    shown = bar.add_task(title, total=None)
    return lambda done, total: bar.update(shown, completed=done, total=total)


def _document(folder: Path, manifest: "Manifest") -> dict[str, Any]:
    source = manifest.source
    return {
        "tape": str(folder),
        "position": manifest.position,
        "facts": manifest.facts,
        "root": manifest.root,
        "files": len(manifest.parts),
        "bytes": manifest.size_bytes,
        "ledger": source.ledger_id,
        "topic": source.topic,
        "topic_id": source.topic_id,
    }


def _answer_made(folder: Path, made: "Made", *, json: bool) -> None:
    manifest, seconds = made.manifest, round(made.seconds, 3)
    if json:
        news = {"added_events": made.events, "added_facts": made.facts, "seconds": seconds}
        print_json({**_document(folder, manifest), **news})
        return
    rate = f", {made.events / made.seconds:,.0f} a second" if made.events and made.seconds else ""
    added = f"{counted(made.events, 'event')} read in {made.seconds:,.1f} s{rate}" if made.events else "nothing is new"
    out.print(
        f"The tape holds {counted(manifest.facts, 'fact')} up to position {manifest.position:,}"
        f" ({manifest.size_bytes / 1e6:,.1f} MB in {folder}); {added}."
    )
    out.print(f"Root of the hash tree: {manifest.root}.")
    from infra.tape.manifest import many_files

    if many := many_files(manifest):
        hint(many)


def _answer_checked(folder: Path, checked: "Checked", *, json: bool) -> None:
    manifest = checked.manifest
    if json:
        findings = [each._asdict() for each in checked.findings]
        result = {"ok": checked.ok, "findings": findings, "found": checked.found, "seconds": round(checked.seconds, 3)}
        print_json({**_document(folder, manifest), **result})
    elif checked.ok:
        out.print(
            f"The tape is the ledger's: {counted(manifest.facts, 'fact')} and the leaf hashes of"
            f" {counted(manifest.position, 'event')} agree with the store; the tree's root is {manifest.root} ({checked.seconds:,.1f} s).",
            style="green",
        )
    else:
        for each in checked.findings:
            at = "" if each.position is None else f", position {each.position:,}"
            err.print(f"{each.file}{at}: {each.what}.", style="red")
        more = f" (the first {len(checked.findings)} are shown)" if checked.found > len(checked.findings) else ""
        err.print(
            f"The tape in {folder} is not the ledger's: {counted(checked.found, 'finding')}{more}."
            " Make it anew with `partner-ledger replay tape --anew`.",
            style="red",
        )
    if not checked.ok:
        raise typer.Exit(1)
