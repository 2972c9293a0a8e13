"""Awards by the board: decided once all holders in the country are up to date (rules.md, Award)."""

import datetime as dt

from domain import events as e
from domain.decisions.desk import Desk
from domain.decisions.tiers import award, awarded_tier, check_award
from domain.decisions.time import opened
from domain.errors import Refused
from domain.facts import (
    AwardTier,
)
from domain.standing import Standing
from domain.terms import Programmes, Terms


def begin_award(
    standing: Standing, fact: AwardTier, programmes: Programmes, ledger_date: dt.date | None
) -> tuple[Desk, Terms, dt.date]:
    """Decide what is due before an award; give the desk, the programme and the date from which the award would count.

    It changes the standing before the award is judged: pass a copy. Finish with `award_tier`.

    Raises:
        Refused: the membership has ended, or the programme does not award such a tier.

    """
    programmes.required(fact.awarded_on)
    if standing.ended_on is not None:
        raise Refused(f"The membership of {standing.partner_id} ended on {standing.ended_on}: it is awarded nothing.")
    desk, clock = opened(standing, programmes, ledger_date, fact.awarded_on)
    terms = programmes.required(clock)
    awarded_tier(terms, fact.tier)
    return desk, terms, clock


def award_tier(desk: Desk, terms: Terms, fact: AwardTier, on: dt.date, holders: list[str]) -> list[e.Event]:
    """Award a tier, once what all holders in the country owe was decided; `holders` hold this very tier there.

    Raises:
        Refused: held already, suspended, requirements not met, or no seat free, with the figures.

    """
    tier = check_award(desk.standing, terms, fact.tier, on, holders)
    desk.emit(
        e.TierAwarded(
            tier=tier.code,
            awarded_on=fact.awarded_on,
            effective_on=on,
            awarded_by=fact.awarded_by,
            reason=fact.reason,
        )
    )
    award(desk, terms, tier, on)
    return desk.events
