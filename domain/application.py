"""The application: facts in, events appended, on the event-sourcing library's Application.

A call decides many facts as one batch and appends them in one transaction, with the optimistic checks that the store
makes: stream versions, identities, and the terms (programmes version, ledger's date) decided under. Where another writer
was faster, the batch is looked up and decided again.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, Mapper, OperationalError, StoredEvent

from domain import events as e
from domain.aggregates import (
    Aggregate,
    LedgerAggregate,
    LedgerEvent,
    LedgerMapper,
    PartnerAggregate,
    ProgrammesAggregate,
    RosterAggregate,
    ledger_event,
)
from domain.batch import DUPLICATE, Batch, Outcome, Telling, roster_of
from domain.deal import Deal, deal_from
from domain.errors import IntegrityFault, LedgerError, Refused, StaleTerms
from domain.facts import RecordTraining, ReverseSale, RevokeCertificate, content_hash
from domain.programme import Programme
from domain.recording import Append, Head, Identity, IdentityKey, ImportProgress, LedgerStore, LookUp, TopicRecord
from domain.snapshots import EVERY, FORMAT, partner_from, snapshot_of
from domain.streams import LEDGER, PROGRAMMES, partner_stream, roster_stream
from domain.terms import Programmes

MAX_ATTEMPTS = 50
"""How often a batch is decided again because others were faster, before giving up."""

FOLLOW_LIMIT = 10_000
"""Up to so many events of others, single aggregates leave the cache; beyond, all do."""

MakeProgress = Callable[[Sequence[Outcome]], ImportProgress]
Patience = Callable[[OperationalError], None]


@dataclass(frozen=True, slots=True)
class Decided:
    """A batch as it was decided, with what its append carries; nothing of it is recorded yet."""

    batch: Batch
    outcomes: list[Outcome]
    events: Sequence[StoredEvent]
    append: Append


def _no_patience(error: OperationalError) -> None:
    raise error


class Ledger(Application[str]):
    """Decides and records. One instance is used by one thread; any number of processes may write at once.

    `patience` is called when the store is away, before the same append is tried again: it waits, or raises.
    """

    name = "ledger"

    def __init__(self, env: dict[str, str], *, patience: Patience = _no_patience) -> None:
        super().__init__(
            {
                "AGGREGATE_CACHE_MAXSIZE": "20000",
                "AGGREGATE_CACHE_FASTFORWARD": "n",  # `_follow` drops what others have changed, in one query for all
                "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",  # a batch restores what it refuses; a failed append evicts
                **env,
            }
        )
        self._store = cast("LedgerStore", self.recorder)
        self.patience = patience
        self._programmes = ProgrammesAggregate()
        self._seen = 0
        self._changed_by_others: Collection[str] | None = ()
        self._deal_events: dict[str, Sequence[e.Event]] = {}

    def construct_mapper(self) -> Mapper[str]:
        """Plain JSON under stable type names."""
        return LedgerMapper()

    # --- facts ---

    def tell(self, tellings: Sequence[Telling], make_progress: MakeProgress | None = None) -> list[Outcome]:
        """Decide facts in their order and record them in one transaction, with an import's progress if given.

        Raises:
            LedgerError: the store cannot take it; nothing of this call was recorded.

        """

        def decide(batch: Batch) -> list[Outcome]:
            return [batch.tell(telling) for telling in tellings]

        return self._decided(lambda: self.look_up(tellings), decide, make_progress)

    def programmes(self) -> Programmes:
        """Give the programmes published so far."""
        self._refresh(self._store.head())
        return self._programmes.history

    def publish(self, programme: Programme, command_id: str, make_progress: MakeProgress | None = None) -> Outcome:
        """Publish a programme version, alone in its transaction; the same content told again is a duplicate.

        Refused (rules.md, Programmes) as judged on the head row that the append itself returns.
        """
        for _ in range(MAX_ATTEMPTS):
            try:
                outcome = self._publish(programme, command_id, make_progress)
            except Refused as error:
                outcome = Outcome("refused", reason=str(error))
            except (StaleTerms, IntegrityError):
                continue
            if outcome.kind != "recorded" and make_progress is not None:
                self._append([], Append(progress=make_progress([outcome])))
            return outcome
        raise _contended("publish the programme")

    def _publish(self, programme: Programme, command_id: str, make_progress: MakeProgress | None) -> Outcome:
        head = self._store.head()
        self._refresh(head)
        if not self._programmes.history.check_publication(programme):
            return DUPLICATE
        check_publication_date(programme, head)
        content = programme.content()
        event = e.ProgrammePublished(
            programme=programme.programme, effective_from=programme.effective_from, content=content
        )
        version = self._programmes.version + 1

        def judge(head: Head) -> None:
            if head.programmes_version != version:
                raise StaleTerms
            check_publication_date(programme, head)

        outcome = Outcome("recorded", events=1)
        append = Append(
            judge=judge,
            identities=[Identity("programme", programme.programme, PROGRAMMES, version, content_hash(content))],
            publishes=1,
            progress=make_progress([outcome]) if make_progress else None,
        )
        self._append(self._stored([LedgerEvent(PROGRAMMES, version, event, command_id)]), append)
        return outcome

    def advance(self, to: dt.date, command_id: str) -> bool:
        """Set the ledger's date: True, or False where it is that date already. `decide_due` then does what is due.

        Raises:
            Refused: the date is in the future, or before the ledger's date.

        """
        for _ in range(MAX_ATTEMPTS):
            head = self._store.head()
            check_advance(to, head)
            if head.ledger_date == to:
                return False
            version = self._ledger_version() + 1

            def judge(head: Head) -> None:
                check_advance(to, head)

            try:
                self._append(
                    self._stored([LedgerEvent(LEDGER, version, e.LedgerAdvanced(to=to), command_id)]),
                    Append(judge=judge, ledger_date=to),
                )
            except IntegrityError:
                continue
            return True
        raise _contended(f"advance the ledger to {to}")

    def drop_record(self, record: TopicRecord, reason: str, command_id: str) -> bool:
        """Record that a record on Kafka is to be passed over: True, or False where that is recorded already.

        Raises:
            Refused: the store holds what the record says: it is genuine.

        """
        hash_hex = None if record.leaf_hash is None else record.leaf_hash.hex()
        if record.leaf_hash is not None and (position := self._store.position_of(record.leaf_hash)) is not None:
            raise Refused(
                f"The record at partition {record.partition}, offset {record.offset} is event {position} of the store:"
                " it is genuine and cannot be dropped."
            )
        key = ("dropped-record", f"{record.topic}/{record.partition}/{record.offset}/{hash_hex}")
        for _ in range(MAX_ATTEMPTS):
            found = self._store.look_up([key])
            if key in found.identities:
                return False
            event = e.RecordDropped(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                leaf_hash=hash_hex,
                reason=reason,
                dropped_on=found.head.today,
            )
            version = self._ledger_version() + 1
            identity = Identity(*key, LEDGER, version, content_hash({"leaf_hash": hash_hex}))
            try:
                self._append(
                    self._stored([LedgerEvent(LEDGER, version, event, command_id)]), Append(identities=[identity])
                )
            except IntegrityError:
                continue
            return True
        raise _contended("drop the record")

    def decide_due(self, partner_ids: Sequence[str], command_id: str) -> int:
        """Decide what partners owe up to the ledger's date, in one transaction; give the number of events."""

        def decide(batch: Batch) -> list[Outcome]:
            through = self._store_head.ledger_date
            for partner_id in partner_ids:
                partner = self.partner(partner_id)
                if partner is not None and through is not None:
                    batch.decide_due(partner, through, command_id)
            return [Outcome("recorded", events=len(batch.events))]

        def look_up() -> LookUp:
            found = self._store.look_up([("partner", partner_id) for partner_id in partner_ids])
            self._follow(found.head)
            self._load([partner_stream(partner_id) for partner_id in partner_ids])
            return found

        return self._decided(look_up, decide)[0].events

    def partner_ids(self, after: str | None, limit: int) -> Sequence[str]:
        """Give a page of partner ids, in order, those after the given one."""
        return self._store.partner_ids(after, limit)

    # --- deciding and appending ---

    def _decided(
        self,
        look_up: Callable[[], LookUp],
        decide: Callable[[Batch], list[Outcome]],
        make_progress: MakeProgress | None = None,
    ) -> list[Outcome]:
        for _ in range(MAX_ATTEMPTS):
            decided = self.decide(look_up(), decide, make_progress)
            try:
                if decided.events or decided.append.progress:
                    self._append(decided.events, decided.append)
            except (StaleTerms, IntegrityError):
                self.forget(decided)
                continue
            except BaseException:
                self.forget(decided)
                raise
            return decided.outcomes
        raise _contended("record the facts")

    def decide(
        self,
        found: LookUp,
        decide: Callable[[Batch], list[Outcome]],
        make_progress: MakeProgress | None = None,
        before: Decided | None = None,
    ) -> Decided:
        """Decide a batch on what was looked up for it, and upon the batch `before` it, which is not recorded yet.

        What it did is kept as if it were recorded: where it is not, `forget` it.
        """
        self._store_head = found.head
        self._refresh(found.head)
        new_pseudonym = lambda: uuid.uuid4().hex  # noqa: E731
        batch = Batch(
            self, self._programmes.history, found, new_pseudonym, before.batch if before is not None else None
        )
        try:
            outcomes = decide(batch)
            append = Append(
                judge=_same_terms(found.head),
                identities=batch.identities,
                persons=batch.persons,
                progress=make_progress(outcomes) if make_progress else None,
                snapshots=_snapshots(batch),
            )
            events = self._stored(batch.events)
        except BaseException:
            self._evict(batch)
            raise
        batch.before = None
        self._keep(batch)
        return Decided(batch, outcomes, events, append)

    def _stored(self, events: Sequence[LedgerEvent]) -> list[StoredEvent]:
        """Encode events. The library's `save` would look at each one's type by Protocol, and make a recording nobody reads."""
        return [self.mapper.to_stored_event(event) for event in events]

    def send(self, decided: Decided) -> list[int]:
        """Put a decided batch into the store, once; any thread may. Give positions for `note_recorded`."""
        return list(self.recorder.insert_events(decided.events, append=decided.append) or ())

    def note_recorded(self, positions: Sequence[int]) -> None:
        """Note what of the store is our own doing: the caches have it already."""
        if positions and positions[0] == self._seen + 1:
            self._seen = positions[-1]

    def forget(self, decided: Decided) -> None:
        """Forget a batch that was not recorded: what it looked at is read anew."""
        self._evict(decided.batch)

    def is_overtaken(self, decided: Decided) -> bool:
        """Tell whether the last look-up saw that others have changed what a decided batch has looked at."""
        others = self._changed_by_others
        return others is None or any(aggregate.id in others for aggregate in decided.batch.touched)

    def _append(self, events: Sequence[StoredEvent], append: Append) -> None:
        """Append; where the store goes away meanwhile, the very same append is tried again when it is back.

        The store recognises an append whose commit it has made but could not confirm.
        """
        while True:
            try:
                positions = self.recorder.insert_events(events, append=append)
                break
            except OperationalError as error:
                self.patience(error)
        self.note_recorded(positions or ())

    def _evict(self, batch: Batch) -> None:
        for aggregate in batch.touched:
            self._forget(aggregate.id)

    def _keep(self, batch: Batch) -> None:
        cache = self.repository.cache
        if cache is not None:
            for aggregate in batch.touched:
                cache.put(aggregate.id, cast("Any", aggregate))

    def _forget(self, stream: str) -> None:
        if self.repository.cache is not None:
            try:
                self.repository.cache.get(stream, evict=True)
            except KeyError:
                return

    def forget_all(self) -> None:
        """Empty the cache, so that all is read anew; the library's `LRUCache.clear` leaves everything where it is found."""
        for stream in self._remembered():
            self._forget(stream)

    def _remembered(self) -> list[str]:
        return list(cast("Any", self.repository.cache).cache)

    # --- looking up: the shelf that a batch takes from ---

    def look_up(self, tellings: Sequence[Telling]) -> LookUp:
        """Read what deciding facts needs of the store; their batch is to be decided next."""
        keys: set[IdentityKey] = set()
        persons: set[str] = set()
        deals: set[str] = set()
        streams: set[str] = set()
        for telling in tellings:
            fact = telling.fact
            keys.add(fact.identity_key)
            if isinstance(fact, ReverseSale):
                keys.add(("deal", fact.deal_id))
                deals.add(fact.deal_id)
            elif isinstance(fact, RevokeCertificate):
                keys.add(("training", fact.completion_id))
            else:
                streams.add(partner_stream(cast("Any", fact).partner_id))
            if isinstance(fact, RecordTraining):
                persons.add(fact.person_id)
        found = self._store.look_up(keys, persons)
        self._follow(found.head)
        streams |= {i.stream for i in found.identities.values() if i.kind in ("deal", "training")}
        self._load(sorted(streams))
        recorded = self._store.select_deals(sorted(deals)) if deals else {}
        self._deal_events = {d: [ledger_event(stored).event for stored in rows] for d, rows in recorded.items()}
        return found

    def _load(self, streams: Iterable[str]) -> None:
        """Put the aggregates of many streams into the cache, those that are not there, in one round trip."""
        cache = self.repository.cache
        assert cache is not None
        missing = [stream for stream in streams if not _cached(cache, stream)]
        if missing:
            for stream, stored in self._store.select_streams(missing, FORMAT).items():
                aggregate: Aggregate | None = None
                for row in stored:
                    aggregate = partner_from(row) if row.topic == FORMAT else ledger_event(row).mutate(aggregate)
                cache.put(stream, cast("Any", aggregate))

    def _follow(self, head: Head) -> None:
        """Drop from the cache what other writers have appended to since this process last looked."""
        self._changed_by_others = ()
        if head.position != self._seen and not self._remembered():
            self._seen = head.position
        elif head.position != self._seen:
            streams = self._changed_by_others = self._store.streams_since(self._seen, FOLLOW_LIMIT)
            if streams is None:
                self.forget_all()
            else:
                for stream in streams:
                    self._forget(stream)
            self._seen = head.position

    def _refresh(self, head: Head) -> None:
        if head.programmes_version != self._programmes.version:
            aggregate: Aggregate = ProgrammesAggregate()
            for row in self._store.select_streams([PROGRAMMES]).get(PROGRAMMES, ()):
                aggregate = ledger_event(row).mutate(aggregate)
            self._programmes = cast("ProgrammesAggregate", aggregate)

    def _ledger_version(self) -> int:
        aggregate: Aggregate = LedgerAggregate()
        for row in self._store.select_streams([LEDGER]).get(LEDGER, ()):
            aggregate = ledger_event(row).mutate(aggregate)
        return aggregate.version

    def partner(self, partner_id: str) -> PartnerAggregate | None:
        """Give a partner, or None where there is none."""
        return cast("PartnerAggregate | None", self._aggregate(partner_stream(partner_id)))

    def roster(self, country: str) -> RosterAggregate:
        """Give the roster of a country."""
        return cast("RosterAggregate | None", self._aggregate(roster_stream(country))) or roster_of(country)

    def _aggregate(self, stream: str) -> Aggregate | None:
        cache = self.repository.cache
        assert cache is not None
        try:
            return cast("Aggregate", cache.get(stream))
        except KeyError:
            self._load([stream])
        return cast("Aggregate", cache.get(stream)) if _cached(cache, stream) else None

    def deal(self, deal_id: str) -> Deal:
        """Put a recorded deal together from its events."""
        return deal_from(self._deal_events.get(deal_id, ()))

    def recorded_fact(self, identity: Identity) -> e.Event:
        """Read the event that an identity stands for."""
        rows = self.recorder.select_events(identity.stream, gt=identity.version - 1, lte=identity.version)
        if not rows:
            raise IntegrityFault(f"{identity.kind} {identity.key!r} leads to no event in {identity.stream!r}.")
        return ledger_event(rows[0]).event

    def is_known_pseudonym(self, pseudonym: str) -> bool:
        """Tell whether a pseudonym still stands for somebody."""
        return bool(self._store.known_pseudonyms([pseudonym]))


def _cached(cache: Any, stream: str) -> bool:
    try:
        cache.get(stream)
    except KeyError:
        return False
    return True


def _snapshots(batch: Batch) -> list[StoredEvent]:
    """Take the snapshots that are due; here, because partners may have moved on before the batch is written."""
    if not batch.events:
        return []
    due = [
        partner
        for partner in batch.touched
        if isinstance(partner, PartnerAggregate) and partner.version >= partner.snapshot_version + EVERY
    ]
    for partner in due:
        partner.snapshot_version = partner.version
    return [snapshot_of(partner) for partner in due]


def _same_terms(decided_under: Head) -> Callable[[Head], None]:
    def judge(head: Head) -> None:
        if head.programmes_version != decided_under.programmes_version or head.ledger_date != decided_under.ledger_date:
            raise StaleTerms

    return judge


def check_publication_date(programme: Programme, head: Head) -> None:
    """Check that a version begins after all that is recorded.

    Raises:
        Refused: its first day is on or before the ledger's date or any partner's latest business date.

    """
    for date, what in (
        (head.ledger_date, "the ledger's date"),
        (head.latest_business_date, "the latest business date"),
    ):
        if date is not None and programme.effective_from <= date:
            raise Refused(
                f"Programme {programme.programme!r} would begin on {programme.effective_from}, on or before {what}"
                f" {date}: what it would have changed is a question for replay."
            )


def check_advance(to: dt.date, head: Head) -> None:
    """Check that the ledger's date may become a date.

    Raises:
        Refused: it is in the future, or before the ledger's date.

    """
    if to > head.today:
        raise Refused(f"The ledger cannot be advanced to {to}: today is {head.today}.")
    if head.ledger_date is not None and to < head.ledger_date:
        raise Refused(f"The ledger's date is {head.ledger_date} already; it never runs back to {to}.")


def _contended(what: str) -> LedgerError:
    return LedgerError(f"Could not {what}: others were faster {MAX_ATTEMPTS} times in a row; try again.")
