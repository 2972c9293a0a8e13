"""Telling ahead on a real store: pages decided upon one another are recorded as if told one after the other, whatever happens."""

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Literal

import psycopg2
import pytest
from eventsourcing.persistence import OperationalError

from domain.ahead import Ahead
from domain.application import Ledger, Patience
from domain.batch import Outcome, Telling
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    Fact,
    RecordSale,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
)
from domain.recording import ImportProgress
from infra.bootstrap import make_ledger
from infra.embedded.servers import Endpoints
from infra.settings import Settings
from tests.domain import programmes as p
from tests.servers import execute, fresh_database
from tests.waiting import eventually

Page = Sequence[Fact]


def no_patience(error: OperationalError) -> None:
    raise error


class Told:
    """A ledger of its own that is told pages ahead; `outcomes` are those of each page's last decision."""

    def __init__(self, endpoints: Endpoints, patience: Patience = no_patience) -> None:
        self.endpoints = endpoints
        self.ledger = make_ledger(Settings(), endpoints, patience)
        self.outcomes: dict[int, list[str]] = {}
        self.forgetful = False
        self.decided = 0
        self.recorded: list[int] = []

    def pages(self, pages: Sequence[Page], *, meanwhile: Callable[[int], object] = lambda page: None) -> None:
        """Tell pages ahead; `meanwhile` is called with each page's number as soon as that is decided for the first time."""
        with Ahead(self.ledger) as ahead:
            for number, page in enumerate(pages, start=1):
                ahead.tell(
                    [Telling(fact, f"page:{number}") for fact in page],
                    self._progress(number, meanwhile),
                    lambda number=number: self.recorded.append(number),  # type: ignore[misc]  # the default binds
                )
                if self.forgetful:
                    self.ledger.forget_all()
            ahead.settle()

    def _progress(
        self, number: int, meanwhile: Callable[[int], object]
    ) -> Callable[[Sequence[Outcome]], ImportProgress]:
        def progress(outcomes: Sequence[Outcome]) -> ImportProgress:
            first = number not in self.outcomes
            self.decided += 1
            self.outcomes[number] = [outcome.reason or outcome.kind for outcome in outcomes]
            if first:
                meanwhile(number)
            return ImportProgress("run/1", number, 0, 0, sum(o.events for o in outcomes), finished=False)

        return progress


@pytest.fixture
def endpoints() -> Endpoints:
    """A store without events but a programme with a seat to award, and three partners."""
    made = fresh_database()
    ledger = make_ledger(Settings(), made, no_patience)
    awarded = p.tier("platinum", awarded=True, seats={"CH": 1})
    ledger.publish(p.small(tiers=[p.tier("bronze"), awarded]), "publish")
    tell(ledger, *(enrol(partner) for partner in ("A", "B", "C")))
    ledger.close()
    return made


@pytest.fixture
def told(endpoints: Endpoints) -> Iterator[Told]:
    made = Told(endpoints)
    yield made
    made.ledger.close()


@pytest.fixture
def other(endpoints: Endpoints) -> Iterator[Ledger]:
    """Another writer on the same store."""
    made = make_ledger(Settings(), endpoints, no_patience)
    yield made
    made.close()


def tell(ledger: Ledger, *facts: Fact) -> list[Outcome]:
    return ledger.tell([Telling(fact, f"test:{uuid.uuid4()}") for fact in facts])


def day(number: int) -> dt.date:
    return dt.date(2012, 2, 1) + dt.timedelta(days=number)


def enrol(partner_id: str) -> EnrolPartner:
    return EnrolPartner(partner_id=partner_id, name=partner_id, country="CH", currency="EUR", enrolled_on=day(-20))


def sale(deal_id: str, partner_id: str = "A", amount: str = "100.00", on: int = 0) -> RecordSale:
    return RecordSale(
        deal_id=deal_id,
        partner_id=partner_id,
        closed_on=day(on),
        family="saas",
        amount=Decimal(amount),
        currency="EUR",
    )


def reversal(reversal_id: str, deal_id: str, amount: str | None, on: int = 1) -> ReverseSale:
    of = None if amount is None else Decimal(amount)
    return ReverseSale(reversal_id=reversal_id, deal_id=deal_id, reversed_on=day(on), amount=of)


def training(completion_id: str, person_id: str) -> RecordTraining:
    return RecordTraining(
        completion_id=completion_id, partner_id="A", person_id=person_id, course="CL-101", completed_on=day(1)
    )


def change(change: Literal["suspend", "resume", "end"], *, partner_id: str = "A", on: int = 0) -> ChangeMembership:
    return ChangeMembership(partner_id=partner_id, change=change, on=day(on))


def award(partner_id: str, on: int = 4) -> AwardTier:
    return AwardTier(partner_id=partner_id, tier="platinum", awarded_on=day(on), awarded_by="board")


UPON_ONE_ANOTHER: Sequence[Fact] = [
    enrol("N"),
    sale("D1", "N"),
    sale("D1", "N"),
    sale("D1", "N", "5.00"),
    reversal("R1", "D1", "30.00"),
    reversal("R2", "D1", "80.00"),
    reversal("R3", "D1", None),
    reversal("R4", "D1", None),
    training("T1", "anna"),
    training("T1", "anna"),
    training("T1", "bert"),
    training("T2", "anna"),
    RevokeCertificate(completion_id="T1", revoked_on=day(2)),
    award("A"),
    award("B"),
    change("end", on=5),
    award("B", on=6),
    sale("D2", "A", on=7),
    sale("D3", "nobody"),
]
"""Each is judged by what the ones before it did."""


def recorded(endpoints: Endpoints) -> list[Any]:
    """Give all that is recorded but times, hashes and pseudonyms, which are told apart by who comes first."""
    events = execute(
        endpoints.read_database_url,
        "SELECT position, stream, version, type, business_date, data - 'person',"
        " dense_rank() OVER (ORDER BY data->>'person') FROM ledger.event_json ORDER BY position",
    )
    identities = execute(
        endpoints.read_database_url,
        "SELECT kind, key, stream, version, content_hash::text, refers_to IS NULL FROM ledger.identity ORDER BY kind, key",
    )
    return [events, identities]


@pytest.mark.parametrize(("facts_a_page", "forgetful"), [(1, False), (1, True), (2, False), (5, True)])
def test_pages_decided_upon_one_another_come_to_the_same(
    facts_a_page: int, forgetful: bool, told: Told, other: Ledger, endpoints: Endpoints
) -> None:
    """What a page sees of the one before it, not recorded yet, is what the store gives of it afterwards.

    Also where the cache, as after more partners than it holds, has let go of what that page did.
    """
    told.forgetful = forgetful
    starts = range(0, len(UPON_ONE_ANOTHER), facts_a_page)
    told.pages([UPON_ONE_ANOTHER[start : start + facts_a_page] for start in starts])
    beside = fresh_database()
    ledger = make_ledger(Settings(), beside, no_patience)
    ledger.publish(p.small(tiers=[p.tier("bronze"), p.tier("platinum", awarded=True, seats={"CH": 1})]), "publish")
    tell(ledger, *(enrol(partner) for partner in ("A", "B", "C")))
    expected = [tell(ledger, fact)[0] for fact in UPON_ONE_ANOTHER]
    ledger.close()
    outcomes = [outcome for number in sorted(told.outcomes) for outcome in told.outcomes[number]]
    assert [_without_pseudonym(outcome) for outcome in outcomes] == [
        _without_pseudonym(outcome.reason or outcome.kind) for outcome in expected
    ]
    assert {outcome.kind for outcome in expected} == {"recorded", "duplicate", "refused"}
    assert recorded(endpoints) == recorded(beside)
    assert told.decided == len(starts) == len(told.recorded)
    assert tell(other, *UPON_ONE_ANOTHER[:3])[2].kind == "duplicate"


def _without_pseudonym(reason: str) -> str:
    return " ".join(word for word in reason.split() if len(word) != len(uuid.uuid4().hex))


@contextmanager
def head_held(endpoints: Endpoints) -> Iterator[Callable[[], None]]:
    """Hold the head, so that nothing is appended until what is given is called."""
    connection = psycopg2.connect(endpoints.database_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM ledger.head FOR UPDATE")
    yield connection.rollback
    connection.close()


def test_a_page_is_decided_while_the_store_takes_the_one_before(told: Told, endpoints: Endpoints) -> None:
    """The first page waits for the head until the second is decided, on what neither the store nor the cache can tell yet."""
    told.forgetful = True
    pages: Sequence[Page] = [
        [enrol("N"), sale("D1", "N"), award("A")],
        [reversal("R1", "D1", None), sale("D2", "N"), award("B", on=6)],
    ]
    with head_held(endpoints) as let_go:
        told.pages(pages, meanwhile=lambda page: let_go() if page == 2 else None)
    *others, second_award = told.outcomes[1] + told.outcomes[2]
    assert others == ["recorded"] * 5
    assert "seat" in second_award
    assert told.decided == 2


PAGES: Sequence[Page] = [[sale("D1"), sale("D2")], [sale("D3"), reversal("R1", "D1", None)], [sale("D4")]]


@pytest.mark.parametrize(
    ("theirs", "first_page"),
    [
        (sale("X", "A", on=3), ["recorded", "recorded"]),
        (sale("D1", "A"), ["duplicate", "recorded"]),
        (sale("D1", "B"), ["Deal 'D1' was told before with another content: partner_id 'B', now 'A'.", "recorded"]),
    ],
    ids=["the same partner", "the same deal", "the same deal for another partner"],
)
def test_a_page_that_another_writer_overtook_is_decided_again_with_the_next(
    theirs: Fact, first_page: list[str], told: Told, other: Ledger, endpoints: Endpoints
) -> None:
    """The conflict costs its own fact only; the page after it, decided upon what did not come about, is right as well."""
    told.pages(PAGES, meanwhile=lambda page: tell(other, theirs) if page == 1 else None)
    assert told.outcomes == {1: first_page, 2: ["recorded", "recorded"], 3: ["recorded"]}
    assert told.decided > len(PAGES)
    assert told.recorded == [1, 2, 3]
    [(count, last)] = execute(endpoints.read_database_url, "SELECT count(*), max(position) FROM ledger.event")
    assert count == last
    [(done, events)] = execute(endpoints.read_database_url, "SELECT done, events FROM ledger.import_progress")
    assert done == 3
    own = "SELECT count(*) FROM ledger.event WHERE command_id LIKE 'page:%'"
    assert execute(endpoints.read_database_url, own) == [(events,)]


def test_what_others_did_is_seen_by_the_page_after_one_that_only_looked(told: Told, other: Ledger) -> None:
    """The first page refuses a resumption and appends nothing; by the second the membership is suspended, by another writer."""
    told.pages(
        [[change("resume", on=1)], [change("resume", on=5)]],
        meanwhile=lambda page: tell(other, change("suspend", on=2)) if page == 1 else None,
    )
    assert told.outcomes[1] != ["recorded"]
    assert told.outcomes[2] == ["recorded"]


def test_what_was_decided_under_terms_that_ended_meanwhile_is_decided_again(
    told: Told, other: Ledger, endpoints: Endpoints
) -> None:
    """A version published while the first page waits to be sent: neither page is recorded under the one before it."""
    version = p.small("later", "2012-02-01")
    told.pages(PAGES, meanwhile=lambda page: other.publish(version, "publish") if page == 1 else None)
    assert set(told.outcomes[1] + told.outcomes[2] + told.outcomes[3]) == {"recorded"}
    sales = "SELECT DISTINCT data->>'programme' FROM ledger.event_json WHERE type = 'SaleRecorded'"
    assert execute(endpoints.read_database_url, sales) == [("later",)]


def end_what_waits_for_the_head(endpoints: Endpoints) -> None:
    """End the session whose page waits for the head, as soon as it does."""
    waiting = "wait_event_type = 'Lock' AND datname = current_database()"
    end = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {waiting}"
    eventually(lambda: execute(endpoints.database_url, end) != [], pause_s=0.01)


def test_a_page_whose_session_ends_is_sent_again_as_it_is(endpoints: Endpoints) -> None:
    """The store goes away while the next page is decided: nothing is decided again, and each is recorded once."""
    waited: list[OperationalError] = []
    told = Told(endpoints, patience=waited.append)

    def meanwhile(page: int) -> None:
        if page == 2:
            end_what_waits_for_the_head(endpoints)
            let_go()

    with head_held(endpoints) as let_go:
        told.pages(PAGES, meanwhile=meanwhile)
    assert len(waited) == 1
    assert told.decided == len(PAGES)
    assert told.recorded == [1, 2, 3]
    told.ledger.close()


def test_pages_that_could_not_be_recorded_leave_nothing_behind(endpoints: Endpoints) -> None:
    """Neither in the store nor in the caches: a membership whose end was not recorded goes on."""
    told = Told(endpoints)
    position = execute(endpoints.read_database_url, "SELECT position FROM ledger.head")
    pages: Sequence[Page] = [[change("end")], [change("suspend", partner_id="B")], [sale("D1", "C")]]
    with head_held(endpoints), pytest.raises(OperationalError):
        told.pages(pages, meanwhile=lambda page: end_what_waits_for_the_head(endpoints) if page == 2 else None)
    assert told.recorded == []
    assert execute(endpoints.read_database_url, "SELECT position FROM ledger.head") == position
    resumed, *sold = tell(
        told.ledger, change("resume", partner_id="B", on=5), sale("D1", "A", on=5), sale("D2", "B", on=5)
    )
    assert resumed.kind == "refused"
    assert [outcome.kind for outcome in sold] == ["recorded"] * 2
    told.ledger.close()
