"""A what-if from end to end: the facts read, folded by processes, and held against the live projections."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from domain.errors import IntegrityFault, InvalidInput, Refused
from domain.events import ReviewMissed, TierChanged, TierEvidence
from domain.programme import Programme
from infra.replay.folding import fold_all
from projections.facts_by_stream import RecordedFacts, Source
from projections.queries import PartnersAnswer, ReadModels
from projections.recorded import Events
from projections.what_if_difference import Difference, PartnerDifference, difference, told
from projections.what_if_lines import LineDifference, fold_again, line_differences, lines_under
from projections.what_if_result import Gathering, Result
from projections.what_if_rules import LedgersOwn, Rules, ledgers_own, with_candidates
from projections.what_if_tally import Tally

LARGEST = 10
"""So many of the largest differences are told line by line."""
LOOKED_AT = 6
DECIDING = "Deciding the facts anew"


class Telling(Protocol):
    """Tells a person how it goes on."""

    def stage(self, doing: str, total: int | None = None) -> None:
        """Begin something; `total` is how many steps it has, where that is known."""
        ...

    def note(self, done: int, total: int) -> None:
        """Tell of so many steps done."""
        ...


@dataclass(frozen=True)
class Request:
    """What is to be rehearsed: candidates, one set or several, as of a date; None: the latest there is."""

    tape: Path
    """The folder of the recorded facts."""
    top_up: bool
    """Whether what was recorded since is added to the tape first."""
    candidates: Sequence[Sequence[Programme]]
    as_of: dt.date | None
    workers: int


@dataclass(frozen=True)
class Live:
    """What is, by the reader's login."""

    read_models: ReadModels
    events: Events


@dataclass(frozen=True)
class Explained:
    """One of the largest differences: its lines, and what the recorded tier change rested on that first differs."""

    partner: PartnerDifference
    evidence_then: TierEvidence | None
    lines: Sequence[LineDifference]


@dataclass(frozen=True)
class Rehearsal:
    """What a set of candidates would have come to, beside what is."""

    candidates: Sequence[Programme]
    result: Result
    difference: Difference
    largest: Sequence[Explained]
    facts: int
    """How many facts of partners were decided."""
    source: Source


def rehearse(recorded: RecordedFacts, count: int, live: Live, request: Request, telling: Telling) -> list[Rehearsal]:
    """Decide all facts anew under each set of candidates; the projections must have applied all up to the facts' position.

    There must be `count` facts, the ledger's own among them.

    Raises:
        InvalidInput: candidates that could not be published among the others.
        Refused: there is nothing to decide by the date.
        LedgerError: the facts cannot be read, or a process was ended.

    """
    own, read_models = ledgers_own(recorded.ledgers_own()), live.read_models
    as_of = answer_date(read_models, recorded.position, own, request.as_of)
    for candidates in request.candidates:
        _check_candidates(candidates, own, as_of)
    sets = [Rules(own, with_candidates(own.published, each), as_of) for each in request.candidates]
    telling.stage("Reading what is")
    position = recorded.position
    actual = read_models.partners(as_of, up_to_position=position)
    if not actual.partners:
        raise Refused(
            f"No partner was enrolled by {as_of}: a what-if begins with the first fact. Name a later --as-of."
        )
    telling.stage(DECIDING, count)
    gathering = fold_all(recorded, sets, request.workers, lambda done: telling.note(min(done, count), count))
    check_all_read(recorded, gathering.facts, count)
    telling.stage("Comparing with what is")
    for result in gathering.results():
        check_due_is_decided(result, actual, recorded, gathering)
    bonuses = read_models.scheme_bonuses(as_of, up_to_position=position)
    totals = read_models.each_totals(as_of, up_to_position=position)
    rehearsals = []
    for candidates, result in zip(request.candidates, gathering.results(), strict=True):
        compared = difference(actual, bonuses, totals, result)
        largest = _explained(compared, result.rules, recorded, gathering, live)
        rehearsals.append(Rehearsal(tuple(candidates), result, compared, largest, gathering.facts, recorded.source))
    return rehearsals


def _check_candidates(candidates: Sequence[Programme], own: LedgersOwn, as_of: dt.date) -> None:
    """See to it that candidates can be told from what is published, and are in force by the date.

    Of one that is not, "nothing would differ" would mislead.
    """
    published = {each.programme: each for each in own.published}
    for each in candidates:
        if published.get(each.programme, each).content() != each.content():
            raise InvalidInput(
                f"Programme {each.programme!r} is published with other content: give the candidate a name of its own."
            )
        if each.effective_from > as_of:
            raise Refused(
                f"Candidate {each.programme!r} begins on {each.effective_from}, after {as_of}, up to which facts are rehearsed:"
                " give it the first day of the version that it is to take the place of, or of a quarter before."
            )


def check_all_read(recorded: RecordedFacts, facts: int, count: int) -> None:
    """See to it that as many facts were read as there are.

    Raises:
        IntegrityFault: there were others.

    """
    read = facts + len(recorded.ledgers_own().positions)
    if read != count:
        raise IntegrityFault(
            f"The tape has {count:,} facts by its manifest, and {read:,} were read: somebody has altered it; make it anew with"
            " `partner-ledger replay tape --anew`."
        )


def check_due_is_decided(result: Result, actual: PartnersAnswer, recorded: RecordedFacts, gathering: Gathering) -> None:
    """See to it that the ledger has decided what is due by its date, as the what-if does at its end.

    An advance that still runs or was stopped would look like the candidate's effect. Looked at are a few of those for whom
    something was due at the end, the last one, whom an advance comes to last, among them.

    Raises:
        Refused: it has not, for one of them.

    """
    due = [partner for partner, outcome in result.outcomes.items() if outcome.due_at_end]
    some = due[:: -max(1, len(due) // LOOKED_AT)]
    rules = Rules(result.rules.own, result.rules.own.published, result.rules.as_of)
    there = {each.partner.partner: each for each in actual.partners}
    for partner, tally in fold_again(rules, some, recorded, gathering, Tally).items():
        if partner in some and told(tally.outcome().standing) != told(there.get(partner)):
            raise Refused(
                f"The ledger has not decided what is due by {rules.ledger_date} for all partners, {partner} for one: finish the"
                f" advance (`partner-ledger advance --to {rules.ledger_date}`), then rehearse. If it was finished, `partner-ledger"
                " replay verify` and `partner-ledger parked list` say more."
            )


def answer_date(read_models: ReadModels, position: int, own: LedgersOwn, wanted: dt.date | None) -> dt.date:
    """Give the date as of which to answer.

    Raises:
        Refused: the ledger has no facts.

    """
    as_of = read_models.tiers(wanted, up_to_position=position).as_of
    if as_of is None or not own.published:
        raise Refused("The ledger is empty: import a feed first.")
    return as_of


def _explained(
    compared: Difference, rules: Rules, recorded: RecordedFacts, gathering: Gathering, live: Live
) -> list[Explained]:
    """Explain the largest differences; only of these is everything read once more."""
    largest = compared.largest(LARGEST)
    lines = lines_under(rules, [each.partner for each in largest], recorded, gathering)
    explained = []
    for each in largest:
        then = live.read_models.lines(each.partner, compared.as_of, up_to_position=compared.position).lines
        explained.append(
            Explained(each, _recorded_evidence(each, live.events), line_differences(each, then, lines[each.partner]))
        )
    return explained


def _recorded_evidence(partner: PartnerDifference, events: Events) -> TierEvidence | None:
    """Give what the recorded tier change that first differs rested on: of a demotion, what the review missed."""
    if partner.first_tier is None or partner.first_tier.then is None:
        return None
    position = partner.first_tier.then.position
    cited = events.at(position)
    if cited is None or not isinstance(cited.event, TierChanged):
        return None
    if cited.event.reason == "demotion":  # a partner's events of one date stand one after the other
        review = events.at(position - 1)
        if review is not None and review.stream == cited.stream and isinstance(review.event, ReviewMissed):
            return review.event.evidence
    return cited.event.evidence
