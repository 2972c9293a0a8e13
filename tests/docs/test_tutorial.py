"""The tutorial does what it says: its shell blocks are run on a real ledger, and what they promise is what they give."""

from pathlib import Path

import pytest

from infra.demo.network import write_network
from tests.docs.pages import DOCS, Block, Promise, blocks, promises, run_shell
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger, temporary_home

TUTORIAL = DOCS / "tutorial.md"


def test_the_tutorial_keeps_its_promises() -> None:
    """Every shell block from `up` to `down`, in one shell, on a ledger without events."""
    folder = temporary_home()
    settings = fresh_ledger().model_copy(update={"home": folder / "tutorial" / "ledger"})
    told = promises(TUTORIAL)
    try:
        results = run_shell([promise.shell for promise in told], settings, folder)
        for promise, (output, code) in zip(told, results, strict=True):
            assert promise.kept_by(output), f"line {promise.shell.line}, promised:\n{promise.output}\ngiven:\n{output}"
            assert code == promise.exit_code, f"line {promise.shell.line} ended with {code}:\n{output}"
    finally:
        settings.home.mkdir(parents=True, exist_ok=True)
        CommandLine(settings).down()


def test_the_demo_begins_as_the_tutorial_says(tmp_path: Path) -> None:
    """The figures of the network in the demo's first line are those of the network it makes."""
    (shown,) = [block.text for block in blocks(TUTORIAL) if block.text.startswith("A network of")]
    network = write_network(tmp_path / "feeds")
    figures = f"A network of {network.partners:,} partners, {network.deals:,} deals and {network.trainings:,} trainings is in "
    assert shown.startswith(figures)


@pytest.mark.parametrize(
    ("promised", "given", "kept"),
    [
        ("one\ntwo\n", "one  \ntwo\n", True),
        ("one\n…\nfour\n", "one\ntwo\nthree\nfour\n", True),
        ("one\n…\ntwo\n", "one\ntwo\n", True),
        ("took … s.\n", "took 0.3 s.\n", True),
        ("took … s.\n", "took 0.3\nlong s.\n", False),
        ("one\n", "one\ntwo\n", False),
        ("one\ntwo\n", "one\n", False),
        ("1 facts\n", "2 facts\n", False),
    ],
)
def test_a_promise_can_be_broken(promised: str, given: str, kept: bool) -> None:
    """Only what `…` stands for may differ from what is promised."""
    assert Promise(Block("sh", "", "", 1), promised).kept_by(given) is kept
