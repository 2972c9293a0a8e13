"""A partner's stream as of a date: the events that counted by its end, and the standing that they make."""

import datetime as dt
from collections.abc import Iterable, Iterator

from domain import events as e
from domain.standing import Standing, evolve
from projections.recorded import CitedEvent


def counts_from(event: e.Event) -> dt.date:
    """Give the date from which an event of a partner counts: where it was late, the clock, not its business date."""
    match event:
        case e.TrainingCompleted() | e.CertificateRevoked() | e.SaleRecorded() | e.SaleReversed():
            return event.clock
        case e.MembershipSuspended() | e.MembershipResumed() | e.MembershipEnded() | e.TierAwarded():
            return event.effective_on
        case e.BonusAccrued() | e.BonusClawedBack() | e.KickbackSettled():
            return event.posting_date
        case _:
            return event.business_date


def until(events: Iterable[CitedEvent], as_of: dt.date | None) -> Iterator[CitedEvent]:
    """Give the events that counted at the end of a date; in a partner's stream these dates never run back."""
    for cited in events:
        if as_of is not None and counts_from(cited.event) > as_of:
            return
        yield cited


def standing(events: Iterable[CitedEvent]) -> Standing | None:
    """Give the standing that events make, None for none."""
    made: Standing | None = None
    for cited in events:
        made = evolve(made, cited.event)
    return made
