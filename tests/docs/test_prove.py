"""The how-to of proofs does what it says, on the tutorial's ledger; its messages are those of the code."""

import re

from tests.docs.pages import DOCS, ROOT, promises, run_shell, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger, temporary_home

PAGE = DOCS / "how-to" / "prove.md"


def test_the_page_keeps_its_promises() -> None:
    """Every shell block, in one shell; where a check must fail, the page shows the exit code."""
    folder = temporary_home()
    ledger = CommandLine(fresh_ledger())
    told = promises(PAGE)
    assert len(told) == 7
    try:
        ledger.done("import", write_tutorial_feed(ledger.settings.home / "feed"))
        results = run_shell([promise.shell for promise in told], ledger.settings, folder)
        for promise, (output, code) in zip(told, results, strict=True):
            assert promise.kept_by(output), f"line {promise.shell.line}, promised:\n{promise.output}\ngiven:\n{output}"
            assert code == 0, f"line {promise.shell.line} ended with {code}:\n{output}"
    finally:
        ledger.down()


def test_messages_explained_are_those_of_the_code() -> None:
    """Each message of the last table stands in the code, word for word up to what it is filled with."""
    messages = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", PAGE.read_text("utf-8").split("## If it says no")[1], re.M
    )[2:]
    assert len(messages) == 5
    code = "\n".join(
        path.read_text("utf-8") for folder in ("producers", "infra") for path in (ROOT / folder).rglob("*.py")
    )
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # a message over several lines
    for message in messages:
        pattern = r"[^\n]*?".join(re.escape(piece.strip()) for piece in message.split("…"))
        assert re.search(pattern, code), message
