"""`replay verify` as a user has it: every decision made again, both evidences of a difference, and the demo's network."""

from collections.abc import Iterator

import pytest

from infra.demo.network import write_network
from tests.docs.pages import write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.proves_itself import check_proves_itself
from tests.servers import execute, fresh_ledger


@pytest.fixture
def told() -> Iterator[CommandLine]:
    """A ledger that was told a little."""
    made = CommandLine(fresh_ledger())
    made.done("import", write_tutorial_feed(made.settings.home / "feed"))
    yield made
    made.down()


def test_an_empty_ledger_has_nothing_to_decide(ledger: CommandLine) -> None:
    """No fact, no difference."""
    document = ledger.done("replay", "verify")
    assert (document["ok"], document["position"], document["facts"], document["events"]) == (True, 0, 0, 0)


def test_a_changed_decision_is_shown_with_both_evidences(told: CommandLine) -> None:
    """The amount of a bonus line, changed past the trigger: its position, what is recorded, what the rules give; exit code 1."""
    execute(
        told.settings.admin_database_url or "",
        "ALTER TABLE ledger.event DISABLE TRIGGER is_immutable;"
        " UPDATE ledger.event SET data = replace(convert_from(data, 'UTF8'), '\"240.00\"', '\"940.00\"')::bytea WHERE position = 11;"
        " ALTER TABLE ledger.event ENABLE ALWAYS TRIGGER is_immutable",
    )
    said = told.run("replay", "verify", "--json")
    assert said.code == 1
    [difference] = said.json["differences"]
    assert difference["position"] == 11
    assert difference["recorded"]["data"]["lines"][0]["amount"] == "940.00"
    assert difference["decided"]["data"]["lines"][0]["amount"] == "240.00"
    assert difference["recorded"]["type"] == difference["decided"]["type"] == "BonusAccrued"
    text = told.run("replay", "verify")
    assert text.code == 1
    assert "940.00" in text.out
    assert "1 difference: what is recorded does not follow from the facts" in text.out


def test_the_demos_network_proves_itself(ledger: CommandLine) -> None:
    """600 partners, with awards, suspensions, reversals and withdrawals; the sixth award is refused."""
    folder = ledger.settings.home / "feeds"
    write_network(folder)
    said = ledger.run("import", folder, "--json")
    assert len(said.json["refused"]) == 1
    ledger.done("advance", "--to", "2014-01-31")
    check_proves_itself(ledger)
