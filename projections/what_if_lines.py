"""The largest differences, line by line: which deal or settlement, what it paid, what it would pay, and why."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from domain import events as e
from domain.streams import partner_id_of
from projections.bonus_journal import BonusLine, bonus_lines
from projections.explanation import rate
from projections.facts_by_stream import Facts, RecordedFacts
from projections.what_if import ATally, fold_together, read_stream, streams_of
from projections.what_if_difference import PartnerDifference
from projections.what_if_result import Gathering
from projections.what_if_rules import Rules
from projections.what_if_tally import RefusedFact, Tally


class Posted(NamedTuple):
    """What was posted for one cause, scheme and currency: the sum, and rate and tier of the last line."""

    amount: Decimal
    rate_bp: int
    tier: str


@dataclass(frozen=True, slots=True)
class LineDifference:
    """A line that differs; None on the side where there is no such line.

    `cause` is the deal or the reversal, or None where a quarter was settled, then `business_date` is the day of it.
    """

    kind: str
    cause: str | None
    business_date: str
    scheme: str
    currency: str
    then: Posted | None
    now: Posted | None
    why: str

    @property
    def change(self) -> Decimal:
        """What would be more (or less, negative)."""
        return (self.now.amount if self.now else Decimal(0)) - (self.then.amount if self.then else Decimal(0))


class _ShownTally(Tally):
    """Keeps the lines as well."""

    __slots__ = ("lines",)
    WANTS_EVENTS = True

    def __init__(self, partner: str, rules: Rules) -> None:
        super().__init__(partner, rules)
        self.lines: list[BonusLine] = []

    def take(self, position: int, events: Sequence[e.Event]) -> None:
        """Take what was decided at a position, in order."""
        super().take(position, events)
        for event in events:
            if isinstance(event, e.BonusAccrued | e.BonusClawedBack | e.KickbackSettled) and self.counts(
                event.posting_date
            ):
                self.lines += bonus_lines(position, self.partner, event)


def lines_under(
    rules: Rules, partners: Iterable[str], recorded: RecordedFacts, gathering: Gathering
) -> Mapping[str, Sequence[BonusLine]]:
    """Decide some partners' facts once more, to have their lines."""
    wanted = sorted(set(partners))
    tallies = fold_again(rules, wanted, recorded, gathering, _ShownTally)
    return {partner: tallies[partner].lines if partner in tallies else () for partner in wanted}


def fold_again(
    rules: Rules,
    partners: Iterable[str],
    recorded: RecordedFacts,
    gathering: Gathering,
    make_tally: Callable[[str, Rules], ATally],
) -> Mapping[str, ATally]:
    """Decide some partners' facts once more, when all were folded; with them, whoever they are linked with."""
    wanted = set(partners)
    tallies: dict[str, ATally] = {}
    together = [
        [each.facts for each in linked]
        for linked in gathering.linked.values()
        if wanted & {each.partner for each in linked}
    ]
    for piece in sorted({gathering.place[partner] for partner in wanted if partner in gathering.place}):
        together += [[columns] for columns in streams_of(recorded.facts(piece)) if _partner(columns) in wanted]
    for facts in together:
        streams = [read_stream(columns, rules.own.lowest_tiers) for columns in facts]
        tallies |= {tally.partner: tally for tally in fold_together(streams, rules, make_tally)}
    return tallies


def _partner(columns: Facts) -> str:
    return partner_id_of(columns.streams[0]) or ""


_Key = tuple[str, str, str, str, str]


def line_differences(
    partner: PartnerDifference, then: Iterable[BonusLine], now: Iterable[BonusLine]
) -> Sequence[LineDifference]:
    """Set a partner's lines side by side and give those that differ, in the order posted."""
    before, after = _by_cause(then), _by_cause(now)
    found = []
    for key in {**after, **before}:
        was, is_ = before.get(key), after.get(key)
        if was == is_ or (was is not None and is_ is not None and was.amount == is_.amount):
            continue  # the same money for another tier is no difference of lines: the tier's history has it
        kind, cause, business_date, scheme, currency = key
        why = _why(cause, was, is_, partner.refused)
        found.append(LineDifference(kind, cause or None, business_date, scheme, currency, was, is_, why))
    return sorted(found, key=lambda each: (each.business_date, each.cause or "", each.scheme, each.currency))


def _by_cause(lines: Iterable[BonusLine]) -> dict[_Key, Posted]:
    sums: dict[_Key, Posted] = {}
    for line in lines:
        key = (line.kind, line.cause or "", line.business_date.isoformat(), line.scheme, line.currency)
        before = sums.get(key)
        amount = line.amount if before is None else before.amount + line.amount
        sums[key] = Posted(amount, line.rate_bp, line.tier)
    return sums


def _why(cause: str, was: Posted | None, is_: Posted | None, refused: Iterable[RefusedFact]) -> str:
    if is_ is None:
        fact = next((fact for fact in refused if cause and _names(fact.what, cause)), None)
        return f"refused: {fact.reason}" if fact else "nothing is due under the candidate"
    if was is None:
        return f"due under the candidate alone, {rate(is_.rate_bp)} as {is_.tier}"
    if was.tier != is_.tier:
        return f"{is_.tier} instead of {was.tier}: {rate(is_.rate_bp)} instead of {rate(was.rate_bp)}"
    if was.rate_bp != is_.rate_bp:
        return f"{rate(is_.rate_bp)} for {is_.tier} instead of {rate(was.rate_bp)}"
    return f"the same rate of {rate(is_.rate_bp)}, on another amount or after another settlement"


def _names(what: str, cause: str) -> bool:
    return what.startswith((f"deal {cause} of ", f"reversal {cause} of "))
