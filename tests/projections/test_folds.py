"""The pure folds: given events, then rows."""

import datetime as dt
import itertools
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.sequencing import Received, receive
from domain.errors import IntegrityFault
from domain.events import Event, Line, ProgrammePublished
from domain.streams import LEDGER, PROGRAMMES, partner_stream, roster_stream
from projections.fold import Rows, fold
from projections.loyalty import membership
from projections.recorded import Recorded
from tests.projections import histories as a
from tests.projections.histories import History, day

P = "CH-0001"
STREAM = partner_stream(P)


class _Read:
    def __init__(self, offset: int, key: bytes, value: bytes) -> None:
        self.offset, self.key, self.value = offset, key, value


def read(history: History) -> list[Received]:
    return [receive("events", 0, _Read(i, told.key, told.value)) for i, told in enumerate(history.told)]


def recorded(history: History) -> list[Recorded]:
    records = [record.recorded for record in read(history)]
    assert all(record is not None for record in records), [r.fault for r in read(history)]
    return [record for record in records if record is not None]


def folded(*events: Event) -> Rows:
    return fold(recorded(History().tell(STREAM, *events)))


def test_an_enrolment_gives_a_partner_its_first_tier_and_the_start_of_its_membership() -> None:
    rows = folded(a.enrolled(P, "2012-01-15", country="CH"))
    assert [(r.partner, r.country, r.enrolled_on, r.position) for r in rows.partners] == [
        (P, "CH", day("2012-01-15"), 1)
    ]
    assert [(r.effective_on, r.tier, r.reason, r.by_fact) for r in rows.tiers] == [
        (day("2012-01-15"), "bronze", "enrolled", False)
    ]
    assert [(r.change, r.effective_on) for r in rows.memberships] == [("enrolled", day("2012-01-15"))]


def test_tier_changes_and_specialisations_cite_their_position_and_programme() -> None:
    rows = folded(
        a.enrolled(P, "2012-01-15"),
        a.tier_changed("silver", "2012-03-01"),
        a.awarded("virtualisation", "2012-03-02"),
        a.lapsed("virtualisation", "2013-03-02"),
    )
    assert [(r.tier, r.reason, r.position, r.programme) for r in rows.tiers[1:]] == [
        ("silver", "promotion", 2, "partner-2012")
    ]
    assert [(r.specialisation, r.held, r.effective_on, r.position) for r in rows.specialisations] == [
        ("virtualisation", True, day("2012-03-02"), 3),
        ("virtualisation", False, day("2013-03-02"), 4),
    ]


def test_loyalty_stands_still_while_suspended_and_after_the_end() -> None:
    """rules.md, Loyalty: a suspension lasts from its first day to the day before resumption; an end closes an open one."""
    rows = folded(
        a.enrolled(P, "2012-01-01"),
        a.suspended("2012-01-11"),
        a.resumed("2012-01-21"),
        a.suspended("2012-02-10"),
        a.ended("2012-02-20"),
    )
    whole = membership((r.change, r.effective_on) for r in rows.memberships)
    assert whole.loyalty_days(day("2012-01-05")) == 4
    assert whole.loyalty_days(day("2012-01-31")) == 30 - 10
    assert whole.loyalty_days(day("2015-01-31")) == 50 - 10 - 10
    assert whole.ended_on == day("2012-02-20")


@pytest.mark.parametrize("changes", [[], ["suspended"], ["enrolled", "resumed"], ["enrolled", "ended", "ended"]])
def test_a_membership_that_contradicts_itself_is_refused(changes: list[str]) -> None:
    with pytest.raises(IntegrityFault):
        membership((change, day("2012-01-01")) for change in changes)  # type: ignore[misc]  # the change is one of the literals


def test_lines_have_their_category_id_and_cause() -> None:
    """rules.md, Balances: caused by sales and settlements is accrued, caused by reversals is clawed back."""
    rows = folded(
        a.accrued("D1", "2012-02-01", a.line("instant", "10.00"), a.line("loyalty", "1.25")),
        a.clawed_back("R1", "D1", "2012-02-03", a.line("instant", "-4.00")),
        a.settled("2012-01-01", "2012-04-01", "time", a.line("kickback", "7.00")),
        a.settled("2012-01-01", "2012-04-09", "sale", a.line("kickback", "-2.00")),
        a.settled("2012-01-01", "2012-04-10", "reversal", a.line("kickback", "-1.00")),
    )
    assert [(r.line_id, r.category, r.cause, r.kind) for r in rows.lines] == [
        ("L1-1", "accrued", "D1", "BonusAccrued"),
        ("L1-2", "accrued", "D1", "BonusAccrued"),
        ("L2-1", "clawed_back", "R1", "BonusClawedBack"),
        ("L3-1", "accrued", None, "KickbackSettled"),
        ("L4-1", "accrued", "sale-1", "KickbackSettled"),
        ("L5-1", "clawed_back", "reversal-1", "KickbackSettled"),
    ]
    assert [(b.posting_month, b.accrued, b.clawed_back, b.lines) for b in rows.balances] == [
        (day("2012-02-01"), Decimal("11.25"), Decimal("-4.00"), 3),
        (day("2012-04-01"), Decimal("5.00"), Decimal("-1.00"), 3),
    ]


def test_a_sale_and_its_reversal_are_rows_of_their_own() -> None:
    rows = folded(a.sale("D1", "2012-02-01", "100.00"), a.reversal("R1", "D1", "2012-02-05", "30.00", "70.00"))
    assert [(s.deal_id, s.partner, s.amount, s.source_ref) for s in rows.sales] == [
        ("D1", P, Decimal("100.00"), "order-D1")
    ]
    assert [(r.reversal_id, r.deal_id, r.amount, r.net) for r in rows.reversals] == [
        ("R1", "D1", Decimal("30.00"), Decimal("70.00"))
    ]


def test_every_event_is_in_the_audit_trail_with_its_place_and_hash() -> None:
    history = History().tell(STREAM, a.enrolled(P, "2012-01-15")).tell(roster_stream("CH"), a.enrolled(P, "2012-01-15"))
    events = recorded(
        History().tell(PROGRAMMES, ProgrammePublished(programme="p", effective_from=day("2012-01-01"), content={}))
    )
    (row,) = fold(events).audit
    assert (row.position, row.stream, row.type, row.programme, row.offset) == (
        1,
        PROGRAMMES,
        "ProgrammePublished",
        "p",
        0,
    )
    assert row.leaf_hash == "\\x" + events[0].leaf_hash.hex()
    with pytest.raises(IntegrityFault, match="not a partner's"):
        fold(recorded(history))


def test_only_partners_events_move_the_latest_business_date() -> None:
    from domain.events import LedgerAdvanced, SeatTaken

    history = History().tell(STREAM, a.enrolled(P, "2012-01-15"))
    history.tell(LEDGER, LedgerAdvanced(to=day("2012-06-01")))
    history.tell(roster_stream("CH"), SeatTaken(partner_id=P, tier="platinum", effective_on=day("2012-05-01")))
    (progress,) = fold(recorded(history)).progress.values()
    assert (progress.latest_business_date, progress.ledger_date) == (day("2012-01-15"), day("2012-06-01"))
    assert (progress.applied, progress.last_position) == (3, 3)


@pytest.mark.parametrize("amount", ["0.00", "NaN", "Infinity"])
def test_a_line_of_nothing_or_of_no_number_is_refused(amount: str) -> None:
    with pytest.raises(IntegrityFault, match="has a line of"):
        folded(a.accrued("D1", "2012-02-01", a.line("instant", amount)))


# --- properties ---------------------------------------------------------------------------------------------------------

amounts = st.integers(-10_000, 10_000).filter(bool).map(lambda minor: Decimal(minor).scaleb(-2))
lines = st.builds(
    lambda scheme, amount, currency: Line(
        scheme=scheme, amount=amount, currency=currency, basis=amount, rate_bp=100, before=Decimal(0), tier="t"
    ),
    st.sampled_from(["instant", "loyalty"]),
    amounts,
    st.sampled_from(["CHF", "EUR"]),
)
dates = st.dates(dt.date(2012, 1, 1), dt.date(2012, 1, 5)).map(dt.date.isoformat)
bonus_events = st.one_of(
    st.builds(lambda on, ls: a.accrued("D", on, *ls), dates, st.lists(lines, max_size=3)),
    st.builds(lambda on, ls: a.clawed_back("R", "D", on, *ls), dates, st.lists(lines, max_size=3)),
    st.builds(
        lambda on, cause, ls: a.settled("2012-01-01", on, cause, *ls),
        dates,
        st.sampled_from(["time", "reversal"]),
        st.lists(lines, max_size=3),
    ),
    st.builds(lambda on: a.sale("D", on, "10.00"), dates),
    st.builds(lambda on: a.tier_changed("silver", on), dates),
)
told = st.lists(st.tuples(st.sampled_from(["A", "B"]), bonus_events), max_size=12)


def history_of(events: Sequence[tuple[str, Event]]) -> History:
    history = History()
    for partner, event in events:
        history.tell(partner_stream(partner), event)
    return history


@given(told)
def test_lines_sum_to_balances(events: Sequence[tuple[str, Event]]) -> None:
    rows = fold(recorded(history_of(events)))
    told_lines = [(partner, ln) for partner, event in events for ln in getattr(event, "lines", ())]
    assert len(told_lines) == len(rows.lines) == sum(b.lines for b in rows.balances)
    for key in {(b.partner, b.currency) for b in rows.balances} | {(p, ln.currency) for p, ln in told_lines}:
        told_sum = sum((ln.amount for partner, ln in told_lines if (partner, ln.currency) == key), Decimal(0))
        balance = sum((b.accrued + b.clawed_back for b in rows.balances if (b.partner, b.currency) == key), Decimal(0))
        assert told_sum == balance


@given(told, st.lists(st.integers(0, 12), max_size=4))
def test_any_split_into_batches_gives_the_same_rows(events: Sequence[tuple[str, Event]], cuts: list[int]) -> None:
    records = recorded(history_of(events))
    whole = fold(records)
    parts = Rows()
    edges = [0, *sorted(cuts), len(records)]
    for start, end in itertools.pairwise(edges):
        part = fold(records[start:end])
        for name in (
            "partners",
            "tiers",
            "specialisations",
            "memberships",
            "sales",
            "reversals",
            "lines",
            "audit",
        ):
            getattr(parts, name).extend(getattr(part, name))
        parts.balances += part.balances
    assert summed(parts) == summed(whole)
    for name in ("tiers", "sales", "lines", "audit"):
        assert getattr(parts, name) == getattr(whole, name)


def summed(rows: Rows) -> dict[tuple[str, str, dt.date], tuple[Decimal, ...]]:
    sums: dict[tuple[str, str, dt.date], tuple[Decimal, ...]] = {}
    for b in rows.balances:
        key = (b.partner, b.currency, b.posting_month)
        before = sums.get(key, (Decimal(0), Decimal(0), Decimal(0), Decimal(0)))
        sums[key] = (before[0] + b.accrued, before[1] + b.clawed_back, before[2] + b.paid, before[3] + b.lines)
    return sums
