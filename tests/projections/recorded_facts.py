"""Recorded facts of a history, as a what-if takes them, and a fresh history to hold its answer against."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

from domain import events as e
from domain.facts import EnrolPartner, Fact
from domain.programme import Programme
from domain.retold import FACTS_OF_PARTNERS
from domain.streams import PARTNER_PREFIX, ROSTER_PREFIX
from projections.facts_by_stream import Facts, Source
from projections.queries import PartnerStanding
from projections.what_if_result import Gathering, Result, fold_here
from projections.what_if_rules import Rules, ledgers_own
from tests.domain.history import History, fact_of

Recorded = tuple[int, str, str, int, bytes]
"""Position, stream, type, schema version and data of an event."""


class HeldFacts:
    """Facts held in memory, in a few pieces that share no stream: port `projections.facts_by_stream.RecordedFacts`."""

    def __init__(self, events: Iterable[Recorded], pieces: int = 3) -> None:
        self.position = 0
        self._own: list[Recorded] = []
        self._pieces: dict[str, list[Recorded]] = {f"piece-{n}": [] for n in range(pieces)}
        for event in events:
            position, stream, type_name, _, _ = event
            self.position = max(self.position, position)
            if stream.startswith(PARTNER_PREFIX) and type_name in FACTS_OF_PARTNERS:
                self._pieces[f"piece-{crc32(stream.encode()) % pieces}"].append(event)
            elif not stream.startswith((PARTNER_PREFIX, ROSTER_PREFIX)):
                self._own.append(event)

    @property
    def source(self) -> Source:
        return Source("a ledger in memory", "")

    def pieces(self) -> Sequence[str]:
        return sorted(self._pieces)

    def facts(self, piece: str) -> Facts:
        return _columns(sorted(self._pieces[piece], key=lambda event: (event[1], event[0])))

    def ledgers_own(self) -> Facts:
        return _columns(sorted(self._own))


def _columns(events: Sequence[Recorded]) -> Facts:
    return Facts(*(list(column) for column in zip(*events, strict=True))) if events else Facts([], [], [], [], [])


def facts_of(history: History, pieces: int = 3) -> HeldFacts:
    """Give a history's facts."""
    return HeldFacts(
        (
            (position, event.originator_id, type(event.event).__name__, 1, e.encode(event.event))
            for position, event in enumerate(history.log, 1)
        ),
        pieces,
    )


def rehearsed(
    history: History, versions: Sequence[Programme], as_of: dt.date, pieces: int = 3
) -> tuple[Gathering, Result]:
    """Decide a history's facts under other versions, in this process."""
    facts = facts_of(history, pieces)
    gathering = fold_here(facts, [Rules(ledgers_own(facts.ledgers_own()), tuple(versions), as_of)])
    return gathering, gathering.results()[0]


def imported_afresh(history: History, versions: Sequence[Programme]) -> tuple[History, list[int]]:
    """Tell a history's facts, in the same order, to a fresh ledger that has other programmes; give the positions refused."""
    lowest = {terms.code: terms.lowest.code for terms in history.programmes.versions}
    fresh = History(*versions, today=history.today)
    refused = []
    for position, recorded in enumerate(history.log, 1):
        event = recorded.event
        if isinstance(event, e.LedgerAdvanced):
            fresh.advance(event.to)
        fact = fact_of(recorded)
        if fact is None:
            continue
        if isinstance(event, e.PartnerEnrolled) and event.tier == lowest[event.programme]:
            fact = _without_tier(fact)
        if fresh.tell(fact).kind != "recorded":
            refused.append(position)
    return fresh, refused


def _without_tier(fact: Fact) -> Fact:
    assert isinstance(fact, EnrolPartner)
    return fact.model_copy(update={"tier": None})


def answer(standing: PartnerStanding) -> dict[str, Any]:
    """Give a standing as `History.answer` does."""
    return {
        "tier": standing.tier,
        "tier_history": [
            {"effective_on": row.effective_on.isoformat(), "tier": row.tier, "reason": row.reason}
            for row in standing.tier_history
        ],
        "specialisations": list(standing.specialisations),
        "loyalty_days": standing.loyalty_days,
        "balances": {
            balance.currency: {"accrued": str(balance.accrued), "clawed_back": str(balance.clawed_back)}
            for balance in standing.balances
        },
        "lines": standing.lines,
    }


def answers(result: Result) -> dict[str, dict[str, Any]]:
    """Give what all partners come to."""
    return {
        partner: answer(outcome.standing)
        for partner, outcome in result.outcomes.items()
        if outcome.standing is not None
    }
