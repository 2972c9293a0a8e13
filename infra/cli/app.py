"""The command `partner-ledger`: its commands, and what becomes of an error.

Exit codes: 0 done, 1 the answer is no (rows refused, a check failed), 2 wrong usage or settings, 3 a service cannot be
reached. An error is one plain sentence on standard error; with --json also `{"error": …}` on standard output.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from domain.errors import FaultyFile, FileFault, LedgerError, ServiceUnreachable
from infra.cli.bonuses import bonus_commands
from infra.cli.console import err, print_json
from infra.cli.facts import facts_commands
from infra.cli.programmes import programme_commands
from infra.cli.services import run_commands, services_commands
from infra.cli.standings import partner_commands, standings_commands
from infra.cli.story import story_commands
from infra.cli.subscriptions import subscribe_commands
from infra.settings import SettingsError

app = typer.Typer(
    name="partner-ledger",
    help="An event-sourced ledger for partner programmes: facts in, tiers, loyalty and bonus balances out.",
    epilog="Start with: partner-ledger demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for commands in (story_commands, services_commands, facts_commands, standings_commands):
    app.registered_commands += commands.registered_commands
app.add_typer(partner_commands, name="partner")
app.add_typer(bonus_commands, name="bonus")
app.add_typer(programme_commands, name="programme")
app.add_typer(subscribe_commands, name="subscribe")
app.add_typer(run_commands, name="run")

UsageError: Any = typer.BadParameter.__base__
"""What Typer raises for any wrong usage; it gives the class no public name of its own."""
INTERRUPTED = 130


def main() -> None:
    """Run a command; end the process with its exit code."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # Typer's own answer to Ctrl-C
            _say_error("Stopped. What was recorded is safe; run the same command again to go on.")
        if code:
            _leave(code)
    except UsageError as error:
        error.show()
        if "--json" in sys.argv:
            print_json({"error": error.format_message()})
        _leave(error.exit_code)
    except BrokenPipeError:
        _leave(0)  # whoever read our output has read enough
    except OSError as error:
        _say_error(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.")
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


def _say_error(sentence: str, faults: Sequence[FileFault] = ()) -> None:
    err.print(sentence, style="red")
    if "--json" in sys.argv:
        listed = [{"line": fault.line, "key": fault.key, "what": fault.what} for fault in faults]
        print_json({"error": sentence, **({"faults": listed} if listed else {})})


def _leave(code: int) -> None:
    """End now: a broken pipe must not be met again when the interpreter flushes at exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
