"""What a partner lacks for the next tier, measured as decisions measure it (rules.md, Tiers)."""

import datetime as dt
from dataclasses import dataclass

from domain.decisions.specialisations import course_evidence
from domain.decisions.tiers import tier_evidence
from domain.events import CourseEvidence, TierEvidence
from domain.programme import Programmes
from domain.standing import Standing


@dataclass(frozen=True, slots=True)
class SpecialisationOutlook:
    """A specialisation not held, and for each of its courses the completions that count and the people required."""

    code: str
    courses: tuple[CourseEvidence, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """The next tier above the one held; `awarded`: it is given by the board once the requirements are met.

    `specialisations` are those not held, where more of them are required.
    """

    evidence: TierEvidence
    awarded: bool
    specialisations: tuple[SpecialisationOutlook, ...]


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
            SpecialisationOutlook(s.code, course_evidence(standing, s, on))
            for s in terms.specialisations
            if s.code not in standing.held
        )
    return Outlook(evidence, tier.awarded, lacking)
