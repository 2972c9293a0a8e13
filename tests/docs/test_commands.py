"""Every command that a document shows is there, and takes the arguments shown."""

import shlex
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from infra.cli.app import app
from infra.reference.commands_page import all_commands
from tests.docs.pages import PAGES, ROOT, blocks


def shown_commands() -> list[tuple[str, list[str]]]:
    """Give every use of partner-ledger in shell blocks, with where it stands."""
    shown = []
    for page in PAGES:
        for block in blocks(page):
            if block.language == "sh":
                for line in block.text.splitlines():
                    shown += [(_place(page, block.line), words) for words in _uses(line)]
    return shown


def _place(page: Path, line: int) -> str:
    return f"{page.relative_to(ROOT)}:{line}"


def _uses(line: str) -> list[list[str]]:
    if "partner-ledger " not in line or line.startswith("cat "):
        return []
    words = shlex.split(line, comments=True)
    uses: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "||", ";", "|", ">"):
            uses.append([])
        else:
            uses[-1].append(word)
    return [use[use.index("partner-ledger") + 1 :] for use in uses if "partner-ledger" in use]


def parse(words: list[str]) -> None:
    """Parse a command's words as the command line would, without running it."""
    command = typer.main.get_command(app)
    path: list[str] = []
    while hasattr(command, "commands"):
        assert words, f"{' '.join(path)} needs a command"
        assert words[0] in command.commands, f"there is no command {' '.join([*path, words[0]])!r}"
        path.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    command.make_context(" ".join(path), list(words))


def test_commands_in_documents_parse() -> None:
    """Name, options and arguments of each are right."""
    shown = shown_commands()
    pages = {place.split(":")[0] for place, _ in shown}
    assert {"README.md", "docs/tutorial.md", "docs/how-to/feeds.md", "docs/reference/commands.md"} <= pages
    for place, words in shown:
        try:
            parse(words)
        except Exception as error:
            pytest.fail(f"{place}: partner-ledger {' '.join(words)}: {error}")


@pytest.mark.parametrize(
    "words", [["show", "P-1"], ["partner", "list"], ["tiers", "--on", "2012-01-01"], ["advance"], ["import"]]
)
def test_a_wrong_command_is_noticed(words: list[str]) -> None:
    """Parsing refuses names, options and missing arguments that the command line would refuse."""
    with pytest.raises(Exception, match=r"no command|No such option|Missing"):
        parse(words)


@pytest.mark.parametrize("name", [name for name, _ in all_commands()])
def test_help_of_every_command_has_an_example(name: str) -> None:
    """`--help` works and shows how the command is used."""
    said = CliRunner().invoke(app, [*name.split(), "--help"])
    assert said.exit_code == 0
    assert "Example:" in said.output
