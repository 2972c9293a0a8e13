"""Sweeps: how values are told, the grid of their points, and that what is kept of a point is what a what-if says."""

from decimal import Decimal

import pytest

from domain.errors import InvalidInput
from projections.sweep import MAX_POINTS, Setting, as_set, grid, setting, sums_alone
from projections.what_if import fold_piece
from projections.what_if_result import fold_here
from projections.what_if_rules import Rules, ledgers_own, with_candidates
from projections.what_if_tally import Totals
from tests.domain.history import History, enrol, sale, suspend
from tests.domain.networks import LAST_DAY, PROGRAMMES
from tests.projections.recorded_facts import facts_of

VERSION = PROGRAMMES[-1]


def numbers(*values: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(value) for value in values)


@pytest.mark.parametrize(
    ("told", "values"),
    [
        ("silver.revenue=40000", numbers("40000")),
        ("silver.revenue=40000..50000/5000", numbers("40000", "45000", "50000")),
        ("silver.revenue=0..10/4", numbers("0", "4", "8")),
        ("silver.revenue=1,7..9/1,30", numbers("1", "7", "8", "9", "30")),
        ("silver.revenue=0.80..0.82/0.01", numbers("0.80", "0.81", "0.82")),
    ],
)
def test_values_are_numbers_and_ranges(told: str, values: tuple[Decimal, ...]) -> None:
    """Both ends of a range count, where a step meets them."""
    assert setting(told) == Setting("silver.revenue", values)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("silver.revenue", "write PATH=VALUES"),
        ("=3", "write PATH=VALUES"),
        ("silver.revenue=", "write PATH=VALUES"),
        ("silver.revenue=1..5", "has no step; write 1..5/STEP"),
        ("silver.revenue=5..1/1", "leads nowhere"),
        ("silver.revenue=1..5/0", "leads nowhere"),
        ("silver.revenue=1,x", "'x' in 'silver.revenue=1,x' is no number"),
        ("silver.revenue=-1", "is no number of a programme"),
        ("silver.revenue=NaN", "is no number of a programme"),
        ("silver.revenue=1e99", "is no number of a programme"),
        ("silver.revenue=1,1", "names a value twice"),
        ("silver.revenue=50,000", "write 50000 for 50,000"),
        ("silver.revenue=1..1000000000000/0.0001", "at most are rehearsed at once"),
    ],
)
def test_what_is_no_value_is_refused(told: str, why: str) -> None:
    """In a sentence that says what to write; a range without end is not written out first."""
    with pytest.raises(InvalidInput) as refused:
        setting(told)
    assert why in str(refused.value)


def test_the_grid_has_each_value_with_each_other() -> None:
    """The last one varies fastest; a point that no programme can be is left out with the reason."""
    first, second = VERSION.tiers[1].code, VERSION.tiers[2].code
    points, impossible = grid(VERSION, [setting(f"{first}.revenue=100,900"), setting(f"{second}.revenue=500,1000")])
    wanted = [("100", "500"), ("100", "1000"), ("900", "1000")]
    assert [tuple(map(str, point.values.values())) for point in points] == wanted
    for point in points:
        revenues = [tier.requires.revenue for tier in point.programme.tiers[1:3]]
        assert [Decimal(revenue) for revenue in revenues] == list(point.values.values())
    (left_out,) = impossible
    assert as_set(left_out.values) == f"{first}.revenue=900 {second}.revenue=500"
    assert "requires less than" in left_out.why


def test_a_grid_has_bounds_and_at_least_one_point() -> None:
    """Too many points, a parameter set twice, nothing that can be: each a sentence."""
    tier = VERSION.tiers[1].code
    many = setting(f"{tier}.revenue=1..{MAX_POINTS}/1")
    with pytest.raises(InvalidInput, match=rf"{2 * MAX_POINTS} points; {MAX_POINTS} at most"):
        grid(VERSION, [many, setting("window_months=1,2")])
    with pytest.raises(InvalidInput, match="is set twice"):
        grid(VERSION, [setting("window_months=1"), setting("window_months=2")])
    with pytest.raises(InvalidInput, match=r"No programme can have these values. window_months=0: "):
        grid(VERSION, [setting("window_months=0")])


def test_what_is_kept_of_a_point_is_what_a_what_if_says() -> None:
    """Counts, and bonuses by scheme, both with and without all that is left out."""
    history = History(*PROGRAMMES)
    history.given(*(enrol(partner, "2012-07-01") for partner in ("P1", "P2", "P3")))
    history.given(
        sale("D1", "P1", "2012-07-02", "2000.00"),
        sale("D2", "P2", "2012-07-21", "600.00", "cloud"),
        sale("D3", "P3", "2012-07-22", "10.00"),
        suspend("P3", "2012-08-15"),
    )
    history.advance("2012-12-31")
    facts = facts_of(history, pieces=1)
    own = ledgers_own(facts.ledgers_own())
    points, _ = grid(VERSION, [setting(f"{VERSION.tiers[1].code}.revenue=100..1100/500")])
    sets = [Rules(own, with_candidates(own.published, [point.programme]), LAST_DAY) for point in points]
    (piece,) = facts.pieces()
    folded = fold_piece(facts.facts(piece), sets).folded
    results = fold_here(facts, sets).results()
    assert len({tuple(sorted(each.counts.holders.items())) for each in results}) > 1, "the points differ"
    for whole, result in zip(folded, results, strict=True):
        kept = sums_alone(whole)
        assert kept.outcomes == []
        assert len(kept.cells) < len(whole.cells)
        assert Totals(kept.cells).by("scheme") == result.totals.by("scheme")
        held = [each.standing.held_tier for each in result.outcomes.values() if each.standing is not None]
        assert kept.counts.holders == {tier: held.count(tier) for tier in held}
        assert (kept.counts.partners, kept.counts.refused) == (3, len(result.refused))
