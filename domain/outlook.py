"""What a partner lacks for the next tier, measured as decisions measure it (rules.md, Tiers)."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from domain.calendar import ONE_DAY, add_months
from domain.decisions.desk import window_after
from domain.decisions.specialisations import course_evidence
from domain.decisions.tiers import tier_evidence
from domain.events import CourseEvidence, TierEvidence
from domain.standing import Standing
from domain.terms import Programmes, Terms


@dataclass(frozen=True, slots=True)
class SpecialisationOutlook:
    """A specialisation not held, and for each of its courses the completions that count and the people required."""

    code: str
    courses: tuple[CourseEvidence, ...]

    @property
    def missing_people(self) -> dict[str, int]:
        """By course, how many more people are needed."""
        return {c.course: n for c in self.courses if (n := c.required_people - len(c.completions)) > 0}


@dataclass(frozen=True, slots=True)
class Outlook:
    """The next tier above the one held; `awarded`: it is given by the board once the requirements are met.

    `counts_until` is the last day on which all revenue of today's window still counts: by then what is missing must come.
    `specialisations` are those not held, the nearest first, where more of them are required.
    """

    evidence: TierEvidence
    awarded: bool
    counts_until: dt.date
    specialisations: tuple[SpecialisationOutlook, ...]

    @property
    def missing_revenue(self) -> Decimal:
        """What is missing of the revenue required, in the base currency."""
        short = self.evidence.required_revenue - self.evidence.revenue
        return max(short, short * 0)


def next_tier(standing: Standing, programmes: Programmes, on: dt.date) -> Outlook | None:
    """Give what is measured for the next tier on a date; None for the highest tier and for ended partners."""
    terms = programmes.in_force(on)
    if terms is None or standing.ended_on is not None or standing.tier not in terms.tier_by_code:
        return None
    rank = terms.tier_by_code[standing.tier].rank + 1
    if rank >= len(terms.tiers):
        return None
    tier = terms.tiers[rank]
    evidence = tier_evidence(standing, terms, tier, on)
    lacking: tuple[SpecialisationOutlook, ...] = ()
    if len(evidence.specialisations) < evidence.required_specialisations:
        lacking = tuple(
            sorted(
                (
                    SpecialisationOutlook(s.code, course_evidence(standing, s, on))
                    for s in terms.specialisations
                    if s.code not in standing.held
                ),
                key=lambda outlook: (sum(outlook.missing_people.values()), outlook.code),
            )
        )
    return Outlook(evidence, tier.awarded, _counts_until(standing, terms, on), lacking)


def _counts_until(standing: Standing, terms: Terms, on: dt.date) -> dt.date:
    """Give the last day whose window still holds all revenue of the window that ends on a date."""
    oldest = standing.revenue.first_day_after(window_after(terms, on)) or on
    until = max(on, add_months(oldest, terms.window_months))
    while until > on and window_after(terms, until) >= oldest:
        until -= ONE_DAY
    return until
