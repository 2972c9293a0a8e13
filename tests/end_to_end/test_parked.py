"""Forged records on the topic of a real ledger: what each command says, and that nothing of them stays once dropped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.streams import partner_stream
from infra.kafka.admin import ensure_topics
from producers.topics import layouts
from tests.consumers import real
from tests.docs.pages import write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.projections import histories as a
from tests.projections.histories import make_value
from tests.servers import execute, fresh_ledger
from tests.waiting import eventually

P1, P2, P3 = map(partner_stream, ("P-1", "P-2", "P-3"))
SALES = """deal_id,partner_id,closed_on,family,amount,currency,source_ref
N-1,P-1,2024-06-03,software,1000.00,CHF,
N-2,P-2,2024-06-03,software,2000.00,CHF,
N-3,P-3,2024-06-03,software,3000.00,EUR,
"""


@pytest.fixture(scope="module")
def ledgers() -> Iterator[tuple[CommandLine, CommandLine]]:
    """Two ledgers that are told the same; records will be forged on the topic of the first."""
    pair = CommandLine(fresh_ledger()), CommandLine(fresh_ledger())
    for ledger in pair:
        ledger.done("import", write_tutorial_feed(ledger.settings.home / "feed"))
    yield pair
    for ledger in pair:
        ledger.down()


def forge(ledger: CommandLine, *records: tuple[bytes | None, bytes | None]) -> None:
    settings = ledger.settings
    topic = layouts(settings.kafka_partitions, settings.topic_prefix).events
    assert settings.kafka is not None
    ensure_topics(settings.kafka, [topic])
    real.produce(settings.kafka, topic.name, records)


def last_version(ledger: CommandLine, partner: str) -> int:
    settings = ledger.settings
    ((version,),) = execute(
        str(settings.read_database_url),
        f"SELECT max(version) FROM ledger.event WHERE stream = '{partner_stream(partner)}'",
    )
    return int(str(version))


def without_place(document: Any) -> Any:
    """Give an answer without where it stands: the drops are events of their own."""
    return {key: value for key, value in document.items() if key != "position"}


def test_forged_records_park_are_told_of_and_can_be_dropped(
    ledgers: tuple[CommandLine, CommandLine], tmp_path: Path
) -> None:
    ledger, undisturbed = ledgers
    version = last_version(ledger, "P-2")
    events = ledger.done("status")["events"]
    next_sale = make_value(P2, version + 1, events + 1, a.sale("X", "2024-06-01", "999999.00"))
    first_version = make_value(P3, 1, events, a.enrolled("P-3", "2001-01-01"))
    forge(
        ledger,
        (P2.encode(), next_sale),  # the next version, with another content than the genuine one to come
        (P3.encode(), first_version),  # a version that was applied before
        (P3.encode(), b"no JSON"),
        (None, next_sale),  # no key
    )
    eventually(lambda: ledger.done("status")["parked"] == 4)

    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "sales.csv").write_text(SALES)
    said = ledger.run("import", folder, "--json")
    assert said.code == 0
    assert said.json["recorded"] == 3
    assert said.json["parked"] > 4, "the genuine events of the parked streams wait behind"
    assert "cannot be applied yet" in said.err
    undisturbed.done("import", folder)

    status = ledger.done("status")
    assert (status["parked"], status["lag"]) == (said.json["parked"], 0)
    expected = undisturbed.done("partners")
    before = ledger.run("partners", "--json")
    assert "See `partner-ledger parked list`" in before.err
    assert before.json["partners"]["P-1"] == expected["partners"]["P-1"], "others go on"
    assert before.json["partners"]["P-2"] != expected["partners"]["P-2"]
    assert "this answer lacks them" in ledger.run("partner", "show", "P-2").err
    assert ledger.run("partner", "show", "P-1").err == ""

    streams = ledger.done("parked", "list")["streams"]
    assert {each["stream"]: len(each["not_in_store"]) for each in streams if each["stream"] in (P2, P3)} == {
        P2: 1,
        P3: 2,
    }
    assert "is forged" in ledger.run("parked", "show", P2).out
    assert ledger.run("parked", "retry").code == 1

    genuine = next(each for each in ledger.done("parked", "show", P2)["records"] if each["position"] is not None)
    refused = ledger.run("parked", "drop", f"{genuine['partition']}:{genuine['offset']}", "--reason", "a mistake")
    assert refused.code == 1
    assert "it is genuine and cannot be dropped" in refused.err
    assert ledger.run("parked", "drop", "0:999999", "--reason", "x").code == 1
    assert ledger.run("parked", "drop", streams[0]["not_in_store"][0], "--reason", " ").code == 2

    places = [place for each in streams for place in each["not_in_store"]]
    assert len(places) == 4
    for place in places:
        assert ledger.done("parked", "drop", place, "--reason", "forged by a test")["dropped"]
    assert ledger.done("parked", "list") == {"records": 0, "streams": []}
    assert without_place(ledger.done("partners")) == without_place(expected)
