"""Tiers: promotion, withdrawal, transition, review and award, each with its evidence (rules.md, Tiers)."""

import datetime as dt

from domain import events as e
from domain.calendar import add_months
from domain.decisions.desk import Desk, window_after
from domain.decisions.specialisations import look_at_specialisations
from domain.errors import Refused
from domain.money import format_amount, to_amount
from domain.standing import Promotion, Standing
from domain.terms import Terms, TierTerms


def is_met(standing: Standing, terms: Terms, tier: TierTerms, on: dt.date) -> bool:
    """Tell whether a tier's requirements are met on a date, with the specialisations held now."""
    return len(standing.held) >= tier.specialisations and (
        tier.revenue == 0 or standing.revenue.between(window_after(terms, on), on) >= tier.revenue
    )


def highest_met(standing: Standing, terms: Terms, on: dt.date) -> TierTerms:
    """Give the highest automatic tier whose requirements are met on a date; the lowest tier requires nothing."""
    for tier in reversed(terms.automatic):
        if is_met(standing, terms, tier, on):
            return tier
    return terms.lowest


def tier_evidence(standing: Standing, terms: Terms, tier: TierTerms, on: dt.date) -> e.TierEvidence:
    """Measure a tier's requirements on a date."""
    after = window_after(terms, on)
    return e.TierEvidence(
        tier=tier.code,
        required_revenue=to_amount(tier.revenue, terms.base_digits),
        required_specialisations=tier.specialisations,
        revenue=to_amount(standing.revenue.between(after, on), terms.base_digits),
        base_currency=terms.base_currency,
        window_first_day=after + dt.timedelta(days=1),
        window_last_day=on,
        specialisations=tuple(sorted(standing.held)),
        met=is_met(standing, terms, tier, on),
    )


def try_promotion(desk: Desk, terms: Terms, on: dt.date, *, by_fact: bool) -> None:
    """Promote to the highest automatic tier whose requirements are met, if it outranks the tier held."""
    standing = desk.standing
    if standing.suspended_since is not None or standing.ended_on is not None:
        return
    reached = None
    for tier in terms.automatic_above[standing.tier]:
        if not is_met(standing, terms, tier, on):
            break  # and so is none above: no automatic tier requires less than the one below it
        reached = tier
    if reached is not None:
        _change(desk, terms, reached, on, "promotion", by_fact=by_fact)


def _change(desk: Desk, terms: Terms, tier: TierTerms, on: dt.date, reason: e.TierReason, *, by_fact: bool) -> None:
    """Record a change to a tier, with that tier's requirements as evidence."""
    standing = desk.standing
    desk.emit(
        e.TierChanged(
            country=standing.country,
            from_tier=standing.tier,
            to_tier=tier.code,
            to_awarded=tier.awarded,
            reason=reason,
            effective_on=on,
            by_fact=by_fact,
            programme=terms.code,
            evidence=tier_evidence(standing, terms, tier, on),
            rests_on_evidence=reason == "promotion",
        )
    )


def withdraw(desk: Desk, terms: Terms, on: dt.date) -> dt.date | None:
    """Take back the promotions that rested on revenue which a reversal took (rules.md, Withdrawal).

    Returns:
        The date of the earliest promotion withdrawn, from which kickbacks count the tier fallen to; None if none was.

    """
    standing = desk.standing
    if standing.ended_on is not None or not standing.promotions:
        return None
    met_now = highest_met(standing, terms, on)
    reached, withdrawn = standing.tier, 0
    first_fallen: Promotion | None = None
    for promotion in reversed(standing.promotions):
        still_earned = standing.revenue.between(promotion.window_after, promotion.window_last) >= promotion.required
        if still_earned or met_now.rank >= terms.tier_by_code[reached].rank:
            break
        first_fallen = first_fallen or promotion
        reached, withdrawn = promotion.tier_before, withdrawn + 1
    if first_fallen is None:
        return None
    earliest = standing.promotions[-withdrawn]
    rises = met_now.rank > terms.tier_by_code[reached].rank
    final = met_now if rises else terms.tier_by_code[reached]
    evidence = tier_evidence(standing, terms, final, on) if rises else _fallen_evidence(standing, terms, first_fallen)
    desk.emit(
        e.TierChanged(
            country=standing.country,
            from_tier=standing.tier,
            to_tier=final.code,
            to_awarded=final.awarded,
            reason="withdrawal",
            effective_on=on,
            by_fact=True,
            programme=terms.code,
            evidence=evidence,
            rests_on_evidence=rises,
            withdrawn=withdrawn,
            counts_from=earliest.effective_on,
            reached_tier=reached,
        )
    )
    return earliest.effective_on


def _fallen_evidence(standing: Standing, terms: Terms, promotion: Promotion) -> e.TierEvidence:
    """Measure what is left of the revenue that a promotion rested on."""
    left = standing.revenue.between(promotion.window_after, promotion.window_last)
    return e.TierEvidence(
        tier=standing.tier,
        required_revenue=to_amount(promotion.required, terms.base_digits),
        required_specialisations=0,
        revenue=to_amount(left, terms.base_digits),
        base_currency=terms.base_currency,
        window_first_day=promotion.window_after + dt.timedelta(days=1),
        window_last_day=promotion.window_last,
        specialisations=(),
        met=False,
    )


def transition(desk: Desk, terms: Terms) -> None:
    """Enter a programme version on its first day: specialisations, migration, promotion (rules.md, Transition)."""
    standing = desk.standing
    on = terms.effective_from
    successor = terms.successor_of(standing.tier)
    led_back_to = {promotion.tier_before for promotion in standing.promotions}
    renamed = {tier: terms.successor_of(tier) or terms.lowest.code for tier in sorted(led_back_to)}
    desk.emit(
        e.ProgrammeEntered(
            programme=terms.code,
            previous=standing.programme,
            effective_on=on,
            awarded=successor == standing.tier and terms.tier_by_code[successor].awarded,
            renamed={before: after for before, after in renamed.items() if before != after},
        )
    )
    look_at_specialisations(desk, terms, on, by_fact=False)
    if successor is not None:
        tier = terms.tier_by_code[successor]
    elif standing.suspended_since is not None:
        tier = terms.lowest
    else:
        tier = highest_met(standing, terms, on)
    if tier.code != standing.tier:
        _change(desk, terms, tier, on, "migration", by_fact=False)
    try_promotion(desk, terms, on, by_fact=False)


def review(desk: Desk, terms: Terms, on: dt.date, *, by_fact: bool) -> None:
    """Hold a review: passed over, passed, missed, or missed once too often (rules.md, Review)."""
    standing = desk.standing
    tier = terms.tier_by_code[standing.tier]
    if tier.rank == 0 or add_months(standing.protected_from, terms.protect_months) > on:
        return
    evidence = tier_evidence(standing, terms, tier, on)
    if evidence.met:
        desk.emit(
            e.ReviewPassed(reviewed_on=on, tier=tier.code, programme=terms.code, evidence=evidence, by_fact=by_fact)
        )
        return
    missed = standing.missed + 1
    desk.emit(
        e.ReviewMissed(
            reviewed_on=on,
            tier=tier.code,
            missed=missed,
            grace=terms.grace,
            programme=terms.code,
            evidence=evidence,
            by_fact=by_fact,
        )
    )
    if missed > terms.grace:
        _change(desk, terms, highest_met(standing, terms, on), on, "demotion", by_fact=by_fact)


def award(desk: Desk, terms: Terms, tier: TierTerms, on: dt.date) -> None:
    """Record the board's award as a tier change; `check_award` has been asked before."""
    _change(desk, terms, tier, on, "award", by_fact=True)


def check_award(standing: Standing, terms: Terms, tier_code: str, on: dt.date, holders: list[str]) -> TierTerms:
    """Check that the board may award a tier on a date (rules.md, Award); `holders` are those in the partner's country.

    Raises:
        Refused: with the figures that decided it.

    """
    tier = awarded_tier(terms, tier_code)
    if standing.tier == tier.code:
        since = standing.tier_changes[-1].effective_on
        raise Refused(f"{standing.partner_id} holds {tier.code} already, since {since}.")
    if standing.suspended_since is not None:
        raise Refused(f"{standing.partner_id} is suspended since {standing.suspended_since}: resume it first.")
    evidence = tier_evidence(standing, terms, tier, on)
    if not evidence.met:
        raise Refused(f"{standing.partner_id} does not meet what {tier.code} requires on {on}: {missing(evidence)}.")
    seats = tier.seats.get(standing.country)
    if seats is not None and len(holders) >= seats:
        names = ", ".join(sorted(holders)) or "nobody"
        raise Refused(
            f"No seat is free for {tier.code} in {standing.country} on {on}: {seats} in all, held by {names}."
        )
    return tier


def awarded_tier(terms: Terms, tier_code: str) -> TierTerms:
    """Give the awarded tier of a code.

    Raises:
        Refused: there is no such tier, or it is not awarded.

    """
    tier = terms.tier_by_code.get(tier_code)
    if tier is None:
        raise Refused(
            f"Programme {terms.code!r} has no tier {tier_code!r}; its tiers are {', '.join(terms.tier_by_code)}."
        )
    if not tier.awarded:
        raise Refused(f"Tier {tier_code!r} of programme {terms.code!r} is reached by its requirements, not awarded.")
    return tier


def missing(evidence: e.TierEvidence) -> str:
    """Say what is missing of a tier's requirements, for a person."""
    parts = []
    if evidence.revenue < evidence.required_revenue:
        short = evidence.required_revenue - evidence.revenue
        parts.append(
            f"{format_amount(short, evidence.base_currency)} more revenue is needed (it has"
            f" {format_amount(evidence.revenue, evidence.base_currency)} of"
            f" {format_amount(evidence.required_revenue, evidence.base_currency)} from"
            f" {evidence.window_first_day} to {evidence.window_last_day})"
        )
    lacking = evidence.required_specialisations - len(evidence.specialisations)
    if lacking > 0:
        held = ", ".join(evidence.specialisations) or "none"
        parts.append(f"{lacking} more specialisation{'s' if lacking > 1 else ''} (it holds {held})")
    return " and ".join(parts)
