"""What a subscriber sees on the command line, on a real ledger."""

import datetime as dt
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import write_tutorial_feed
from tests.end_to_end.command_line import CommandLine, ended
from tests.servers import fresh_ledger

ALL = ("subscribe", "tier-changes", "--from", "earliest", "--no-follow")


@pytest.fixture(scope="module")
def ledger() -> Iterator[CommandLine]:
    """A ledger with the tutorial's feed: three partners, of which one is promoted."""
    command_line = CommandLine(fresh_ledger())
    command_line.done("import", write_tutorial_feed(command_line.settings.home / "feed"))
    yield command_line
    command_line.down()


def test_the_whole_history_is_told_in_order(ledger: CommandLine) -> None:
    """For a person a line each; for a program the record itself."""
    said = ledger.run(*ALL)
    assert said.code == 0, said
    assert [" ".join(line.split()[1:6]) for line in said.out.splitlines()] == [
        "CH P-1 - → bronze",
        "CH P-2 - → bronze",
        "FR P-3 - → bronze",
        "CH P-1 bronze → silver",
    ]
    records = [json.loads(line) for line in ledger.run(*ALL, "--json").out.splitlines()]
    positions = [record["data"]["position"] for record in records]
    assert positions == sorted(positions)
    assert {record["type"] for record in records} == {"partner-ledger.tier-change.v1"}


def test_a_country_and_a_date_narrow_it(ledger: CommandLine) -> None:
    """The date is that of recording, so what was recorded today begins today."""
    today = dt.datetime.now(dt.UTC).date()
    of_france = ledger.run(*ALL, "--country", "fr").out
    assert "P-3" in of_france
    assert "P-1" not in of_france
    since = ("subscribe", "tier-changes", "--no-follow", "--from")
    assert len(ledger.run(*since, str(today - dt.timedelta(days=1))).out.splitlines()) == 4
    assert ledger.run(*since, str(today + dt.timedelta(days=2))).out == ""
    assert ledger.run(*since, "latest").out == ""


def test_what_comes_is_told_until_ctrl_c(ledger: CommandLine, tmp_path: Path) -> None:
    """From now on only; ended by Ctrl-C with exit code 0."""
    process = ledger.start("subscribe", "tier-changes", "--json")
    assert process.stderr is not None
    assert process.stdout is not None
    assert "Ctrl-C" in process.stderr.readline()
    folder = tmp_path / "further"
    folder.mkdir()
    line = ""
    for number in range(20):  # what is recorded before it has found the end is not told
        (folder / "partners.csv").write_text(
            f"partner_id,name,country,currency,enrolled_on,tier\nN-{number},New,CH,CHF,2024-03-01,\n"
        )
        ledger.done("import", folder)
        if number:
            break
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said = ended(process, timeout_s=30)
    assert json.loads(line)["data"]["partner"] in ("N-0", "N-1")
    assert said.code == 0, said
    assert said.err == ""


@pytest.mark.parametrize("wrong", [("--from", "yesterday"), ("--country", "XX")])
def test_a_start_or_country_that_is_none_is_wrong_usage(wrong: tuple[str, str], ledger: CommandLine) -> None:
    """The value is named."""
    said = ledger.run(*ALL, *wrong)
    assert said.code == 2
    assert f"'{wrong[1]}'" in said.err
