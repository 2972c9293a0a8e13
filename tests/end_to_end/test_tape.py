"""`replay tape` as a user has it: the how-to's commands, what they print, wrong input, and what stops them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger

PAGE = DOCS / "how-to" / "tape.md"


@pytest.fixture(scope="module")
def ledger() -> Iterator[CommandLine]:
    ledger = CommandLine(fresh_ledger())
    ledger.done("import", write_tutorial_feed(ledger.settings.home / "feed"))
    yield ledger
    ledger.down()


@pytest.fixture
def folder(ledger: CommandLine) -> Path:
    """The tape where it is by default."""
    return ledger.settings.home / "tape"


def test_the_commands_of_the_page_work_in_its_order(ledger: CommandLine, tmp_path: Path) -> None:
    """Each says up to which position; the check says that the tape is the ledger's."""
    uses = [line for block in blocks(PAGE) if block.language == "sh" for line in block.text.splitlines()]
    assert len(uses) == 4
    events = ledger.done("status")["events"]
    for use in uses:
        words = use.replace("/mnt/spare", str(tmp_path)).removeprefix("uv run partner-ledger ").split()
        said = ledger.run(*words)
        assert said.code == 0, f"{use}: {said.err}"
        assert (f"up to position {events:,}" in said.out) == ("--check" not in words)
        assert ("The tape is the ledger's" in said.out) == ("--check" in words)


def test_a_program_gets_one_document_and_what_is_recorded_later_is_added(ledger: CommandLine, folder: Path) -> None:
    """Position, root and counts; the root is what `audit head` signs."""
    ledger.done("replay", "tape")
    before = ledger.done("replay", "tape", "--check")
    assert (before["ok"], before["found"], before["findings"]) == (True, 0, [])
    more = ledger.settings.home / "more"
    more.mkdir(exist_ok=True)
    (more / "sales.csv").write_text(
        "deal_id,partner_id,closed_on,family,amount,currency,source_ref\nN-1,P-1,2024-06-03,software,1000.00,CHF,\n"
    )
    ledger.done("import", more)
    made = ledger.done("replay", "tape")
    head = ledger.done("audit", "head", "--to", ledger.settings.home)
    assert (made["position"], made["root"]) == (head["size"], head["root"])
    assert made["added_facts"] == 1
    assert made["added_events"] == made["position"] - before["position"] >= 1
    assert made["facts"] == before["facts"] + 1
    assert made["tape"] == str(folder)
    assert ledger.done("replay", "tape")["added_events"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--check", "--anew"), 2, "name one of them"),
        (("--check", "--tape", "nowhere"), 1, "There is no tape in"),
        (("--tape", "feed/sales.csv"), 1, "sales.csv"),
    ],
)
def test_wrong_input_is_one_sentence(ledger: CommandLine, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    said = ledger.run("replay", "tape", *arguments)
    assert (said.code, sentence in said.err) == (code, True), said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (ledger.settings.home / "nowhere").exists()


def test_an_altered_tape_is_named_and_refused_until_it_is_made_anew(ledger: CommandLine, folder: Path) -> None:
    ledger.done("replay", "tape")
    path = next(folder.glob("facts-*"))
    path.write_bytes(path.read_bytes()[:-9])
    for arguments in (("--check",), ()):
        said = ledger.run("replay", "tape", *arguments)
        assert said.code == 1
        assert path.name in said.err
        assert "`partner-ledger replay tape --anew`" in said.err
        assert "Traceback" not in said.err
    ledger.done("replay", "tape", "--anew")
    assert ledger.done("replay", "tape", "--check")["ok"]


def test_a_tape_of_another_ledger_and_a_kafka_that_is_away_leave_it_as_it_is(ledger: CommandLine, folder: Path) -> None:
    """Wrong files are exit code 1, a service that does not answer is 3."""
    ledger.done("replay", "tape")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = CommandLine(fresh_ledger())
    try:
        said = other.run("replay", "tape", "--tape", folder)
    finally:
        other.down()
    assert said.code == 1
    assert "was made from topic" in said.err  # the tests' databases are copies, so they share the ledger's id
    away = ledger.run(
        "replay", "tape", variables={"PARTNER_LEDGER_KAFKA": "127.0.0.1:9", "PARTNER_LEDGER_WAIT_TIMEOUT_S": "1"}
    )
    assert (away.code, "Kafka at 127.0.0.1:9" in away.err) == (3, True), away.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
