"""The project's documents as tests see them: pages, their blocks of code, and shell blocks run as a reader would."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from infra.bootstrap import environment_of
from infra.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])

_BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"^cat > (\S+) <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)
_REFUSED = re.compile(r"[1-9][0-9]* refused;")
_MARKER = "-- end of block, exit code "


@dataclass(frozen=True)
class Block:
    """A block of code; `note` is the comment right above it, `line` where it begins."""

    language: str
    text: str
    note: str
    line: int

    @property
    def not_run(self) -> bool:
        """Whether the page says that the tests do not run it."""
        return self.note.startswith("not run by the tests")


def blocks(page: Path) -> list[Block]:
    """Give the blocks of a page in order."""
    text = page.read_text("utf-8")
    return [
        Block(found["language"], found["text"], found["note"] or "", text.count("\n", 0, found.start()) + 1)
        for found in _BLOCK.finditer(text)
    ]


def marked(page: Path, note: str) -> Block:
    """Give the one block whose note is this."""
    (block,) = [block for block in blocks(page) if block.note == note]
    return block


@cache
def tutorial_feed() -> dict[str, str]:
    """Give the files of the tutorial's feed, by path in the feed folder, without its misspelt word."""
    files = _FILE.findall((DOCS / "tutorial.md").read_text("utf-8"))
    return {path.removeprefix("tutorial/feed/"): text.replace("softwear", "software") for path, text in files}


def write_tutorial_feed(folder: Path) -> Path:
    """Write the tutorial's feed; give its folder."""
    for path, text in tutorial_feed().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder


@dataclass(frozen=True)
class Promise:
    """A shell block, and the output that the page promises below it, if any."""

    shell: Block
    output: str | None

    @property
    def exit_code(self) -> int:
        """1 where the promised output speaks of refused rows."""
        return int(self.output is not None and _REFUSED.search(self.output) is not None)

    def kept_by(self, output: str) -> bool:
        """Tell whether an output is what is promised; `…` on a line of its own stands for any lines, elsewhere for any text."""
        if self.output is None:
            return True
        return re.fullmatch(_pattern(self.output), _trimmed(output)) is not None


def promises(page: Path) -> list[Promise]:
    """Give the shell blocks of a page that are run, each with the text block that follows it."""
    all_blocks = [*blocks(page), None]
    return [
        Promise(block, following.text if following is not None and following.language == "text" else None)
        for block, following in pairwise(all_blocks)
        if block is not None and block.language == "sh" and not block.not_run
    ]


def _trimmed(output: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in output.splitlines())


def _pattern(promised: str) -> str:
    parts = []
    for line in _trimmed(promised).splitlines():
        if line == "…":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(".*?".join(re.escape(piece) for piece in line.split("…")) + r"\n")
    return "".join(parts)


def run_shell(shells: Sequence[Block], settings: Settings, folder: Path) -> list[tuple[str, int]]:
    """Run shell blocks one after the other in one shell; give what each printed and its exit code.

    `uv run` is answered with this very environment, so that nothing is installed by a test.
    """
    programs = folder / "programs"
    programs.mkdir()
    uv = programs / "uv"
    uv.write_text('#!/bin/sh\n[ "$1" = run ] || exit 2\nshift\nexec "$@"\n')
    uv.chmod(0o755)
    script = "".join(f"{block.text}\necho '{_MARKER}'$?\n" for block in shells)
    environment = environment_of(settings)
    environment["PATH"] = os.pathsep.join([str(programs), str(Path(sys.executable).parent), environment["PATH"]])
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{script}"],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=240,
        check=False,
    )
    results = []
    output = ""
    for line in done.stdout.splitlines(keepends=True):
        if line.startswith(_MARKER):
            results.append((output, int(line.removeprefix(_MARKER))))
            output = ""
        else:
            output += line
    assert len(results) == len(shells), done.stdout
    return results
