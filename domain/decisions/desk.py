"""The desk on which one fact, or what time does, is decided for one partner: the standing and the events so far."""

import datetime as dt

from domain import events as e
from domain.calendar import add_months
from domain.standing import CHANGES, Standing, take_sale
from domain.terms import Programmes, Terms


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

    def emit_sale(self, sale: e.SaleRecorded, net: int, qualifying: int) -> None:
        """Record a deal whose amounts are at hand in minor units; reading them from it again would take a twentieth longer."""
        self.events.append(sale)
        take_sale(self.standing, sale, net, qualifying)


def window_after(terms: Terms, on: dt.date) -> dt.date:
    """Give the last day before the revenue window that ends on a date (rules.md, Revenue)."""
    return add_months(on, -terms.window_months)
