"""`export journal`: where it writes, what it says, and what it leaves behind when it cannot go on."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from infra.soak.disk import SmallDisk, may_mount
from tests import accounting_programs as programs
from tests.docs.pages import write_tutorial_feed
from tests.end_to_end.command_line import CommandLine, ended
from tests.end_to_end.second_opinion import check_second_opinion
from tests.end_to_end.whole_ledger import Outside, one_sentence
from tests.servers import fresh_ledger

HLEDGER = ("export", "journal", "--format", "hledger")
BEANCOUNT = ("export", "journal", "--format", "beancount")


@pytest.fixture(scope="module")
def told() -> Iterator[CommandLine]:
    """A ledger with the tutorial's feed."""
    command_line = CommandLine(fresh_ledger())
    command_line.done("import", write_tutorial_feed(command_line.settings.home / "feed"))
    yield command_line
    command_line.down()


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_hledger_is_there() -> None:
    """In CI it must be; elsewhere what is not tested without it is said here."""
    if not programs.has_hledger():
        pytest.skip(programs.WITHOUT_HLEDGER)


def test_standard_output_has_the_journal_alone(told: CommandLine, tmp_path: Path) -> None:
    """It is byte for byte what stands in a file, replaces what was there, and nothing is left beside it."""
    file = tmp_path / "bonuses.journal"
    file.write_text("the one of last month")
    document = told.done(*HLEDGER, "--to", file)
    said = told.run(*HLEDGER, variables={"LC_ALL": "C"})
    assert said.code == 0
    assert said.out == file.read_text("utf-8")
    assert one_sentence(said.err) == []
    assert names(tmp_path) == [file.name]

    lines = Outside(told).projected("SELECT count(*) FROM projection_1.bonus_line")[0][0]
    assert document["lines"] == lines > 0
    assert f"\n; lines: {lines}\n" in said.out
    told_lines = [line for partner in ("P-1", "P-2", "P-3") for line in told.done("bonus", "lines", partner)["lines"]]
    for line in told_lines:
        assert f" ({line['line']}) " in said.out
        assert f"deal:{line['cause']}," in said.out
    assert sum(total["lines"] for total in document["totals"]) == len(told_lines) == lines


def test_an_earlier_date_and_an_earlier_moment_give_the_journal_of_then(told: CommandLine, tmp_path: Path) -> None:
    """Lines posted later are not in it, and its assertions are the balances of then; known before anything was, it is empty."""
    lines = told.done("bonus", "lines", "P-1")["lines"]
    first = min(line["posting_date"] for line in lines)
    assert max(line["posting_date"] for line in lines) > first
    check_second_opinion(told, tmp_path, "--as-of", first)
    document = told.done(*BEANCOUNT, "--to", tmp_path / "then", "--as-of", first)
    assert document["lines"] == sum(
        standing["lines"] for standing in told.done("partners", "--as-of", first)["partners"].values()
    )
    assert told.done(*BEANCOUNT, "--to", tmp_path / "then", "--known-at", "2000-01-01T00:00:00")["lines"] == 0


@pytest.mark.parametrize("style", ["hledger", "beancount"])
def test_a_ledger_without_events_gives_a_journal_without_lines(style: str, ledger: CommandLine, tmp_path: Path) -> None:
    """It is whole, with control totals, and the program that reads it has no objection."""
    said = ledger.run("export", "journal", "--format", style)
    assert said.code == 0, said.err
    assert "; lines: 0\n" in said.out
    assert one_sentence(said.err)[-1] == "The ledger is empty: import a feed first."
    file = tmp_path / "empty"
    file.write_text(said.out, "utf-8")
    if style == "beancount":
        assert programs.beancount_payables(file) == {}
    elif programs.has_hledger():
        assert programs.hledger_payables(file) == {}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("export", "journal", "--format", "ledger"), "'ledger'"),
        (("export", "journal"), "--format"),
        ((*HLEDGER, "--json"), "--to"),
        ((*HLEDGER, "--to", "{folder}/nowhere/bonuses.journal"), "nowhere"),
        ((*HLEDGER, "--to", "{folder}"), "is not a file"),
        ((*HLEDGER, "--to", "/dev/null"), "is not a file"),
    ],
)
def test_wrong_usage_is_one_sentence_and_starts_nothing(
    arguments: tuple[str, ...], named: str, unstarted: CommandLine, tmp_path: Path
) -> None:
    """The value and what to do are named; the exit code is 2."""
    said = unstarted.run(*(argument.format(folder=tmp_path) for argument in arguments))
    assert said.code == 2
    (sentence,) = one_sentence(said.err)
    assert named in sentence
    assert Path("/dev/null").is_char_device()


def test_a_full_disk_leaves_the_file_of_before(told: CommandLine, tmp_path: Path) -> None:
    """One sentence, exit code 1; what stood under the name still does, and nothing beside it."""
    if not may_mount():
        pytest.skip("this process may not mount a file system")
    disk = SmallDisk(tmp_path / "disk", 1)
    try:
        file = disk.folder / "bonuses.journal"
        file.write_text("the one of last month")
        disk.fill()
        said = told.run(*HLEDGER, "--to", file, "--json")
        assert said.code == 1
        assert len(one_sentence(said.err)) == 1
        assert "No space is left" in said.json["error"]
        assert file.read_text() == "the one of last month"
        assert names(disk.folder) == ["ballast", "bonuses.journal"]
    finally:
        disk.release(keep=False)


def test_a_full_disk_behind_standard_output_is_one_sentence(told: CommandLine) -> None:
    """Exit code 1 and no traceback, also as the process ends."""
    process = told.start("export", "journal", "--format", "hledger", output="/dev/full")
    said = ended(process)
    assert said.code == 1
    (sentence,) = one_sentence(said.err)
    assert "No space is left" in sentence


def test_ctrl_c_leaves_nothing(told: CommandLine, tmp_path: Path) -> None:
    """Interrupted while it writes, it leaves the file of before, nothing beside it, and says so in a sentence."""
    file = tmp_path / "bonuses.journal"
    file.write_text("the one of last month")
    connection = psycopg2.connect(Outside(told).endpoints.projector_database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE projection_1.partner IN ACCESS EXCLUSIVE MODE")  # it waits, the file begun
        process = told.start(*HLEDGER, "--to", file)
        give_up_at = time.monotonic() + 30
        while len(names(tmp_path)) == 1:
            assert time.monotonic() < give_up_at
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    finally:
        connection.close()
    said = ended(process, timeout_s=30)
    assert said.code == 130
    assert len(one_sentence(said.err)) == 1
    assert said.err.startswith("Stopped.")
    assert file.read_text() == "the one of last month"
    assert names(tmp_path) == [file.name]


def test_what_is_parked_is_said_beside_the_journal(told: CommandLine, tmp_path: Path) -> None:
    """On standard error and in the document; the journal itself is the one of all else."""
    ((topic, partition),) = Outside(told).projected(
        "SELECT topic, partition FROM projection_1.partition_progress LIMIT 1"
    )
    park = (
        "INSERT INTO projection_1.parked (topic, partition, record_offset, stream, reason)"
        f" VALUES ('{topic}', {partition}, 1000000, 'partner:P-9', 'a test')"
    )
    connection = psycopg2.connect(Outside(told).endpoints.projector_database_url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(park)
            said = told.run(*BEANCOUNT, "--to", tmp_path / "file", "--json")
            cursor.execute("DELETE FROM projection_1.parked WHERE record_offset = 1000000")
    finally:
        connection.close()
    assert "1 record parked" in said.err
    assert json.loads(said.out)["parked"] == 1
