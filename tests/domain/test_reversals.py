"""Reversals: in part or whole, each line at its own original rate."""

import pytest

from domain import events as e
from domain.facts import Fact
from tests.domain import programmes as p
from tests.domain.history import History, Posted, day, end, enrol, reverse, sale, suspend

RATES = p.small(
    bonuses=[
        p.instant("deal", rate_bp={"bronze": 155, "silver": 333}),
        p.instant("loyalty", loyalty_bp={0: 15, 1: 35}),
    ]
)


def test_the_reversal_of_the_worked_case() -> None:
    """CHF 10,000 of D2: 900.00 and 150.00 remain due, so −150.00 and −25.00 are posted."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2008-03-01", "affinity"),
        sale("D2", "P", "2012-02-10", "70000.00", "virtualisation", currency="CHF"),
        reverse("R1", "D2", "2012-03-05", "10000.00", "some licences returned"),
    )
    assert history.lines("P")[2:] == [
        Posted("2012-03-05", "deal", "-150.00", "CHF"),
        Posted("2012-03-05", "loyalty", "-25.00", "CHF"),
    ]
    line = history.last(e.BonusClawedBack, "P").lines[0]
    assert (str(line.basis), line.rate_bp, str(line.before)) == ("60000.00", 150, "1050.00")


def test_without_an_amount_what_is_left_is_taken_back() -> None:
    """After a part, the rest."""
    history = History(RATES).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "100.00"),
        reverse("R1", "D1", "2012-02-02", "33.33"),
        reverse("R2", "D1", "2012-02-03"),
    )
    assert [(str(event.amount), str(event.net), event.whole) for event in history.those(e.SaleReversed, "P")] == [
        ("33.33", "66.67", False),
        ("66.67", "0.00", True),
    ]
    assert [line.amount for line in history.lines("P")] == ["1.55", "0.15", "-0.52", "-0.05", "-1.03", "-0.10"]


def test_a_line_is_recomputed_from_the_net_amount_so_that_parts_never_drift() -> None:
    """Ten reversals of a tenth come to zero, each by a difference rounded from the whole."""
    history = History(RATES).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "32.90"))
    history.given(*(reverse(f"R{n}", "D1", "2012-02-02", "3.29") for n in range(10)))
    assert sum(line.amount for line in history.lines_of("P", "D1")) == 0


def test_each_line_keeps_its_own_original_rate() -> None:
    """A tier or anniversary since changes nothing of a deal closed before."""
    history = History(RATES).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "1000.00"),
        sale("D2", "P", "2013-02-01", "5000.00"),
        reverse("R1", "D1", "2013-02-02", "500.00"),
    )
    assert [line.amount for line in history.lines("P")[-2:]] == ["-7.75", "-0.75"]


def test_a_reversal_counts_by_the_exchange_rate_of_the_deals_day() -> None:
    """What is left qualifies at the rate of the programme in force when the deal was closed."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2011-01-05"),
        sale("D1", "P", "2011-09-15", "10000.00", currency="CHF"),
        reverse("R1", "D1", "2012-02-01", "4000.00"),
    )
    event = history.last(e.SaleReversed, "P")
    assert (str(event.qualifying), str(event.qualifying_change)) == ("3780.00", "-2520.00")


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        (reverse("R9", "D1", "2012-02-29"), "closed on 2012-03-01; it cannot be reversed before, on 2012-02-29"),
        (reverse("R9", "D1", "2012-03-05", "60.01"), "EUR 60.01 is more than is left of deal 'D1': EUR 60.00"),
        (reverse("R9", "D2", "2012-03-05"), "Nothing is left of deal 'D2' (of EUR 5.00)"),
        (reverse("R9", "D2", "2012-03-05", "1.00"), "Nothing is left of deal 'D2'"),
        (reverse("R9", "D1", "2012-03-05", "0.00"), "more than zero"),
        (reverse("R9", "D1", "2012-03-05", "-1.00"), "more than zero"),
        (reverse("R9", "D1", "2012-03-05", "1.001"), "finer"),
        (reverse("R9", "D7", "2012-03-05", "1.00"), "no deal 'D7' (yet)"),
    ],
    ids=["before", "more", "nothing left", "nothing left of a part", "zero", "negative", "finer", "unknown"],
)
def test_a_reversal_that_cannot_be_is_refused_with_what_is_left(fact: Fact, why: str) -> None:
    """The figures are in the sentence, and the deal stays as it was."""
    history = History(RATES).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-03-01", "100.00"),
        sale("D2", "P", "2012-03-01", "5.00"),
        reverse("R1", "D1", "2012-03-01", "40.00"),
        reverse("R2", "D2", "2012-03-01"),
    )
    assert why in history.refusal(fact)
    history.given(reverse("R10", "D1", "2012-03-06", "60.00"))


def test_a_reversal_on_the_day_of_the_deal_is_accepted_and_a_late_one_posted_on_the_clock() -> None:
    """Its business date is its own."""
    history = History(RATES).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "100.00"),
        sale("D2", "P", "2012-05-01", "1.00"),
        reverse("R1", "D1", "2012-02-01"),
    )
    event = history.last(e.BonusClawedBack, "P")
    assert (event.reversed_on, event.posting_date) == (day("2012-02-01"), day("2012-05-01"))


def test_a_reversal_after_the_end_is_accepted_and_takes_bonuses_back() -> None:
    """Of the facts dated on or after the end, only reversals and revocations are."""
    history = History(RATES).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "100.00"),
        end("P", "2012-03-01"),
        reverse("R1", "D1", "2012-04-01"),
    )
    assert history.lines("P")[-1] == Posted("2012-04-01", "loyalty", "-0.15", "EUR")


def test_a_reversal_of_a_deal_that_earned_nothing_posts_nothing() -> None:
    """It is recorded, with what is left."""
    history = History(RATES).given(
        enrol("P", "2012-01-05"),
        suspend("P", "2012-02-01"),
        sale("D1", "P", "2012-02-02", "100.00"),
        reverse("R1", "D1", "2012-02-03", "40.00"),
    )
    assert history.names("P")[-1] == "SaleReversed"
    assert str(history.last(e.SaleReversed, "P").net) == "60.00"
    assert "more than is left" in history.refusal(reverse("R2", "D1", "2012-02-03", "60.01"))


def test_a_deal_and_its_reversals_in_one_batch_are_as_in_several() -> None:
    """The deal is put together from the events of the batch."""
    facts = [
        sale("D1", "P", "2012-02-01", "100.00"),
        reverse("R1", "D1", "2012-02-02", "10.00"),
        reverse("R2", "D1", "2012-02-02", "10.00"),
    ]
    together = History(RATES).given(enrol("P", "2012-01-05"))
    together.tell_together(facts)
    alone = History(RATES).given(enrol("P", "2012-01-05"), *facts)
    for history in (together, alone):
        history.given(reverse("R3", "D1", "2012-02-03"))
    assert together.events("P") == alone.events("P")


def test_balances_are_the_lines_with_a_posting_date_up_to_a_day() -> None:
    """Accrued by sales and settlements, clawed back by reversals, by currency."""
    history = History(RATES).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "100.00"),
        sale("D2", "P", "2012-02-02", "10000", currency="JPY"),
        reverse("R1", "D1", "2012-03-01", "50.00"),
    )
    as_text = {
        on: {c: {side: str(a) for side, a in sums.items()} for c, sums in history.balances("P", day(on)).items()}
        for on in ("2012-02-01", "2012-03-01")
    }
    assert as_text == {
        "2012-02-01": {"EUR": {"accrued": "1.70", "clawed_back": "0.00"}},
        "2012-03-01": {
            "EUR": {"accrued": "1.70", "clawed_back": "-0.84"},
            "JPY": {"accrued": "170", "clawed_back": "0"},
        },
    }
