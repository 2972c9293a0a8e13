"""The desk on which one fact, or what time does, is decided for one partner: the standing and the events so far."""

import datetime as dt

from domain import events as e
from domain.calendar import add_months
from domain.deal import ClosedDeal
from domain.money import ZERO, to_amount
from domain.standing import CHANGES, Standing, TierEntry, take_earning
from domain.terms import InstantTerms, Programmes, Terms

InstantBonus = tuple[InstantTerms, int, int, int | None]
"""The scheme, the amount in minor units, the rate in basis points, and the full years of loyalty where the scheme looks at them."""

Earned = tuple[TierEntry, list[InstantBonus]]
"""The instant bonuses that a deal earns, and the tier held at the start of its day."""


class Desk:
    """What a decision works on. `emit` appends an event and lets it change the standing, so the next rule sees it."""

    __slots__ = ("events", "programmes", "standing")

    def __init__(self, standing: Standing, programmes: Programmes) -> None:
        self.standing = standing
        self.programmes = programmes
        self.events: list[e.Event] = []

    def emit(self, event: e.Event) -> None:
        """Record an event as decided."""
        self.events.append(event)
        change = CHANGES[type(event)]
        if change is not None:
            change(self.standing, event)

    def close_deal(self, deal: ClosedDeal, terms: Terms, minor: int, qualifying: int | None, clock: dt.date) -> None:
        """Record a deal as closed. Its amount is given in minor units; `qualifying` is None where it does not earn.

        The amounts are at hand in minor units: reading them from the event again would take a twentieth longer.
        """
        self.events.append(
            e.SaleRecorded(
                deal_id=deal.deal_id,
                closed_on=deal.closed_on,
                family=deal.family,
                amount=to_amount(minor, terms.currency_digits[deal.currency]),
                currency=deal.currency,
                earning=qualifying is not None,
                qualifying=to_amount(qualifying or 0, terms.base_digits),
                base_currency=terms.base_currency,
                programme=terms.code,
                clock=clock,
                source_ref=deal.source_ref,
            )
        )
        self.take_deal(deal, minor, qualifying, clock)

    def take_deal(self, deal: ClosedDeal, minor: int, qualifying: int | None, clock: dt.date) -> None:
        """Let a deal change the standing."""
        if clock > self.standing.clock:
            self.standing.clock = clock
        if qualifying is not None:
            take_earning(self.standing, deal, minor, qualifying)

    def accrue(self, deal: ClosedDeal, terms: Terms, minor: int, earned: Earned, clock: dt.date) -> None:
        """Record the instant bonuses that a deal of an amount, in minor units, earns; they change nothing that decisions look at."""
        entry, bonuses = earned
        digits, currency = terms.currency_digits[deal.currency], deal.currency
        basis = to_amount(minor, digits)
        lines = tuple(
            [
                e.Line(
                    scheme=scheme.code,
                    amount=to_amount(bonus, digits),
                    currency=currency,
                    basis=basis,
                    rate_bp=rate_bp,
                    before=ZERO[digits],
                    tier=entry.tier,
                    tier_since=entry.effective_on,
                    specialisation=scheme.specialisation,
                    loyalty_years=years,
                )
                for scheme, bonus, rate_bp, years in bonuses
            ]
        )
        self.events.append(
            e.BonusAccrued(
                deal_id=deal.deal_id, closed_on=deal.closed_on, posting_date=clock, programme=terms.code, lines=lines
            )
        )


def window_after(terms: Terms, on: dt.date) -> dt.date:
    """Give the last day before the revenue window that ends on a date (rules.md, Revenue)."""
    return add_months(on, -terms.window_months)
