"""Replay: the recorded facts decided again, in recorded order, and what was recorded held against it.

The facts and the published programmes are taken as they stand; every decision is made anew by the very function that made it
(`domain.deciding`), and must come out the same, byte for byte. An advance is a fact of all partners at its position
(rules.md, A partner's clock). Where something differs, what was recorded counts on: so each difference is a fault of its own,
and not the consequence of one before.
"""

import datetime as dt
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from domain import events as e
from domain.aggregates import LedgerEvent, PartnerAggregate, RosterAggregate
from domain.deal import Deal, deal_from
from domain.deciding import Deciding, InMemory
from domain.envelope import EventRow
from domain.errors import Refused
from domain.programme import programme_from_content
from domain.retold import FACTS_OF_PARTNERS, retold
from domain.streams import PARTNER_PREFIX, PROGRAMMES, ROSTER_PREFIX, partner_id_of, partner_stream, roster_stream
from domain.terms import Programmes

OfStream = Callable[[str, int], Iterable[EventRow]]
"""Gives the recorded events of a stream up to a position, in order; asked only where something differs."""

_ZERO = Decimal(0)
_OF_PARTNERS = (PARTNER_PREFIX, ROSTER_PREFIX)
_OF_DEALS = frozenset({"SaleRecorded", "BonusAccrued", "SaleReversed", "BonusClawedBack"})


class Shown(NamedTuple):
    """An event for a person to compare: its place in its stream, its type, and its data as JSON text."""

    stream: str
    version: int
    type: str
    data: str


class Difference(NamedTuple):
    """What was recorded, and what the rules give instead; None where there is nothing on that side.

    `position` is that of the recorded event, or, where the rules give more than was recorded, of the last one before.
    """

    position: int
    recorded: Shown | None
    decided: Shown | None
    why: str

    def __str__(self) -> str:
        """Give one sentence with both sides."""
        return f"{self.why}. Recorded: {_told(self.recorded)}. By the rules: {_told(self.decided)}."


def _told(shown: Shown | None) -> str:
    return "nothing" if shown is None else f"{shown.type} as version {shown.version} of {shown.stream}, {shown.data}"


class Replay:
    """Decides again what it is given, event by event in order of position, from the first on.

    Memory grows with the partners and with the deals that were reversed, not with the facts. `reversed_deals` are the deals
    that a reversal names; one that is missing there is found by reading its partner's stream.
    """

    def __init__(self, reversed_deals: Container[str], of_stream: OfStream) -> None:
        self._reversed_deals = reversed_deals
        self._of_stream = of_stream
        self._at_hand = _Memory(self._recorded_deal)
        self._deciding = Deciding(self._at_hand, Programmes(), None)
        self._pending: list[EventRow] = []
        self._position = 0
        self._lost: set[str] = set()
        self.facts = 0
        """Facts decided again, publications and advances included."""
        self.events = 0
        """Events compared."""
        self.sales: dict[str, Decimal] = {}
        """What the sales decided again amount to, by currency; reversals are not taken off."""
        self.bonuses: dict[str, Decimal] = {}
        """What the bonus lines decided again amount to, by currency, clawbacks taken off."""

    @property
    def partners(self) -> dict[str, PartnerAggregate]:
        """The partners as they are after what was taken, by partner_id."""
        return self._at_hand.partners

    @property
    def programmes(self) -> Programmes:
        """The programmes published so far."""
        return self._deciding.programmes

    @property
    def ledger_date(self) -> dt.date | None:
        """The ledger's date so far."""
        return self._deciding.ledger_date

    def take(self, rows: Iterable[EventRow]) -> Iterator[Difference]:
        """Take the next events; the last command of them is decided with the next call, or by `finish`."""
        for _, command in groupby(rows, attrgetter("command_id")):
            told = list(command)
            if self._pending and self._pending[0].command_id == told[0].command_id:
                self._pending += told
                continue
            yield from self.finish()
            self._pending = told

    def finish(self) -> Iterator[Difference]:
        """Decide what is left."""
        command, self._pending = self._pending, []
        if command:
            yield from self._command(command)
            self._position = command[-1].position

    # --- one command ---

    def _command(self, rows: list[EventRow]) -> Iterator[Difference]:
        of_partners = [row for row in rows if row.stream.startswith(_OF_PARTNERS)]
        if len(of_partners) < len(rows):
            for row in rows:
                if not row.stream.startswith(_OF_PARTNERS):
                    yield from self._ledgers_own(row)
        if not of_partners or any(row.stream in self._lost for row in of_partners):
            return
        self.events += len(of_partners)
        self._at_hand.begin_command()
        decided = self._deciding.events
        decided.clear()
        fault = self._decide(of_partners)
        self._add_up(decided)
        difference = _first_difference(of_partners, decided, fault, self._position)
        if difference is not None:
            yield difference
            yield from self._go_on_from_recorded(of_partners, decided)
            self._remember_deals(of_partners, {_deal_id(row) for row in of_partners})
        else:
            self._remember_deals(of_partners, self._at_hand.deals_touched())

    def _decide(self, rows: Sequence[EventRow]) -> tuple[int, str] | None:
        """Decide a command's facts, or what is due where it has none; where that fails, give the position and the reason."""
        row = rows[0]
        due = True
        try:
            for row in rows:
                if row.type in FACTS_OF_PARTNERS:
                    due = False
                    self.facts += 1
                    partner_id = partner_id_of(row.stream) or ""
                    told = retold(partner_id, e.decode(row.type, row.schema_version, row.data))
                    self._deciding.decide(told.fact, partner_id, row.command_id, told.person)
            if due:
                self._decide_due(rows)
        except Refused as refusal:
            return row.position, f"The rules refuse this fact ({str(refusal).rstrip('.')})"
        except (
            Exception
        ) as error:  # data that somebody changed may break anything: it is told as what it is, a difference
            told_error = f"{type(error).__name__}: {error}".rstrip(".")
            return row.position, f"This fact cannot be decided again ({told_error})"
        return None

    def _decide_due(self, rows: Sequence[EventRow]) -> None:
        through = self._deciding.ledger_date
        if through is None:
            return
        for stream in dict.fromkeys(row.stream for row in rows):
            partner_id = partner_id_of(stream)
            if partner_id is not None:
                self._deciding.decide_due(self._at_hand.partner(partner_id), through, rows[0].command_id)

    def _add_up(self, decided: Sequence[LedgerEvent]) -> None:
        """Keep the control totals."""
        for each in decided:
            event = each.event
            if isinstance(event, e.SaleRecorded):
                self.sales[event.currency] = self.sales.get(event.currency, _ZERO) + event.amount
            elif isinstance(event, e.BonusAccrued | e.BonusClawedBack | e.KickbackSettled):
                for line in event.lines:
                    self.bonuses[line.currency] = self.bonuses.get(line.currency, _ZERO) + line.amount

    def _ledgers_own(self, row: EventRow) -> Iterator[Difference]:
        """Take an event of the programmes' or the ledger's stream."""
        self.events += 1
        recorded = _shown(row)
        try:
            event = e.decode(row.type, row.schema_version, row.data)
            if isinstance(event, e.ProgrammePublished):
                self.facts += 1
                programme = programme_from_content(event.content)
                if not self._deciding.programmes.check_publication(programme):
                    yield Difference(row.position, recorded, None, "The programme was published before")
                    return
                self._deciding.programmes = self._deciding.programmes.with_version(programme)
            elif isinstance(event, e.LedgerAdvanced):
                self.facts += 1
                before = self._deciding.ledger_date
                if before is not None and event.to <= before:
                    yield Difference(row.position, recorded, None, f"The ledger's date was {before} already")
                    return
                self._deciding.ledger_date = event.to
        except Refused as refusal:
            yield Difference(row.position, recorded, None, f"The rules refuse it ({str(refusal).rstrip('.')})")
        except Exception as error:  # as in `_decide`
            yield Difference(row.position, recorded, None, f"It cannot be read ({type(error).__name__}: {error})")
        if row.stream == PROGRAMMES and row.type != "ProgrammePublished":
            yield Difference(row.position, recorded, None, "The programmes' stream has publications only")

    # --- going on after a difference ---

    def _go_on_from_recorded(self, rows: Sequence[EventRow], decided: Sequence[LedgerEvent]) -> Iterator[Difference]:
        """Put what the command touched back to what was recorded of it."""
        last = rows[-1]
        for stream in sorted({row.stream for row in rows} | {event.originator_id for event in decided}):
            try:
                self._at_hand.replace(stream, self._of_stream(stream, last.position))
            except Exception as error:  # the stream itself does not hold together: said, and left out from here on
                self._lost.add(stream)
                why = (
                    f"{stream} cannot be read back up to position {last.position} ({type(error).__name__}: {error}), so"
                )
                yield Difference(last.position, _shown(last), None, f"{why} what follows in it is not decided again")

    def _remember_deals(self, rows: Sequence[EventRow], deals: Collection[str]) -> None:
        """Keep what was recorded of those of the deals that a reversal names."""
        if not any(deal_id in self._reversed_deals for deal_id in deals):
            return
        for row in rows:
            deal_id = _deal_id(row)
            if deal_id in self._reversed_deals:
                self._at_hand.keep_deal_event(deal_id, e.decode(row.type, row.schema_version, row.data))

    def _recorded_deal(self, deal_id: str) -> Iterable[e.Event]:
        """Read a deal that was not known to be reversed from the streams."""
        for partner_id in self._at_hand.partners:
            events = [
                e.decode(row.type, row.schema_version, row.data)
                for row in self._of_stream(partner_stream(partner_id), self._position)
                if _deal_id(row) == deal_id
            ]
            if events:
                return events
        return ()


class _Memory(InMemory):
    """Partners, rosters and the deals that are reversed later, as replay has them: port `domain.deciding.AtHand`."""

    def __init__(self, recorded_deal: Callable[[str], Iterable[e.Event]]) -> None:
        super().__init__("There is no partner {!r}.")
        self._recorded_deal = recorded_deal
        self._deal_events: dict[str, list[e.Event]] = {}
        self._sold_now: dict[str, Sequence[e.Event]] = {}
        self._deals_now: dict[str, Deal] = {}

    def begin_command(self) -> None:
        """Forget what the command before decided about deals: from here on, what was recorded counts."""
        if self._sold_now:
            self._sold_now = {}
        if self._deals_now:
            self._deals_now = {}

    def deals_touched(self) -> list[str]:
        """Give the deals that this command closed or took back."""
        return [*self._sold_now, *self._deals_now]

    def keep_deal_event(self, deal_id: str, event: e.Event) -> None:
        """Keep a recorded event of a deal that is taken back later."""
        self._deal_events.setdefault(deal_id, []).append(event)

    def deal(self, deal_id: str) -> Deal:
        """Give a deal with all that was recorded of it before, and decided about it in this command."""
        deal = self._deals_now.get(deal_id)
        if deal is None:
            events = self._sold_now.get(deal_id) or self._deal_events.get(deal_id) or self._recorded_deal(deal_id)
            deal = self._deals_now[deal_id] = deal_from(events)
        return deal

    def note_sold(self, deal_id: str, events: Sequence[e.Event]) -> None:
        """Keep what this command decided as a deal closed."""
        self._sold_now[deal_id] = events

    def replace(self, stream: str, rows: Iterable[EventRow]) -> None:
        """Make a partner or roster anew of its recorded events."""
        aggregate: PartnerAggregate | RosterAggregate
        partner_id = partner_id_of(stream)
        aggregate = PartnerAggregate(stream) if partner_id is not None else RosterAggregate(stream)
        for row in rows:
            event = e.decode(row.type, row.schema_version, row.data)
            LedgerEvent(stream, row.version, event, row.command_id).mutate(aggregate)
        if isinstance(aggregate, RosterAggregate):
            self.rosters[stream.removeprefix(roster_stream(""))] = aggregate
        elif aggregate.version:
            self.partners[partner_id or ""] = aggregate
        else:
            self.partners.pop(partner_id or "", None)


def _deal_id(row: EventRow) -> str:
    """Give the deal that an event tells of, empty where it tells of none or cannot be read."""
    if row.type not in _OF_DEALS:
        return ""
    try:
        return str(getattr(e.decode(row.type, row.schema_version, row.data), "deal_id", ""))
    except ValueError:  # msgspec's errors are
        return ""


def _first_difference(
    rows: Sequence[EventRow], decided: Sequence[LedgerEvent], fault: tuple[int, str] | None, before: int
) -> Difference | None:
    """Compare a command as recorded with what was decided, event by event."""
    for row, event in zip(rows, decided, strict=False):
        if not _same(row, event):
            why = fault[1] if fault else "The rules give something else"
            return Difference(row.position, _shown(row), _shown_decided(event), why)
    if fault is not None:
        row = next(row for row in rows if row.position == fault[0])
        return Difference(row.position, _shown(row), None, fault[1])
    if len(rows) > len(decided):
        row = rows[len(decided)]
        return Difference(row.position, _shown(row), None, "It does not follow from the facts")
    if len(decided) > len(rows):
        last = rows[-1].position if rows else before
        return Difference(last, None, _shown_decided(decided[len(rows)]), "A decision is missing behind it")
    return None


def _same(row: EventRow, decided: LedgerEvent) -> bool:
    event = decided.event
    if row.stream != decided.originator_id or row.version != decided.originator_version:
        return False
    if row.schema_version != type(event).SCHEMA_VERSION:
        return e.decode(row.type, row.schema_version, row.data) == event
    return row.type == type(event).__name__ and row.data == e.encode(event)


def _shown(row: EventRow) -> Shown:
    return Shown(row.stream, row.version, row.type, row.data.decode(errors="backslashreplace"))


def _shown_decided(event: LedgerEvent) -> Shown:
    return Shown(
        event.originator_id, event.originator_version, type(event.event).__name__, e.encode(event.event).decode()
    )
