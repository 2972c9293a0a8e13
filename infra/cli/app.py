"""The command `partner-ledger`: its commands, and what becomes of an error.

Exit codes: 0 done, 1 the answer is no (rows refused, a check failed), 2 wrong usage or settings, 3 a service cannot be
reached. An error is one plain sentence on standard error; with --json also `{"error": …}` on standard output.
"""

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.errors import FaultyFile, FileFault, LedgerError, ServiceUnreachable
from infra.cli.audit import audit_commands
from infra.cli.bonuses import bonus_commands
from infra.cli.console import Quiet, err, print_json
from infra.cli.export import export_commands
from infra.cli.facts import facts_commands
from infra.cli.parked import parked_commands
from infra.cli.programmes import programme_commands
from infra.cli.replay import replay_commands
from infra.cli.services import run_commands, services_commands
from infra.cli.soak import soak_commands
from infra.cli.standings import partner_commands, standings_commands
from infra.cli.story import story_commands
from infra.cli.subscriptions import subscribe_commands
from infra.cli.sweeps import sweep_commands
from infra.cli.tapes import tape_commands
from infra.cli.verifications import replay_verification_commands, verification_commands
from infra.cli.what_if import what_if_commands
from infra.settings import SettingsError

app = typer.Typer(
    name="partner-ledger",
    help="An event-sourced ledger for partner programmes: facts in, tiers, loyalty and bonus balances out.\n\n"
    "Example: partner-ledger import feeds/2012-01",
    epilog="Start with: partner-ledger demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for commands in (story_commands, services_commands, facts_commands, standings_commands, soak_commands):
    app.registered_commands += commands.registered_commands
app.add_typer(partner_commands, name="partner")
app.add_typer(bonus_commands, name="bonus")
app.add_typer(programme_commands, name="programme")
app.add_typer(parked_commands, name="parked")
audit_commands.registered_commands += verification_commands.registered_commands
app.add_typer(audit_commands, name="audit")
replay_commands.registered_commands += replay_verification_commands.registered_commands
replay_commands.registered_commands += tape_commands.registered_commands
replay_commands.registered_commands += what_if_commands.registered_commands
replay_commands.registered_commands += sweep_commands.registered_commands
app.add_typer(replay_commands, name="replay")
app.add_typer(subscribe_commands, name="subscribe")
app.add_typer(export_commands, name="export")
app.add_typer(run_commands, name="run")


@app.callback()
def everywhere(
    *,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the answer and errors alone: no progress, no hints.")
    ] = False,
) -> None:
    """Take what holds for every command."""
    Quiet.wanted = quiet


QUIET = ("--quiet", "-q")
UsageError: Any = typer.BadParameter.__base__
"""What Typer raises for any wrong usage; it gives the class no public name of its own."""
NoArgsIsHelpError: Any = next(each for each in UsageError.__subclasses__() if each.__name__ == "NoArgsIsHelpError")
INTERRUPTED = 130


def main() -> None:
    """Run a command; end the process with its exit code."""
    try:
        code = app(args=_quiet_first(sys.argv[1:]), standalone_mode=False)
        if code == INTERRUPTED:  # Typer's own answer to Ctrl-C
            _say_error("Stopped. What was recorded is safe; run the same command again to go on.")
        if code:
            _leave(code)
    except SystemExit as leaving:
        # Click's own answer to a pipe that is closed: it changes standard output and says 1, which here means that the answer is no.
        _leave(0 if type(sys.stdout).__name__ == "PacifyFlushWrapper" else leaving.code)
    except UsageError as error:
        _say_usage(error)
        _leave(error.exit_code)
    except BrokenPipeError:
        _leave(0)  # whoever read our output has read enough
    except OSError as error:
        _say_error(_unusable(error))
        _leave(1)
    except ServiceUnreachable as error:
        _say_error(str(error))
        _leave(3)
    except SettingsError as error:
        _say_error(str(error))
        _leave(2)
    except LedgerError as error:
        _say_error(str(error), error.faults if isinstance(error, FaultyFile) else ())
        _leave(1)


def _quiet_first(arguments: list[str]) -> list[str]:
    """Put --quiet before the command, where Typer takes it: it may stand anywhere."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    wanted = [each for each in arguments[:end] if each in QUIET]
    return [*wanted, *(each for each in arguments[:end] if each not in QUIET), *arguments[end:]]


def _say_usage(error: Any) -> None:
    """Say what was wrong with the usage, and where the right one stands; asked for nothing, show the help."""
    if error.ctx is None or isinstance(error, NoArgsIsHelpError):
        error.show()
        return
    sentence = " ".join(error.format_message().split()).rstrip(".").replace(": Value error, ", ": ")
    _say_error(f"{sentence}{' See' if sentence.endswith('?') else '; see'} `{error.ctx.command_path} --help`.")


def _unusable(error: OSError) -> str:
    """Say which file cannot be used; where it is in the ledger's folder, how another one is named."""
    if error.errno == errno.ENOSPC:
        return "No space is left on the disk. What was recorded is safe; make room, then run the same command again."
    home = Path(os.environ.get("PARTNER_LEDGER_HOME") or ".partner-ledger").absolute()
    sentence = f"{error.filename or 'A file'} cannot be used: {error.strerror or error}"
    if error.filename and (home == Path(error.filename) or home in Path(str(error.filename)).parents):
        return f"{sentence}; PARTNER_LEDGER_HOME names the ledger's folder, which must be one that can be written."
    return f"{sentence}."


def _say_error(sentence: str, faults: Sequence[FileFault] = ()) -> None:
    err.print(sentence, style="red")
    if "--json" in sys.argv:
        listed = [{"line": fault.line, "key": fault.key, "what": fault.what} for fault in faults]
        with suppress(OSError):  # what cannot be written there is said on standard error already
            print_json({"error": sentence, **({"faults": listed} if listed else {})})


def _leave(code: "int | str | None") -> None:
    """End now: a broken pipe or a full disk must not be met again when the interpreter flushes at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
