"""`audit verify` answers: is everything here what really happened, and does everything follow from it; `replay verify` the latter alone."""

import json as json_library
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.heads import SignedHead, parse_verifier_key
from domain.money import format_amount
from infra.bootstrap import ProjectionsStuck, Runtime
from infra.cli.audit import head_from_file
from infra.cli.console import hint, out, print_json, progress, say, table, warn
from infra.cli.facts import wait_for_projections
from infra.cli.options import Json
from infra.settings import load_settings
from projections.counted import counted

if TYPE_CHECKING:
    from rich.progress import Progress

    from domain.replay import Difference, Shown
    from infra.audit.deciding_again import DecidedAgain
    from infra.audit.verifying import Verified

verification_commands = typer.Typer()
"""Of the group `audit`."""
replay_verification_commands = typer.Typer()
"""Of the group `replay`."""

SHOWN_FINDINGS = 50
PASSES = {"store": "Store", "kafka": "Kafka and projections"}


@verification_commands.command("verify")
def audit_verify(
    *,
    head: Annotated[
        Path | None,
        typer.Option(
            "--head", metavar="FILE", help="A signed tree head kept outside, to hold the whole store against."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="The verifier key of that head (default: this machine's own)."),
    ] = None,
    json: Json = False,
) -> None:
    """Verify the whole ledger: store, Kafka, identities, decisions, every projection, the public tier changes. Exit code 1 on a finding.

    It reads up to the position at which the store stands as it begins, while facts may be recorded, and changes nothing. What was
    rewritten everywhere at once is found only against a tree head kept elsewhere: --head.

    Example: partner-ledger audit verify

    Example: partner-ledger audit verify --head /media/auditor/head-1734-20120601T120000.000000Z.txt
    """
    if key is not None and head is None:
        raise typer.BadParameter("--key is the key of a --head FILE; name both")
    runtime = Runtime(load_settings(), say)
    signed = None if head is None else head_from_file(runtime, head, None if key is None else parse_verifier_key(key))
    with progress(shown=not json) as bar:
        verified = _verified(runtime, signed, bar)
    runtime.close()
    document = _document(runtime, verified, head)
    if json:
        print_json(document)
    else:
        _print(verified, document)
    if not verified.ok:
        raise typer.Exit(1)


def _verified(runtime: Runtime, signed: SignedHead | None, bar: "Progress") -> "Verified":
    from infra.audit.verifying import verify

    task = runtime.audit_task(signed)
    try:
        wait_for_projections(runtime, bar)
    except ProjectionsStuck as error:
        warn(f"{error} What is there is verified all the same.")
    bars = {name: bar.add_task(title, total=task.last or None) for name, title in PASSES.items()}
    return verify(task, lambda name, done: bar.update(bars[name], completed=done))


def _document(runtime: Runtime, verified: "Verified", head: Path | None) -> dict[str, Any]:
    settings = runtime.settings
    return {
        "ok": verified.ok,
        "events": verified.events,
        "checks": [
            {
                "name": check.name,
                "ok": check.ok,
                "checked": check.checked,
                "seconds": round(check.seconds, 3),
                "findings": check.found,
            }
            for check in verified.checks
        ],
        "findings": [
            {"check": found.check, "kind": found.kind, "position": found.position, "detail": found.detail}
            for found in verified.findings
        ],
        "found": verified.found,
        "position": verified.events,
        "seconds": verified.seconds,
        "versions": {"partner-ledger": version("partner-ledger"), **verified.versions},
        "parameters": {
            "topic_prefix": settings.topic_prefix,
            "kafka_partitions": settings.kafka_partitions,
            "timezone": settings.timezone,
            "head": None if head is None else str(head),
        },
        "rows": verified.rows,
        "totals": verified.totals,
        "root": verified.root,
        "peak_mb": {name: round(size, 1) for name, size in verified.peak_mb.items()},
    }


def _print(verified: "Verified", document: dict[str, Any]) -> None:
    state = "All is as it must be" if verified.ok else f"Not all is as it must be: {counted(verified.found, 'finding')}"
    rate = f", {verified.events / verified.seconds:,.0f} a second" if verified.seconds else ""
    if verified.findings:
        view = table(
            f"Findings ({min(len(verified.findings), SHOWN_FINDINGS)} of {verified.found:,})",
            *("position", "check", "kind", "what"),
            right=("position",),
            fold=("what",),
        )
        for found in verified.findings[:SHOWN_FINDINGS]:
            position = "" if found.position is None else f"{found.position:,}"
            view.add_row(position, found.check, found.kind, found.detail)
        out.print(view)
    view = table("Checks", "check", "checked", "findings", "s", right=("checked", "findings", "s"))
    for check in verified.checks:
        view.add_row(
            check.name, f"{check.checked:,}", f"{check.found:,}" if check.found else "", f"{check.seconds:,.2f}"
        )
    out.print(view)
    _print_controls(document)
    out.print(
        f"{state}, up to position {verified.events:,} (in {verified.seconds:,.1f} s{rate}).",
        style="green" if verified.ok else "red",
    )
    if verified.found > len(verified.findings):
        hint(f"Of {verified.found:,} findings the first of each check are kept; --json gives all that are.")


def _print_controls(document: dict[str, Any]) -> None:
    """Print what a report ends with: row counts, control totals, versions and parameters."""
    rows = ", ".join(f"{name} {count:,}" for name, count in document["rows"].items())
    out.print(f"Rows: {rows or 'none'}.")
    for name, sums in document["totals"].items():
        told = ", ".join(format_amount(Decimal(amount), currency) for currency, amount in sums.items())
        out.print(f"{name.capitalize()}: {told or 'none'}.")
    for title in ("versions", "parameters"):
        told = ", ".join(f"{name} {value}" for name, value in document[title].items() if value is not None)
        out.print(f"{title.capitalize()}: {told}.")
    out.print(f"Root: {document['root']}.")


@replay_verification_commands.command("verify")
def replay_verify(*, json: Json = False) -> None:
    """Decide all recorded facts again, in recorded order, and hold what was recorded against it. Exit code 1 on a difference.

    The facts and the published programmes are taken as they stand. Each difference is shown with its position, what is recorded and
    what the rules give instead. It reads the store up to the position at which it stands as the command begins.

    Example: partner-ledger replay verify
    """
    runtime = Runtime(load_settings(), say)
    with progress(shown=not json) as bar:
        deciding = bar.add_task("Deciding again", total=None)
        again = runtime.decide_again(lambda read, last: bar.update(deciding, completed=read, total=last))
    runtime.close()
    if json:
        print_json(_again_document(again))
    else:
        _print_again(again)
    if again.found:
        raise typer.Exit(1)


def _again_document(again: "DecidedAgain") -> dict[str, Any]:
    return {
        "ok": not again.found,
        "position": again.position,
        "facts": again.facts,
        "events": again.events,
        "differences": [_difference_document(each) for each in again.differences],
        "found": again.found,
        "seconds": again.seconds,
        "versions": {"partner-ledger": version("partner-ledger"), "programmes": list(again.programmes)},
        "partners": again.partners,
        "rows": dict(sorted(again.types.items())),
        "totals": {"sales": dict(sorted(again.sales.items())), "bonuses": dict(sorted(again.bonuses.items()))},
    }


def _difference_document(difference: "Difference") -> dict[str, Any]:
    def side(shown: "Shown | None") -> dict[str, Any] | None:
        return None if shown is None else {**shown._asdict(), "data": _readable(shown.data)}

    return {
        "position": difference.position,
        "why": difference.why,
        "recorded": side(difference.recorded),
        "decided": side(difference.decided),
    }


def _readable(data: str) -> Any:
    """Give an event's data as JSON where it is some, as text where it is none."""
    try:
        return json_library.loads(data)
    except ValueError:
        return data


def _print_again(again: "DecidedAgain") -> None:
    for difference in again.differences[:SHOWN_FINDINGS]:
        out.print(f"Position {difference.position:,}: {difference.why}.", style="bold", markup=False)
        for title, shown in (("recorded", difference.recorded), ("by the rules", difference.decided)):
            told = (
                "nothing" if shown is None else f"{shown.type}, version {shown.version} of {shown.stream}: {shown.data}"
            )
            out.print(f"  {title}: {told}", markup=False)
    if again.found > SHOWN_FINDINGS:
        hint(f"{again.found - SHOWN_FINDINGS:,} more; --json shows the first {len(again.differences):,}.")
    view = table("Compared", "event", "events", right=("events",))
    for name, count in sorted(again.types.items()):
        view.add_row(name, f"{count:,}")
    out.print(view)
    for name, sums in (("Sales", again.sales), ("Bonuses, less what was clawed back", again.bonuses)):
        told = ", ".join(format_amount(total, currency) for currency, total in sorted(sums.items()))
        out.print(f"{name}: {told or 'none'}.")
    out.print(f"Programmes: {', '.join(again.programmes) or 'none'}. partner-ledger {version('partner-ledger')}.")
    rate = f", {again.events / again.seconds:,.0f} events a second" if again.seconds else ""
    state = (
        f"{counted(again.found, 'difference')}: what is recorded does not follow from the facts"
        if again.found
        else "Everything recorded follows from the facts"
    )
    out.print(
        f"{state}: {counted(again.facts, 'fact')} of {counted(again.partners, 'partner')} decided again,"
        f" {counted(again.events, 'event')} compared, up to position {again.position:,} (in {again.seconds:,.1f} s{rate}).",
        style="red" if again.found else "green",
    )
