"""Who the partners are, which tiers they held since when and why, and which specialisations they hold.

Rows are only ever added, each citing the position it follows from: what was in force on a date, as it was known at a
position, is the last row with `effective_on` and `position` up to them (rules.md, What is in force).
"""

import datetime as dt

from domain.events import PartnerEnrolled, SpecialisationAwarded, SpecialisationLapsed, TierChanged
from projections.row import Row


class PartnerRow(Row, frozen=True, array_like=True, gc=False):
    """A partner as enrolled. What changes later stands in the tier, specialisation and membership rows."""

    position: int
    partner: str
    name: str
    country: str
    currency: str
    enrolled_on: dt.date
    programme: str


class TierRow(Row, frozen=True, array_like=True, gc=False):
    """A tier from a date on. The first reason is `enrolled`, later ones are those of `TierChanged`."""

    position: int
    partner: str
    effective_on: dt.date
    tier: str
    reason: str
    by_fact: bool
    programme: str


class SpecialisationRow(Row, frozen=True, array_like=True, gc=False):
    """A specialisation held, or not held any more, from a date on."""

    position: int
    partner: str
    specialisation: str
    effective_on: dt.date
    held: bool
    by_fact: bool
    programme: str


def partner_row(position: int, partner: str, event: PartnerEnrolled) -> PartnerRow:
    """Give the row of a partner just enrolled."""
    return PartnerRow(
        position,
        partner,
        event.name,
        event.country,
        event.currency,
        event.enrolled_on,
        event.programme,
    )


def first_tier(position: int, partner: str, event: PartnerEnrolled) -> TierRow:
    """Give the tier of enrolment. It counts at the start of its own day already, so it is not `by_fact`."""
    return TierRow(
        position,
        partner,
        event.enrolled_on,
        event.tier,
        "enrolled",
        by_fact=False,
        programme=event.programme,
    )


def tier_change(position: int, partner: str, event: TierChanged) -> TierRow:
    """Give the tier that a change led to."""
    return TierRow(
        position,
        partner,
        event.effective_on,
        event.to_tier,
        event.reason,
        event.by_fact,
        event.programme,
    )


def specialisation_change(
    position: int, partner: str, event: SpecialisationAwarded | SpecialisationLapsed
) -> SpecialisationRow:
    """Give the row of a specialisation awarded or lapsed."""
    return SpecialisationRow(
        position,
        partner,
        event.specialisation,
        event.effective_on,
        isinstance(event, SpecialisationAwarded),
        event.by_fact,
        event.programme,
    )
