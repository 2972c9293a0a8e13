"""Reading and writing of events: their exact bytes, and what is refused."""

from decimal import Decimal

import msgspec
import pytest

from domain import events as e
from domain.aggregates import LedgerEvent, LedgerMapper, new_aggregate
from domain.errors import IntegrityFault, UnknownEventType
from domain.recording import LedgerStoredEvent
from tests.domain import programmes as p
from tests.domain.history import History, award, day, end, enrol, resume, reverse, revoke, sale, suspend, train
from tests.domain.samples import SAMPLES, stream_of


def test_there_is_a_sample_of_every_event_type() -> None:
    """So that no type goes untested."""
    assert {type(event) for event in SAMPLES} == set(e.EVENT_TYPES.values())
    assert {name: cls.__name__ for name, cls in e.EVENT_TYPES.items()} == {name: name for name in e.EVENT_TYPES}


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_equal_from_its_bytes(event: e.Event) -> None:
    """And its bytes from it."""
    name = type(event).__name__
    data = e.encode(event)
    again = e.decode(name, event.SCHEMA_VERSION, data)
    assert again == event
    assert type(again) is type(event)
    assert e.encode(again) == data
    assert again.business_date == event.business_date


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_goes_to_the_store_and_back_through_the_mapper(event: e.Event) -> None:
    """Plain JSON under a stable type name, with business date and command beside it; never a class path."""
    mapper = LedgerMapper()
    stored = mapper.to_stored_event(LedgerEvent(stream_of(event), 7, event, "command"))
    assert isinstance(stored, LedgerStoredEvent)
    assert (stored.topic, stored.schema_version, stored.business_date, stored.command_id) == (
        type(event).__name__,
        1,
        event.business_date,
        "command",
    )
    back = mapper.to_domain_event(stored)
    assert (back.originator_id, back.originator_version, back.event, back.command_id) == (
        stream_of(event),
        7,
        event,
        "command",
    )


def test_amounts_are_texts_with_their_digits_and_dates_are_iso() -> None:
    """Never a binary float, never a number that a reader might make one of."""
    data = msgspec.json.decode(e.encode(SAMPLES[8]))
    assert (data["amount"], data["qualifying"], data["closed_on"]) == ("70000.00", "57400.00", "2012-02-10")
    again = e.decode("SaleRecorded", 1, e.encode(SAMPLES[8]))
    assert isinstance(again, e.SaleRecorded)
    assert isinstance(again.amount, Decimal)
    assert str(again.amount) == "70000.00"


@pytest.mark.parametrize(
    ("name", "schema_version"), [("SaleForgotten", 1), ("SaleRecorded", 2), ("SaleRecorded", 0), ("Event", 1), ("", 1)]
)
def test_an_unknown_type_or_a_newer_schema_version_is_refused(name: str, schema_version: int) -> None:
    """It was written by a newer version: nothing is read half."""
    with pytest.raises(UnknownEventType, match="update partner-ledger"):
        e.decode(name, schema_version, b"{}")


@pytest.mark.parametrize("data", [b"{}", b"[]", b'{"to": "2012-02-30"}', b'{"to": 5}', b"", b'{"to": "2012-02-01"'])
def test_bytes_that_are_not_the_event_are_refused(data: bytes) -> None:
    """A missing field, another type, what is no date, what is cut off."""
    with pytest.raises(msgspec.DecodeError):
        e.decode("LedgerAdvanced", 1, data)


def test_an_event_cannot_be_changed() -> None:
    """Published events are never edited."""
    with pytest.raises(AttributeError):
        SAMPLES[1].to = day("2012-04-01")  # type: ignore[attr-defined]


def test_a_stream_with_an_event_missing_or_stored_twice_is_not_read() -> None:
    """The aggregate stops at the first version that does not follow."""
    event = SAMPLES[2]
    first = LedgerEvent("partner:CH-0001", 1, event, "")
    aggregate = first.mutate(None)
    assert aggregate.version == 1
    for version in (1, 3):
        with pytest.raises(IntegrityFault, match=f"from version 1 to {version}"):
            LedgerEvent("partner:CH-0001", version, SAMPLES[3], "").mutate(aggregate)


def test_a_partners_stream_begins_with_its_enrolment() -> None:
    """Anything else first is a fault."""
    with pytest.raises(ValueError, match="begins with MembershipSuspended"):
        LedgerEvent("partner:P", 1, SAMPLES[3], "").mutate(None)


def test_a_stream_of_no_known_name_has_no_aggregate() -> None:
    """The ledger has four kinds."""
    with pytest.raises(IntegrityFault, match="no streams named like 'partners'"):
        new_aggregate("partners")


def test_aggregates_read_back_equal_those_that_decided() -> None:
    """Partners with their seats, and the roster of the country."""
    tiers = [p.tier("bronze"), p.tier("silver", "1000.00"), p.tier("platinum", awarded=True, seats={"CH": 2})]
    history = History(p.small(tiers=tiers, bonuses=[])).given(
        enrol("P", "2012-01-05"),
        enrol("Q", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        award("P", "platinum", "2012-02-02"),
        award("Q", "platinum", "2012-02-02"),
        suspend("Q", "2012-02-03"),
        resume("Q", "2012-02-04"),
        reverse("R1", "D1", "2012-02-05"),
        revoke("C1", "2012-02-05"),
        end("Q", "2012-02-06"),
    )
    aggregates: dict[str, object] = {}
    for event in history.log:
        before = aggregates.get(event.originator_id)
        aggregates[event.originator_id] = event.mutate(before)  # type: ignore[arg-type]
    roster, programmes = aggregates["roster:CH"], aggregates["programmes"]
    assert roster.holders == history.holders("CH") == {"P": "platinum"}  # type: ignore[attr-defined]
    assert roster.version == 3  # type: ignore[attr-defined]
    for partner in ("P", "Q"):
        aggregate, kept = aggregates[f"partner:{partner}"], history.partner(partner)
        assert kept is not None
        assert (aggregate.seat, aggregate.version) == (kept.seat, kept.version)  # type: ignore[attr-defined]
    assert [terms.code for terms in programmes.history.versions] == ["small-2012"]  # type: ignore[attr-defined]
