"""The little Markdown that the reference pages are made of."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from domain.errors import LedgerError

_REFERENCE = re.compile(r" \(rules\.md, [^)]*\)")


class Undocumented(LedgerError):
    """Something that a reference page must explain has no explanation yet; the message names it and where to write it."""


def page(title: str, *parts: str) -> str:
    """Put a page together; it says that it is made, so that nobody edits it by hand."""
    made = "<!-- Made by `python -m infra.reference --write`; edit the code, not this page. -->"
    return "\n\n".join((f"# {title}", made, *(part.strip("\n") for part in parts if part))) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def code(text: str) -> str:
    """Mark a name or value as code."""
    return f"`{text}`"


def block(text: str, language: str = "") -> str:
    """Make a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def json_block(document: bytes) -> str:
    """Show a JSON document indented; what is stored or sent is one line without spaces."""
    return block(json.dumps(json.loads(document), indent=2, ensure_ascii=False), "json")


def paragraphs(docstring: str | None) -> list[str]:
    """Give the paragraphs of a docstring, lines joined, without references to the rules' design document."""
    joined = (" ".join(part.split()) for part in (docstring or "").split("\n\n"))
    return [_REFERENCE.sub("", part) for part in joined if part]


class Meanings:
    """What fields mean, by `Owner.field` or, where it is the same everywhere, by `field`.

    Asking for one without a meaning raises `Undocumented`; `unused` gives those that nothing asked for, left behind by
    a field that is gone.
    """

    def __init__(self, where: str, meanings: dict[str, str]) -> None:
        self._where = where
        self._meanings = meanings
        self._used: set[str] = set()

    def of(self, owner: str, field: str) -> str:
        """Give the meaning of an owner's field."""
        for key in (f"{owner}.{field}", field):
            if key in self._meanings:
                self._used.add(key)
                return self._meanings[key]
        raise Undocumented(f"{owner}.{field} has no meaning yet: say in {self._where} what it is, and in which unit.")

    def unused(self) -> list[str]:
        """Give the keys that nothing has asked for so far."""
        return sorted(set(self._meanings) - self._used)


def default_text(value: Any) -> str:
    """Give a default for a person: code, or "-" where there is none."""
    return "-" if value is None else code(str(value))
