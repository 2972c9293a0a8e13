"""Membership: suspended, resumed, ended (rules.md, Loyalty)."""

import datetime as dt

from domain import events as e
from domain.decisions.desk import Desk
from domain.decisions.tiers import review, try_promotion
from domain.decisions.time import opened, review_fell_due
from domain.errors import Refused
from domain.facts import (
    ChangeMembership,
)
from domain.standing import Standing
from domain.terms import Programmes


def change_membership(
    standing: Standing, fact: ChangeMembership, programmes: Programmes, ledger_date: dt.date | None
) -> list[e.Event]:
    """Suspend, resume or end a membership, from the later of the date told and the clock.

    Raises:
        Refused: it is ended, suspended already, or not suspended.

    """
    programmes.required(fact.on)
    who = standing.partner_id
    if standing.ended_on is not None:
        raise Refused(
            f"The membership of {who} ended on {standing.ended_on}, finally; enrol it under a new partner_id."
        )
    if fact.change == "suspend" and standing.suspended_since is not None:
        raise Refused(f"{who} is suspended already, since {standing.suspended_since}.")
    if fact.change == "resume" and standing.suspended_since is None:
        raise Refused(f"{who} is not suspended on {fact.on}, so it cannot be resumed.")
    desk, clock = opened(standing, programmes, ledger_date, fact.on)
    if fact.change == "suspend":
        desk.emit(e.MembershipSuspended(on=fact.on, effective_on=clock, reason=fact.reason))
    elif fact.change == "resume":
        _resume(desk, fact, clock)
    else:
        desk.emit(
            e.MembershipEnded(
                on=fact.on,
                effective_on=clock,
                country=standing.country,
                tier=standing.tier,
                programme=standing.programme,
                reason=fact.reason,
            )
        )
    return desk.events


def _resume(desk: Desk, fact: ChangeMembership, clock: dt.date) -> None:
    """Resume; a review that fell into the suspension is held now, once, before promotion is tried."""
    since = desk.standing.suspended_since
    desk.emit(e.MembershipResumed(on=fact.on, effective_on=clock, reason=fact.reason))
    terms = desk.programmes.required(clock)
    if since is not None and review_fell_due(desk.programmes, since, clock):
        review(desk, terms, clock, by_fact=True)
    try_promotion(desk, terms, clock, by_fact=True)


def refuse_after_end(standing: Standing, on: dt.date) -> None:
    """Refuse a fact dated on or after the end of the membership; reversals and revocations do not ask.

    Raises:
        Refused: with the date of the end.

    """
    if standing.ended_on is not None and on >= standing.ended_on:
        raise Refused(
            f"The membership of {standing.partner_id} ended on {standing.ended_on}; nothing dated {on} is accepted"
            " but reversals and revocations."
        )
