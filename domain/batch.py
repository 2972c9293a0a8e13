"""A batch: many facts decided one after the other, to be appended in one transaction.

A fact sees what the facts before it in the batch did. What the batch needs of the store was looked up before
(`LookUp`, whole streams, deals); here is no I/O. A refused fact leaves no trace in the batch.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol, cast

from domain import events as e
from domain.aggregates import PartnerAggregate, RosterAggregate
from domain.deal import Deal, deal_from
from domain.deciding import Deciding
from domain.errors import Conflict, InvalidInput, Refused, UnknownReference
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    Fact,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
    content_hash,
    content_of,
)
from domain.identity import difference, told_content
from domain.recording import Identity, IdentityKey, LookUp
from domain.streams import partner_id_of, roster_stream

if TYPE_CHECKING:
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
        self._deciding = Deciding(self, programmes, look_up.head.ledger_date)
        self.events = self._deciding.events
        self._today = look_up.head.today
        self._known: dict[IdentityKey, Identity] = dict(look_up.identities)
        self._persons: dict[str, str] = dict(look_up.persons)
        self._new_pseudonym = new_pseudonym
        self._partners: dict[str, PartnerAggregate | None] = {}
        self._rosters: dict[str, RosterAggregate] = {}
        self._deals: dict[str, Deal] = {}
        self._deal_events: dict[str, Sequence[e.Event]] = {}
        self._contents: dict[IdentityKey, dict[str, str | None]] = {}
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
        self._deciding.decide_due(partner, through, command_id)

    # --- identity ---

    def _content(self, fact: Fact) -> dict[str, str | None]:
        lowest = None
        if isinstance(fact, EnrolPartner) and fact.tier is None:
            terms = self._deciding.programmes.in_force(fact.enrolled_on)
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
        decide = self._deciding.decide
        if isinstance(fact, RecordTraining):
            return self._training(fact, command_id)
        if isinstance(fact, ReverseSale):
            partner_id = self._partner_of(("deal", fact.deal_id), "deal", "the sale")
            return *decide(fact, partner_id, command_id), fact.deal_id
        if isinstance(fact, RevokeCertificate):
            partner_id = self._partner_of(("training", fact.completion_id), "completion", "the training")
            return *decide(fact, partner_id, command_id), fact.completion_id
        return *decide(fact, cast("_OfPartner", fact).partner_id, command_id), None

    def _training(self, fact: RecordTraining, command_id: str) -> tuple[str, int, str]:
        person = self._persons.get(fact.person_id) or self._new_pseudonym()
        place = self._deciding.decide(fact, fact.partner_id, command_id, person)
        if fact.person_id not in self._persons:
            self._persons[fact.person_id] = self.persons[fact.person_id] = person
        return *place, person

    def _partner_of(self, key: IdentityKey, what: str, tell_first: str) -> str:
        known = self._known.get(key)
        if known is None:
            raise UnknownReference(f"There is no {what} {key[1]!r} (yet): tell {tell_first} first.")
        return partner_id_of(known.stream) or ""

    # --- what facts are decided on: port `domain.deciding.AtHand` ---

    def partner(self, partner_id: str) -> PartnerAggregate:
        """Give a partner: as this batch, the one before, or the shelf has it."""
        partner = self._partners.get(partner_id)
        if partner is None:
            partner = self.before._partners.get(partner_id) if self.before is not None else None
            partner = partner or self._shelf.partner(partner_id)
            if partner is None:
                raise UnknownReference(f"There is no partner {partner_id!r} (yet): tell the enrolment first.")
            self._partners[partner_id] = partner
        return partner

    def roster(self, country: str) -> RosterAggregate:
        """Give a roster: as this batch, the one before, or the shelf has it."""
        roster = self._rosters.get(country)
        if roster is None:
            roster = self.before._rosters.get(country) if self.before is not None else None
            roster = self._rosters[country] = roster or self._shelf.roster(country)
        return roster

    def deal(self, deal_id: str) -> Deal:
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

    def note_enrolled(self, partner: PartnerAggregate) -> None:
        """Take a new partner."""
        self._partners[partner.standing.partner_id] = partner

    def note_sold(self, deal_id: str, events: Sequence[e.Event]) -> None:
        """Keep what was decided as a deal closed: it may be reversed within the batch."""
        self._deal_events[deal_id] = events


class _OfPartner(Protocol):
    """A fact that names its partner."""

    partner_id: str


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
