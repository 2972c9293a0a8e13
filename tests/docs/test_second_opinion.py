"""The how-to for a second opinion: what it promises of hledger and Beancount is what they give."""

import pytest

from tests import accounting_programs as programs
from tests.docs.pages import DOCS, promises, run_shell, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger, temporary_home

PAGE = DOCS / "how-to" / "second-opinion.md"


def test_both_programs_give_what_the_page_promises() -> None:
    """Every shell block in one shell, on a ledger with the tutorial's feed."""
    if not programs.has_hledger():
        pytest.skip(programs.WITHOUT_HLEDGER)
    ledger = CommandLine(fresh_ledger())
    try:
        ledger.done("import", write_tutorial_feed(ledger.settings.home / "feed"))
        told = promises(PAGE)
        assert len(told) == 4
        results = run_shell([promise.shell for promise in told], ledger.settings, temporary_home())
        for promise, (output, code) in zip(told, results, strict=True):
            assert promise.kept_by(output), f"line {promise.shell.line}, promised:\n{promise.output}\ngiven:\n{output}"
            assert code == 0, f"line {promise.shell.line} ended with {code}:\n{output}"
    finally:
        ledger.down()
