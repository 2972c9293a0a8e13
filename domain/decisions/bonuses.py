"""Bonuses: instant lines as a deal closes, what a reversal takes back, and the quarterly kickback (rules.md, Bonuses)."""

import datetime as dt
from typing import Literal

from domain import events as e
from domain.calendar import next_quarter, quarter_start
from domain.deal import ClosedDeal, Deal
from domain.decisions.desk import Desk, Earned, InstantBonus
from domain.loyalty import loyalty_years
from domain.money import currency_digits, divide_half_up, to_amount
from domain.standing import Quarter, Standing
from domain.terms import KickbackTerms, Terms

BASIS_POINTS = 10_000


def instant_bonuses(standing: Standing, terms: Terms, deal: ClosedDeal, minor: int) -> Earned | None:
    """Give what a deal of an amount in minor units earns, by what was in force at the start of its day; None for nothing."""
    closed_on = deal.closed_on
    entry = standing.tier_at_start_of(closed_on)
    schemes = terms.instant_by_family[deal.family]
    if entry is None or not schemes:
        return None
    bonuses: list[InstantBonus] = []
    for scheme in schemes:
        specialisation = scheme.specialisation
        if specialisation is not None and standing.held_at_start_of(specialisation, closed_on) is None:
            continue
        years = None
        if scheme.rate_bp is not None:
            rate = scheme.rate_bp.get(entry.tier, 0)
        else:
            years = loyalty_years(standing.enrolled_on, standing.suspensions, closed_on)
            rate = scheme.loyalty_rate(years)
        amount = divide_half_up(minor * rate, BASIS_POINTS) if rate else 0
        if amount:
            bonuses.append((scheme, amount, rate, years))
    return (entry, bonuses) if bonuses else None


def clawback_lines(deal: Deal, net: int) -> tuple[e.Line, ...]:
    """Give the differences that a deal's new net amount makes to its lines, each at its own original rate."""
    digits = currency_digits(deal.sale.currency)
    lines = []
    for line in deal.lines:
        before = deal.posted[line.scheme]
        difference = divide_half_up(net * line.rate_bp, BASIS_POINTS) - before
        if difference:
            lines.append(
                e.Line(
                    scheme=line.scheme,
                    amount=to_amount(difference, digits),
                    currency=line.currency,
                    basis=to_amount(net, digits),
                    rate_bp=line.rate_bp,
                    before=to_amount(before, digits),
                    tier=line.tier,
                    tier_since=line.tier_since,
                    specialisation=line.specialisation,
                    loyalty_years=line.loyalty_years,
                )
            )
    return tuple(lines)


def is_settled(closed_on: dt.date, clock: dt.date) -> bool:
    """Tell whether the quarter of a date was settled by the clock: the first day of the next one has come."""
    return next_quarter(closed_on) <= clock


def settle(
    desk: Desk,
    first_day: dt.date,
    *,
    settled_on: dt.date,
    posting_date: dt.date,
    cause: Literal["time", "sale", "reversal"],
    cause_id: str | None = None,
) -> None:
    """Settle a quarter's kickback, or the difference to what was settled of it before; without lines, no event."""
    standing = desk.standing
    quarter = standing.quarters.get(first_day)
    terms = desk.programmes.in_force(first_day)
    if quarter is None or terms is None or not terms.kickback:
        return
    tier = standing.kickback_tier_on(next_quarter(first_day) - dt.timedelta(days=1))
    if tier is None:
        return
    lines: list[e.Line] = []
    qualifying = {scheme.code: _qualifying(scheme, quarter) for scheme in terms.kickback}
    for scheme in terms.kickback:
        lines += _kickback_lines(scheme, quarter, tier, qualifying[scheme.code])
    if lines:
        concerned = {line.scheme for line in lines}
        desk.emit(
            e.KickbackSettled(
                quarter=first_day,
                settled_on=settled_on,
                posting_date=posting_date,
                cause=cause,
                cause_id=cause_id,
                programme=terms.code,
                base_currency=terms.base_currency,
                qualifying={c: to_amount(qualifying[c], terms.base_digits) for c in qualifying if c in concerned},
                minimum={
                    s.code: to_amount(s.minimum, terms.base_digits) for s in terms.kickback if s.code in concerned
                },
                lines=tuple(lines),
            )
        )


def _qualifying(scheme: KickbackTerms, quarter: Quarter) -> int:
    return sum(
        qualifying
        for (family, _), (_, qualifying) in quarter.sales.items()
        if scheme.families is None or family in scheme.families
    )


def _kickback_lines(scheme: KickbackTerms, quarter: Quarter, tier: str, qualifying: int) -> list[e.Line]:
    net: dict[str, int] = {currency: 0 for code, currency in quarter.settled if code == scheme.code}
    for (family, currency), (amount, _) in quarter.sales.items():
        if scheme.families is None or family in scheme.families:
            net[currency] = net.get(currency, 0) + amount
    rate = scheme.rate_bp.get(tier, 0) if qualifying >= scheme.minimum else 0
    lines = []
    for currency in sorted(net):
        digits = currency_digits(currency)
        before = quarter.settled.get((scheme.code, currency), 0)
        difference = divide_half_up(net[currency] * rate, BASIS_POINTS) - before
        if difference:
            lines.append(
                e.Line(
                    scheme=scheme.code,
                    amount=to_amount(difference, digits),
                    currency=currency,
                    basis=to_amount(net[currency], digits),
                    rate_bp=rate,
                    before=to_amount(before, digits),
                    tier=tier,
                )
            )
    return lines


def quarters_to_settle_again(
    standing: Standing, closed_on: dt.date, counts_from: dt.date | None, clock: dt.date
) -> list[dt.date]:
    """Give the settled quarters that a reversal concerns: its deal's, and those since the promotions it withdrew."""
    concerned = {quarter_start(closed_on)} if is_settled(closed_on, clock) else set()
    if counts_from is not None:
        concerned |= {q for q in standing.quarters if next_quarter(q) > counts_from and is_settled(q, clock)}
    return sorted(concerned)
