"""Programme versions for tests: the three of the worked case, and a small one with numbers that are easily reached."""

import datetime as dt
from typing import Any

from domain.programme import Programme


def tier(code: str, revenue: str = "0", specialisations: int = 0, **more: Any) -> dict[str, Any]:
    requires = {"revenue": revenue, "specialisations": specialisations}
    return {"code": code, "name": code.title(), "requires": requires, **more}


def specialisation(code: str, *courses: str, people: int, valid_months: int) -> dict[str, Any]:
    return {
        "code": code,
        "name": code.title(),
        "courses": list(courses),
        "people": people,
        "valid_months": valid_months,
    }


def instant(code: str, *, families: Any = "all", **more: Any) -> dict[str, Any]:
    return {"code": code, "kind": "instant", "families": families, **more}


def kickback(code: str, minimum: str = "0", *, families: Any = "all", **rate_bp: int) -> dict[str, Any]:
    return {"code": code, "kind": "kickback", "families": families, "minimum": minimum, "rate_bp": rate_bp}


def content(code: str = "small-2012", effective_from: str = "2012-01-01", **parts: Any) -> dict[str, Any]:
    """The content of a small programme, with some parts replaced."""
    return {
        "programme": code,
        "title": code.title(),
        "effective_from": dt.date.fromisoformat(effective_from),
        "base_currency": "EUR",
        "exchange_rates": {"EUR": "1", "CHF": "0.5", "JPY": "0.0095", "BHD": "2.0100"},
        "window_months": 12,
        "tiers": [
            tier("bronze"),
            tier("silver", "1000.00"),
            tier("gold", "2000.00", 1),
            tier("platinum", "3000.00", 1, awarded=True, seats={"CH": 1, "DE": 2}),
        ],
        "review": {"date": "06-30", "grace": 1, "protect_months": 3},
        "families": ["saas", "cloud", "virtualisation"],
        "specialisations": [
            specialisation("cloud", "CL-101", people=1, valid_months=12),
            specialisation("virtualisation", "VS-101", "VS-201", people=2, valid_months=6),
        ],
        "bonuses": [instant("deal", rate_bp={"bronze": 100, "silver": 200, "gold": 300, "platinum": 400})],
        **parts,
    }


def small(code: str = "small-2012", effective_from: str = "2012-01-01", **parts: Any) -> Programme:
    """A small programme with some parts replaced."""
    return Programme.model_validate(content(code, effective_from, **parts))


def simple_tiers(**revenue: str) -> list[dict[str, Any]]:
    """Automatic tiers by revenue alone, lowest first."""
    return [tier(code, required) for code, required in revenue.items()]


_FAMILIES = ["content-security", "endpoint-security", "virtualisation", "cloud", "saas"]
_SPECIALISATIONS = [
    specialisation("endpoint", "EP-101", "EP-201", people=2, valid_months=24),
    specialisation("virtualisation", "VS-101", "VS-201", people=2, valid_months=24),
    specialisation("cloud", "CL-101", people=2, valid_months=24),
]

AFFINITY_2006 = small(
    "affinity-2006",
    "2006-10-01",
    exchange_rates={"EUR": "1", "CHF": "0.6300"},
    tiers=simple_tiers(**{"affinity": "0", "affinity-plus": "60000.00", "affinity-one": "300000.00"}),
    review={"date": "01-15", "grace": 1, "protect_months": 12},
    families=_FAMILIES,
    specialisations=[],
    bonuses=[kickback("kickback", "2500.00", **{"affinity": 100, "affinity-plus": 200, "affinity-one": 350})],
)

PARTNER_2011 = small(
    "partner-2011",
    "2011-10-01",
    exchange_rates={"EUR": "1", "CHF": "0.8200"},
    tiers=[
        tier("bronze", succeeds="affinity"),
        tier("silver", "50000.00", succeeds="affinity-plus"),
        tier("gold", "250000.00", 1, succeeds="affinity-one"),
    ],
    review={"date": "01-15", "grace": 1, "protect_months": 12},
    families=_FAMILIES,
    specialisations=_SPECIALISATIONS,
    bonuses=[kickback("kickback", "2500.00", bronze=100, silver=200, gold=350)],
)

PARTNER_2012 = small(
    "partner-2012",
    "2012-01-01",
    exchange_rates={"EUR": "1", "CHF": "0.8200"},
    tiers=[
        tier("bronze", succeeds="bronze"),
        tier("silver", "50000.00", succeeds="silver"),
        tier("gold", "250000.00", 1, succeeds="gold"),
        tier("platinum", "750000.00", 2, awarded=True, seats={"CH": 5}),
    ],
    review={"date": "03-31", "grace": 1, "protect_months": 12},
    families=_FAMILIES,
    specialisations=_SPECIALISATIONS,
    bonuses=[
        instant("deal", rate_bp={"bronze": 150, "silver": 300, "gold": 500, "platinum": 650}),
        instant(
            "virtualisation",
            families=["virtualisation", "cloud"],
            specialisation="virtualisation",
            rate_bp={"bronze": 100, "silver": 200, "gold": 300, "platinum": 400},
        ),
        instant("loyalty", loyalty_bp={3: 25, 5: 50, 10: 100}),
    ],
)

THE_THREE = (AFFINITY_2006, PARTNER_2011, PARTNER_2012)
"""The programmes of the worked case."""
