"""The command line's comfort: completion, help with examples, and a ledger stopped while a command waits."""

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from domain.errors import ServiceUnreachable
from infra.bootstrap import Runtime
from infra.cli.app import app
from tests.docs.test_commands import parse
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger

COMMAND = Path(sys.executable).with_name("partner-ledger")


def completed(line: str) -> list[str]:
    """Give what bash is offered for the last word of a line, as its completion asks for it."""
    words = line.split(" ")
    asked = {"_PARTNER_LEDGER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    said = subprocess.run(
        [COMMAND], env={**os.environ, **asked}, capture_output=True, text=True, check=True, timeout=60
    )
    return said.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("partner-ledger par", ["partners", "partner", "parked"]),
        ("partner-ledger bonus ", ["lines", "totals", "explain"]),
        ("partner-ledger bonus totals --by ", ["scheme", "tier", "quarter", "country", "family"]),
        ("partner-ledger advance --t", ["--to"]),
    ],
)
def test_a_shell_completes_commands_options_and_choices(line: str, offered: list[str]) -> None:
    """As bash asks for it when the tab key is pressed."""
    assert completed(line) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed_by_hand(shell: str) -> None:
    """What `--show-completion` prints asks the command by the variable that it answers to."""
    script = subprocess.run(
        [COMMAND], env={**os.environ, "_PARTNER_LEDGER_COMPLETE": f"source_{shell}"}, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert f"_PARTNER_LEDGER_COMPLETE=complete_{shell}" in script.stdout


def groups(prefix: str, group: Any) -> list[tuple[str, Any]]:
    within = [each for name, child in group.commands.items() if hasattr(child, "commands")
              for each in groups(f"{prefix} {name}", child)]  # fmt: skip
    return [(prefix, group), *within]


@pytest.mark.parametrize(("name", "group"), groups("partner-ledger", typer.main.get_command(app)))
def test_the_help_of_a_group_has_an_example_of_it(name: str, group: Any) -> None:
    """One that would be taken as it stands."""
    (example,) = [line for line in group.help.splitlines() if line.startswith("Example: ")]
    assert example.startswith(f"Example: {name} ")
    parse(example.removeprefix("Example: partner-ledger ").split())


def test_a_ledger_stopped_while_a_command_waits_is_said_to_be() -> None:
    """`down` in another terminal: not that a process has died, nor that PostgreSQL cannot be reached."""
    ledger = CommandLine(fresh_ledger())
    runtime = Runtime(ledger.settings, lambda _: None)
    runtime.up()
    ledger.signal("relay", signal.SIGSTOP)  # so that there is something to wait for
    assert runtime.ledger.advance(dt.date(2012, 1, 1), "a date")

    def stop(reached: int, target: int) -> None:
        assert reached < target
        ledger.signal("relay", signal.SIGCONT)
        assert runtime.down()

    with pytest.raises(ServiceUnreachable, match=r"^The ledger was stopped meanwhile \(`partner-ledger down`\)"):
        runtime.wait_until_projected(stop)
    runtime.close()
