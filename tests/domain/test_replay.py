"""Replay: recorded facts decided again give what was recorded; whatever was changed is named by its position, alone."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import events as e
from domain.envelope import CURRENT_VERSION, EventRow
from domain.facts import Fact
from domain.replay import Difference, Replay
from tests.domain.history import History, award, enrol, reverse, sale, suspend, train
from tests.domain.networks import LAST_DAY, PROGRAMMES, Network, networks
from tests.domain.test_golden import AS_OF, CASES, GOLDEN, run
from tests.domain.test_properties import profile, told

RECORDED_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def rows_of(history: History) -> list[EventRow]:
    """Give a history's events as the store would hold them."""
    return [
        EventRow(
            position=position,
            stream=event.originator_id,
            version=event.originator_version,
            type=type(event.event).__name__,
            schema_version=1,
            business_date=event.event.business_date,
            recorded_at=RECORDED_AT,
            actor="tester",
            command_id=event.command_id,
            envelope_version=CURRENT_VERSION,
            data=e.encode(event.event),
        )
        for position, event in enumerate(history.log, 1)
    ]


def replayed(rows: Sequence[EventRow], *, reversals_known: bool = True, page: int = 7) -> list[Difference]:
    """Decide rows again, a few at a time."""
    deals = {msgspec.json.decode(row.data)["deal_id"] for row in rows if row.type == "SaleReversed" and reversals_known}

    def of_stream(stream: str, position: int) -> Iterable[EventRow]:
        return [row for row in rows if row.stream == stream and row.position <= position]

    replay = Replay(deals, of_stream)
    found = [each for first in range(0, len(rows), page) for each in replay.take(rows[first : first + page])]
    found += replay.finish()
    assert replay.events <= len(rows)
    return found


@profile
@given(networks(), st.sampled_from([1, 2, 1000]), st.booleans())
def test_what_was_recorded_follows_from_the_facts(network: Network, page: int, reversals_known: bool) -> None:
    """A history of any facts, advances in between, decided again differs nowhere, in whatever pages it is read."""
    history = told(network)
    history.advance(LAST_DAY)
    assert replayed(rows_of(history), reversals_known=reversals_known, page=page) == []


def _other_amount(data: dict[str, Any]) -> None:
    data["lines"][0]["amount"] = "999.00"


def _other_tier(data: dict[str, Any]) -> None:
    data["to_tier"] = "gold"


def _other_evidence(data: dict[str, Any]) -> None:
    data["evidence"]["revenue"] = "1.00"


@pytest.fixture
def history() -> History:
    """Two partners; one is promoted, sells on, and takes a deal back that it did not need."""
    history = History(*PROGRAMMES)
    history.given(
        enrol("P1", "2012-07-01"),
        enrol("P2", "2012-07-01"),
        sale("D1", "P1", "2012-07-02", "300.00"),
        sale("D2", "P1", "2012-07-03", "300.00"),
        sale("D3", "P2", "2012-07-03", "90.00"),
        sale("D4", "P1", "2012-07-04", "200.00"),
        reverse("R1", "D4", "2012-07-05", "50.00"),
        sale("D5", "P1", "2012-07-06", "100.00"),
    )
    return history.advance("2012-10-01")


def changed(rows: Sequence[EventRow], at: int, change: Callable[[dict[str, Any]], None]) -> list[EventRow]:
    data = msgspec.json.decode(rows[at].data)
    change(data)
    new = msgspec.structs.replace(rows[at], data=msgspec.json.encode(data))
    return [*rows[:at], new, *rows[at + 1 :]]


@pytest.mark.parametrize(
    ("type_name", "change"),
    [("BonusAccrued", _other_amount), ("TierChanged", _other_tier), ("TierChanged", _other_evidence)],
)
def test_a_changed_decision_is_one_difference_with_both_sides(
    history: History, type_name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    """Its position, what is recorded and what the rules give are told; what follows from it counts as recorded."""
    rows = rows_of(history)
    at = next(n for n, row in enumerate(rows) if row.type == type_name)
    first, *more = replayed(changed(rows, at, change))
    assert first.position == rows[at].position
    assert first.recorded is not None
    assert first.decided is not None
    assert first.recorded.data != first.decided.data == rows[at].data.decode()
    assert all(each.position > first.position for each in more)
    if type_name == "BonusAccrued":
        assert more == [], "a line changes no later decision"


def test_a_decision_that_nothing_leads_to_is_found(history: History) -> None:
    """A bonus put behind a sale that did not earn it does not follow from the facts."""
    rows = rows_of(history)
    at = max(n for n, row in enumerate(rows) if row.type == "BonusAccrued")
    extra = msgspec.structs.replace(rows[at], version=rows[at].version + 1)
    after = [msgspec.structs.replace(row, position=row.position + 1) for row in rows[at + 1 :]]
    found = replayed([*rows[: at + 1], msgspec.structs.replace(extra, position=rows[at].position + 1), *after])
    assert found[0].position == rows[at].position + 1
    assert found[0].decided is None
    assert "does not follow from the facts" in str(found[0])


def test_what_follows_a_difference_is_judged_by_what_was_recorded(history: History) -> None:
    """A bonus put in early, with all later versions of its stream one up: it is the one difference, not the first of many."""
    rows = rows_of(history)
    at = next(n for n, row in enumerate(rows) if row.type == "BonusAccrued")
    extra = msgspec.structs.replace(rows[at], version=rows[at].version + 1, position=rows[at].position + 1)
    after = [
        msgspec.structs.replace(row, position=row.position + 1, version=row.version + (row.stream == extra.stream))
        for row in rows[at + 1 :]
    ]
    assert sum(row.stream == extra.stream for row in after) > 3
    (found,) = replayed([*rows[: at + 1], extra, *after])
    assert found.position == extra.position


def test_a_decision_left_out_is_found(history: History) -> None:
    """A promotion that was taken out of the log is missing behind its sale."""
    rows = rows_of(history)
    at = next(n for n, row in enumerate(rows) if row.type == "TierChanged")
    found = replayed(rows[:at] + rows[at + 1 :])
    assert found[0].recorded is None
    assert found[0].decided is not None
    assert found[0].decided.type == "TierChanged"
    assert found[0].position == rows[at - 1].position


def test_a_fact_that_the_rules_refuse_is_found_with_their_reason(history: History) -> None:
    """A sale of a family that the programme does not have should not be there."""
    rows = rows_of(history)
    at = next(n for n, row in enumerate(rows) if row.type == "SaleRecorded")

    def other_family(data: dict[str, Any]) -> None:
        data["family"] = "bakery"

    found = replayed(changed(rows, at, other_family))
    assert found[0].position == rows[at].position
    assert "Family 'bakery' is not in programme" in found[0].why


def test_data_that_cannot_be_read_is_a_difference_and_nothing_worse(history: History) -> None:
    """Bytes that are no event are told with their position; the other partner goes on."""
    rows = rows_of(history)
    at = next(n for n, row in enumerate(rows) if row.type == "SaleRecorded")
    found = replayed([*rows[:at], msgspec.structs.replace(rows[at], data=b"\xff{"), *rows[at + 1 :]])
    assert found[0].position == rows[at].position
    assert {each.recorded.stream for each in found if each.recorded} == {"partner:P1"}


def test_an_award_is_decided_again_with_all_holders_of_the_country(history: History) -> None:
    """The seats of a roster, and what other holders owed, come out as recorded."""
    history.given(
        sale("D6", "P1", "2012-10-02", "2000.00"),
        sale("D7", "P2", "2012-10-02", "2000.00"),
    )
    for partner in ("P1", "P2"):
        history.given(*(train_for(partner)))
    history.given(award("P1", "platinum", "2012-10-20"))
    history.tell(award("P2", "platinum", "2012-11-02"))
    history.given(suspend("P1", "2012-12-01"))
    assert any(row.type == "SeatTaken" for row in rows_of(history))
    assert replayed(rows_of(history)) == []


def train_for(partner: str) -> list[Fact]:
    return [train(f"C-{partner}", partner, f"person of {partner}", "CL-101", "2012-10-10")]


def test_a_programme_published_twice_and_an_advance_back_are_found(history: History) -> None:
    """The ledger's own events are judged as well."""
    rows = rows_of(history)
    again = msgspec.structs.replace(rows[0], position=len(rows) + 1, version=4, command_id="again")
    back = next(row for row in rows if row.type == "LedgerAdvanced")
    back = msgspec.structs.replace(back, position=len(rows) + 2, version=2, command_id="back")
    found = replayed([*rows, again, back])
    assert [each.position for each in found] == [len(rows) + 1, len(rows) + 2]
    assert "published before" in str(found[0])
    assert "already" in str(found[1])


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden cases are not there: {GOLDEN}")
@pytest.mark.parametrize("case", CASES)
def test_a_golden_case_decided_again_differs_nowhere(case: str) -> None:
    """With awards, withdrawals, late facts and advances between the imports."""
    history = run(case).history.advance(AS_OF)
    rows = rows_of(history)
    assert len(rows) > 10
    assert replayed(rows, page=500) == []
