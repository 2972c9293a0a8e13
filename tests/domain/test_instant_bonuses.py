"""Instant bonuses: earned as the deal closes, by what was in force at the start of that day."""

import pytest

from domain import events as e
from domain.facts import Fact
from tests.domain import programmes as p
from tests.domain.history import History, Posted, day, end, enrol, resume, revoke, sale, suspend, train

CLOUD = p.small(
    bonuses=[
        p.instant("deal", rate_bp={"bronze": 155, "silver": 333}),
        p.instant("cloud", families=["cloud"], specialisation="cloud", rate_bp={"bronze": 111, "gold": 222}),
        p.instant("loyalty", loyalty_bp={1: 15}),
    ]
)


def test_the_lines_of_the_worked_case() -> None:
    """D2: 1,050.00 at Bronze's 1.5 %, 175.00 for three full years; D3 of the same day 15.00 and 2.50."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2008-03-01", "affinity"),
        sale("D2", "P", "2012-02-10", "70000.00", "virtualisation", currency="CHF"),
        sale("D3", "P", "2012-02-10", "1000.00", "endpoint-security", currency="CHF"),
    )
    assert history.lines("P") == [
        Posted("2012-02-10", "deal", "1050.00", "CHF"),
        Posted("2012-02-10", "loyalty", "175.00", "CHF"),
        Posted("2012-02-10", "deal", "15.00", "CHF"),
        Posted("2012-02-10", "loyalty", "2.50", "CHF"),
    ]
    loyalty = history.lines_of("P", "D2")[1]
    assert (loyalty.rate_bp, loyalty.loyalty_years, loyalty.tier_since) == (25, 3, day("2011-10-01"))


def test_virtualisation_earns_more_where_its_specialisation_was_held_at_the_start_of_the_day() -> None:
    """Not on the day it is awarded, from the next one on, and for its families alone."""
    people = [
        train(f"{course}-{person}", "P", person, course, "2012-02-01")
        for course in ("VS-101", "VS-201")
        for person in "ab"
    ]
    history = History(*p.THE_THREE).given(
        enrol("P", "2012-01-05"),
        *people,
        sale("D1", "P", "2012-02-01", "100.00", "virtualisation", currency="CHF"),
        sale("D2", "P", "2012-02-02", "100.00", "virtualisation", currency="CHF"),
        sale("D3", "P", "2012-02-02", "100.00", "cloud", currency="CHF"),
        sale("D4", "P", "2012-02-02", "100.00", "saas", currency="CHF"),
    )
    schemes = {deal: [line.scheme for line in history.lines_of("P", deal)] for deal in ("D1", "D2", "D3", "D4")}
    assert schemes == {
        "D1": ["deal"],
        "D2": ["deal", "virtualisation"],
        "D3": ["deal", "virtualisation"],
        "D4": ["deal"],
    }


def test_a_specialisation_that_lapsed_by_time_is_not_held_on_that_day() -> None:
    """But one revoked on the day still was at its start."""
    facts = [enrol("P", "2012-01-05"), train("C1", "P", "anna", "CL-101", "2012-01-05")]
    by_time = History(CLOUD).given(*facts, sale("D1", "P", "2013-01-05", "100.00", "cloud"))
    assert [line.scheme for line in by_time.lines("P")] == ["deal", "loyalty"]
    by_fact = History(CLOUD).given(*facts, revoke("C1", "2012-03-01"), sale("D1", "P", "2012-03-01", "100.00", "cloud"))
    assert [line.scheme for line in by_fact.lines("P")] == ["deal", "cloud"]


def test_a_late_sale_earns_by_the_recorded_decisions_and_not_by_certificates() -> None:
    """A training told late makes no specialisation on days gone by; a revocation told late takes none."""
    late_training = History(CLOUD).given(
        enrol("P", "2012-01-05"),
        sale("D0", "P", "2012-05-01", "1.00"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        sale("D1", "P", "2012-03-01", "100.00", "cloud"),
    )
    assert [line.scheme for line in late_training.lines_of("P", "D1")] == ["deal"]
    late_revocation = History(CLOUD).given(
        enrol("P", "2012-01-05"),
        train("C1", "P", "anna", "CL-101", "2012-02-01"),
        sale("D0", "P", "2012-05-01", "1.00"),
        revoke("C1", "2012-02-02"),
        sale("D1", "P", "2012-03-01", "100.00", "cloud"),
    )
    assert [line.scheme for line in late_revocation.lines_of("P", "D1")] == ["deal", "cloud"]


def test_schemes_are_taken_in_the_order_of_the_file() -> None:
    """The lines too."""
    schemes = [p.instant(code, rate_bp={"bronze": 100}) for code in ("z", "a", "m")]
    history = History(p.small(bonuses=schemes)).given(enrol("P", "2012-01-05"), sale("D", "P", "2012-02-01", "10.00"))
    assert [line.scheme for line in history.lines("P")] == ["z", "a", "m"]


def test_a_tier_that_a_scheme_does_not_name_earns_nothing_of_it() -> None:
    """No rate is a rate of zero, and a line of zero is no line."""
    history = History(CLOUD).given(enrol("P", "2012-01-05", "gold"), sale("D1", "P", "2012-02-01", "100.00"))
    assert history.names("P") == ["PartnerEnrolled", "SaleRecorded"]


@pytest.mark.parametrize(
    ("amount", "currency", "line"),
    [
        ("32.25", "EUR", "0.50"),  # 0.499875
        ("32.26", "EUR", "0.50"),  # 0.50003
        ("100000", "JPY", "1550"),
        ("64548", "JPY", "1000"),  # 1000.494
        ("64549", "JPY", "1001"),  # 1000.5095
        ("333.333", "BHD", "5.167"),  # 5.1666615
        ("1.000", "BHD", "0.016"),  # 0.0155, half up
        ("0.30", "EUR", None),  # 0.00465
        ("0.33", "EUR", "0.01"),  # 0.005115
    ],
)
def test_a_line_is_rounded_half_up_to_the_currencys_minor_unit(amount: str, currency: str, line: str | None) -> None:
    """Of 155 basis points; a line of zero is no line."""
    history = History(CLOUD).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", amount, currency=currency))
    assert [posted.amount for posted in history.lines("P")] == ([line] if line else [])


def test_the_terms_are_those_in_force_on_the_day_it_was_closed() -> None:
    """Told late, a deal of Affinity earns no instant bonus."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2011-01-05"),
        sale("D0", "P", "2012-05-01", "1.00"),
        sale("D1", "P", "2011-12-31", "1000.00"),
        sale("D2", "P", "2012-01-01", "1000.00"),
    )
    assert [line.scheme for line in history.lines_of("P", "D1")] == []
    assert [str(line.amount) for line in history.lines_of("P", "D2")] == ["15.00"]


def test_business_date_and_posting_date_of_a_late_deal_differ() -> None:
    """The one is the deal's, the other the clock."""
    history = History(CLOUD).given(
        enrol("P", "2012-01-05"), sale("D0", "P", "2012-05-01", "10.00"), sale("D1", "P", "2012-02-01", "100.00")
    )
    event = history.last(e.BonusAccrued, "P")
    assert (event.business_date, event.posting_date) == (day("2012-02-01"), day("2012-05-01"))
    assert [
        str(history.balances("P", day(on)).get("EUR", {}).get("accrued")) for on in ("2012-04-30", "2012-05-01")
    ] == [
        "None",
        "1.71",
    ]


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        (sale("D", "P", "2012-02-01", "0.00"), "more than zero"),
        (sale("D", "P", "2012-02-01", "-5.00"), "more than zero"),
        (sale("D", "P", "2012-02-01", "5.001"), "finer"),
        (sale("D", "P", "2012-02-01", "5.5", currency="JPY"), "finer"),
        (sale("D", "P", "2012-02-01", "5.0001", currency="BHD"), "finer"),
        (sale("D", "P", "2012-01-04", "5.00"), "before P was enrolled on 2012-01-05"),
        (sale("D", "P", "2012-02-01", "5.00", "hardware"), "Family 'hardware'"),
        (sale("D", "P", "2012-02-01", "5.00", currency="USD"), "no exchange rate for 'USD'"),
        (sale("D", "P", "2012-02-01", "5.00", currency="CHX"), "no exchange rate for 'CHX'"),
        (sale("D", "X", "2012-02-01", "5.00"), "no partner 'X'"),
        (sale("D", "P", "2012-02-01", "99999999999999999.00"), "too large"),
    ],
)
def test_a_sale_that_cannot_be_is_refused(fact: Fact, why: str) -> None:
    """With the figure that decided it."""
    assert why in History(CLOUD).given(enrol("P", "2012-01-05")).refusal(fact)


def test_family_and_currency_are_those_of_the_programme_in_force_on_the_day() -> None:
    """What the next version lists does not help a deal of this one."""
    after = p.small("next", "2013-01-01", families=["hardware"], exchange_rates={"EUR": "1", "USD": "0.75"}, bonuses=[])
    history = History(p.small(bonuses=[]), after).given(
        enrol("P", "2012-01-05"), sale("D1", "P", "2013-01-01", "1.00", "hardware", currency="USD")
    )
    assert "Family 'hardware'" in history.refusal(sale("D2", "P", "2012-12-31", "1.00", "hardware", currency="USD"))
    assert "Family 'saas'" in history.refusal(sale("D3", "P", "2013-01-01", "1.00"))


def test_a_sale_in_a_suspension_is_recorded_and_earns_nothing() -> None:
    """From its first day to the day before resumption, the open suspension that an end closed included."""
    history = History(CLOUD).given(
        enrol("P", "2012-01-05"),
        suspend("P", "2012-02-01"),
        sale("D1", "P", "2012-02-01", "100.00"),
        resume("P", "2012-02-10"),
        sale("D2", "P", "2012-02-09", "100.00"),
        sale("D3", "P", "2012-02-10", "100.00"),
        suspend("P", "2012-03-01"),
        end("P", "2012-03-10"),
        sale("D4", "P", "2012-03-09", "100.00"),
        sale("D5", "P", "2012-02-29", "100.00"),
    )
    earning = {event.deal_id: event.earning for event in history.those(e.SaleRecorded, "P")}
    assert earning == {"D1": False, "D2": False, "D3": True, "D4": False, "D5": True}
    assert [line.on for line in history.lines("P")] == ["2012-02-10", "2012-03-10"]
