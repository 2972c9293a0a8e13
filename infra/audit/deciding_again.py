"""All recorded facts decided again, read from the store: what `replay verify` runs, and what it has come to."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from domain.envelope import EventRow
from domain.replay import Difference, Replay
from infra.postgres.audited_store import PostgresAuditedStore

MOST_KEPT = 1_000
"""So many differences are kept; all are counted."""


@dataclass
class DecidedAgain:
    """What deciding all facts again has come to, up to a position."""

    position: int
    facts: int = 0
    events: int = 0
    partners: int = 0
    programmes: Sequence[str] = ()
    types: Counter[str] = field(default_factory=Counter)
    """How many events of each type were compared."""
    sales: dict[str, Decimal] = field(default_factory=dict)
    bonuses: dict[str, Decimal] = field(default_factory=dict)
    """Control totals by currency: what was sold, and what the bonus lines come to."""
    found: int = 0
    differences: list[Difference] = field(default_factory=list)
    seconds: float = 0.0

    def note(self, difference: Difference) -> None:
        """Count a difference, and keep it if it is one of the first."""
        self.found += 1
        if len(self.differences) < MOST_KEPT:
            self.differences.append(difference)


def decide_again(store: PostgresAuditedStore, last: int, on_progress: Callable[[int], None]) -> DecidedAgain:
    """Decide all facts up to a position again; `on_progress` hears how many events were read.

    Raises:
        ServiceUnreachable: PostgreSQL does not answer.

    """
    began = time.monotonic()
    replay = Replay(store.reversed_deals(), store.of_stream)
    result = DecidedAgain(last)
    read = 0
    for page in store.pages(last):
        result.types.update(_types(page.rows))
        for difference in replay.take(page.rows):
            result.note(difference)
        read += len(page.rows)
        on_progress(read)
    for difference in replay.finish():
        result.note(difference)
    result.facts, result.events = replay.facts, replay.events
    result.partners = len(replay.partners)
    result.programmes = [terms.code for terms in replay.programmes.versions]
    result.sales, result.bonuses = replay.sales, replay.bonuses
    result.seconds = round(time.monotonic() - began, 3)
    return result


def _types(rows: Sequence[EventRow]) -> list[str]:
    return [row.type for row in rows]
