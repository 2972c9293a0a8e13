"""The pure decision function: (standing, fact or date, programmes, and for a reversal its deal) to events.

There is no second implementation of a rule. The aggregate decides with it, replay decides again with it, and every
event that it gives has already changed the standing by `domain.standing.evolve`. A fact is judged before anything is
decided on its behalf, so a refusal leaves the standing as it was; only an award must know what time does first, and is
decided on a copy (`domain.application`).
"""

import datetime as dt

from domain import events as e
from domain.calendar import quarter_start
from domain.deal import Deal
from domain.decisions.bonuses import clawback_lines, instant_lines, is_settled, quarters_to_settle_again, settle
from domain.decisions.desk import Desk
from domain.decisions.specialisations import look_at_specialisations
from domain.decisions.tiers import award, awarded_tier, check_award, review, try_promotion, withdraw
from domain.decisions.time import catch_up, review_fell_due
from domain.errors import InvalidInput, Refused, UnknownReference
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    RecordSale,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
)
from domain.money import currency_digits, format_amount, to_amount, to_minor
from domain.programme import Programmes, Terms, TierTerms, is_country
from domain.standing import Standing

__all__ = [
    "award_tier",
    "begin_award",
    "change_membership",
    "decide_due",
    "enrol",
    "enrolment_tier",
    "record_sale",
    "record_training",
    "reverse_sale",
    "revoke_certificate",
]


def decide_due(standing: Standing, programmes: Programmes, through: dt.date) -> list[e.Event]:
    """Decide what time alone does to a partner up to a date; nothing where its clock is there already."""
    desk = Desk(standing, programmes)
    catch_up(desk, through)
    return desk.events


def _opened(
    standing: Standing, programmes: Programmes, ledger_date: dt.date | None, on: dt.date
) -> tuple[Desk, dt.date]:
    """Decide what is due before a fact of a date is handled; give the desk and the clock the fact is handled at."""
    desk = Desk(standing, programmes)
    clock = standing.clock
    if ledger_date is not None and ledger_date > clock:
        clock = ledger_date
    clock = max(clock, on)
    catch_up(desk, clock)
    return desk, clock


def enrolment_tier(fact: EnrolPartner, programmes: Programmes) -> tuple[Terms, TierTerms]:
    """Give the programme and tier that a partner is enrolled into: without a tier, the lowest.

    Raises:
        Refused: no programme is in force, it has no such tier, or only the board gives it.

    """
    terms = programmes.required(fact.enrolled_on)
    if fact.tier is None:
        return terms, terms.lowest
    tier = terms.tier_by_code.get(fact.tier)
    if tier is None:
        raise Refused(
            f"Programme {terms.code!r}, in force on {fact.enrolled_on}, has no tier {fact.tier!r};"
            f" its tiers are {', '.join(terms.tier_by_code)}."
        )
    if tier.awarded:
        raise Refused(f"Nobody is enrolled into {fact.tier!r}: programme {terms.code!r} has it awarded by the board.")
    return terms, tier


def enrol(fact: EnrolPartner, programmes: Programmes, ledger_date: dt.date | None) -> tuple[Standing, list[e.Event]]:
    """Enrol a partner, and decide what time has done since, up to the ledger's date.

    Raises:
        Refused, InvalidInput: the country, currency, tier or date cannot be.

    """
    if not is_country(fact.country):
        raise InvalidInput(f"Country {fact.country!r} is not an ISO 3166-1 code of two letters.")
    currency_digits(fact.currency)
    terms, tier = enrolment_tier(fact, programmes)
    enrolled = e.PartnerEnrolled(
        partner_id=fact.partner_id,
        name=fact.name,
        country=fact.country,
        currency=fact.currency,
        enrolled_on=fact.enrolled_on,
        tier=tier.code,
        programme=terms.code,
    )
    standing = Standing(enrolled)
    due = decide_due(standing, programmes, ledger_date) if ledger_date and ledger_date > fact.enrolled_on else []
    return standing, [enrolled, *due]


def _refuse_after_end(standing: Standing, on: dt.date) -> None:
    if standing.ended_on is not None and on >= standing.ended_on:
        raise Refused(
            f"The membership of {standing.partner_id} ended on {standing.ended_on}; nothing dated {on} is accepted"
            " but reversals and revocations."
        )


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
    desk, clock = _opened(standing, programmes, ledger_date, fact.on)
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


def record_training(
    standing: Standing, fact: RecordTraining, person: str, programmes: Programmes, ledger_date: dt.date | None
) -> list[e.Event]:
    """Record a completion of a person (a pseudonym); a training may be dated before enrolment and before any programme.

    Raises:
        Refused: it is dated on or after the end of the membership.

    """
    _refuse_after_end(standing, fact.completed_on)
    desk, clock = _opened(standing, programmes, ledger_date, fact.completed_on)
    desk.emit(
        e.TrainingCompleted(
            completion_id=fact.completion_id,
            person=person,
            course=fact.course,
            completed_on=fact.completed_on,
            clock=clock,
        )
    )
    terms = programmes.required(clock)
    look_at_specialisations(desk, terms, clock, by_fact=True)
    try_promotion(desk, terms, clock, by_fact=True)
    return desk.events


def revoke_certificate(
    standing: Standing, fact: RevokeCertificate, programmes: Programmes, ledger_date: dt.date | None
) -> list[e.Event]:
    """Revoke a completion that was recorded.

    Raises:
        UnknownReference: the partner has no such completion.
        Refused: it is dated before the completion.

    """
    programmes.required(fact.revoked_on)
    completion = standing.completions.get(fact.completion_id)
    if completion is None:
        raise UnknownReference(f"{standing.partner_id} has no completion {fact.completion_id!r} that could be revoked.")
    if fact.revoked_on < completion.completed_on:
        raise Refused(
            f"Completion {fact.completion_id!r} is of {completion.completed_on};"
            f" it cannot be revoked before, on {fact.revoked_on}."
        )
    desk, clock = _opened(standing, programmes, ledger_date, fact.revoked_on)
    desk.emit(
        e.CertificateRevoked(
            completion_id=fact.completion_id, revoked_on=fact.revoked_on, clock=clock, reason=fact.reason
        )
    )
    look_at_specialisations(desk, programmes.required(clock), clock, by_fact=True)
    return desk.events


def record_sale(
    standing: Standing, fact: RecordSale, programmes: Programmes, ledger_date: dt.date | None
) -> list[e.Event]:
    """Record a deal: its instant bonuses, what it changes in a settled quarter, and the promotion it may bring.

    Raises:
        Refused: dated before enrolment or after the end; family, currency or amount cannot be.

    """
    closed_on = fact.closed_on
    terms = programmes.required(closed_on)
    minor = _sale_amount(standing, fact, terms)
    desk, clock = _opened(standing, programmes, ledger_date, closed_on)
    earning = not standing.suspended_on(closed_on)
    sale = e.SaleRecorded(
        deal_id=fact.deal_id,
        closed_on=closed_on,
        family=fact.family,
        amount=to_amount(minor, terms.currency_digits[fact.currency]),
        currency=fact.currency,
        earning=earning,
        qualifying=to_amount(terms.qualifying(minor, fact.currency) if earning else 0, terms.base_digits),
        base_currency=terms.base_currency,
        programme=terms.code,
        clock=clock,
        source_ref=fact.source_ref,
    )
    desk.emit(sale)
    if earning:
        lines = instant_lines(standing, terms, sale, minor)
        if lines:
            desk.emit(
                e.BonusAccrued(
                    deal_id=fact.deal_id, closed_on=closed_on, posting_date=clock, programme=terms.code, lines=lines
                )
            )
        if clock > closed_on and is_settled(closed_on, clock):
            settle(
                desk,
                quarter_start(closed_on),
                settled_on=closed_on,
                posting_date=clock,
                cause="sale",
                cause_id=fact.deal_id,
            )
    try_promotion(desk, terms if clock == closed_on else programmes.required(clock), clock, by_fact=True)
    return desk.events


def _sale_amount(standing: Standing, fact: RecordSale, terms: Terms) -> int:
    """Check a sale against its partner and the programme on its date; give its amount in minor units."""
    if fact.closed_on < standing.enrolled_on:
        raise Refused(
            f"Deal {fact.deal_id!r} was closed on {fact.closed_on},"
            f" before {standing.partner_id} was enrolled on {standing.enrolled_on}."
        )
    _refuse_after_end(standing, fact.closed_on)
    if fact.family not in terms.families:
        raise Refused(
            f"Family {fact.family!r} is not in programme {terms.code!r}, in force on {fact.closed_on};"
            f" it has {', '.join(terms.programme.families)}."
        )
    if not terms.has_currency(fact.currency):
        raise Refused(
            f"Programme {terms.code!r}, in force on {fact.closed_on}, has no exchange rate for {fact.currency!r};"
            f" it has {', '.join(terms.programme.exchange_rates)}."
        )
    minor = to_minor(fact.amount, terms.currency_digits[fact.currency])
    if minor <= 0:
        raise Refused(f"A deal's amount must be more than zero, not {fact.amount}; a reversal takes a deal back.")
    return minor


def reverse_sale(
    standing: Standing, deal: Deal, fact: ReverseSale, programmes: Programmes, ledger_date: dt.date | None
) -> list[e.Event]:
    """Take a deal back in part or whole: clawbacks at the original rates, withdrawal, and settled quarters again.

    Raises:
        Refused: dated before the deal, or for more than is left of it.

    """
    programmes.required(fact.reversed_on)
    sale = deal.sale
    taken = _reversed_amount(deal, fact)
    desk, clock = _opened(standing, programmes, ledger_date, fact.reversed_on)
    terms = programmes.by_code[sale.programme]
    net = deal.net - taken
    qualifying = terms.qualifying(net, sale.currency) if sale.earning else 0
    digits = terms.currency_digits[sale.currency]
    desk.emit(
        e.SaleReversed(
            reversal_id=fact.reversal_id,
            deal_id=fact.deal_id,
            reversed_on=fact.reversed_on,
            amount=to_amount(taken, digits),
            whole=fact.amount is None,
            net=to_amount(net, digits),
            currency=sale.currency,
            closed_on=sale.closed_on,
            family=sale.family,
            earning=sale.earning,
            qualifying=to_amount(qualifying, terms.base_digits),
            qualifying_change=to_amount(qualifying - deal.qualifying, terms.base_digits),
            base_currency=sale.base_currency,
            programme=sale.programme,
            clock=clock,
            reason=fact.reason,
        )
    )
    if not sale.earning:
        return desk.events
    lines = clawback_lines(deal, net)
    if lines:
        desk.emit(
            e.BonusClawedBack(
                reversal_id=fact.reversal_id,
                deal_id=fact.deal_id,
                reversed_on=fact.reversed_on,
                posting_date=clock,
                programme=sale.programme,
                lines=lines,
            )
        )
    counts_from = withdraw(desk, programmes.required(clock), clock)
    for first_day in quarters_to_settle_again(standing, sale.closed_on, counts_from, clock):
        settle(
            desk,
            first_day,
            settled_on=fact.reversed_on,
            posting_date=clock,
            cause="reversal",
            cause_id=fact.reversal_id,
        )
    return desk.events


def _reversed_amount(deal: Deal, fact: ReverseSale) -> int:
    """Check a reversal against its deal; give what it takes in minor units."""
    sale = deal.sale
    digits = currency_digits(sale.currency)
    if fact.reversed_on < sale.closed_on:
        raise Refused(
            f"Deal {fact.deal_id!r} was closed on {sale.closed_on}; it cannot be reversed before, on {fact.reversed_on}."
        )
    left = format_amount(to_amount(deal.net, digits), sale.currency)
    if deal.net == 0:
        raise Refused(f"Nothing is left of deal {fact.deal_id!r} (of {format_amount(sale.amount, sale.currency)}).")
    taken = deal.net if fact.amount is None else to_minor(fact.amount, digits)
    if taken <= 0:
        raise Refused(f"A reversal's amount must be more than zero, not {fact.amount}; {left} is left of the deal.")
    if taken > deal.net:
        raise Refused(
            f"{format_amount(to_amount(taken, digits), sale.currency)} is more than is left of deal"
            f" {fact.deal_id!r}: {left}."
        )
    return taken


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
    desk, clock = _opened(standing, programmes, ledger_date, fact.awarded_on)
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
