"""What a what-if comes to as a whole, gathered from pieces in whatever order they were folded."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from projections.facts_by_stream import RecordedFacts
from projections.what_if import Counts, Folded, FoldedPiece, Linked, country_of, fold_linked, fold_piece, streams_of
from projections.what_if_rules import Rules
from projections.what_if_tally import Outcome, RefusedFact, Totals


@dataclass(frozen=True)
class Result:
    """What all partners come to under one set of programmes."""

    rules: Rules
    outcomes: Mapping[str, Outcome]
    """By partner, in order of their ids; those who are not enrolled by the date or were refused have no standing."""
    totals: Totals
    counts: Counts

    @property
    def refused(self) -> Sequence[RefusedFact]:
        """The facts that the rules refuse, in order of position."""
        refused = (fact for outcome in self.outcomes.values() for fact in outcome.refused)
        return sorted(refused, key=attrgetter("position"))


class Gathering:
    """Takes what pieces and linked partners came to; the order in which they come makes no difference."""

    def __init__(self, sets: Sequence[Rules]) -> None:
        self._sets = sets
        self._outcomes: list[dict[str, Outcome]] = [{} for _ in sets]
        self._totals = [Totals() for _ in sets]
        self._counts = [Counts(0, {}, 0) for _ in sets]
        self._linked: dict[str, list[Linked]] = {}
        self._place: dict[str, str] = {}
        self.facts = 0
        """Facts folded so far."""

    def take_piece(self, piece: str, folded: FoldedPiece) -> None:
        """Take what a piece came to."""
        self.facts += folded.facts
        self._take(folded.folded)
        for outcome in folded.folded[0].outcomes:
            self._place[outcome.partner] = piece
        for linked in folded.linked:
            self._linked.setdefault(linked.country, []).append(linked)

    def take_linked(self, folded: Sequence[Folded]) -> None:
        """Take what the linked partners of a country came to."""
        self._take(folded)

    def _take(self, folded: Sequence[Folded]) -> None:
        for each, outcomes, totals in zip(folded, self._outcomes, self._totals, strict=True):
            outcomes.update((outcome.partner, outcome) for outcome in each.outcomes)
            totals.merge(each.cells)
        self._counts = [_added(counts, each.counts) for counts, each in zip(self._counts, folded, strict=True)]

    @property
    def linked(self) -> Mapping[str, Sequence[Linked]]:
        """The linked partners of each country, once all pieces were taken, in order of their ids."""
        return {country: sorted(self._linked[country], key=attrgetter("partner")) for country in sorted(self._linked)}

    @property
    def place(self) -> Mapping[str, str]:
        """The piece that holds a partner's facts, but for linked partners."""
        return self._place

    def results(self) -> list[Result]:
        """Give the results, one for each set of rules."""
        return [
            Result(rules, dict(sorted(outcomes.items())), totals, counts)
            for rules, outcomes, totals, counts in zip(
                self._sets, self._outcomes, self._totals, self._counts, strict=True
            )
        ]


def _added(one: Counts, other: Counts) -> Counts:
    holders = Counter(one.holders) + Counter(other.holders)
    return Counts(one.partners + other.partners, dict(holders), one.refused + other.refused)


def countries_seated_by_time(recorded: RecordedFacts, sets: Sequence[Rules]) -> Collection[str]:
    """Give the countries where all partners are linked: with awards, under rules by which time alone gives a tier with seats."""
    if not any(rules.time_seats for rules in sets):
        return ()
    return {
        country
        for piece in recorded.pieces()
        for columns in streams_of(recorded.facts(piece))
        if "TierAwarded" in columns.types and (country := country_of(columns)) is not None
    }


def fold_here(recorded: RecordedFacts, sets: Sequence[Rules]) -> Gathering:
    """Fold all facts in this process."""
    gathering = Gathering(sets)
    whole = countries_seated_by_time(recorded, sets)
    for piece in recorded.pieces():
        gathering.take_piece(piece, fold_piece(recorded.facts(piece), sets, whole))
    for linked in gathering.linked.values():
        gathering.take_linked(fold_linked(linked, sets))
    return gathering
