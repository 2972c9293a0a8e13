"""The example for subscribers, run as it stands in the document."""

import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.topics import layouts
from tests.docs.pages import DOCS, marked, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger

EXAMPLE = marked(DOCS / "how-to" / "subscribe.md", "run by tests/docs/test_subscribe.py")
LOOK = marked(DOCS / "how-to" / "subscribe.md", "run by tests/docs/test_subscribe.py: look")
PATIENCE_S = 60.0


@pytest.fixture
def ledger() -> Iterator[CommandLine]:
    """A ledger with the tutorial's feed."""
    command_line = CommandLine(fresh_ledger())
    feed = write_tutorial_feed(command_line.settings.home / "feed")
    command_line.done("import", feed)
    yield command_line
    command_line.down()


class Subscriber:
    """The example as a process; what it prints goes to a file."""

    def __init__(self, ledger: CommandLine, folder: Path, group: str) -> None:
        program = folder / "subscriber.py"
        program.write_text(EXAMPLE.text, "utf-8")
        self._output = folder / f"{group}.out"
        environment = os.environ | {
            "KAFKA": str(ledger.settings.kafka),
            "TOPIC": layouts(prefix=ledger.settings.topic_prefix).tier_changes.name,
            "GROUP": f"{ledger.settings.topic_prefix}.{group}",
            "TIERS": str(folder / "tiers.sqlite"),
        }
        with self._output.open("w") as output:
            self._process = subprocess.Popen([sys.executable, program], env=environment, stdout=output, stderr=output)

    def says(self, *lines: str) -> None:
        """Wait until it has printed exactly these lines, in any order, and no other."""
        deadline = time.monotonic() + PATIENCE_S
        while (said := self._output.read_text().splitlines()) != [] or lines:
            if sorted(said) == sorted(lines):
                return
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, f"{said} instead of {lines}"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it without a warning."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def test_the_example_keeps_every_tier_and_skips_what_it_read_before(ledger: CommandLine, tmp_path: Path) -> None:
    """From the beginning of the ledger; killed and made to read everything again, it says only what is new."""
    first = Subscriber(ledger, tmp_path, "first")
    first.says(
        "P-1 None -> bronze enrolled",
        "P-2 None -> bronze enrolled",
        "P-3 None -> bronze enrolled",
        "P-1 bronze -> silver promotion",
    )
    first.kill()

    further = ledger.settings.home / "further"
    further.mkdir()
    (further / "memberships.csv").write_text("partner_id,change,on\nP-3,end,2024-03-20\n")
    ledger.done("import", further)
    again = Subscriber(ledger, tmp_path, "again")  # another group: it gets every record once more
    again.says("P-3 bronze -> None ended")
    again.kill()

    rows = (
        sqlite3.connect(tmp_path / "tiers.sqlite")
        .execute("SELECT partner, tier, since FROM tier ORDER BY partner")
        .fetchall()
    )
    assert rows == [("P-1", "silver", "2024-02-20"), ("P-2", "bronze", "2024-01-15"), ("P-3", None, "2024-03-20")]


def test_the_command_shows_what_there_is(ledger: CommandLine) -> None:
    """As it stands in the document: the partners of one country."""
    command, *arguments = shlex.split(LOOK.text)[2:]
    assert command == "partner-ledger"
    said = ledger.run(*arguments)
    assert said.code == 0, said
    assert [line.split()[2] for line in said.out.splitlines()] == ["P-1", "P-2", "P-1"]
