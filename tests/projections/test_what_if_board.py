"""The few figures of a board's page: how gains and losses are spread, what ties out, which lines are shown."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from projections.what_if_board import BUCKETS, control_totals, key_figures, largest_lines, spread
from projections.what_if_lines import LineDifference, Posted
from tests.domain.history import History, award, enrol, sale, train
from tests.domain.networks import PROGRAMMES
from tests.projections import changed_programmes as change
from tests.projections.test_what_if_difference import compared

amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=2)


@given(st.lists(amounts, max_size=40))
def test_every_gain_and_loss_is_in_one_step(changes: list[Decimal]) -> None:
    """As many as there are, each within its step; steps join, from the largest gain to the largest loss."""
    buckets = spread(changes)
    assert sum(each.partners for each in buckets) == sum(1 for each in changes if each)
    for bucket in buckets:
        gain = bucket.up_to > 0
        low, high = abs(bucket.above), abs(bucket.up_to)
        assert low < high
        inside = [each for each in changes if each and (each > 0) is gain and low < abs(each) <= high]
        assert len(inside) == bucket.partners
    for gain in (True, False):
        side = [each for each in buckets if (each.up_to > 0) is gain]
        assert len(side) <= BUCKETS
        ends = [abs(each.up_to) for each in side]
        assert ends == sorted(ends, reverse=gain)
        if side:
            assert side[0 if gain else -1].partners, "no step beyond the largest"


def test_steps_are_those_that_people_count_in() -> None:
    """1, 2, 5, 10, …: empty ones between are there."""
    losses = [(0, -1, 0), (-1, -2, 0), (-2, -5, 0), (-5, -10, 1)]
    found = [(int(each.above), int(each.up_to), each.partners) for each in spread(map(Decimal, ("2.5", "40", "-7")))]
    assert found == [(20, 50, 1), (10, 20, 0), (5, 10, 0), (2, 5, 1), (1, 2, 0), (0, 1, 0), *losses]


def _history() -> History:
    history = History(*PROGRAMMES)
    history.given(*(enrol(partner, "2012-07-01") for partner in ("P1", "P2", "P3")))
    history.given(
        sale("D1", "P1", "2012-07-02", "2000.00"),
        train("C1", "P1", "person", "CL-101", "2012-07-03"),
        award("P1", "platinum", "2012-07-20"),
        sale("D2", "P2", "2012-07-21", "600.00", "cloud"),
        sale("D3", "P2", "2012-11-22", "1000.00"),
    )
    return history.advance("2012-12-31")


def test_all_control_totals_of_a_currency_are_the_same() -> None:
    """By five kinds of group and by the balances of partners, on both sides."""
    found = control_totals(compared(_history(), change.last_changed(PROGRAMMES, change.rates)))
    assert {each.summed_by for each in found} == {"scheme", "tier", "country", "family", "quarter", "partner"}
    for currency in {each.currency for each in found}:
        assert len({(each.then, each.now) for each in found if each.currency == currency}) == 1
    lines = {(each.lines_then, each.lines_now) for each in found if each.lines_then is not None}
    assert len(lines) == len({each.currency for each in found})
    assert all(each.now > each.then for each in found)


def test_key_figures_are_those_of_the_partners() -> None:
    """Who gains, who loses, who would hold another tier: counted one by one."""
    found = compared(_history(), change.last_changed(PROGRAMMES, change.no_seats))
    figures = key_figures(found)
    changes = [each.change for each in found.partners.values()]
    assert figures.losing == (sum(1 for c in changes if c < 0), sum(c for c in changes if c < 0))
    assert figures.gaining == (sum(1 for c in changes if c > 0), sum(c for c in changes if c > 0))
    assert (figures.higher, figures.lower) == (0, 1)
    assert figures.in_base == sum(changes)
    assert figures.unchanged == sum(1 for each in found.partners.values() if each.is_equal)


def test_lines_that_are_not_shown_are_summed() -> None:
    """The smallest differences come to one line a currency; nothing is lost."""
    lines = [
        LineDifference("accrual", f"D{n}", "2012-01-01", "deal", currency, None, Posted(Decimal(n), 1, "a"), "")
        for n, currency in enumerate(("EUR", "CHF", "EUR", "CHF", "EUR"), 1)
    ]
    shown, rest = largest_lines(lines, 2)
    assert [line.cause for line in shown] == ["D4", "D5"]
    assert [tuple(each) for each in rest] == [("CHF", 1, Decimal(2)), ("EUR", 2, Decimal(4))]
