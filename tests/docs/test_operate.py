"""The how-to for operating a ledger: its SQL does what it says, and the messages it explains are those of the code."""

import re

from infra.bootstrap import PROJECTOR
from infra.embedded import processes
from infra.kafka.admin import topic_id
from producers.topics import layouts
from tests.consumers import real
from tests.docs.pages import DOCS, ROOT, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger
from tests.waiting import eventually

PAGE = DOCS / "how-to" / "operate.md"


def test_kafka_and_the_projections_are_filled_again() -> None:
    """With all topics deleted, relay and projector and a rebuild bring everything back equal; and both go on afterwards."""
    section = PAGE.read_text("utf-8").split("### Fill the projections again")[1].split("\n## ")[0]
    (command,) = re.findall(r"^uv run partner-ledger (.*)$", section, re.MULTILINE)
    ledger = CommandLine(fresh_ledger())
    settings = ledger.settings
    assert settings.kafka is not None
    feed = write_tutorial_feed(settings.home / "feed")
    ledger.done("import", feed)
    before = ledger.done("partners")
    try:
        ledger.down()
        for topic in layouts(settings.kafka_partitions, settings.topic_prefix).all:
            real.delete_topic(settings.kafka, topic.name)
            eventually(lambda: topic_id(str(settings.kafka), topic.name) is None)  # noqa: B023
        ledger.done("up")
        events = ledger.done("status")["events"]
        eventually(lambda: ledger.done("status")["relayed"] == events, pause_s=0.5)
        log = processes.log_path(settings.home, PROJECTOR)
        eventually(lambda: "replay rebuild" in log.read_text("utf-8"), pause_s=0.5)
        document = ledger.done(*command.split())
        assert (document["equal"], document["compared_up_to"]) == (True, events)
        assert ledger.done("partners") == before
        folder = settings.home / "more"
        folder.mkdir()
        (folder / "sales.csv").write_text(
            "deal_id,partner_id,closed_on,family,amount,currency,source_ref\nN-1,P-1,2024-06-03,software,1000.00,CHF,\n"
        )
        ledger.done("import", folder)  # which waits for the projector
        assert ledger.done("status")["lag"] == 0
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
