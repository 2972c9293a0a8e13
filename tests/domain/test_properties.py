"""The rules as properties of random networks (see `networks`): what must hold whatever is told, in whatever order."""

import datetime as dt
import os
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain import events as e
from domain.aggregates import PartnerAggregate
from domain.calendar import ONE_DAY
from domain.facts import Fact, RecordSale, ReverseSale
from domain.money import currency_digits
from domain.snapshots import partner_from, snapshot_of
from domain.standing import Revenue, Standing, evolve
from domain.streams import partner_id_of, partner_stream
from tests.domain.history import History, Posting, enrol, fact_of, reverse, sale, train
from tests.domain.networks import AMOUNTS, LAST_DAY, PROGRAMMES, Network, networks

EXAMPLES = int(os.environ.get("PARTNER_LEDGER_TEST_EXAMPLES", "60"))
"""How many networks each property is tried on; the default is for CI, where they are the same ones every time."""

profile = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES <= 100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)
dates = st.dates(dt.date(2011, 7, 1), LAST_DAY)


def told(network: Network) -> History:
    """Tell all facts of a network, one by one; those refused are refused."""
    history = History(*PROGRAMMES)
    for fact in network.facts:
        history.tell(fact)
    return history


def all_events(history: History) -> dict[str, list[e.Event]]:
    return {partner: history.events(partner) for partner in history.partner_ids()}


def state(standing: Standing) -> dict[str, Any]:
    """All that a standing says, without the calendar's own notes of where it has looked."""
    notes = {"due", "due_under", "processed", "revenue", "quarters"}
    values = {name: getattr(standing, name) for name in Standing.__slots__ if name not in notes}
    values["revenue"] = (standing.revenue._days, standing.revenue._amounts)
    values["quarters"] = {first: (q.sales, q.settled) for first, q in standing.quarters.items()}
    return values


def clock_of(event: e.Event) -> dt.date:
    """The clock that an event was recorded at."""
    for name in ("clock", "effective_on", "posting_date", "reviewed_on", "enrolled_on"):
        if hasattr(event, name):
            date: dt.date = getattr(event, name)
            return date
    raise TypeError(type(event).__name__)


@profile
@given(networks(kinds="sssstrxmm"), st.randoms(use_true_random=False))
def test_the_recorded_order_of_facts_on_different_partners_does_not_matter(network: Network, random: Any) -> None:
    """Any interleaving that keeps each partner's own order gives each partner the same events (awards left out)."""
    rows = [fact.__dict__ for fact in network.facts]
    thing = [row.get("deal_id") or row.get("completion_id") or "" for row in rows]
    owner = {key: row["partner_id"] for key, row in zip(thing, rows, strict=True) if "partner_id" in row}
    by_partner: dict[str, list[Fact]] = {}
    for fact, row, key in zip(network.facts, rows, thing, strict=True):
        by_partner.setdefault(row.get("partner_id") or owner[key], []).append(fact)
    queues = {partner: list(facts) for partner, facts in by_partner.items()}
    shuffled = History(*PROGRAMMES)
    while queues:
        partner = random.choice(sorted(queues))
        shuffled.tell(queues[partner].pop(0))
        if not queues[partner]:
            del queues[partner]
    assert all_events(shuffled) == all_events(told(network))


@profile
@given(networks(kinds="sstmm", max_partners=1), st.lists(AMOUNTS, min_size=2, max_size=5), dates, st.data())
def test_the_order_of_sales_of_one_day_does_not_matter(
    network: Network, amounts: list[str], on: dt.date, data: st.DataObject
) -> None:
    """Deals of one day of one partner, told in any order, come to the same tier, specialisations and balances.

    Only how often the tier changed on that day, and over how many settlements a late difference is spread, may differ.
    """
    deals = [sale(f"X{n}", "P1", on.isoformat(), amount) for n, amount in enumerate(amounts)]
    one, other = told(network), told(network)
    for fact in deals:
        one.tell(fact)
    for fact in data.draw(st.permutations(deals)):
        other.tell(fact)
    for history in (one, other):
        history.advance(LAST_DAY)
    assert end_of_day_tiers(one) == end_of_day_tiers(other)
    assert one.specialisations("P1") == other.specialisations("P1")
    assert without_zeros(one.balances("P1")) == without_zeros(other.balances("P1"))


def end_of_day_tiers(history: History) -> dict[str, str]:
    return {on: tier for on, tier, _ in history.tiers("P1")}


def without_zeros(balances: dict[str, dict[str, Decimal]]) -> dict[str, dict[str, Decimal]]:
    return {currency: sums for currency, sums in balances.items() if any(sums.values())}


@profile
@given(networks())
def test_the_lines_of_a_deal_wholly_reversed_sum_to_zero(network: Network) -> None:
    """Whatever was reversed before, and whenever: once nothing is left of a deal, its instant lines come to nothing."""
    history = told(network)
    reversed_deals = [event for event in history.log if isinstance(event.event, e.SaleRecorded)]
    for recorded in reversed_deals:
        assert isinstance(recorded.event, e.SaleRecorded)
        deal_id, partner = recorded.event.deal_id, partner_id_of(recorded.originator_id) or ""
        outcome = history.tell(reverse(f"all-{deal_id}", deal_id, LAST_DAY.isoformat()))
        left = [event.net for event in history.those(e.SaleReversed, partner) if event.deal_id == deal_id]
        assert outcome.kind == "recorded" or left[-1] == 0, outcome
        sums: Counter[str] = Counter()
        for line in history.lines_of(partner, deal_id):
            sums[line.scheme] += line.amount  # type: ignore[assignment] # a Decimal counts as well
        assert not any(sums.values()), sums
    for partner in history.partner_ids():
        assert history.standing(partner).revenue.between(dt.date(2000, 1, 1), LAST_DAY) == 0
        for quarter in history.standing(partner).quarters.values():
            assert not any(net for net, _ in quarter.sales.values())
            assert not any(quarter.settled.values())


@profile
@given(networks(kinds="ssttaaaaarm", max_partners=5, max_facts=30))
def test_no_run_of_awards_exceeds_the_seats(network: Network) -> None:
    """Counted after every single event, in the streams of the partners and not on the roster, holders fit the seats."""
    history = told(network)
    country: dict[str, str] = {}
    holds: dict[str, str] = {}
    for recorded in history.log:
        event, partner = recorded.event, partner_id_of(recorded.originator_id) or ""
        if isinstance(event, e.PartnerEnrolled):
            country[partner] = event.country
        elif isinstance(event, e.TierChanged):
            holds[partner] = event.to_tier
        elif isinstance(event, e.MembershipEnded):
            holds.pop(partner, None)
        taken = Counter(country[p] for p, tier in holds.items() if tier == "platinum")
        assert taken["CH"] <= 1
        assert taken["DE"] <= 2
    for code in ("CH", "DE"):
        platinum = {p: tier for p, tier in holds.items() if country[p] == code and tier == "platinum"}
        assert history.holders(code) == platinum


@profile
@given(networks(), st.lists(dates, max_size=3))
def test_the_clock_never_runs_back(network: Network, days: list[dt.date]) -> None:
    """The clock and effective dates of a partner's events never decrease, nor does anything precede its own date."""
    history = told_with_advances(network, days)
    for partner in history.partner_ids():
        clocks = [clock_of(event) for event in history.events(partner)]
        assert clocks == sorted(clocks)
        assert history.standing(partner).clock == clocks[-1]
        assert all(clock_of(event) >= event.business_date for event in history.events(partner))


def told_with_advances(network: Network, days: list[dt.date]) -> History:
    """Tell a network with the ledger advanced in between, at even distances."""
    history = History(*PROGRAMMES)
    waiting = sorted(days)
    step = len(network.facts) // (len(days) + 1) + 1
    for n, fact in enumerate(network.facts, start=1):
        history.tell(fact)
        if n % step == 0 and waiting:
            history.advance(waiting.pop(0))
    return history


@profile
@given(networks(), st.lists(dates, max_size=2))
def test_lines_sum_to_balances(network: Network, days: list[dt.date]) -> None:
    """What is accrued and clawed back is, deal by deal and quarter by quarter, the formula on what is left now.

    Worked out from the sales and reversals recorded, with decimal's own rounding.
    """
    history = told_with_advances(network, days).advance(LAST_DAY)
    for partner in history.partner_ids():
        net: dict[str, tuple[e.SaleRecorded, Decimal]] = {}
        rates: dict[tuple[str, str], int] = {}
        settled: dict[tuple[dt.date, str, str], e.Line] = {}
        for event in history.events(partner):
            if isinstance(event, e.SaleRecorded):
                net[event.deal_id] = event, event.amount
            elif isinstance(event, e.SaleReversed):
                net[event.deal_id] = net[event.deal_id][0], net[event.deal_id][1] - event.amount
            elif isinstance(event, e.BonusAccrued):
                rates.update({(event.deal_id, line.scheme): line.rate_bp for line in event.lines})
            elif isinstance(event, e.KickbackSettled):
                settled.update({(event.quarter, line.scheme, line.currency): line for line in event.lines})
        due: Counter[str] = Counter()
        for (deal_id, _), rate_bp in rates.items():
            recorded, left = net[deal_id]
            due[recorded.currency] += times(left, rate_bp, recorded.currency)  # type: ignore[assignment]  # a Decimal counts as well
        for line in settled.values():
            due[line.currency] += times(line.basis, line.rate_bp, line.currency)  # type: ignore[assignment]  # a Decimal counts as well
        balances = history.balances(partner)
        assert {c: sums["accrued"] + sums["clawed_back"] for c, sums in balances.items()} == {
            currency: due[currency] for currency in balances
        }
        assert {currency for currency, amount in due.items() if amount} <= set(balances)


def times(amount: Decimal, rate_bp: int, currency: str) -> Decimal:
    return (amount * rate_bp / 10_000).quantize(Decimal(1).scaleb(-currency_digits(currency)), ROUND_HALF_UP)


@profile
@given(networks(), st.lists(dates, min_size=1, max_size=60))
def test_advancing_day_by_day_equals_advancing_at_once(network: Network, days: list[dt.date]) -> None:
    """However many advances lead to a date, each partner has the same events then, and decides the next fact alike."""
    assume(network.facts)
    at_once, by_steps = told(network).advance(LAST_DAY), told(network)
    for on in sorted(days):
        by_steps.advance(on)
    by_steps.advance(LAST_DAY)
    assert all_events(by_steps) == all_events(at_once)
    for partner in at_once.partner_ids():
        assert at_once.tell(_next(partner)) == by_steps.tell(_next(partner))
    assert all_events(by_steps) == all_events(at_once)


def _next(partner: str) -> Fact:
    return sale(f"next-{partner}", partner, LAST_DAY.isoformat(), "1500.00", "cloud")


def test_advancing_every_single_day_equals_advancing_at_once() -> None:
    """The daily run of two years comes to what one run over two years comes to."""
    facts = [
        enrol("P1", "2011-07-01"),
        sale("D1", "P1", "2011-07-01", "1600.00"),
        train("C1", "P1", "a", "CL-101", "2012-01-31"),
        sale("D2", "P1", "2011-12-31", "900.00", "cloud"),
    ]
    at_once, daily = History(*PROGRAMMES).given(*facts), History(*PROGRAMMES).given(*facts)
    at_once.advance(LAST_DAY)
    on = dt.date(2011, 7, 1)
    while on < LAST_DAY:
        on += ONE_DAY
        daily.advance(on)
    assert daily.events("P1") == at_once.events("P1")
    assert {"ReviewMissed", "ProgrammeEntered", "SpecialisationLapsed", "KickbackSettled"} <= set(daily.names("P1"))


@profile
@given(networks(in_order=True, kinds="sssstrxmma"))
def test_a_daily_advance_changes_nothing_for_facts_told_in_order(network: Network) -> None:
    """Where every fact is told on its day, it does not matter whether the ledger was advanced to that day before."""
    enrolments = [fact for fact in network.facts if fact.KIND == "partner"]
    others = [fact for fact in network.facts if fact.KIND != "partner"]
    undisturbed, daily = History(*PROGRAMMES), History(*PROGRAMMES)
    for fact in sorted(enrolments, key=lambda f: f.business_date) + others:
        undisturbed.tell(fact)
    for fact in sorted([*enrolments, *others], key=lambda f: f.business_date):
        daily.advance(fact.business_date)
        daily.tell(fact)
    assume(set(undisturbed.refusals) == set(daily.refusals))  # where a fact comes before its partner's enrolment
    assert all_events(daily.advance(LAST_DAY)) == all_events(undisturbed.advance(LAST_DAY))


@profile
@given(networks(), st.lists(st.integers(1, 6), min_size=1))
def test_any_split_of_an_import_gives_the_same_ledger(network: Network, sizes: list[int]) -> None:
    """Facts told in batches of any size, in the same order, give the same outcomes and the same events in the same order."""
    one_by_one, batches = History(*PROGRAMMES), History(*PROGRAMMES)
    facts = [*network.facts, *network.facts[::2]]  # some are told again
    outcomes = [one_by_one.tell(fact) for fact in facts]
    in_batches, at = [], 0
    while at < len(facts):
        size = sizes[at % len(sizes)]
        in_batches += batches.tell_together(facts[at : at + size])
        at += size
    assert in_batches == outcomes
    assert recorded(batches) == recorded(one_by_one)


def recorded(history: History) -> list[tuple[str, int, e.Event]]:
    return [(event.originator_id, event.originator_version, event.event) for event in history.log]


@profile
@given(networks(), st.lists(dates, max_size=3))
def test_decisions_made_again_from_the_facts_alone_equal_those_recorded(network: Network, days: list[dt.date]) -> None:
    """The recorded facts, read back from their events and told again in the recorded order, give the very same events."""
    first = told_with_advances(network, days)
    again = History(*PROGRAMMES, pseudonym_of=str)
    for entry in first.log:
        fact = fact_of(entry)
        if fact is not None:
            assert again.tell(fact).kind == "recorded"
        elif isinstance(entry.event, e.LedgerAdvanced):
            again.advance(entry.event.to)
    assert recorded(again) == recorded(first)


@profile
@given(networks(), st.lists(dates, max_size=2), networks(max_facts=3))
def test_a_standing_rebuilt_from_its_events_decides_the_next_fact_like_the_one_kept(
    network: Network, days: list[dt.date], more: Network
) -> None:
    """A standing folded from stored bytes, or from a snapshot of that, says and decides what the one that was kept does."""
    kept = told_with_advances(network, days)
    facts = [f for f in more.facts if not isinstance(f, ReverseSale)]
    renamed = [f.model_copy(update={"deal_id": f"{f.deal_id}-more"}) if isinstance(f, RecordSale) else f for f in facts]
    folded, from_snapshots = (told_with_advances(network, days) for _ in range(2))
    for partner in kept.partner_ids():
        standing = rebuilt(kept, partner)
        assert state(standing) == state(kept.standing(partner))
        assert state(through_snapshot(partner, standing)) == state(standing)
        put(folded, partner, standing)
        put(from_snapshots, partner, through_snapshot(partner, standing))
    outcomes = [kept.tell(fact) for fact in renamed]
    kept.advance(LAST_DAY)
    for history in (folded, from_snapshots):
        assert [history.tell(fact) for fact in renamed] == outcomes
        assert all_events(history.advance(LAST_DAY)) == all_events(kept)


def put(history: History, partner: str, standing: Standing) -> None:
    aggregate = history.partner(partner)
    assert aggregate is not None
    aggregate.standing = standing


def through_snapshot(partner: str, standing: Standing) -> Standing:
    aggregate = PartnerAggregate(partner_stream(partner))
    aggregate.standing, aggregate.seat, aggregate.version = standing, "unknown", 7
    again = partner_from(snapshot_of(aggregate))
    assert (again.id, again.version, again.snapshot_version) == (aggregate.id, 7, 7)
    assert again.seat == aggregate.seat_now()
    return again.standing


def rebuilt(history: History, partner: str) -> Standing:
    standing: Standing | None = None
    for event in history.stream(partner_stream(partner)):
        standing = evolve(standing, e.decode(type(event).__name__, event.SCHEMA_VERSION, e.encode(event)))
    assert standing is not None
    return standing


@profile
@given(networks(), st.lists(dates, max_size=2))
def test_a_refused_fact_changes_nothing_at_all(network: Network, days: list[dt.date]) -> None:
    """A ledger that refused facts goes on as one that was never told them."""
    first = told_with_advances(network, days)
    refused = History(*PROGRAMMES)
    spared = History(*PROGRAMMES)
    for fact in network.facts:
        if refused.tell(fact).kind == "recorded":
            assert spared.tell(fact).kind == "recorded"
    assert recorded(spared.advance(LAST_DAY)) == recorded(refused.advance(LAST_DAY))
    for partner in spared.partner_ids():
        assert state(spared.standing(partner)) == state(refused.standing(partner))
    assert set(first.partner_ids()) == set(spared.partner_ids())


@profile
@given(networks(), st.lists(dates, max_size=2))
def test_lines_are_never_zero_and_a_settlement_without_lines_is_no_event(network: Network, days: list[dt.date]) -> None:
    """A line of zero is no line, and every posting has one."""
    history = told_with_advances(network, days).advance(LAST_DAY)
    for partner in history.partner_ids():
        for event in history.events(partner):
            if isinstance(event, Posting):
                assert event.lines
                assert all(line.amount for line in event.lines)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(-50, 50), st.integers(0, 60), st.integers(0, 60)), max_size=40)
)
def test_a_window_that_is_moved_along_sums_what_it_holds(steps: list[tuple[int, int, int, int]]) -> None:
    """Amounts added in any order and windows asked for in any order give the sum of the days within."""
    start = dt.date(2012, 1, 1)
    revenue, by_day = Revenue(), [0] * 61
    for day, amount, one, other in steps:
        revenue.add(start + dt.timedelta(days=day), amount)
        by_day[day] += amount
        after, last = sorted((one, other))
        window = revenue.between(start + dt.timedelta(days=after), start + dt.timedelta(days=last))
        assert window == sum(by_day[after + 1 : last + 1])
