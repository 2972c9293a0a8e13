"""Deals closed and taken back: bonuses, settled quarters, promotion and withdrawal (rules.md, Bonuses)."""

import datetime as dt

from domain import events as e
from domain.calendar import quarter_start
from domain.deal import ClosedDeal, Deal
from domain.decisions.bonuses import clawback_lines, instant_bonuses, is_settled, quarters_to_settle_again, settle
from domain.decisions.desk import Desk
from domain.decisions.membership import refuse_after_end
from domain.decisions.tiers import try_promotion, withdraw
from domain.decisions.time import begin, opened
from domain.errors import Refused
from domain.facts import (
    ReverseSale,
)
from domain.money import currency_digits, format_amount, to_amount, to_minor
from domain.standing import Standing
from domain.terms import Programmes, Terms


def record_sale(
    standing: Standing, fact: ClosedDeal, programmes: Programmes, ledger_date: dt.date | None
) -> list[e.Event]:
    """Record a deal: its instant bonuses, what it changes in a settled quarter, and the promotion it may bring.

    Raises:
        Refused: dated before enrolment or after the end; family, currency or amount cannot be.

    """
    desk = Desk(standing, programmes)
    decide_sale(desk, fact, ledger_date)
    return desk.events


def decide_sale(desk: Desk, fact: ClosedDeal, ledger_date: dt.date | None) -> None:
    """Decide a deal on a desk, which keeps what comes of it; otherwise as `record_sale`."""
    standing, programmes, closed_on = desk.standing, desk.programmes, fact.closed_on
    terms = programmes.required(closed_on)
    minor = _sale_amount(standing, fact, terms)
    clock = begin(desk, ledger_date, closed_on)
    if standing.suspensions and standing.suspended_on(closed_on):
        desk.close_deal(fact, terms, minor, None, clock)
    else:
        desk.close_deal(fact, terms, minor, terms.qualifying(minor, fact.currency), clock)
        earned = instant_bonuses(standing, terms, fact, minor)
        if earned:
            desk.accrue(fact, terms, minor, earned, clock)
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


def _sale_amount(standing: Standing, fact: ClosedDeal, terms: Terms) -> int:
    """Check a sale against its partner and the programme on its date; give its amount in minor units."""
    if fact.closed_on < standing.enrolled_on:
        raise Refused(
            f"Deal {fact.deal_id!r} was closed on {fact.closed_on},"
            f" before {standing.partner_id} was enrolled on {standing.enrolled_on}."
        )
    if standing.ended_on is not None:
        refuse_after_end(standing, fact.closed_on)
    if fact.family not in terms.families:
        raise Refused(
            f"Family {fact.family!r} is not in programme {terms.code!r}, in force on {fact.closed_on};"
            f" it has {', '.join(terms.programme.families)}."
        )
    if fact.currency not in terms.currency_digits:
        raise Refused(
            f"Programme {terms.code!r}, in force on {fact.closed_on}, has no exchange rate for {fact.currency!r};"
            f" it has {', '.join(terms.programme.exchange_rates)}."
        )
    minor = fact.minor(terms.currency_digits[fact.currency])
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
    taken = _reversed_amount(deal, fact)
    desk, clock = opened(standing, programmes, ledger_date, fact.reversed_on)
    sale, net = deal.sale, deal.net - taken
    desk.emit(_reversal(deal, fact, taken, programmes.by_code[sale.programme], clock))
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


def _reversal(deal: Deal, fact: ReverseSale, taken: int, terms: Terms, clock: dt.date) -> e.SaleReversed:
    """Give the fact's event, by the programme under which the deal was closed."""
    sale, net = deal.sale, deal.net - taken
    digits = terms.currency_digits[sale.currency]
    qualifying = terms.qualifying(net, sale.currency) if sale.earning else 0
    return e.SaleReversed(
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
