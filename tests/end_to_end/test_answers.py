"""What finance and a partner manager ask: why a line, which totals, what was known when, what a programme changed."""

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.conftest import shared

WORKED = {
    ("CH-0001", "kickback", "100.00"): ["10,000.00 × 0.6300 = EUR 6,300.00", "EUR 2,500.00", "CHF 10,000.00 × 1 %"],
    ("CH-0001", "deal", "1050.00"): ["began as bronze", "CHF 70,000.00 × 1.5 % = CHF 1,050.00", "crm:2"],
    ("CH-0001", "loyalty", "175.00"): ["3 full years", "CHF 70,000.00 × 0.25 % = CHF 175.00"],
    ("CH-0001", "deal", "15.00"): ["began as bronze", "CHF 1,000.00 × 1.5 % = CHF 15.00"],
    ("CH-0001", "loyalty", "2.50"): ["3 full years", "CHF 1,000.00 × 0.25 % = CHF 2.50"],
    ("CH-0001", "deal", "-150.00"): ["Reversal R1", "CHF 900.00 remains due", "CHF -150.00 is posted"],
    ("CH-0001", "loyalty", "-25.00"): ["Reversal R1", "CHF 150.00 remains due", "CHF -25.00 is posted"],
    ("CH-0002", "deal", "1200.00"): ["began as bronze", "CHF 80,000.00 × 1.5 % = CHF 1,200.00"],
    ("CH-0002", "deal", "60.00"): ["began as silver", "CHF 2,000.00 × 3 % = CHF 60.00"],
    ("CH-0002", "deal", "-1200.00"): ["Reversal R2", "CHF 0.00 remains due", "CHF -1,200.00 is posted"],
}
"""What the golden cases' README says by hand of each line."""


def test_every_line_of_the_worked_case_is_explained_as_by_hand(ledger: CommandLine) -> None:
    """Fact, source reference, tier and since when, rate and amount stand in the sentences; totals agree with the lines."""
    ledger.done("import", shared("golden", "case-worked"))
    ledger.done("advance", "--to", "2015-01-31")
    left = dict(WORKED)
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for partner in ("CH-0001", "CH-0002"):
        for line in ledger.done("bonus", "lines", partner)["lines"]:
            sums[line["scheme"]] += Decimal(line["amount"])
            explained = ledger.done("bonus", "explain", line["line"])
            told = " ".join(explained["sentences"])
            for part in left.pop((partner, line["scheme"], line["amount"])):
                assert part in told
            assert explained["amount"] == line["amount"]
            assert all(source["position"] > 0 for source in explained["sources"])
    assert not left
    answer = ledger.done("bonus", "totals", "--by", "scheme")
    assert {total["group"]: Decimal(total["total"]) for total in answer["totals"]} == sums
    assert [(whole["currency"], Decimal(whole["total"])) for whole in answer["sums"]] == [("CHF", sum(sums.values()))]

    shown = ledger.done("partner", "show", "CH-0001", "--as-of", "2012-02-10")
    assert shown["next_tier"]["tier"] == "gold"
    assert shown["next_tier"]["missing_revenue"] == "185480.00"  # 250,000 less 6,300 + 57,400 + 820
    assert any("Promoted from bronze to silver" in told["sentence"] for told in shown["history"])


def test_an_answer_knows_what_was_recorded_by_a_moment_and_counts_what_was_in_force_on_a_date(
    ledger: CommandLine,
) -> None:
    """Late facts change what is known of the past; asked as known before, the answer is the earlier one."""
    folder = shared("golden", "case-103-late")
    ledger.run("import", folder / "1", "--json")
    before: Any = ledger.done("partners", "--as-of", "2014-06-30")
    known_at = dt.datetime.now(dt.UTC).isoformat()
    ledger.run("import", folder / "2", "--json")
    now = ledger.done("partners", "--as-of", "2014-06-30")
    then = ledger.done("partners", "--as-of", "2014-06-30", "--known-at", known_at)
    assert now["partners"] != before["partners"]
    assert then["partners"] == before["partners"]
    assert then["position"] == before["position"]
    tiers = ledger.done("tiers", "--as-of", "2014-06-30", "--known-at", known_at)
    assert sum(tiers["tiers"].values()) <= len(before["partners"])
    partner = max(before["partners"], key=lambda each: before["partners"][each]["lines"])
    lines = ledger.done("bonus", "lines", partner, "--as-of", "2014-06-30", "--known-at", known_at)
    assert len(lines["lines"]) == before["partners"][partner]["lines"]


@pytest.mark.parametrize(
    ("line", "wrong", "told"),
    [
        ("effective_from: 2012-01-01", "effective_from: 2012-02-01", "line 4: effective_from"),
        ('date: "03-31"', 'date: "02-29"', "02-29"),
        ("seats: {CH: 5}", "seats: {XX: 5}", "'XX'"),
        ("title: Partner programme 2012", "titel: Partner programme 2012", "titel"),
        ('revenue: "50000.00"', "revenue: 50000.00", "in quotes"),
        ("platinum: 650", "diamond: 650", "diamond"),
        ("courses: [CL-101]", "courses: [CL-101, CL-101]", "listed twice"),
    ],
)
def test_a_wrong_programme_is_refused_by_line(
    line: str, wrong: str, told: str, tmp_path_factory: pytest.TempPathFactory, unstarted: CommandLine
) -> None:
    """Nothing is started, nothing published; the sentence names the line and what is wrong."""
    text = shared("programmes", "partner-2012.yaml").read_text()
    assert line in text
    file = tmp_path_factory.mktemp("programme") / "wrong.yaml"
    file.write_text(text.replace(line, wrong, 1))
    said = unstarted.run("programme", "publish", file)
    assert said.code == 1
    assert told in said.err
    assert "Traceback" not in said.err


def test_a_programme_is_published_once_listed_and_compared(ledger: CommandLine) -> None:
    """Told again it is there already; a later version must begin after what is recorded; a diff tells what changed."""
    old, new = shared("programmes", "partner-2011.yaml"), shared("programmes", "partner-2012.yaml")
    ledger.done("programme", "publish", shared("programmes", "affinity-2006.yaml"))
    assert ledger.done("programme", "publish", old) == {"programme": "partner-2011", "published": True}
    assert ledger.done("programme", "publish", old)["published"] is False
    ledger.done("advance", "--to", "2012-01-01")
    refused = ledger.run("programme", "publish", new)
    assert refused.code == 1
    assert "2012-01-01" in refused.err
    listed = [(version["programme"], version["until"]) for version in ledger.done("programme", "list")]
    assert listed == [("affinity-2006", "2011-09-30"), ("partner-2011", None)], "the last day, as the table has it"
    assert ledger.done("programme", "show", "partner-2011")["programme"] == "partner-2011"
    changes = ledger.done("programme", "diff", "partner-2011", new)["changes"]
    assert {"a": None, "b": changes[-1]["b"]} == changes[-1]
    assert any("platinum" in (change["b"] or "") for change in changes)
    for same in ("Tier silver", "continues"):
        assert not any(same in str(change) for change in changes), "it requires the same, under the same name"
