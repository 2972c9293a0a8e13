"""Histories as lists of facts: given these, when that is told, then these events.

`History` is a ledger in memory, made of the ledger's own `Batch`. It decides nothing and checks nothing of its own: it
carries decided events from one batch to the next. It is no stand-in for PostgreSQL, whose checks are tested on PostgreSQL.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from domain import events as e
from domain.aggregates import LedgerEvent, PartnerAggregate, RosterAggregate
from domain.application import check_advance, check_publication_date
from domain.batch import Batch, Outcome, Telling, roster_of
from domain.deal import Deal, deal_from
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    Fact,
    RecordSale,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
    read_fact,
)
from domain.identity import told_content
from domain.loyalty import loyalty_days
from domain.money import currency_digits
from domain.programme import Programme
from domain.recording import Head, Identity, IdentityKey, LookUp
from domain.standing import Standing
from domain.streams import LEDGER, PROGRAMMES, partner_id_of, partner_stream
from domain.terms import Programmes

TODAY = dt.date(2026, 1, 1)
AnEvent = TypeVar("AnEvent", bound=e.Event)
Posting = e.BonusAccrued | e.BonusClawedBack | e.KickbackSettled


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


# --- facts, in few words ----------------------------------------------------------------------------------------------


def enrol(partner: str, on: str, tier: str = "", *, country: str = "CH", currency: str = "EUR", name: str = "") -> Fact:
    row = {"partner_id": partner, "name": name or f"{partner} AG", "country": country, "currency": currency}
    return read_fact(EnrolPartner, {**row, "enrolled_on": on, "tier": tier})


def suspend(partner: str, on: str, reason: str = "") -> Fact:
    return _membership(partner, "suspend", on, reason)


def resume(partner: str, on: str, reason: str = "") -> Fact:
    return _membership(partner, "resume", on, reason)


def end(partner: str, on: str, reason: str = "") -> Fact:
    return _membership(partner, "end", on, reason)


def _membership(partner: str, change: str, on: str, reason: str) -> Fact:
    return read_fact(ChangeMembership, {"partner_id": partner, "change": change, "on": on, "reason": reason})


def train(completion: str, partner: str, person: str, course: str, on: str) -> Fact:
    row = {"completion_id": completion, "partner_id": partner, "person_id": person, "course": course}
    return read_fact(RecordTraining, {**row, "completed_on": on})


def revoke(completion: str, on: str, reason: str = "") -> Fact:
    return read_fact(RevokeCertificate, {"completion_id": completion, "revoked_on": on, "reason": reason})


def sale(
    deal: str, partner: str, on: str, amount: str, family: str = "saas", *, currency: str = "EUR", ref: str = ""
) -> Fact:
    row = {"deal_id": deal, "partner_id": partner, "closed_on": on, "family": family}
    return read_fact(RecordSale, {**row, "amount": amount, "currency": currency, "source_ref": ref})


def reverse(reversal: str, deal: str, on: str, amount: str = "", reason: str = "") -> Fact:
    row = {"reversal_id": reversal, "deal_id": deal, "reversed_on": on, "amount": amount, "reason": reason}
    return read_fact(ReverseSale, row)


def award(partner: str, tier: str, on: str, by: str = "board", reason: str = "") -> Fact:
    row = {"partner_id": partner, "tier": tier, "awarded_on": on, "awarded_by": by, "reason": reason}
    return read_fact(AwardTier, row)


# --- the ledger in memory ---------------------------------------------------------------------------------------------


class Posted(NamedTuple):
    """A bonus line as posted, in a form that reads well in a test."""

    on: str
    scheme: str
    amount: str
    currency: str


class History:
    """A ledger in memory. `log` has every event in the order recorded."""

    def __init__(
        self,
        *programmes: Programme,
        today: dt.date = TODAY,
        pseudonym_of: Callable[[str], str] = "pseudonym of {}".format,
    ) -> None:
        self.programmes = Programmes()
        self.today = today
        self.ledger_date: dt.date | None = None
        self.log: list[LedgerEvent] = []
        self.refusals: list[str] = []
        self._latest: dt.date | None = None
        self._pseudonym_of = pseudonym_of
        self._person = ""
        self._persons: dict[str, str] = {}
        self._forgotten: set[str] = set()
        self._partners: dict[str, PartnerAggregate] = {}
        self._rosters: dict[str, RosterAggregate] = {}
        self._identities: dict[IdentityKey, Identity] = {}
        self._by_stream: dict[str, list[e.Event]] = {}
        self._by_deal: dict[str, list[e.Event]] = {}
        for programme in programmes:
            self.publish(programme)

    # given, when

    def given(self, *facts: Fact) -> "History":
        """Tell facts that must all be recorded."""
        for fact in facts:
            outcome = self.tell(fact)
            assert outcome.kind == "recorded", f"{fact!r}: {outcome.kind} {outcome.reason}"
        return self

    def tell(self, fact: Fact) -> Outcome:
        """Tell one fact."""
        return self.tell_together([fact])[0]

    def tell_together(self, facts: Sequence[Fact]) -> list[Outcome]:
        """Tell facts as one batch."""
        batch = self._batch(facts)
        outcomes = []
        for fact in facts:
            self._person = fact.person_id if isinstance(fact, RecordTraining) else ""
            outcomes.append(batch.tell(Telling(fact, f"command-{len(self.log) + len(batch.events)}")))
        self.refusals += [outcome.reason for outcome in outcomes if outcome.kind == "refused"]
        self._keep(batch)
        return outcomes

    def refusal(self, fact: Fact) -> str:
        """Tell a fact that must be refused and change nothing; give the reason."""
        events = len(self.log)
        outcome = self.tell(fact)
        assert outcome.kind == "refused", f"{fact!r}: {outcome.kind}"
        assert len(self.log) == events
        return outcome.reason

    def publish(self, programme: Programme) -> bool:
        """Publish a programme version; False where it is there already."""
        if not self.programmes.check_publication(programme):
            return False
        check_publication_date(programme, self._head())
        self.programmes = self.programmes.with_version(programme)
        event = e.ProgrammePublished(
            programme=programme.programme, effective_from=programme.effective_from, content=programme.content()
        )
        self._append([LedgerEvent(PROGRAMMES, len(self.stream(PROGRAMMES)) + 1, event, "publish")])
        return True

    def begin_day(self, to: str | dt.date) -> None:
        """Set the ledger's date; what falls due is decided later, partner by partner."""
        date = day(to) if isinstance(to, str) else to
        check_advance(date, self._head())
        if date != self.ledger_date:
            self.ledger_date = date
            self._append([LedgerEvent(LEDGER, len(self.stream(LEDGER)) + 1, e.LedgerAdvanced(to=date), "advance")])

    def decide_due(self, *partners: str) -> None:
        """Decide what partners owe up to the ledger's date, as the daily run does."""
        batch = self._batch([])
        for partner in partners:
            if self.ledger_date is not None:
                batch.decide_due(self._partners[partner], self.ledger_date, "advance")
        self._keep(batch)

    def advance(self, to: str | dt.date) -> "History":
        """Set the ledger's date and decide what falls due for every partner."""
        self.begin_day(to)
        self.decide_due(*self.partner_ids())
        return self

    def forget(self, person: str) -> None:
        """Delete a person's row from the table of pseudonyms."""
        self._forgotten.add(self._persons.pop(person))

    # then

    def partner_ids(self) -> list[str]:
        return sorted(self._partners)

    def stream(self, name: str) -> list[e.Event]:
        return self._by_stream.get(name, [])

    def events(self, partner: str) -> list[e.Event]:
        return self.stream(partner_stream(partner))

    def those(self, kind: type[AnEvent], partner: str) -> list[AnEvent]:
        return [event for event in self.events(partner) if isinstance(event, kind)]

    def last(self, kind: type[AnEvent], partner: str) -> AnEvent:
        return self.those(kind, partner)[-1]

    def names(self, partner: str) -> list[str]:
        """The types of a partner's events, in order."""
        return [type(event).__name__ for event in self.events(partner)]

    def standing(self, partner: str) -> Standing:
        return self._partners[partner].standing

    def holders(self, country: str) -> dict[str, str]:
        return dict(self.roster(country).holders)

    def tier(self, partner: str) -> str:
        return self.standing(partner).tier

    def tiers(self, partner: str) -> list[tuple[str, str, str]]:
        """The tiers since enrolment: from when, which, why."""
        history = []
        for event in self.events(partner):
            if isinstance(event, e.PartnerEnrolled):
                history.append((event.enrolled_on.isoformat(), event.tier, "enrolled"))
            elif isinstance(event, e.TierChanged):
                history.append((event.effective_on.isoformat(), event.to_tier, str(event.reason)))
        return history

    def specialisations(self, partner: str) -> list[tuple[str, str, bool]]:
        """What was awarded (True) and lapsed (False), and when."""
        return [
            (event.effective_on.isoformat(), event.specialisation, isinstance(event, e.SpecialisationAwarded))
            for event in self.events(partner)
            if isinstance(event, e.SpecialisationAwarded | e.SpecialisationLapsed)
        ]

    def postings(self, partner: str) -> list[Posting]:
        """The events that post lines."""
        return [event for event in self.events(partner) if isinstance(event, Posting)]

    def lines(self, partner: str) -> list[Posted]:
        return [
            Posted(event.posting_date.isoformat(), line.scheme, str(line.amount), line.currency)
            for event in self.postings(partner)
            for line in event.lines
        ]

    def lines_of(self, partner: str, deal: str) -> list[e.Line]:
        """The instant lines of a deal: as earned, and what reversals took back."""
        return [
            line
            for event in self.postings(partner)
            if isinstance(event, e.BonusAccrued | e.BonusClawedBack) and event.deal_id == deal
            for line in event.lines
        ]

    def balances(self, partner: str, as_of: dt.date = dt.date.max) -> dict[str, dict[str, Decimal]]:
        """Accrued and clawed back by currency: the lines with a posting date up to a date."""
        balances: dict[str, dict[str, Decimal]] = {}
        for event in self.postings(partner):
            if event.posting_date <= as_of:
                side = "clawed_back" if is_clawback(event) else "accrued"
                for line in event.lines:
                    zero = Decimal(0).scaleb(-currency_digits(line.currency))
                    sums = balances.setdefault(line.currency, {"accrued": zero, "clawed_back": zero})
                    sums[side] += line.amount
        return balances

    def answer(self, partner: str, as_of: dt.date) -> dict[str, Any]:
        """What `partners --as-of --json` says of a partner, without what is paid."""
        events = self.events(partner)
        held = {
            event.specialisation: isinstance(event, e.SpecialisationAwarded)
            for event in events
            if isinstance(event, e.SpecialisationAwarded | e.SpecialisationLapsed) and event.effective_on <= as_of
        }
        history = [entry for entry in self.tiers(partner) if entry[0] <= as_of.isoformat()]
        standing = self.standing(partner)
        return {
            "tier": history[-1][1],
            "tier_history": [{"effective_on": on, "tier": tier, "reason": reason} for on, tier, reason in history],
            "specialisations": sorted(code for code, is_held in held.items() if is_held),
            "loyalty_days": loyalty_days(standing.enrolled_on, standing.suspensions, standing.ended_on, as_of),
            "balances": {
                currency: {side: str(amount) for side, amount in sums.items()}
                for currency, sums in self.balances(partner, as_of).items()
            },
            "lines": sum(len(event.lines) for event in self.postings(partner) if event.posting_date <= as_of),
        }

    # the shelf that batches take from

    def partner(self, partner_id: str) -> PartnerAggregate | None:
        return self._partners.get(partner_id)

    def roster(self, country: str) -> RosterAggregate:
        return self._rosters.get(country) or roster_of(country)

    def deal(self, deal_id: str) -> Deal:
        return deal_from(self._by_deal[deal_id])

    def recorded_fact(self, identity: Identity) -> e.Event:
        return self.stream(identity.stream)[identity.version - 1]

    def is_known_pseudonym(self, pseudonym: str) -> bool:
        return pseudonym not in self._forgotten

    def _head(self) -> Head:
        return Head(
            position=len(self.log),
            recorded_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            actor="test",
            programmes_version=len(self.programmes.versions),
            ledger_date=self.ledger_date,
            latest_business_date=self._latest,
            today=self.today,
        )

    def _batch(self, facts: Iterable[Fact]) -> Batch:
        """Begin a batch with what it needs to know of identities and persons, and no more."""
        keys: set[IdentityKey] = set()
        persons: set[str] = set()
        for fact in facts:
            keys.add(fact.identity_key)
            if isinstance(fact, ReverseSale):
                keys.add(("deal", fact.deal_id))
            elif isinstance(fact, RevokeCertificate):
                keys.add(("training", fact.completion_id))
            elif isinstance(fact, RecordTraining):
                persons.add(fact.person_id)
        found = LookUp(
            self._head(),
            {key: self._identities[key] for key in keys if key in self._identities},
            {person: self._persons[person] for person in persons if person in self._persons},
        )
        return Batch(self, self.programmes, found, lambda: self._pseudonym_of(self._person))

    def _keep(self, batch: Batch) -> None:
        for identity in batch.identities:
            self._identities[identity.kind, identity.key] = identity
        self._persons.update(batch.persons)
        for aggregate in batch.touched:
            if isinstance(aggregate, PartnerAggregate):
                self._partners[aggregate.standing.partner_id] = aggregate
            else:
                self._rosters[aggregate.id.removeprefix("roster:")] = aggregate
        self._append(batch.events)

    def _append(self, events: Iterable[LedgerEvent]) -> None:
        for event in events:
            recorded = self._by_stream.setdefault(event.originator_id, [])
            recorded.append(event.event)
            assert event.originator_version == len(recorded)
            self.log.append(event)
            deal = getattr(event.event, "deal_id", None)
            if deal is not None:
                self._by_deal.setdefault(deal, []).append(event.event)
            if partner_id_of(event.originator_id):
                self._latest = max(self._latest or dt.date.min, event.event.business_date)


def is_clawback(event: Posting) -> bool:
    """Tell whether a posting was caused by a reversal (rules.md, Balances)."""
    return isinstance(event, e.BonusClawedBack) or (isinstance(event, e.KickbackSettled) and event.cause == "reversal")


FACTS: dict[type[e.Event], type[Fact]] = {
    e.PartnerEnrolled: EnrolPartner,
    e.MembershipSuspended: ChangeMembership,
    e.MembershipResumed: ChangeMembership,
    e.MembershipEnded: ChangeMembership,
    e.TrainingCompleted: RecordTraining,
    e.CertificateRevoked: RevokeCertificate,
    e.SaleRecorded: RecordSale,
    e.SaleReversed: ReverseSale,
    e.TierAwarded: AwardTier,
}
"""The fact that each of these events records; all other events of a partner are decisions."""


def fact_of(recorded: LedgerEvent) -> Fact | None:
    """Give the fact that a recorded event stands for, made of the event alone; None for a decision."""
    cls = FACTS.get(type(recorded.event))
    if cls is None:
        return None
    row: dict[str, Any] = dict(told_content(recorded.originator_id, recorded.event))
    if isinstance(recorded.event, e.TrainingCompleted):
        row["person_id"] = recorded.event.person
    return read_fact(cls, row)
