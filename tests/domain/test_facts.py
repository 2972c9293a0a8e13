"""Rows of feeds read as facts: what is refused for its shape alone, and how it is said."""

import pytest

from domain.errors import InvalidInput
from domain.facts import RecordSale, read_fact

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
