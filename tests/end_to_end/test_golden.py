"""The golden cases through the command line, on the real Kafka and PostgreSQL."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.conftest import shared
from tests.end_to_end.proves_itself import check_proves_itself
from tests.end_to_end.second_opinion import check_second_opinion

AS_OF = "2015-01-31"

CASES: dict[str, list[tuple[str, str]]] = {
    "case-worked": [("import", "")],
    "case-101": [("import", "")],
    "case-102": [("import", "")],
    "case-103-late": [("import", "1"), ("import", "2")],
    "case-104-edges": [("import", "1"), ("import", "2")],
    "case-105-seats": [("import", "1"), ("import", "2")],
    "case-106-advance": [
        ("import", "1"),
        ("advance", "2013-04-15"),
        ("import", "2"),
        ("advance", "2014-04-05"),
        ("import", "3"),
    ],
    "case-107-taken-back": [("import", "1"), ("advance", "2014-08-01"), ("import", "2")],
    "case-108-corners": [("import", "1"), ("advance", "2012-04-10"), ("import", "2")],
}


@pytest.mark.parametrize("case", CASES)
def test_a_golden_case_gives_its_expected_result(case: str, ledger: CommandLine, tmp_path: Path) -> None:
    """Tiers, specialisations, loyalty, balances, lines, duplicates and refusals are those that the case states.

    hledger and Beancount, which read the exported journal, agree with every balance; the ledger verifies itself, and every decision
    made again is the recorded one.
    """
    folder = shared("golden", case)
    expected = json.loads((folder / "expected.json").read_text())
    duplicates, refused, recorded = 0, [], {}
    for command, argument in CASES[case]:
        if command == "advance":
            ledger.done("advance", "--to", argument)
            continue
        said = ledger.run("import", folder / argument, "--json")
        assert said.code == (1 if said.json["refused"] else 0), said.err
        duplicates += said.json["duplicates"]
        refused += [(f"{argument}/{row['file']}".lstrip("/"), row["line"]) for row in said.json["refused"]]
        recorded[argument] = said.json["recorded"]
    ledger.done("advance", "--to", AS_OF)

    assert _partners(ledger) == expected["partners"]
    assert duplicates == expected["duplicates"]
    assert check_second_opinion(ledger, tmp_path) == sum(
        len(each["balances"]) for each in expected["partners"].values()
    )
    check_proves_itself(ledger)
    assert sorted(refused) == sorted((row["file"], row["line"]) for row in expected["refused"])

    for argument, count in recorded.items():
        again = ledger.run("import", folder / argument, "--json").json
        assert again["duplicates"] >= count, "every row recorded before is a duplicate"


def _partners(ledger: CommandLine) -> Any:
    partners = ledger.done("partners", "--as-of", AS_OF)["partners"]
    for partner in partners.values():
        for balance in partner["balances"].values():
            assert balance.pop("paid") == _zero(balance["accrued"])
            balance.pop("payable")
    return partners


def _zero(amount: str) -> str:
    digits = len(amount.partition(".")[2])
    return f"{0:.{digits}f}"
