"""Two ledgers on one Kafka: their prefixes keep them apart, though they hold the same partners and deals."""

from collections.abc import Callable
from pathlib import Path

from tests.end_to_end.command_line import CommandLine, ended
from tests.end_to_end.test_wrong_input import PARTNERS, SALES, Feed
from tests.end_to_end.whole_ledger import Outside, check_every_event_once


def test_two_prefixes_on_one_kafka_never_meet(new_ledger: Callable[[], CommandLine], tmp_path: Path) -> None:
    """Imported at the same time, each ledger has its own events, positions from 1, topics and balances."""
    first, second = new_ledger(), new_ledger()
    assert first.settings.kafka == second.settings.kafka
    assert first.settings.topic_prefix != second.settings.topic_prefix
    deals = {first: 30, second: 45}
    started = []
    for ledger, count in deals.items():
        feed = Feed(tmp_path / ledger.settings.topic_prefix).programmes()
        feed.write("partners.csv", PARTNERS, f"CH-1,Of {ledger.settings.topic_prefix},CH,CHF,2011-10-03,")
        feed.write("sales.csv", SALES, *(f"D{n},CH-1,2012-02-10,cloud,{count}.00,CHF," for n in range(count)))
        started.append(ledger.start("import", feed.folder, "--json"))
    for process, (ledger, count) in zip(started, deals.items(), strict=True):
        said = ended(process)
        assert said.code == 0, said
        assert said.json["recorded"] == 3 + 1 + count
        assert said.json["position"] == said.json["events"]
        outside = Outside(ledger)
        records = check_every_event_once(outside)
        assert len(records) == said.json["events"]
        amounts = {r.envelope["data"]["amount"] for r in records if r.envelope["type"] == "SaleRecorded"}
        assert amounts == {f"{count}.00"}
        assert outside.projected("SELECT name FROM projection_1.partner") == [(f"Of {ledger.settings.topic_prefix}",)]
        assert ledger.done("partners")["partners"]["CH-1"]["lines"] == count
