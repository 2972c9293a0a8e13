"""Deciding: facts turned into events at their places in streams, one after the other, with what each fact touches.

Both who records facts (`domain.batch`) and who decides recorded ones again (`domain.replay`) do it by this; they differ in
where partners, rosters and deals come from (`AtHand`), and in what is asked before a fact is decided at all.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from domain import decisions
from domain import events as e
from domain.aggregates import LedgerEvent, PartnerAggregate, RosterAggregate
from domain.deal import ClosedDeal, Deal
from domain.errors import InvalidInput, Refused, UnknownReference
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    Fact,
    RecordSale,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
)
from domain.streams import partner_stream, roster_stream
from domain.terms import Programmes

_MEMBERSHIP_EVENTS: dict[str, type[e.Event]] = {
    "suspend": e.MembershipSuspended,
    "resume": e.MembershipResumed,
    "end": e.MembershipEnded,
}


class AtHand(Protocol):
    """What facts are decided on, as it is after the facts before."""

    def partner(self, partner_id: str) -> PartnerAggregate:
        """Give a partner.

        Raises:
            UnknownReference: there is none.

        """
        ...

    def roster(self, country: str) -> RosterAggregate:
        """Give the roster of a country, an empty one where there is none yet."""
        ...

    def deal(self, deal_id: str) -> Deal:
        """Give a deal with all that was decided about it."""
        ...

    def note_enrolled(self, partner: PartnerAggregate) -> None:
        """Take a new partner."""
        ...

    def note_sold(self, deal_id: str, events: Sequence[e.Event]) -> None:
        """Take what was decided as a deal closed, should it be reversed."""
        ...


class InMemory:
    """Partners and rosters held in memory, for who decides recorded facts again: the part of `AtHand` that is the same for all."""

    def __init__(self, unknown: str) -> None:
        """Begin with none; `unknown` says why a partner is not there, with {} for its id."""
        self._unknown = unknown
        self.partners: dict[str, PartnerAggregate] = {}
        self.rosters: dict[str, RosterAggregate] = {}

    def partner(self, partner_id: str) -> PartnerAggregate:
        """Give a partner.

        Raises:
            UnknownReference: there is none.

        """
        partner = self.partners.get(partner_id)
        if partner is None:
            raise UnknownReference(self._unknown.format(partner_id))
        return partner

    def roster(self, country: str) -> RosterAggregate:
        """Give the roster of a country, an empty one where there is none yet."""
        roster = self.rosters.get(country)
        if roster is None:
            roster = self.rosters[country] = RosterAggregate(roster_stream(country))
        return roster

    def note_enrolled(self, partner: PartnerAggregate) -> None:
        """Take a new partner."""
        self.partners[partner.standing.partner_id] = partner


class Deciding:
    """Decides facts on what is at hand. `events` has what was decided so far, in order, each at its place in its stream."""

    __slots__ = ("_at_hand", "events", "ledger_date", "programmes")

    def __init__(self, at_hand: AtHand, programmes: Programmes, ledger_date: dt.date | None) -> None:
        self._at_hand = at_hand
        self.programmes = programmes
        self.ledger_date = ledger_date
        self.events: list[LedgerEvent] = []

    def decide(self, fact: Fact, partner_id: str, command_id: str, person: str = "") -> tuple[str, int]:
        """Decide a fact about a partner; give the stream and version of the fact's own event.

        `person` is the pseudonym of a training's person.

        Raises:
            Refused, InvalidInput: the rules say no; nothing is left of the fact.

        """
        if isinstance(fact, RecordSale):
            return self.sale(self._at_hand.partner(partner_id), fact, command_id)
        if isinstance(fact, EnrolPartner):
            return self._enrol(fact, command_id)
        partner = self._at_hand.partner(partner_id)
        programmes, ledger_date = self.programmes, self.ledger_date
        if isinstance(fact, RecordTraining):
            events = decisions.record_training(partner.standing, fact, person, programmes, ledger_date)
            return self._record(partner, events, command_id, e.TrainingCompleted)
        if isinstance(fact, ReverseSale):
            return self._reverse(partner, fact, command_id)
        if isinstance(fact, RevokeCertificate):
            events = decisions.revoke_certificate(partner.standing, fact, programmes, ledger_date)
            return self._record(partner, events, command_id, e.CertificateRevoked)
        if isinstance(fact, AwardTier):
            return self._award(partner, fact, command_id)
        if isinstance(fact, ChangeMembership):
            events = decisions.change_membership(partner.standing, fact, programmes, ledger_date)
            return self._record(partner, events, command_id, _MEMBERSHIP_EVENTS[fact.change])
        raise TypeError(f"{type(fact).__name__} is not a fact about a partner")

    def sale(self, partner: PartnerAggregate, fact: ClosedDeal, command_id: str) -> tuple[str, int]:
        """Decide a deal of a partner who is at hand; otherwise as `decide`, which comes here with a `RecordSale`."""
        events = decisions.record_sale(partner.standing, fact, self.programmes, self.ledger_date)
        self._at_hand.note_sold(fact.deal_id, events)
        return self._record(partner, events, command_id, e.SaleRecorded)

    def decide_due(self, partner: PartnerAggregate, through: dt.date, command_id: str) -> None:
        """Decide what time alone does to a partner up to a date."""
        self._record(partner, decisions.decide_due(partner.standing, self.programmes, through), command_id)

    def _enrol(self, fact: EnrolPartner, command_id: str) -> tuple[str, int]:
        standing, events = decisions.enrol(fact, self.programmes, self.ledger_date)
        partner = PartnerAggregate(partner_stream(fact.partner_id))
        partner.standing = standing
        self._at_hand.note_enrolled(partner)
        return self._record(partner, events, command_id, e.PartnerEnrolled)

    def _reverse(self, partner: PartnerAggregate, fact: ReverseSale, command_id: str) -> tuple[str, int]:
        deal = self._at_hand.deal(fact.deal_id)
        events = decisions.reverse_sale(partner.standing, deal, fact, self.programmes, self.ledger_date)
        for event in events:
            if getattr(event, "deal_id", None) == fact.deal_id:
                deal.apply(event)
        return self._record(partner, events, command_id, e.SaleReversed)

    def _award(self, partner: PartnerAggregate, fact: AwardTier, command_id: str) -> tuple[str, int]:
        """Award a tier: first decide what all holders in the country owe, then count, all of it or nothing."""
        roster = self._at_hand.roster(partner.standing.country)
        others = [self._at_hand.partner(holder) for holder in sorted(roster.holders) if holder != fact.partner_id]
        with self._all_or_nothing([partner, *others], roster):
            desk, terms, on = decisions.begin_award(partner.standing, fact, self.programmes, self.ledger_date)
            for holder in others:
                self.decide_due(holder, on, command_id)
            holders = [p for p, tier in roster.holders.items() if tier == fact.tier and p != fact.partner_id]
            events = decisions.award_tier(desk, terms, fact, on, holders)
            return self._record(partner, events, command_id, e.TierAwarded)

    @contextmanager
    def _all_or_nothing(self, partners: Sequence[PartnerAggregate], roster: RosterAggregate) -> Iterator[None]:
        """Put partners, roster and events back as they were where a fact is refused after something was decided."""
        saved = [(p, p.standing, p.version, p.seat) for p in partners]
        holders, roster_version, count = dict(roster.holders), roster.version, len(self.events)
        for p in partners:
            p.standing = p.standing.copy()
        try:
            yield
        except (Refused, InvalidInput):
            for partner, standing, version, seat in saved:
                partner.standing, partner.version, partner.seat = standing, version, seat
            roster.holders, roster.version = holders, roster_version
            del self.events[count:]
            raise

    def _record(
        self,
        partner: PartnerAggregate,
        events: Sequence[e.Event],
        command_id: str,
        fact_type: type[e.Event] | None = None,
    ) -> tuple[str, int]:
        """Record a partner's events and what they change in its country's roster; give where the fact's own event stands."""
        fact_version = self.place(partner, events, command_id, fact_type)
        if partner.seat_now() != partner.seat:
            self._change_seat(partner, events, command_id)
        return partner.id, fact_version

    def place(
        self,
        partner: PartnerAggregate,
        events: Sequence[e.Event],
        command_id: str,
        fact_type: type[e.Event] | None = None,
    ) -> int:
        """Give a partner's events their places in its stream; give the version of the fact's own event.

        Who only wants to know what is decided (`projections.what_if`) does something else with it.
        """
        version = fact_version = partner.version
        append = self.events.append
        for event in events:
            version += 1
            append(LedgerEvent(partner.id, version, event, command_id))
            if type(event) is fact_type:
                fact_version = version
        partner.version = version
        return fact_version

    def _change_seat(self, partner: PartnerAggregate, events: Sequence[e.Event], command_id: str) -> None:
        """Keep the roster of the country up to what the partner holds now."""
        standing, seat = partner.standing, partner.seat_now()
        roster = self._at_hand.roster(standing.country)
        on = next(
            event.effective_on
            for event in reversed(events)
            if isinstance(event, e.TierChanged | e.ProgrammeEntered | e.MembershipEnded)
        )
        changes: list[e.Event] = []
        if partner.seat is not None:
            changes.append(e.SeatFreed(partner_id=standing.partner_id, tier=partner.seat, effective_on=on))
        if seat is not None:
            changes.append(e.SeatTaken(partner_id=standing.partner_id, tier=seat, effective_on=on))
        for change in changes:
            roster.version += 1
            roster.apply(change)
            self.events.append(LedgerEvent(roster.id, roster.version, change, command_id))
        partner.seat = seat
