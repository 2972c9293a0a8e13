"""Random small networks: a few partners in two countries, three programmes, and facts that collide in a narrow time.

The programmes have the shape of the worked case's three (kickback and other tier names; specialisations; instant
bonuses and seats) with small numbers and half a year each, so that a few deals of a few hundred reach every rule.
"""

import datetime as dt
from dataclasses import dataclass

from hypothesis import strategies as st

from domain.facts import Fact
from domain.programme import Programme
from tests.domain import programmes as p
from tests.domain.history import award, day, end, enrol, resume, reverse, revoke, sale, suspend, train

PROGRAMMES: tuple[Programme, ...] = (
    p.small(
        "first",
        "2011-07-01",
        tiers=p.simple_tiers(**{"start": "0", "plus": "500.00", "one": "1500.00"}),
        review={"date": "10-15", "grace": 0, "protect_months": 2},
        specialisations=[],
        bonuses=[p.kickback("volume", "300.00", start=100, plus=200, one=350)],
        window_months=6,
    ),
    p.small(
        "second",
        "2012-01-01",
        tiers=[
            p.tier("bronze", succeeds="start"),
            p.tier("silver", "600.00", succeeds="plus"),
            p.tier("gold", "1500.00", 1),  # nothing succeeds `one`
        ],
        review={"date": "01-01", "grace": 1, "protect_months": 1},
        specialisations=[p.specialisation("cloud", "CL-101", people=1, valid_months=4)],
        bonuses=[
            p.kickback("volume", "250.00", bronze=100, silver=250, gold=400),
            p.instant("cloud", families=["cloud"], specialisation="cloud", rate_bp={"silver": 55, "gold": 111}),
        ],
        window_months=4,
    ),
    p.small(
        "third",
        "2012-07-01",
        tiers=[
            p.tier("bronze"),
            p.tier("silver", "500.00"),
            p.tier("gold", "1200.00", 1),
            p.tier("platinum", "1500.00", 1, awarded=True, seats={"CH": 1, "DE": 2}),
        ],
        review={"date": "09-30", "grace": 1, "protect_months": 1},
        specialisations=[
            p.specialisation("cloud", "CL-101", people=1, valid_months=6),
            p.specialisation("virtualisation", "VS-101", "VS-201", people=2, valid_months=6),
        ],
        bonuses=[
            p.instant("deal", rate_bp={"bronze": 155, "silver": 333, "gold": 555, "platinum": 777}),
            p.instant("cloud", families=["cloud"], specialisation="cloud", rate_bp={"gold": 111, "platinum": 222}),
            p.instant("loyalty", loyalty_bp={0: 15, 1: 35}),
            p.kickback("growth", "200.00", families=["saas"], bronze=50, silver=75, gold=100, platinum=125),
        ],
        window_months=6,
    ),
)

COUNTRIES = ("CH", "DE", "CH", "DE", "CH")
LAST_DAY = day("2013-04-15")

_AROUND = [
    day(text)
    for text in (
        "2011-07-01",
        "2011-09-30",
        "2011-10-15",
        "2011-12-31",
        "2012-03-31",
        "2012-06-30",
        "2012-09-30",
        "2012-12-31",
        "2013-03-31",
    )
]
DATES = st.builds(
    lambda around, days: max(around + dt.timedelta(days=days), _AROUND[0]), st.sampled_from(_AROUND), st.integers(-1, 2)
)
"""Dates on and around quarter starts, transitions and reviews, so that facts collide."""

AMOUNTS = st.one_of(
    st.sampled_from(["300.00", "500.00", "600.00", "1000.00", "1500.00", "2000.00"]),
    st.integers(1, 200_000).map(lambda minor: f"{minor // 100}.{minor % 100:02}"),
)
MONEY = st.one_of(
    st.tuples(AMOUNTS, st.sampled_from(["EUR", "EUR", "CHF"])),
    st.tuples(st.integers(1, 200_000).map(str), st.just("JPY")),
)
FAMILIES = st.sampled_from(["saas", "saas", "cloud", "virtualisation"])


@dataclass(frozen=True)
class Network:
    """Facts in the order told: enrolments first, then the rest in any order of dates."""

    facts: tuple[Fact, ...]

    def __repr__(self) -> str:
        return "\n".join(" ".join(str(v) for v in fact.__dict__.values()) for fact in self.facts)


@st.composite
def networks(
    draw: st.DrawFn,
    *,
    kinds: str = "sssstrxmma",
    max_partners: int = 4,
    max_facts: int = 14,
    in_order: bool | None = None,
) -> Network:
    """Draw a network. `kinds`: s sale, t training, x revocation, r reversal, m membership, a award; more letters, more of it."""
    partners = [f"P{n}" for n in range(1, draw(st.integers(1, max_partners)) + 1)]
    facts: list[Fact] = []
    for n, partner in enumerate(partners):
        on = draw(st.sampled_from(["2011-07-01", "2011-07-01", "2011-12-31", "2012-01-31", "2012-02-29"]))
        facts.append(enrol(partner, on, country=COUNTRIES[n]))
    drawn: list[Fact] = []
    deals: list[str] = []
    closed: dict[str, str] = {}
    completions: list[str] = []
    for n in range(draw(st.integers(1, max_facts))):
        kind = draw(st.sampled_from(kinds))
        partner, on = draw(st.sampled_from(partners)), draw(DATES).isoformat()
        if kind == "r" and deals:
            amount = draw(st.sampled_from(["", "", "100.00", "450.00"]))
            deal = draw(st.sampled_from(deals))
            closed_on = closed[deal] if draw(st.integers(0, 9)) else "2011-07-01"  # now and then before the deal
            drawn.append(reverse(f"R{n}", deal, max(on, closed_on), amount))
        elif kind == "x" and completions:
            drawn.append(revoke(draw(st.sampled_from(completions)), on))
        elif kind == "t":
            course = draw(st.sampled_from(["CL-101", "CL-101", "VS-101", "VS-201"]))
            completions.append(f"C{n}")
            drawn.append(train(f"C{n}", partner, f"{partner}-{draw(st.sampled_from('ab'))}", course, on))
        elif kind == "m":
            change = draw(st.sampled_from([suspend, suspend, resume, resume, end]))
            drawn.append(change(partner, on))
        elif kind == "a":
            drawn.append(award(partner, draw(st.sampled_from(["platinum", "platinum", "gold"])), on))
        else:
            amount, currency = draw(MONEY)
            deals.append(f"D{n}")
            closed[f"D{n}"] = on
            drawn.append(sale(f"D{n}", partner, on, amount, draw(FAMILIES), currency=currency))
    if draw(st.booleans()) if in_order is None else in_order:
        drawn.sort(key=lambda fact: fact.business_date)
    return Network((*facts, *drawn))
