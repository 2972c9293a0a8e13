"""Real input: AdventureWorks' reseller sales, from the CSV to the balances, every total checked from outside."""

import csv
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.postgres.projections.read_models import PostgresReadModels
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.conftest import shared
from tests.end_to_end.proves_itself import check_proves_itself
from tests.end_to_end.second_opinion import check_second_opinion
from tests.end_to_end.whole_ledger import Outside, Record, check_every_event_once
from tests.servers import fresh_ledger

PARTNERS, SALES, PROGRAMMES = 701, 57_851, 2
SALES_TOTAL = Decimal("77548570.20")
BALANCES = 620
LAST_DAY = "2020-06-30"


@dataclass(frozen=True)
class RealLedger:
    """The ledger after the import and after the advance."""

    command_line: CommandLine
    outside: Outside
    imported: dict[str, Any]
    advanced: dict[str, Any]
    partners: dict[str, Any]


@pytest.fixture(scope="module")
def real() -> Iterator[RealLedger]:
    """AdventureWorks, imported and advanced once for all tests here."""
    folder = shared("data", "adventure-works")
    command_line = CommandLine(fresh_ledger())
    began = time.monotonic()
    imported = command_line.done("import", folder)
    between = time.monotonic()
    advanced = command_line.done("advance", "--to", LAST_DAY)
    print(f"\nAdventureWorks: import {between - began:.1f} s, advance {time.monotonic() - between:.1f} s")
    partners = command_line.done("partners")["partners"]
    yield RealLedger(command_line, Outside(command_line), imported, advanced, partners)
    command_line.down()


@pytest.fixture(scope="module")
def records(real: RealLedger) -> list[Record]:
    """The events topic, and the proof that it holds what the store and the audit trail hold."""
    return check_every_event_once(real.outside)


def test_every_row_of_the_real_input_is_recorded(real: RealLedger) -> None:
    """All partners, sales and programmes are recorded and none is refused, as many as the CSV files have rows."""
    folder = shared("data", "adventure-works")
    rows = {name: len(list(csv.DictReader((folder / f"{name}.csv").open()))) for name in ("partners", "sales")}
    assert rows == {"partners": PARTNERS, "sales": SALES}
    assert real.imported["recorded"] == PARTNERS + SALES + PROGRAMMES == 58_554
    assert real.imported["duplicates"] == 0
    assert real.imported["refused"] == []
    kinds = real.outside.query(
        "SELECT type, count(*) FROM ledger.event WHERE type IN ('PartnerEnrolled', 'SaleRecorded', 'ProgrammePublished')"
        " GROUP BY type"
    )
    assert dict(kinds) == {"PartnerEnrolled": PARTNERS, "SaleRecorded": SALES, "ProgrammePublished": PROGRAMMES}


def test_kafka_holds_each_event_once_without_a_hole(real: RealLedger, records: list[Record]) -> None:
    """The topic holds exactly the events that the commands say they appended, positions 1..n."""
    events = real.imported["events"] + real.advanced["events"]
    assert sorted(record.position for record in records) == list(range(1, events + 1))
    assert real.imported["position"] == real.imported["events"]
    assert real.advanced["position"] == events


def test_the_sales_sum_to_the_same_everywhere(real: RealLedger, records: list[Record]) -> None:
    """CSV, store, Kafka and projections agree on the sales' amounts to the cent."""
    with (shared("data", "adventure-works") / "sales.csv").open(encoding="utf-8", newline="") as file:
        in_csv = [(row["deal_id"], Decimal(row["amount"]), row["currency"]) for row in csv.DictReader(file)]
    assert sum(amount for _, amount, _ in in_csv) == SALES_TOTAL

    in_store = real.outside.query(
        "SELECT data->>'currency', sum((data->>'amount')::numeric) FROM ledger.event_json"
        " WHERE type = 'SaleRecorded' GROUP BY 1"
    )
    assert in_store == [("USD", SALES_TOTAL)]

    data = [record.envelope["data"] for record in records if record.envelope["type"] == "SaleRecorded"]
    on_kafka = [(sale["deal_id"], Decimal(sale["amount"]), sale["currency"]) for sale in data]
    assert sorted(on_kafka) == sorted(in_csv), "deal by deal"
    assert sum(amount for _, amount, _ in on_kafka) == SALES_TOTAL

    read_models = PostgresReadModels(real.outside.endpoints.read_database_url)
    assert read_models.sales_totals() == {"USD": SALES_TOTAL}
    read_models.close()


def test_tiers_after_the_advance_are_the_known_ones(real: RealLedger) -> None:
    """On 2020-06-30 472 partners are Bronze, 142 Silver, 87 Gold, after 435 promotions and 112 demotions."""
    assert Counter(partner["tier"] for partner in real.partners.values()) == {"bronze": 472, "silver": 142, "gold": 87}
    reasons = Counter(row["reason"] for partner in real.partners.values() for row in partner["tier_history"])
    assert (reasons["enrolled"], reasons["promotion"], reasons["demotion"]) == (PARTNERS, 435, 112)
    tiers = real.command_line.done("tiers")
    assert tiers["tiers"] == {"bronze": 472, "silver": 142, "gold": 87, "platinum": 0}
    assert tiers["as_of"] == LAST_DAY


def test_bonus_lines_and_their_sum_are_the_known_ones(real: RealLedger) -> None:
    """65,409 lines come to 1,344,008.85 USD, in the answers and in the events of the store alike."""
    assert sum(partner["lines"] for partner in real.partners.values()) == 65_409
    balances = [partner["balances"]["USD"] for partner in real.partners.values() if partner["balances"]]
    assert sum(Decimal(balance["accrued"]) for balance in balances) == Decimal("1344008.85")
    in_store = real.outside.query(
        "SELECT count(*), sum((line->>'amount')::numeric) FROM ledger.event_json,"
        " jsonb_array_elements(data->'lines') AS line"
    )
    assert in_store == [(65_409, Decimal("1344008.85"))]


def test_unchanged_programmes_rehearsed_differ_in_nothing(real: RealLedger) -> None:
    """Every fact decided anew under the published versions comes to what is, for every partner."""
    real.command_line.done("replay", "tape")
    files = sorted((shared("data", "adventure-works") / "programmes").iterdir())
    named = [word for file in files for word in ("--programme", str(file))]
    told = real.command_line.done("replay", "what-if", *named)
    assert {partner: each["candidate"] for partner, each in told["partners"].items()} == real.partners
    assert told["facts"] == PARTNERS + SALES
    assert (told["totals"]["differing"], told["refused"]) == (0, [])


def test_other_peoples_accounting_programs_agree_with_every_balance(real: RealLedger, tmp_path: Path) -> None:
    """hledger and Beancount read the exported journal without an objection, and owe each partner what the ledger does."""
    assert check_second_opinion(real.command_line, tmp_path) == BALANCES


def test_the_ledger_of_the_real_input_proves_itself(real: RealLedger) -> None:
    """All of it is verified, and every decision made again from the facts is the recorded one."""
    check_proves_itself(real.command_line)


def test_status_says_that_nothing_is_behind(real: RealLedger) -> None:
    """`status --json` has the documented keys, and says that all events are relayed and projected."""
    status = real.command_line.done("status")
    assert status.keys() >= {"home", "kafka", "postgres", "events", "relayed", "projected", "parked", "lag"}
    assert status["kafka"].keys() >= {"bootstrap_servers", "running"}
    assert status["postgres"].keys() >= {"dsn", "running"}
    assert status["home"] == str(real.command_line.settings.home)
    assert status["kafka"]["running"] is True
    assert status["postgres"]["running"] is True
    events = real.advanced["position"]
    figures = {name: status[name] for name in ("events", "relayed", "projected", "parked", "lag")}
    assert figures == {"events": events, "relayed": events, "projected": events, "parked": 0, "lag": 0}
