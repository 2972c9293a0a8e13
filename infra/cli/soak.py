"""`soak`: lets a ledger of its own run through faults, round after round, and compares it with an undisturbed one."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.console import err, out, print_json, progress
from infra.cli.options import Json
from infra.settings import load_settings
from infra.soak import RENEW_AFTER, Soak
from projections.counted import counted

if TYPE_CHECKING:
    from infra.soak.rounds import Round

soak_commands = typer.Typer()

NO_DISK = "The disk is not filled: this process may not mount a file system of its own for it (root may)."
ORDER = ("import", "relay", "projector", "broker", "database", "stopped", "disk")


@soak_commands.command("soak")
def soak(
    *,
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100_000, help="How many rounds.")] = 3,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed makes the same feeds and plans the same faults.")
    ] = None,
    facts: Annotated[int, typer.Option("--facts", min=500, max=1_000_000, help="Facts a round, at least.")] = 5000,
    renew_after: Annotated[
        int, typer.Option("--renew-after", min=1, max=80, help="New ledgers after so many rounds.")
    ] = RENEW_AFTER,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the last ledgers' folder, also if nothing differs.")
    ] = False,
    json: Json = False,
) -> None:
    """Tell two ledgers the same facts, kill, stop and starve the parts of one, and compare them after each round.

    Both live in a folder of their own under the system's temporary folder; your ledger is left alone. Each round kills
    import, relay, projector, broker and database, stops some of them for seconds and often fills the disk. Exit code 1, and both
    ledgers are kept, if anything differs.

    Example: partner-ledger soak --rounds 3 --seed 1
    """
    from infra.soak.disk import may_mount  # where they are used: every other command starts without them
    from infra.soak.rounds import run_soak

    if seed is None:
        seed = random.randrange(1_000_000)
    settings = load_settings()
    planned = Soak(rounds, seed, facts, keep, may_mount(), renew_after)
    if not json:
        _print_header(planned)
    folders: list[str] = []
    done: list[Round] = []
    with progress(shown=not json) as bar:
        task = bar.add_task("Starting", total=rounds)
        for each in run_soak(planned, settings, lambda doing: bar.update(task, description=doing), folders.append):
            done.append(each)
            bar.update(task, completed=len(done))
            if not json:
                _print_round(each)
    equal = not done[-1].differences
    if json:
        print_json(_document(planned, done, folders))
    else:
        _print_end(done, equal=equal)
        for folder in folders:
            out.print(f"Both ledgers are kept in {folder}", markup=False)
    if not equal:
        raise typer.Exit(1)


def _document(planned: Soak, done: "list[Round]", folders: list[str]) -> dict[str, Any]:
    return {
        "seed": planned.seed,
        "facts": planned.facts,
        "renew_after": planned.renew_after,
        "disk": planned.disk,
        "equal": not done[-1].differences,
        "rounds": [asdict(each) for each in done],
        "kept": folders,
    }


def _print_header(planned: Soak) -> None:
    out.print(
        f"Soak with seed {planned.seed}: {counted(planned.rounds, 'round')} of at least {planned.facts:,} facts;"
        f" new ledgers after {counted(planned.renew_after, 'round')}."
    )
    if not planned.disk:
        out.print(NO_DISK)
    out.print(f"{'round':>5} {'facts':>7} {'events':>7}  {'faults':<78} {'s':>6} {'recovery s':>10}")


def _print_round(done: "Round") -> None:
    faults = _faults(done.faults) + ("" if not done.two_projectors else " (two projectors)")
    result = "equal" if not done.differences else "DIFFERENT"
    out.print(
        f"{done.number:>5} {done.facts:>7,} {done.events:>7,}  {faults:<78}"
        f" {done.seconds:>6.1f} {done.recovery_s:>10.1f}  {result}",
        markup=False,
        soft_wrap=True,
    )
    for difference in done.differences:
        err.print(difference, style="red", markup=False)


def _print_end(done: "list[Round]", *, equal: bool) -> None:
    faults = sum((Counter(each.faults) for each in done), Counter())
    seconds = sum(each.seconds for each in done)
    recoveries = sorted(each.recovery_s for each in done)
    out.print(
        f"{counted(len(done), 'round')}, {counted(sum(each.facts for each in done), 'fact')},"
        f" {counted(sum(each.events for each in done), 'event')} in {seconds / 60:,.1f} minutes;"
        f" {counted(faults.total(), 'fault')}: {_faults(faults)}."
    )
    out.print(
        f"Recovery: {recoveries[len(recoveries) // 2]:.1f} s in the middle, {recoveries[-1]:.1f} s at most;"
        f" commands told again {sum(each.told_again for each in done)} times."
    )
    if missed := sum(each.missed for each in done):
        out.print(f"{counted(missed, 'fault')} of the plan found nothing that ran, and do not count.")
    out.print("All rounds are equal to the undisturbed run." if equal else "The last round is not equal.")


def _faults(faults: Mapping[str, int]) -> str:
    return " ".join(f"{name}×{faults[name]}" for name in ORDER if faults.get(name))
