"""The page of commands: from the Typer application."""

from collections.abc import Iterator
from typing import Any

import typer.main

from infra.cli.app import app
from infra.reference.markdown import Undocumented, block, code, page, paragraphs, table

EXAMPLE = "Example: "

_INTRODUCTION = """
A command prints for a person and, with `--json`, one JSON document on standard output and nothing else there; what is
happening and errors go to standard error. An error is one plain sentence. {without_json}

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | the answer is no: rows refused, a check failed, store and Kafka contradict each other |
| 2 | wrong usage or settings |
| 3 | a service cannot be reached |
| 130 | stopped with Ctrl-C |

A command that needs the ledger starts what is not up (embedded servers, relay, projector) and leaves it up.

`--quiet` or `-q`, anywhere in a command, also with `--json`: the answer and errors alone, no progress and no hints.
`partner-ledger --install-completion` has the shell complete commands and options with the tab key (bash, zsh, fish);
`--show-completion` prints what it would install. Tables fit the terminal: long texts wrap, amounts, dates and ids do not, and
a table that still does not fit is shown as a list. Where the output is no terminal, nothing is cut.
"""


def all_commands() -> Iterator[tuple[str, Any]]:
    """Give every command that does something, by its full name such as `partner show`; groups are gone through."""
    yield from _within("", typer.main.get_command(app))


def _within(prefix: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _within(f"{prefix}{name} ", command)
        else:
            yield f"{prefix}{name}", command


def commands_page() -> str:
    """Make the page."""
    commands = list(all_commands())
    plain = [code(name) for name, command in commands if not any("--json" in each.opts for each in command.params)]
    without_json = f"Without `--json`: {', '.join(plain)}." if plain else ""
    introduction = _INTRODUCTION.format(without_json=without_json)
    return page("Commands", introduction, *(_section(name, command) for name, command in commands))


def _section(name: str, command: Any) -> str:
    help_text = paragraphs(command.help)
    examples = [text.removeprefix(EXAMPLE) for text in help_text if text.startswith(EXAMPLE)]
    text = [text for text in help_text if not text.startswith(EXAMPLE)]
    if not text or not examples:
        raise Undocumented(f"The command {name!r} needs a docstring with a paragraph that begins with {EXAMPLE!r}.")
    parameters = [
        _parameter(name, parameter) for parameter in command.params if not getattr(parameter, "hidden", False)
    ]
    usage = " ".join([f"partner-ledger {name}", *(_in_usage(each) for each in command.params)])
    parts = [f"## {name}", block(usage), *text]
    if parameters:
        parts.append(table(("argument or option", "meaning"), parameters))
    return "\n\n".join([*parts, "Example:", block("\n".join(examples), "sh")])


def _in_usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    text = " ".join([parameter.opts[0], *_value(parameter)])
    return text if parameter.required else f"[{text}]"


def _parameter(command: str, parameter: Any) -> tuple[str, str]:
    if not parameter.help:
        raise Undocumented(f"{parameter.name!r} of the command {command!r} has no help text.")
    if parameter.param_type_name == "argument":
        return code(str(parameter.metavar)), parameter.help
    needed = " Required." if parameter.required else ""
    default = f" Default: {code(str(parameter.default))}." if _has_default(parameter) else ""
    return code(" ".join([", ".join(parameter.opts), *_value(parameter)])), parameter.help + needed + default


def _value(parameter: Any) -> list[str]:
    return [] if parameter.is_flag else [str(parameter.metavar or "VALUE")]


def _has_default(parameter: Any) -> bool:
    return not parameter.is_flag and parameter.default is not None
