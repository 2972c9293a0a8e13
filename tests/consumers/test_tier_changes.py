"""Records of the public topic as a subscriber reads them."""

import json

import pytest

from consumers.tier_changes import read_tier_changes
from domain.envelope import TIER_CHANGE
from domain.errors import IntegrityFault


def record(position: int, country: str = "CH", type_: str = TIER_CHANGE, **more: object) -> bytes:
    data = {
        "partner": f"{country}-1",
        "country": country,
        "from": None,
        "to": "bronze",
        "reason": "enrolled",
        "effective_date": "2012-01-01",
        "programme": "partner-2012",
        "position": position,
        **more,
    }
    return json.dumps({"specversion": "1.0", "type": type_, "data": data}).encode()


def test_records_are_read_in_order_of_position() -> None:
    """A batch of several partitions has no order of its own; fields that are new are passed over."""
    told = read_tier_changes([record(7), record(3, "DE"), record(5, "CH", later="x")], None)
    assert [(each.change.position, each.change.partner, each.change.after) for each in told] == [
        (3, "DE-1", "bronze"),
        (5, "CH-1", "bronze"),
        (7, "CH-1", "bronze"),
    ]
    assert told[0].record == record(3, "DE")


def test_one_country_and_known_types_only() -> None:
    """A type of later is none of ours, whatever is in it."""
    later = b'{"type": "partner-ledger.tier-change.v2", "data": []}'
    assert [t.change.position for t in read_tier_changes([record(7), record(3, "DE"), later], "DE")] == [3]


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", record(1, partner=5), record(1, effective_date="soon")])
def test_what_the_ledger_did_not_write_is_said(value: bytes) -> None:
    """Loudly, with the record's beginning."""
    with pytest.raises(IntegrityFault, match="the ledger did not write it"):
        read_tier_changes([value], None)
