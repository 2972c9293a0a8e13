"""The tutorial for auditors does what it says, thefts included."""

from pathlib import Path

from tests.docs.pages import DOCS, promises, run_shell, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger, temporary_home

TUTORIAL = DOCS / "audit-tutorial.md"
SAYS_NO = ("Not all is as it must be", "what is recorded does not follow", "kept as evidence", "FAILED:")
"""What a command says that ends with exit code 1."""


def test_the_tutorial_for_auditors_keeps_its_promises() -> None:
    """Every shell block, in one shell, on the ledger that the first tutorial leaves after its section 4."""
    folder: Path = temporary_home()
    settings = fresh_ledger().model_copy(update={"home": folder / "tutorial" / "ledger"})
    settings.home.mkdir(parents=True)
    ledger = CommandLine(settings)
    told = promises(TUTORIAL)
    try:
        ledger.done("import", write_tutorial_feed(folder / "tutorial" / "feed"))
        results = run_shell([promise.shell for promise in told], settings, folder)
        for promise, (output, code) in zip(told, results, strict=True):
            assert promise.kept_by(output), f"line {promise.shell.line}, promised:\n{promise.output}\ngiven:\n{output}"
            expected = int(any(says in (promise.output or "") for says in SAYS_NO))
            assert code == expected, f"line {promise.shell.line} ended with {code}:\n{output}"
        assert [promise.output for promise in told if promise.output], "some of it is promised"
    finally:
        ledger.down()
