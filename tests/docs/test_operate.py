"""The how-to for operating a ledger: its SQL does what it says, and the messages it explains are those of the code."""

import re

from tests.docs.pages import DOCS, ROOT, marked, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import execute, fresh_ledger

PAGE = DOCS / "how-to" / "operate.md"
REFILL = marked(PAGE, "run by tests/docs/test_operate.py")


def test_projections_are_filled_again() -> None:
    """Dropped as the page says, by the logins it says, they come back equal."""
    ledger = CommandLine(fresh_ledger())
    settings = ledger.settings
    logins = {"ledger_projector": settings.projector_database_url, "ledger_owner": settings.admin_database_url}
    feed = write_tutorial_feed(settings.home / "feed")
    ledger.done("import", feed)
    before = ledger.done("partners")
    try:
        ledger.down()
        for line in REFILL.text.splitlines():
            statement, login = re.split(r"; +-- as ", line)
            execute(str(logins[login]), statement)
        assert ledger.done("import", feed)["duplicates"] == 9  # starts the projector, and waits for it
        assert ledger.done("partners") == before
    finally:
        ledger.down()


def test_messages_explained_are_those_of_the_code() -> None:
    """Each message in the table of stops stands in the code, word for word up to what it is filled with."""
    section = PAGE.read_text("utf-8").split("## When something stops")[1].split("\n### ")[0]
    messages = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)[2:]
    assert len(messages) > 8
    code = "\n".join(
        path.read_text("utf-8")
        for folder in ("producers", "consumers", "infra")
        for path in (ROOT / folder).rglob("*.py")
    )
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # a message over several lines
    for message in messages:
        pieces = [piece.strip() for piece in message.split("…") if piece.strip()]
        pattern = r"[^\n]*?".join(re.escape(piece) for piece in pieces)
        assert re.search(pattern, code), message
