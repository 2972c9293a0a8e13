"""Snapshots in the store: taken with the append that makes them due, read by the next process, never needed."""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from domain.application import Ledger
from domain.batch import Outcome, Telling
from domain.facts import EnrolPartner, Fact, RecordSale
from domain.snapshots import EVERY, FORMAT, snapshot_of
from domain.streams import partner_stream
from infra.bootstrap import make_ledger
from infra.embedded.servers import Endpoints
from infra.settings import Settings
from tests.domain import programmes as p
from tests.servers import execute, fresh_database

DAY = dt.date(2012, 1, 2)
DEALS = 250


@pytest.fixture
def endpoints() -> Endpoints:
    """A store with one partner and its deals: two events each, so that two snapshots were due."""
    endpoints = fresh_database()
    with process(endpoints) as ledger:
        ledger.publish(p.small(), "publish")
        tell(ledger, EnrolPartner(partner_id="P", name="P", country="CH", currency="EUR", enrolled_on=DAY))
        for first in range(0, DEALS, 10):
            tell(ledger, *(sale(number) for number in range(first, first + 10)))
    return endpoints


@contextmanager
def process(endpoints: Endpoints) -> Iterator[Ledger]:
    """Make a ledger as another process has it: with nothing remembered."""
    ledger = make_ledger(Settings(), endpoints, print)
    yield ledger
    ledger.close()


def tell(ledger: Ledger, *facts: Fact) -> list[Outcome]:
    outcomes = ledger.tell([Telling(fact, f"test:{fact.identity_key}") for fact in facts])
    assert {outcome.kind for outcome in outcomes} == {"recorded"}
    return outcomes


def sale(number: int) -> RecordSale:
    return RecordSale(
        deal_id=f"D{number}",
        partner_id="P",
        closed_on=DAY + dt.timedelta(days=number),
        family="saas",
        amount=Decimal("10.00"),
        currency="EUR",
    )


def snapshots(endpoints: Endpoints) -> list[int]:
    rows = execute(endpoints.admin_database_url, "SELECT version FROM ledger.snapshot ORDER BY version")
    return [int(str(version)) for (version,) in rows]


def state_of(ledger: Ledger) -> bytes:
    partner = ledger.partner("P")
    assert partner is not None
    return snapshot_of(partner).state


def test_a_process_reads_the_snapshot_and_what_came_after_it(endpoints: Endpoints) -> None:
    """Not the whole stream; and what it then has is what folding the whole stream gives."""
    [first, *_, last] = snapshots(endpoints)
    assert first >= EVERY
    with process(endpoints) as ledger:
        read = ledger._store.select_streams([partner_stream("P")], FORMAT)[partner_stream("P")]
        assert read[0].originator_version == last
        assert read[0].topic == FORMAT
        with_snapshot = state_of(ledger)
    execute(endpoints.admin_database_url, "DELETE FROM ledger.snapshot")
    with process(endpoints) as ledger:
        assert state_of(ledger) == with_snapshot
        assert json.loads(with_snapshot)[0] == "P"


def test_without_any_or_in_a_format_of_another_program_all_is_as_before(endpoints: Endpoints) -> None:
    """A snapshot that this program does not know is left unread; the next append takes a new one."""
    execute(endpoints.admin_database_url, "UPDATE ledger.snapshot SET type = 'PartnerSnapshot/99', state = 'x'")
    before = snapshots(endpoints)
    with process(endpoints) as ledger:
        tell(ledger, sale(DEALS))
        partner = ledger.partner("P")
        assert partner is not None
        assert snapshots(endpoints) == [*before, partner.version]


def test_two_processes_that_take_the_same_one_both_go_on(endpoints: Endpoints) -> None:
    """Both read the stream as it was, both tell, both have a snapshot due: one is taken after the other."""
    execute(endpoints.admin_database_url, "DELETE FROM ledger.snapshot")
    with process(endpoints) as one, process(endpoints) as two:
        assert state_of(one) == state_of(two)
        tell(one, sale(DEALS))
        tell(two, sale(DEALS + 1))
        assert state_of(two) != state_of(one)
        assert len(snapshots(endpoints)) in (1, 2)
