"""How far a partition's events are applied, and the two dates that an answer is as of unless one is asked for."""

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

from domain.events import LedgerAdvanced
from domain.streams import PARTNER_PREFIX
from projections.recorded import Recorded


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(slots=True)
class Progress:
    """What a batch adds to one partition. The dates are the latest of its events, None where it has none."""

    applied: int = 0
    last_position: int = 0
    ledger_date: dt.date | None = None
    latest_business_date: dt.date | None = None

    def note(self, at: Recorded) -> None:
        """Count an event in. Of business dates, only partners' events count (rules.md; feeds-and-commands.md, as-of)."""
        envelope = at.envelope
        self.applied += 1
        if envelope.position > self.last_position:
            self.last_position = envelope.position
        date = envelope.businessdate
        latest = self.latest_business_date
        if date is not None and (latest is None or date > latest) and envelope.subject.startswith(PARTNER_PREFIX):
            self.latest_business_date = date
        if type(at.event) is LedgerAdvanced:
            self.ledger_date = max(self.ledger_date or at.event.to, at.event.to)
