"""The public record of a tier change."""

import datetime as dt
import json
from typing import Any

import pytest

from domain import events, streams
from domain.errors import IntegrityFault
from producers.tier_changes import tier_change
from tests.producers.rows import ENROLLED, row_of

CHANGED = events.TierChanged(
    country="CH",
    from_tier="bronze",
    to_tier="silver",
    to_awarded=False,
    reason="promotion",
    effective_on=dt.date(2021, 6, 30),
    by_fact=True,
    programme="affinity-2011",
)
ENDED = events.MembershipEnded(
    on=dt.date(2022, 1, 1), effective_on=dt.date(2022, 2, 1), country="CH", tier="silver", programme="affinity-2011"
)


def document_of(event: events.Event, position: int = 7) -> dict[str, Any]:
    told = tier_change(row_of(event, position))
    assert told is not None
    key, value = told
    assert key == "P-1"
    document: dict[str, Any] = json.loads(value)
    return document


def test_an_enrolment_is_a_cloudevent_from_no_tier() -> None:
    assert document_of(ENROLLED) == {
        "specversion": "1.0",
        "id": "7",
        "source": "/partner-ledger",
        "type": "partner-ledger.tier-change.v1",
        "subject": "P-1",
        "time": "2026-03-01T12:00:00.123456Z",
        "datacontenttype": "application/json",
        "data": {
            "partner": "P-1",
            "country": "CH",
            "from": None,
            "to": "bronze",
            "reason": "enrolled",
            "effective_date": "2020-01-15",
            "programme": "affinity-2011",
            "position": 7,
        },
    }


def test_a_tier_change_says_from_to_reason_and_effective_date() -> None:
    data = document_of(CHANGED)["data"]
    assert (data["from"], data["to"], data["reason"]) == ("bronze", "silver", "promotion")
    assert data["effective_date"] == "2021-06-30"


def test_the_end_of_a_membership_is_a_change_to_no_tier() -> None:
    data = document_of(ENDED)["data"]
    assert (data["from"], data["to"], data["reason"], data["effective_date"]) == ("silver", None, "ended", "2022-02-01")


def test_other_events_are_no_tier_change() -> None:
    silent = set(events.EVENT_TYPES) - {"PartnerEnrolled", "TierChanged", "MembershipEnded"}
    row = row_of(events.LedgerAdvanced(to=dt.date(2026, 1, 1)), stream=streams.LEDGER)
    assert tier_change(row) is None
    assert "TierAwarded" in silent  # the TierChanged behind it tells


def test_a_tier_change_outside_a_partners_stream_is_refused() -> None:
    with pytest.raises(IntegrityFault, match="Event 7 is a TierChanged in stream 'ledger'"):
        tier_change(row_of(CHANGED, 7, stream=streams.LEDGER))
