"""Several processes' applications on one store: optimistic checks, seats, publications, caches that others make stale."""

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from domain.application import Ledger
from domain.batch import Outcome, Telling
from domain.facts import AwardTier, ChangeMembership, EnrolPartner, Fact, RecordSale, RecordTraining
from infra.bootstrap import make_ledger
from infra.embedded.servers import Endpoints
from infra.settings import Settings
from tests.domain import programmes as p
from tests.servers import execute, fresh_database

MakeLedger = Callable[[], Ledger]


@pytest.fixture
def endpoints() -> Endpoints:
    """A store without events."""
    return fresh_database()


@pytest.fixture
def new_writer(endpoints: Endpoints) -> Iterator[MakeLedger]:
    """Make applications on the same store, as other processes would."""
    made: list[Ledger] = []

    def make() -> Ledger:
        made.append(make_ledger(Settings(), endpoints, print))
        return made[-1]

    yield make
    for ledger in made:
        ledger.close()


def tell(ledger: Ledger, *facts: Fact) -> list[Outcome]:
    return ledger.tell([Telling(fact, f"test:{uuid.uuid4()}") for fact in facts])


def enrol(partner_id: str, country: str = "CH") -> EnrolPartner:
    day = dt.date(2012, 1, 2)
    return EnrolPartner(partner_id=partner_id, name=partner_id, country=country, currency="EUR", enrolled_on=day)


def sale(deal_id: str, partner_id: str, amount: str, on: str = "2012-02-01") -> RecordSale:
    return RecordSale(
        deal_id=deal_id,
        partner_id=partner_id,
        closed_on=dt.date.fromisoformat(on),
        family="saas",
        amount=Decimal(amount),
        currency="EUR",
    )


def at_once(calls: Sequence[Callable[[], object]]) -> list[object]:
    """Make calls at the same moment, each in a thread of its own."""
    ready = threading.Barrier(len(calls))

    def wait_and_call(call: Callable[[], object]) -> object:
        ready.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(wait_and_call, calls))


def test_two_awards_at_once_never_share_a_seat(new_writer: MakeLedger) -> None:
    """Of eight partners awarded the only Swiss seat by eight writers at once, one gets it and seven are refused."""
    awarded = p.tier("platinum", awarded=True, seats={"CH": 1})
    first = new_writer()
    first.publish(p.small(tiers=[p.tier("bronze"), awarded], bonuses=[]), "publish")
    partners = [f"P{number}" for number in range(8)]
    tell(first, *(enrol(partner) for partner in partners))
    writers = [new_writer() for _ in partners]
    day = dt.date(2012, 3, 1)

    def award(writer: Ledger, partner: str) -> Outcome:
        (outcome,) = tell(writer, AwardTier(partner_id=partner, tier="platinum", awarded_on=day, awarded_by="board"))
        return outcome

    outcomes = at_once([lambda w=w, q=q: award(w, q) for w, q in zip(writers, partners, strict=True)])  # type: ignore[misc]  # the defaults bind
    kinds = [outcome.kind for outcome in outcomes if isinstance(outcome, Outcome)]
    assert sorted(kinds) == ["recorded"] + ["refused"] * 7
    assert len(new_writer().roster("CH").holders) == 1


def test_the_same_facts_told_by_many_at_once_are_recorded_once(new_writer: MakeLedger, endpoints: Endpoints) -> None:
    """Each fact is recorded by one writer and a duplicate for the others; positions have no hole."""
    first = new_writer()
    first.publish(p.small(), "publish")
    tell(first, *(enrol(f"P{number}") for number in range(5)))
    facts = [sale(f"D{number}", f"P{number % 5}", "100.00") for number in range(60)]
    writers = [new_writer() for _ in range(4)]
    told = at_once([lambda w=w: tell(w, *facts) for w in writers])  # type: ignore[misc]  # the default binds
    kinds = [[outcome.kind for outcome in outcomes] for outcomes in told if isinstance(outcomes, list)]
    for of_one_fact in zip(*kinds, strict=True):
        assert sorted(of_one_fact) == ["duplicate"] * 3 + ["recorded"]
    [(count, last)] = execute(endpoints.read_database_url, "SELECT count(*), max(position) FROM ledger.event")
    assert count == last


def test_a_publication_is_never_half_in_force(new_writer: MakeLedger, endpoints: Endpoints) -> None:
    """While sales are told past its first day, a version is published before all of them or refused."""
    first = new_writer()
    first.publish(p.small("old"), "publish")
    tell(first, enrol("P"))
    version = p.small("new", "2012-04-01")
    seller, publisher = new_writer(), new_writer()

    def sell() -> None:
        for number in range(40):
            tell(seller, sale(f"D{number}", "P", "1.00", "2012-03-31" if number < 20 else "2012-04-01"))

    at_once([sell, lambda: publisher.publish(version, "publish:new")])
    published = {terms.code for terms in new_writer().programmes().versions}
    programmes = {
        str(programme)
        for (programme,) in execute(
            endpoints.read_database_url,
            "SELECT DISTINCT data->>'programme' FROM ledger.event_json"
            " WHERE type = 'SaleRecorded' AND data->>'closed_on' = '2012-04-01'",
        )
    }
    assert programmes == ({"new"} if "new" in published else {"old"})


def test_what_others_appended_is_seen_before_a_fact_is_refused(new_writer: MakeLedger) -> None:
    """A writer that holds the partner in its cache hears of the suspension that another one recorded."""
    ours, theirs = new_writer(), new_writer()
    ours.publish(p.small(), "publish")
    tell(ours, enrol("P"))
    tell(theirs, ChangeMembership(partner_id="P", change="suspend", on=dt.date(2012, 2, 1)))
    (outcome,) = tell(ours, ChangeMembership(partner_id="P", change="resume", on=dt.date(2012, 3, 1)))
    assert outcome.kind == "recorded"


def test_more_events_of_others_than_are_followed_empty_the_whole_cache(
    new_writer: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, where the others have appended so much that nobody asks to which streams."""
    monkeypatch.setattr("domain.application.FOLLOW_LIMIT", 0)
    ours, theirs = new_writer(), new_writer()
    ours.publish(p.small(), "publish")
    tell(ours, enrol("P"))
    tell(theirs, ChangeMembership(partner_id="P", change="suspend", on=dt.date(2012, 2, 1)))
    (outcome,) = tell(ours, ChangeMembership(partner_id="P", change="resume", on=dt.date(2012, 3, 1)))
    assert outcome.kind == "recorded"


def test_a_refused_fact_appends_nothing(new_writer: MakeLedger, endpoints: Endpoints) -> None:
    """Not even what was decided on the way to the refusal, nor a person's pseudonym."""
    ledger = new_writer()
    ledger.publish(p.small(), "publish")
    tell(ledger, enrol("P"), ChangeMembership(partner_id="P", change="end", on=dt.date(2012, 2, 1)))
    before = execute(endpoints.read_database_url, "SELECT position FROM ledger.head")
    day = dt.date(2012, 3, 1)
    (outcome,) = tell(
        ledger, RecordTraining(completion_id="C", partner_id="P", person_id="anna", course="CL-101", completed_on=day)
    )
    assert outcome.kind == "refused"
    assert execute(endpoints.read_database_url, "SELECT position FROM ledger.head") == before
    assert execute(endpoints.admin_database_url, "SELECT count(*) FROM ledger.person") == [(0,)]
