"""Rows of feeds read as facts: what is refused for its shape alone, and how it is said."""

import datetime as dt
from decimal import Decimal

import pytest

from domain.errors import InvalidInput
from domain.facts import FACT_TYPES, Fact, RecordSale, fact_from_json, fact_json, read_fact

SALE = {
    "deal_id": "D 1/é",
    "partner_id": "CH-0001",
    "closed_on": "2012-02-10",
    "family": "cloud",
    "amount": "70000.00",
    "currency": "CHF",
    "source_ref": "",
}


def test_a_row_is_read() -> None:
    """Inner spaces, slashes and letters of any alphabet may stand in an id."""
    sale = read_fact(RecordSale, SALE)
    assert isinstance(sale, RecordSale)
    assert (sale.deal_id, str(sale.amount), sale.source_ref) == ("D 1/é", "70000.00", None)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("deal_id", "", "deal_id is empty"),
        ("deal_id", "D1 ", "deal_id 'D1 ' begins or ends with a space"),
        ("deal_id", " D1", "deal_id ' D1' begins or ends with a space"),
        ("deal_id", "D\t1", "deal_id 'D\\t1' has a character that does not print"),
        ("deal_id", "D1\u200b", "deal_id 'D1\\u200b' has a character that does not print"),
        ("deal_id", "D\u00a01", "deal_id 'D\\xa01' has a character that does not print"),
        ("deal_id", "De\u0301", "deal_id 'De\u0301' is not in Unicode's composed form (NFC)"),
        ("deal_id", "D" * 201, f"deal_id '{'D' * 79}… is longer than 200 characters"),
        ("amount", "+5.00", "amount '+5.00' is not a plain decimal with a point, such as 1250.00"),
        ("amount", "1e3", "amount '1e3' is not a plain decimal with a point, such as 1250.00"),
        ("amount", "1'000.00", 'amount "1\'000.00" is not a plain decimal with a point, such as 1250.00'),
        ("amount", "٣.٠٠", "amount '٣.٠٠' is not a plain decimal with a point, such as 1250.00"),
        ("closed_on", "2012-02-30", "closed_on '2012-02-30' is not a day of the calendar"),
        ("closed_on", "10.02.2012", "closed_on '10.02.2012' is not a date (YYYY-MM-DD)"),
        ("source_ref", "x" * 2001, f"source_ref '{'x' * 79}… is longer than 2000 characters"),
    ],
)
def test_a_row_of_the_wrong_shape_is_refused_in_one_sentence(column: str, value: str, said: str) -> None:
    """Two ids that a person cannot tell apart would let one deal be rewarded twice."""
    with pytest.raises(InvalidInput) as refusal:
        read_fact(RecordSale, {**SALE, column: value})
    assert str(refusal.value) == f"{said}."


def test_all_that_is_wrong_with_a_row_is_said_at_once() -> None:
    """So that it is mended once."""
    with pytest.raises(InvalidInput, match=r"^closed_on .*; amount .*\.$"):
        read_fact(RecordSale, {**SALE, "closed_on": "soon", "amount": "much"})


PARTNER = {"partner_id": "CH-0001"}
ROWS = {
    "partner": [
        {
            **PARTNER,
            "name": 'Ä \\ "x" \n AG',
            "country": "CH",
            "currency": "CHF",
            "enrolled_on": "0999-12-31",
            "tier": tier,
        }
        for tier in ("", "gold")
    ],
    "membership": [{**PARTNER, "change": "end", "on": "2012-02-10", "reason": reason} for reason in ("", "é\u2028")],
    "training": [
        {**PARTNER, "completion_id": "C1", "person_id": "anna", "course": "CL-101", "completed_on": "2012-02-29"}
    ],
    "revocation": [{"completion_id": "C1", "revoked_on": "9999-12-31"}],
    "deal": [SALE, {**SALE, "amount": "000000000000000001.0000000000", "source_ref": "crm:1"}],
    "reversal": [
        {"reversal_id": "R1", "deal_id": "D1", "reversed_on": "2012-02-10", "amount": amount}
        for amount in ("", "-0.10", "999999999999999999.9999999999")
    ],
    "award": [{**PARTNER, "tier": "gold", "awarded_on": "2012-02-10", "awarded_by": "the board", "reason": ""}],
}


@pytest.mark.parametrize("kind", FACT_TYPES)
def test_a_fact_comes_back_from_its_json_as_it_was(kind: str) -> None:
    """Every value and its type, digits of amounts included; and it is as unchangeable."""
    for row in ROWS[kind]:
        fact = read_fact(FACT_TYPES[kind], row)
        back = fact_from_json(type(fact), fact_json(fact).decode())
        assert back == fact
        assert [(name, type(value), str(value)) for name, value in _values(back)] == [
            (name, type(value), str(value)) for name, value in _values(fact)
        ]
        assert (back.identity_key, back.business_date, repr(back)) == (
            fact.identity_key,
            fact.business_date,
            repr(fact),
        )
        with pytest.raises(ValueError, match="frozen"):
            setattr(back, _values(back)[0][0], "other")


def _values(fact: Fact) -> list[tuple[str, str | dt.date | Decimal | None]]:
    return list(fact)
