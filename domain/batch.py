"""A batch: many facts decided one after the other, to be appended in one transaction.

A fact sees what the facts before it in the batch did. What the batch needs of the store was looked up before
(`LookUp`, whole streams, deals); here is no I/O. A refused fact leaves no trace in the batch.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol

from domain import decisions
from domain import events as e
from domain.aggregates import LedgerEvent, PartnerAggregate, RosterAggregate
from domain.deal import Deal, deal_from
from domain.errors import Conflict, InvalidInput, Refused, UnknownReference
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    Fact,
    RecordSale,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
    content_hash,
    content_of,
)
from domain.identity import difference, told_content
from domain.recording import Identity, IdentityKey, LookUp
from domain.streams import partner_id_of, partner_stream, roster_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.terms import Programmes


@dataclass(frozen=True, slots=True)
class Telling:
    """A fact, and the id under which its events are recorded."""

    fact: Fact
    command_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a fact: recorded with so many events, skipped as a duplicate, or refused for a reason."""

    kind: Literal["recorded", "duplicate", "refused"]
    events: int = 0
    reason: str = ""


DUPLICATE = Outcome("duplicate")


@cache
def _recorded(events: int) -> Outcome:
    return Outcome("recorded", events)


class Shelf(Protocol):
    """Where a batch gets aggregates and deals from: the application, which has looked them up."""

    def partner(self, partner_id: str) -> PartnerAggregate | None:
        """Give a partner, or None where there is none."""
        ...

    def roster(self, country: str) -> RosterAggregate:
        """Give the roster of a country."""
        ...

    def deal(self, deal_id: str) -> Deal:
        """Put a recorded deal together."""
        ...

    def recorded_fact(self, identity: Identity) -> e.Event:
        """Read the event that an identity stands for."""
        ...

    def is_known_pseudonym(self, pseudonym: str) -> bool:
        """Tell whether a pseudonym still stands for somebody."""
        ...


class Batch:
    """Facts decided together. Afterwards `events`, `identities` and `persons` are to be appended.

    `before` is a batch that is decided, but not recorded yet: its facts are known as if they were.
    """

    def __init__(
        self,
        shelf: Shelf,
        programmes: "Programmes",
        look_up: LookUp,
        new_pseudonym: Callable[[], str],
        before: "Batch | None" = None,
    ) -> None:
        self._shelf = shelf
        self._programmes = programmes
        self._ledger_date = look_up.head.ledger_date
        self._today = look_up.head.today
        self._known: dict[IdentityKey, Identity] = dict(look_up.identities)
        self._persons: dict[str, str] = dict(look_up.persons)
        self._new_pseudonym = new_pseudonym
        self._partners: dict[str, PartnerAggregate | None] = {}
        self._rosters: dict[str, RosterAggregate] = {}
        self._deals: dict[str, Deal] = {}
        self._deal_events: dict[str, Sequence[e.Event]] = {}
        self._contents: dict[IdentityKey, dict[str, str | None]] = {}
        self.events: list[LedgerEvent] = []
        self.identities: list[Identity] = []
        self.persons: dict[str, str] = {}
        self.before = before
        if before is not None:
            self._known |= {(identity.kind, identity.key): identity for identity in before.identities}
            self._persons |= before.persons

    @property
    def touched(self) -> Iterable[PartnerAggregate | RosterAggregate]:
        """The aggregates that this batch has looked at and may have changed."""
        return [*(partner for partner in self._partners.values() if partner), *self._rosters.values()]

    def tell(self, telling: Telling) -> Outcome:
        """Decide one fact: identity first, then the rules."""
        fact = telling.fact
        try:
            content = self._content(fact)
            hashed = content_hash(content)
            if self._is_duplicate(fact, content, hashed):
                return DUPLICATE
            if fact.business_date > self._today:
                raise Refused(f"{fact.business_date} is in the future: today is {self._today}.")
            before = len(self.events)
            stream, version, refers_to = self._decide(fact, telling.command_id)
        except (Refused, InvalidInput) as error:
            return Outcome("refused", reason=str(error))
        key = fact.identity_key
        identity = Identity(key[0], key[1], stream, version, hashed, refers_to)
        self._known[key] = identity
        self._contents[key] = content
        self.identities.append(identity)
        return _recorded(len(self.events) - before)

    def decide_due(self, partner: PartnerAggregate, through: dt.date, command_id: str) -> None:
        """Decide what time alone does to a partner up to a date."""
        self._partners[partner.standing.partner_id] = partner
        self._record(partner, decisions.decide_due(partner.standing, self._programmes, through), command_id)

    # --- identity ---

    def _content(self, fact: Fact) -> dict[str, str | None]:
        lowest = None
        if isinstance(fact, EnrolPartner) and fact.tier is None:
            terms = self._programmes.in_force(fact.enrolled_on)
            lowest = terms.lowest.code if terms else None
        return content_of(fact, lowest)

    def _is_duplicate(self, fact: Fact, content: dict[str, str | None], hashed: bytes) -> bool:
        key = fact.identity_key
        known = self._known.get(key)
        if known is None:
            return False
        if known.content_hash != hashed:
            raise Conflict(
                f"{_named(fact)} was told before with another content: {difference(self._told(known), content)}."
            )
        if isinstance(fact, RecordTraining):
            self._compare_person(fact, known)
        return True

    def _told(self, known: Identity) -> dict[str, str | None]:
        """Give the content that an identity was told with."""
        key = known.kind, known.key
        content = self._contents.get(key)
        if content is None and self.before is not None:
            content = self.before._contents.get(key)
        return told_content(known.stream, self._shelf.recorded_fact(known)) if content is None else content

    def _compare_person(self, fact: RecordTraining, known: Identity) -> None:
        """Compare a training's person by way of the pseudonyms' table, and no more once it is forgotten."""
        pseudonym = self._persons.get(fact.person_id)
        if pseudonym == known.refers_to or known.refers_to is None:
            return
        if known.refers_to in self._persons.values() or self._shelf.is_known_pseudonym(known.refers_to):
            raise Conflict(
                f"{_named(fact)} was told before with another content:"
                f" person {known.refers_to} (a pseudonym), now person_id {fact.person_id!r}."
            )

    # --- the facts ---

    def _decide(self, fact: Fact, command_id: str) -> tuple[str, int, str | None]:
        """Decide a fact; give where its event stands, and what its identity refers to."""
        if isinstance(fact, RecordSale):
            partner = self._partner(fact.partner_id)
            events = decisions.record_sale(partner.standing, fact, self._programmes, self._ledger_date)
            self._deal_events[fact.deal_id] = events
            return *self._record(partner, events, command_id, e.SaleRecorded), None
        if isinstance(fact, RecordTraining):
            return self._training(fact, command_id)
        if isinstance(fact, ReverseSale):
            return self._reversal(fact, command_id)
        if isinstance(fact, EnrolPartner):
            return *self._enrolment(fact, command_id), None
        if isinstance(fact, RevokeCertificate):
            return self._revocation(fact, command_id)
        if isinstance(fact, AwardTier):
            return *self._award(fact, command_id), None
        if isinstance(fact, ChangeMembership):
            partner = self._partner(fact.partner_id)
            events = decisions.change_membership(partner.standing, fact, self._programmes, self._ledger_date)
            fact_types: dict[str, type[e.Event]] = {
                "suspend": e.MembershipSuspended,
                "resume": e.MembershipResumed,
                "end": e.MembershipEnded,
            }
            return *self._record(partner, events, command_id, fact_types[fact.change]), None
        raise TypeError(f"{type(fact).__name__} is not a fact about a partner")

    def _enrolment(self, fact: EnrolPartner, command_id: str) -> tuple[str, int]:
        standing, events = decisions.enrol(fact, self._programmes, self._ledger_date)
        partner = PartnerAggregate(partner_stream(fact.partner_id))
        partner.standing = standing
        self._partners[fact.partner_id] = partner
        return self._record(partner, events, command_id, e.PartnerEnrolled)

    def _training(self, fact: RecordTraining, command_id: str) -> tuple[str, int, str]:
        partner = self._partner(fact.partner_id)
        person = self._persons.get(fact.person_id) or self._new_pseudonym()
        events = decisions.record_training(partner.standing, fact, person, self._programmes, self._ledger_date)
        if fact.person_id not in self._persons:
            self._persons[fact.person_id] = self.persons[fact.person_id] = person
        return *self._record(partner, events, command_id, e.TrainingCompleted), person

    def _revocation(self, fact: RevokeCertificate, command_id: str) -> tuple[str, int, str]:
        known = self._known.get(("training", fact.completion_id))
        if known is None:
            raise UnknownReference(f"There is no completion {fact.completion_id!r} (yet): tell the training first.")
        partner = self._partner(partner_id_of(known.stream) or "")
        events = decisions.revoke_certificate(partner.standing, fact, self._programmes, self._ledger_date)
        return *self._record(partner, events, command_id, e.CertificateRevoked), fact.completion_id

    def _reversal(self, fact: ReverseSale, command_id: str) -> tuple[str, int, str]:
        known = self._known.get(("deal", fact.deal_id))
        if known is None:
            raise UnknownReference(f"There is no deal {fact.deal_id!r} (yet): tell the sale first.")
        partner = self._partner(partner_id_of(known.stream) or "")
        deal = self._deal(fact.deal_id)
        events = decisions.reverse_sale(partner.standing, deal, fact, self._programmes, self._ledger_date)
        for event in events:
            if getattr(event, "deal_id", None) == fact.deal_id:
                deal.apply(event)
        return *self._record(partner, events, command_id, e.SaleReversed), fact.deal_id

    def _deal(self, deal_id: str) -> Deal:
        """Give a deal with all that was decided about it."""
        deal = self._deals.get(deal_id)
        if deal is None:
            deal = self.before._deals.get(deal_id) if self.before is not None else None
            if deal is None:
                events = self._deal_events.get(deal_id)
                if events is None and self.before is not None:
                    events = self.before._deal_events.get(deal_id)
                deal = deal_from(events) if events is not None else self._shelf.deal(deal_id)
            self._deals[deal_id] = deal
        return deal

    def _award(self, fact: AwardTier, command_id: str) -> tuple[str, int]:
        """Award a tier: first decide what all holders in the country owe, then count, all of it or nothing."""
        partner = self._partner(fact.partner_id)
        roster = self._roster(partner.standing.country)
        others = [self._partner(holder) for holder in sorted(roster.holders) if holder != fact.partner_id]
        with self._all_or_nothing([partner, *others], roster):
            desk, terms, on = decisions.begin_award(partner.standing, fact, self._programmes, self._ledger_date)
            for holder in others:
                self._record(holder, decisions.decide_due(holder.standing, self._programmes, on), command_id)
            holders = [p for p, tier in roster.holders.items() if tier == fact.tier and p != fact.partner_id]
            events = decisions.award_tier(desk, terms, fact, on, holders)
            return self._record(partner, events, command_id, e.TierAwarded)

    @contextmanager
    def _all_or_nothing(self, partners: Sequence[PartnerAggregate], roster: RosterAggregate) -> "Iterator[None]":
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

    # --- recording ---

    def _partner(self, partner_id: str) -> PartnerAggregate:
        partner = self._partners.get(partner_id)
        if partner is None:
            partner = self.before._partners.get(partner_id) if self.before is not None else None
            partner = partner or self._shelf.partner(partner_id)
            if partner is None:
                raise UnknownReference(f"There is no partner {partner_id!r} (yet): tell the enrolment first.")
            self._partners[partner_id] = partner
        return partner

    def _roster(self, country: str) -> RosterAggregate:
        roster = self._rosters.get(country)
        if roster is None:
            roster = self.before._rosters.get(country) if self.before is not None else None
            roster = self._rosters[country] = roster or self._shelf.roster(country)
        return roster

    def _record(
        self,
        partner: PartnerAggregate,
        events: Sequence[e.Event],
        command_id: str,
        fact_type: type[e.Event] | None = None,
    ) -> tuple[str, int]:
        """Give a partner's events their place in its stream; give where the fact's own event stands."""
        version = fact_version = partner.version
        append = self.events.append
        for event in events:
            version += 1
            append(LedgerEvent(partner.id, version, event, command_id))
            if type(event) is fact_type:
                fact_version = version
        partner.version = version
        if partner.seat_now() != partner.seat:
            self._change_seat(partner, events, command_id)
        return partner.id, fact_version

    def _change_seat(self, partner: PartnerAggregate, events: Sequence[e.Event], command_id: str) -> None:
        """Keep the roster of the country up to what the partner holds now."""
        standing, seat = partner.standing, partner.seat_now()
        roster = self._roster(standing.country)
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


_NAMES: Mapping[str, str] = {
    "partner": "Partner",
    "deal": "Deal",
    "reversal": "Reversal",
    "training": "Completion",
    "revocation": "The revocation of completion",
}


_CHANGES = {"suspend": "suspension", "resume": "resumption", "end": "end"}


def _named(fact: Fact) -> str:
    if isinstance(fact, AwardTier):
        return f"The award of {fact.tier} to {fact.partner_id} on {fact.awarded_on}"
    if isinstance(fact, ChangeMembership):
        return f"The {_CHANGES[fact.change]} of {fact.partner_id} on {fact.on}"
    kind, key = fact.identity_key
    return f"{_NAMES[kind]} {key!r}"


def roster_of(country: str) -> RosterAggregate:
    """Make the roster of a country that has none yet."""
    return RosterAggregate(roster_stream(country))
