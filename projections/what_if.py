"""What-if: the recorded facts decided under other programmes, in recorded order, by the function that decided them.

Facts stay as they were told, awards and advances included; every decision is made anew (`domain.deciding`). At each fact the
ledger's date is that of the last advance before it; at the end, what is due up to the last one is decided. A fact that the
rules refuse now is listed and not applied.

Partners are independent of one another but through awards, of which the seats are counted and the holders brought up to date
first: who was ever awarded a tier is folded with all others so awarded in its country (`fold_linked`), everybody else stream by
stream (`fold_piece`). So pieces can be folded by any number of processes, and the result is the same.
"""

import datetime as dt
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from math import inf
from typing import ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from domain import events as e
from domain.aggregates import PartnerAggregate
from domain.deal import Deal, deal_from
from domain.deciding import Deciding, InMemory
from domain.decisions import decide_sale
from domain.errors import InvalidInput, Refused, UnknownReference
from domain.facts import AwardTier, EnrolPartner, ReverseSale, fact_of_values
from domain.money import minor_of_text
from domain.retold import Retold, retold
from domain.streams import partner_id_of
from projections.facts_by_stream import Facts
from projections.told import fact_sentence
from projections.what_if_rules import Rules
from projections.what_if_tally import Cell, Outcome, RefusedFact, Tally, TallyingDesk, Totals

ATally = TypeVar("ATally", bound=Tally)


class Closed(msgspec.Struct, gc=False):
    """A deal as much as deciding reads of it (`domain.decisions.ClosedDeal`): of ten facts, nine are one."""

    deal_id: str
    closed_on: dt.date
    family: str
    recorded_amount: str = msgspec.field(name="amount")
    currency: str
    source_ref: ClassVar[str | None] = None

    @property
    def amount(self) -> Decimal:
        """The amount."""
        return Decimal(self.recorded_amount)

    def minor(self, digits: int) -> int:
        """Give the amount in minor units: a currency has the same ones under every programme (ISO 4217)."""
        return minor_of_text(self.recorded_amount, digits)


class Stream(NamedTuple):
    """The facts of one partner: positions, in order, and what was told."""

    partner: str
    positions: Sequence[int]
    told: Sequence[Closed | Retold]

    @property
    def country(self) -> str | None:
        """The country of the enrolment, with which a stream begins."""
        first = self.told[0]
        return first.fact.country if isinstance(first, Retold) and isinstance(first.fact, EnrolPartner) else None


class Linked(msgspec.Struct, frozen=True, array_like=True):
    """A partner's recorded facts, set aside to be folded with those of others in its country.

    They wait, and go from process to process, as MessagePack: a third of what their objects take.
    """

    country: str
    partner: str
    packed: bytes

    @property
    def facts(self) -> Facts:
        """The facts."""
        return _unpack(self.packed)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Facts).decode


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """How many partners are enrolled by the date, how many hold each tier, and how many facts are refused."""

    partners: int
    holders: dict[str, int]
    refused: int


class Folded(msgspec.Struct, frozen=True, array_like=True):
    """What partners come to under one set of programmes, in the order folded, and the sums of their bonuses."""

    outcomes: list[Outcome]
    cells: list[Cell]
    counts: Counts


class FoldedPiece(msgspec.Struct, frozen=True, array_like=True):
    """What the facts of a piece come to: one `Folded` for each set of programmes, and who is to be folded with others."""

    facts: int
    folded: list[Folded]
    linked: list[Linked]


def fold_piece(facts: Facts, sets: Sequence[Rules], whole_countries: Collection[str] = ()) -> FoldedPiece:
    """Fold the partners of a piece, once for each set of rules; those who hold others up are set aside.

    In `whole_countries` all partners are: there, time alone may give a tier that has seats.
    """
    linked: list[Linked] = []
    foldings = [_Sums() for _ in sets]
    for columns in streams_of(facts):
        awarded = "TierAwarded" in columns.types
        if awarded or whole_countries:
            country = country_of(columns)
            if country is not None and (awarded or country in whole_countries):
                linked.append(Linked(country, partner_id_of(columns.streams[0]) or "", _pack(columns)))
                continue
        stream = read_stream(columns, sets[0].own.lowest_tiers)
        for sums, rules in zip(foldings, sets, strict=True):
            sums.add([fold_alone(stream, rules)])
    return FoldedPiece(len(facts.positions), [sums.folded() for sums in foldings], linked)


def fold_linked(linked: Sequence[Linked], sets: Sequence[Rules]) -> list[Folded]:
    """Fold the linked partners of a country together, once for each set of rules."""
    read = [read_stream(each.facts, sets[0].own.lowest_tiers) for each in linked]
    foldings = [_Sums() for _ in sets]
    for sums, rules in zip(foldings, sets, strict=True):
        sums.add(fold_together(read, rules, Tally))
    return [sums.folded() for sums in foldings]


class _Sums:
    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []
        self._totals = Totals()

    def add(self, tallies: Iterable[Tally]) -> None:
        for tally in tallies:
            self._outcomes.append(tally.outcome())
            tally.add_to(self._totals)

    def folded(self) -> Folded:
        standings = [each.standing for each in self._outcomes if each.standing is not None]
        holders = Counter(tier for each in standings if (tier := each.held_tier) is not None)
        counts = Counts(len(standings), dict(holders), sum(len(each.refused) for each in self._outcomes))
        return Folded(self._outcomes, self._totals.cells(), counts)


# --- reading facts ---


def streams_of(facts: Facts) -> Iterator[Facts]:
    """Give the facts of one stream after the other."""
    first = 0
    for _, run in groupby(facts.streams):
        after = first + sum(1 for _ in run)
        part = slice(first, after)
        yield Facts(
            facts.positions[part], facts.streams[part], facts.types[part], facts.schema_versions[part], facts.data[part]
        )
        first = after


def country_of(columns: Facts) -> str | None:
    """Give the country of a stream's partner, None where its enrolment is not among the facts."""
    if columns.types[0] != "PartnerEnrolled":
        return None
    enrolled = e.decode(columns.types[0], columns.schema_versions[0], columns.data[0])
    return enrolled.country if isinstance(enrolled, e.PartnerEnrolled) else None


_decode_sale = msgspec.json.Decoder(Closed).decode


def read_stream(columns: Facts, lowest_tiers: Mapping[str, str]) -> Stream:
    """Read the facts of one stream as they were told; an enrolment into the lowest tier of then as one without a tier."""
    partner = partner_id_of(columns.streams[0]) or ""
    told: list[Closed | Retold] = []
    for name, schema_version, data in zip(columns.types, columns.schema_versions, columns.data, strict=True):
        if name == "SaleRecorded" and schema_version == e.SaleRecorded.SCHEMA_VERSION:
            told.append(_decode_sale(data))
            continue
        event = e.decode(name, schema_version, data)
        fact = retold(partner, event)
        if isinstance(event, e.PartnerEnrolled) and event.tier == lowest_tiers.get(event.programme):
            fact = Retold(fact_of_values(EnrolPartner, {**fact.fact.__dict__, "tier": None}))
        told.append(fact)
    return Stream(partner, columns.positions, told)


# --- deciding ---


class _Rehearsal(Deciding):
    """Decides facts one at a time; `decided` has what came of the last one, by partner, and gets no place in a stream."""

    def __init__(self, at_hand: "_AtHand", rules: Rules) -> None:
        super().__init__(at_hand, rules.programmes, None)
        self.decided: list[tuple[PartnerAggregate, Sequence[e.Event]]] = []

    def place(
        self,
        partner: PartnerAggregate,
        events: Sequence[e.Event],
        _command_id: str,
        _fact_type: type[e.Event] | None = None,
    ) -> int:
        """Keep what was decided."""
        self.decided.append((partner, events))
        return 0

    def record(self, partner: PartnerAggregate, desk: TallyingDesk) -> None:
        """Record what a deal led to besides its bonuses."""
        events, desk.events = desk.events, []
        self._record(partner, events, "")


class _AtHand(InMemory):
    """Partners, rosters and the deals that are taken back later: port `domain.deciding.AtHand`."""

    def __init__(self, reversed_deals: Collection[str]) -> None:
        super().__init__("The enrolment of {} was refused.")
        self._reversed_deals = reversed_deals
        self._deal_events: dict[str, Sequence[e.Event]] = {}
        self._deals: dict[str, Deal] = {}

    def deal(self, deal_id: str) -> Deal:
        """Give a deal with all that was decided about it."""
        deal = self._deals.get(deal_id)
        if deal is None:
            if deal_id not in self._deal_events:
                raise UnknownReference(f"Deal {deal_id!r} was refused.")
            deal = self._deals[deal_id] = deal_from(self._deal_events[deal_id])
        return deal

    def note_sold(self, deal_id: str, events: Sequence[e.Event]) -> None:
        """Keep what was decided as a deal closed, if it is taken back later."""
        if deal_id in self._reversed_deals:
            self._deal_events[deal_id] = events


def fold_alone(stream: Stream, rules: Rules) -> Tally:
    """Decide the facts of a partner who is linked with nobody, and what is due at the end; give what it comes to."""
    folding = _Folding([stream], rules, Tally)
    folding.take(stream, 0, len(stream.positions))
    folding.finish()
    return folding.tallies[stream.partner]


def fold_together(streams: Sequence[Stream], rules: Rules, make_tally: Callable[[str, Rules], ATally]) -> list[ATally]:
    """Decide the facts of partners in order of position, and what is due at the end; give what each comes to.

    It is only an award that looks at other partners: up to each, the facts of one partner after the other are decided.
    """
    folding = _Folding(streams, rules, make_tally)
    awards = sorted(
        position
        for stream in streams
        for position, fact in zip(stream.positions, stream.told, strict=True)
        if type(fact) is Retold and isinstance(fact.fact, AwardTier)
    )
    ends = [end for position in awards for end in (position - 1, position)]
    runs: list[list[tuple[Stream, int, int]]] = [[] for _ in (*ends, None)]
    for stream in streams:
        first = 0
        while first < len(stream.positions):
            run = bisect_left(ends, stream.positions[first])
            after = bisect_right(stream.positions, ends[run], first) if run < len(ends) else len(stream.positions)
            runs[run].append((stream, first, after))
            first = after
    for run_of in runs:
        for stream, first, after in run_of:
            folding.take(stream, first, after)
    folding.finish()
    return list(folding.tallies.values())


class _Folding(Generic[ATally]):
    """Facts of partners being decided."""

    def __init__(self, streams: Sequence[Stream], rules: Rules, make_tally: Callable[[str, Rules], ATally]) -> None:
        self._rules = rules
        self._reversed_deals = _reversed_deals(streams)
        self._at_hand = _AtHand(self._reversed_deals)
        self._deciding = _Rehearsal(self._at_hand, rules)
        self._begun = 0
        self.tallies = {stream.partner: make_tally(stream.partner, rules) for stream in streams}

    def take(self, stream: Stream, first: int, after: int) -> None:
        """Decide the facts of a partner from one index up to another one, in order of position.

        A deal that is never taken back makes no events, unless the tally wants them: of ten facts, nine are such a deal.
        """
        partner_id, positions, reversed_deals = stream.partner, stream.positions, self._reversed_deals
        deciding, decided = self._deciding, self._deciding.decided
        next_advance, ledger_date = self._begin_day(positions[first])
        at = self._desk(partner_id)
        for position, fact in zip(positions[first:after], stream.told[first:after], strict=True):
            if position > next_advance:
                next_advance, ledger_date = self._begin_day(position)
            try:
                if at is None or type(fact) is not Closed or fact.deal_id in reversed_deals:
                    self._decide(partner_id, fact)
                    at = at or self._desk(partner_id)
                else:
                    decide_sale(at[1], fact, ledger_date)
                    if at[1].events:
                        deciding.record(*at)
            except (Refused, InvalidInput) as refusal:
                self._refuse(partner_id, position, fact, refusal)
            else:
                if decided:
                    self._tally_decided(position)

    def _desk(self, partner_id: str) -> tuple[PartnerAggregate, TallyingDesk] | None:
        """Give a desk for deals, if they can be decided on one. It has the standing of now, which an award replaces."""
        partner, tally = self._at_hand.partners.get(partner_id), self.tallies[partner_id]
        if partner is None or tally.WANTS_EVENTS:
            return None
        return partner, TallyingDesk(partner.standing, self._rules.programmes, tally)

    def _refuse(self, partner_id: str, position: int, fact: Closed | Retold, refusal: Refused | InvalidInput) -> None:
        tally = self.tallies[partner_id]
        if tally.counts(fact.closed_on if isinstance(fact, Closed) else fact.fact.business_date):
            tally.refused.append(RefusedFact(position, partner_id, _what(fact), str(refusal)))
        self._deciding.decided.clear()

    def _tally_decided(self, position: int) -> None:
        decided = self._deciding.decided
        for partner, events in decided:
            self._tally(partner).take(position, events)
        decided.clear()

    def finish(self) -> None:
        """Decide what is due up to the ledger's last date."""
        through = self._rules.ledger_date
        if through is None:
            return
        for partner in self._at_hand.partners.values():
            self._deciding.decide_due(partner, through, "")
            self._tally(partner).due_at_end = bool(self._deciding.decided)
            self._tally_decided(self._rules.own.advanced_at[-1])

    def _decide(self, partner_id: str, fact: Closed | Retold) -> None:
        if isinstance(fact, Closed):
            self._deciding.sale(self._at_hand.partner(partner_id), fact, "")
            return
        if self._rules.time_seats and isinstance(fact.fact, AwardTier) and self._deciding.ledger_date is not None:
            self._seat_by_time(partner_id, self._deciding.ledger_date)
        self._deciding.decide(fact.fact, partner_id, "", fact.person)

    def _seat_by_time(self, partner_id: str, through: dt.date) -> None:
        """Decide what the partners of a country owe before seats are counted: some may have come to hold one by time alone."""
        country = self._at_hand.partner(partner_id).standing.country
        there = [each for each in self._at_hand.partners.values() if each.standing.country == country]
        self._decide_due(there, through, self._rules.own.advanced_at[self._begun - 1])

    def _decide_due(self, partners: Iterable[PartnerAggregate], through: dt.date, position: int) -> None:
        for partner in partners:
            self._deciding.decide_due(partner, through, "")
        self._tally_decided(position)

    def _begin_day(self, position: int) -> tuple[float, dt.date | None]:
        """Set the ledger's date to that of the last advance before a position; give the position of the next one, and the date."""
        own = self._rules.own
        self._begun = begun = bisect_left(own.advanced_at, position)
        ledger_date = self._deciding.ledger_date = own.advanced_to[begun - 1] if begun else None
        return (own.advanced_at[begun] if begun < len(own.advanced_at) else inf), ledger_date

    def _tally(self, partner: PartnerAggregate) -> ATally:
        return self.tallies[partner.standing.partner_id]


def _reversed_deals(streams: Sequence[Stream]) -> frozenset[str]:
    """Give the deals that a reversal names; what came of all others need not be kept."""
    return frozenset(
        fact.fact.deal_id
        for stream in streams
        for fact in stream.told
        if type(fact) is Retold and isinstance(fact.fact, ReverseSale)
    )


def _what(fact: Closed | Retold) -> str:
    return fact_sentence(fact if isinstance(fact, Closed) else fact.fact)
