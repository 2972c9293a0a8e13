"""Kickback: settled on the first day of the next quarter, and the difference settled at once for what comes late."""

from domain import events as e
from tests.domain import programmes as p
from tests.domain.history import History, Posted, day, end, enrol, reverse, sale, suspend

VOLUME = p.small(
    bonuses=[p.kickback("volume", "500.00", families=["saas", "cloud"], bronze=100, silver=200)],
    tiers=p.simple_tiers(bronze="0", silver="1000.00"),
    review={"date": "06-30", "grace": 9, "protect_months": 12},
)


def test_the_kickback_of_the_worked_case() -> None:
    """CHF 10,000 qualify as EUR 6,300, above the minimum of 2,500: CHF 100.00 on 2011-10-01, by Affinity's rate."""
    history = History(*p.THE_THREE).given(
        enrol("P", "2008-03-01", "affinity"), sale("D1", "P", "2011-09-15", "10000.00", currency="CHF")
    )
    history.advance("2012-03-31")
    assert history.lines("P") == [Posted("2011-10-01", "kickback", "100.00", "CHF")]
    event = history.last(e.KickbackSettled, "P")
    assert (event.quarter, event.programme, event.cause) == (day("2011-07-01"), "affinity-2006", "time")
    assert (str(event.qualifying["kickback"]), str(event.minimum["kickback"])) == ("6300.00", "2500.00")


def test_a_quarter_below_the_minimum_comes_to_nothing() -> None:
    """One cent less than the minimum is nothing; exactly the minimum is enough."""
    below = History(VOLUME).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "499.99"))
    exact = History(VOLUME).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "500.00"))
    assert below.advance("2012-04-01").lines("P") == []
    assert exact.advance("2012-04-01").lines("P") == [Posted("2012-04-01", "volume", "5.00", "EUR")]


def test_currencies_reach_the_minimum_together_and_are_paid_each_on_its_own() -> None:
    """Qualifying amounts of all of them, lines by currency."""
    history = History(VOLUME).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "300.00"),
        sale("D2", "P", "2012-03-31", "400.00", currency="CHF"),
    )
    assert history.advance("2012-04-01").lines("P") == [
        Posted("2012-04-01", "volume", "4.00", "CHF"),
        Posted("2012-04-01", "volume", "3.00", "EUR"),
    ]


def test_only_the_families_of_the_scheme_count() -> None:
    """For the amount as for the minimum."""
    history = History(VOLUME).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "400.00"),
        sale("D2", "P", "2012-02-01", "400.00", "virtualisation"),
    )
    assert history.advance("2012-04-01").lines("P") == []


def test_the_rate_is_that_of_the_tier_on_the_quarters_last_day() -> None:
    """A promotion on that day counts, even by a fact; one on the day after does not."""
    for on, rate in (("2012-03-31", 200), ("2012-04-01", 100)):
        history = History(VOLUME).given(
            enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "600.00"), sale("D2", "P", on, "400.00")
        )
        settled = history.advance("2012-04-01").those(e.KickbackSettled, "P")[0]
        assert [line.rate_bp for line in settled.lines] == [rate]


def test_a_transition_on_the_day_of_settlement_comes_after_it() -> None:
    """The quarter is settled by the tier's old name and rate."""
    after = p.small("next", "2012-07-01", tiers=[p.tier("basic", succeeds="bronze")], bonuses=[])
    history = History(VOLUME, after).given(enrol("P", "2012-04-02"), sale("D1", "P", "2012-06-30", "500.00"))
    assert history.advance("2012-07-01").names("P")[2:] == ["KickbackSettled", "ProgrammeEntered", "TierChanged"]


def test_a_late_sale_for_a_settled_quarter_settles_the_difference_at_once() -> None:
    """Posted on the clock, at the tier of that quarter's last day, with what was settled before."""
    history = History(VOLUME).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "600.00"),
        sale("D2", "P", "2012-05-01", "10.00"),
        sale("D3", "P", "2012-03-31", "500.00"),
    )
    assert history.lines("P") == [
        Posted("2012-04-01", "volume", "6.00", "EUR"),
        Posted("2012-05-01", "volume", "5.00", "EUR"),
    ]
    event = history.last(e.KickbackSettled, "P")
    assert (event.cause, event.cause_id, event.settled_on, event.posting_date) == (
        "sale",
        "D3",
        day("2012-03-31"),
        day("2012-05-01"),
    )
    assert history.tiers("P")[-1] == ("2012-05-01", "silver", "promotion")


def test_a_late_sale_may_bring_a_quarter_to_its_minimum() -> None:
    """Then the whole quarter is due, in each currency."""
    history = History(VOLUME).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "400.00", currency="CHF"),
        sale("D2", "P", "2012-05-01", "10.00"),
        sale("D3", "P", "2012-02-01", "300.00"),
    )
    assert history.lines("P") == [
        Posted("2012-05-01", "volume", "4.00", "CHF"),
        Posted("2012-05-01", "volume", "3.00", "EUR"),
    ]


def test_a_sale_on_the_day_its_quarter_is_settled_is_not_late_for_the_new_one() -> None:
    """The first day of the next quarter belongs to the next quarter."""
    history = History(VOLUME).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-04-01", "500.00"))
    assert history.advance("2012-06-30").lines("P") == []
    assert history.advance("2012-07-01").lines("P") == [Posted("2012-07-01", "volume", "5.00", "EUR")]


def test_a_reversal_for_a_settled_quarter_settles_the_difference_even_where_it_is_negative() -> None:
    """Below the minimum everything is taken back."""
    history = History(VOLUME).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "600.00"),
        reverse("R1", "D1", "2012-04-10", "50.00"),
        reverse("R2", "D1", "2012-04-11", "100.00"),
    )
    assert [line.amount for line in history.lines("P")] == ["6.00", "-0.50", "-5.50"]
    assert [event.cause for event in history.those(e.KickbackSettled, "P")] == ["time", "reversal", "reversal"]
    assert {side: str(amount) for side, amount in history.balances("P")["EUR"].items()} == {
        "accrued": "6.00",
        "clawed_back": "-6.00",
    }


def test_a_reversal_within_the_quarter_is_netted_before_it_is_settled() -> None:
    """No line for it, and a lower sum on the quarter's first day after."""
    history = History(VOLUME).given(
        enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "600.00"), reverse("R1", "D1", "2012-03-31", "50.00")
    )
    assert history.advance("2012-04-01").lines("P") == [Posted("2012-04-01", "volume", "5.50", "EUR")]


def test_a_difference_of_zero_is_no_event() -> None:
    """A late deal that leaves the quarter below its minimum settles nothing."""
    history = History(VOLUME).given(
        enrol("P", "2012-01-05"), sale("D0", "P", "2012-05-01", "1.00"), sale("D1", "P", "2012-02-01", "499.99")
    )
    assert history.names("P") == ["PartnerEnrolled", "SaleRecorded", "SaleRecorded"]


def test_the_sum_is_rounded_and_not_its_parts() -> None:
    """Three times 16.50 at 1 % are 0.50 together, and 0.17 each."""
    free = p.small(bonuses=[p.kickback("volume", bronze=100)])
    history = History(free).given(
        enrol("P", "2012-01-05"), *(sale(f"D{n}", "P", "2012-02-01", "16.50") for n in range(3))
    )
    assert [line.amount for line in history.advance("2012-04-01").lines("P")] == ["0.50"]


def test_sales_of_a_suspension_do_not_count_and_a_suspended_partner_is_settled() -> None:
    """What was earned before is paid."""
    history = History(VOLUME).given(
        enrol("P", "2012-01-05"),
        sale("D1", "P", "2012-02-01", "500.00"),
        suspend("P", "2012-03-01"),
        sale("D2", "P", "2012-03-02", "9000.00"),
    )
    assert history.advance("2012-07-01").lines("P") == [Posted("2012-04-01", "volume", "5.00", "EUR")]


def test_of_all_that_time_does_only_kickbacks_are_still_settled_after_an_end() -> None:
    """No review, no expiry, no transition; a late deal from before the end counts too."""
    history = History(VOLUME, p.small("next", "2013-01-01")).given(
        enrol("P", "2012-01-05", "silver"),
        sale("D1", "P", "2012-02-01", "500.00"),
        end("P", "2012-03-01"),
        sale("D2", "P", "2012-02-28", "100.00"),
    )
    history.advance("2015-01-01")
    assert history.names("P")[3:] == ["SaleRecorded", "KickbackSettled"]
    assert history.lines("P") == [Posted("2012-04-01", "volume", "12.00", "EUR")]


def test_a_deal_with_instant_and_kickback_schemes_earns_both() -> None:
    """Each at its own time."""
    both = p.small(bonuses=[p.instant("deal", rate_bp={"bronze": 100}), p.kickback("volume", bronze=50)])
    history = History(both).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "900.00"))
    assert history.advance("2012-04-01").lines("P") == [
        Posted("2012-02-01", "deal", "9.00", "EUR"),
        Posted("2012-04-01", "volume", "4.50", "EUR"),
    ]


def test_on_the_day_of_settlement_the_quarter_before_is_settled_already() -> None:
    """A deal or reversal of its last day that is told on the next one makes a difference, at once."""
    history = History(VOLUME).given(enrol("P", "2012-01-05"), sale("D1", "P", "2012-02-01", "500.00"))
    history.advance("2012-04-01")
    history.given(sale("D2", "P", "2012-03-31", "100.00"), reverse("R1", "D1", "2012-04-01", "50.00"))
    assert history.lines("P") == [
        Posted("2012-04-01", "volume", "5.00", "EUR"),
        Posted("2012-04-01", "volume", "1.00", "EUR"),
        Posted("2012-04-01", "volume", "-0.50", "EUR"),
    ]
