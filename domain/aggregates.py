"""The aggregates on the event-sourcing library: a partner, a country's roster, the programmes, the ledger itself.

The library asks of an aggregate an id and a version, and of a domain event that it can mutate the aggregate
(`MutableAggregateProtocol`, `CanMutateProtocol`). One wrapper, `LedgerEvent`, gives every event of `domain.events` its
place in a stream; the mapper turns it into what the recorder stores, under the stable type name.
"""

import datetime as dt
from typing import Any

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent

from domain import events as e
from domain.errors import IntegrityFault
from domain.programme import Programme, programme_from_content
from domain.recording import LedgerStoredEvent
from domain.standing import Standing, evolve
from domain.streams import LEDGER, PARTNER_PREFIX, PROGRAMMES, ROSTER_PREFIX
from domain.terms import Programmes


class LedgerEvent:
    """An event at its place in a stream, and the command that it came of: the library's domain event."""

    __slots__ = ("command_id", "event", "originator_id", "originator_version")

    def __init__(self, originator_id: str, originator_version: int, event: e.Event, command_id: str) -> None:
        self.originator_id = originator_id
        self.originator_version = originator_version
        self.event = event
        self.command_id = command_id

    def mutate(self, aggregate: "Aggregate | None") -> "Aggregate":
        """Apply the event to its aggregate; the first event of a stream makes it."""
        if aggregate is None:
            aggregate = new_aggregate(self.originator_id)
        if self.originator_version != aggregate.version + 1:
            raise IntegrityFault(
                f"Stream {self.originator_id!r} goes from version {aggregate.version} to {self.originator_version}:"
                " an event is missing or stored twice."
            )
        aggregate.version = self.originator_version
        aggregate.apply(self.event)
        return aggregate


class PartnerAggregate:
    """A partner: its standing, and the awarded tier that the roster of its country has it down for."""

    __slots__ = ("id", "seat", "snapshot_version", "standing", "version")

    def __init__(self, stream: str) -> None:
        self.id = stream
        self.version = 0
        self.snapshot_version = 0
        """The version of its last snapshot (`domain.snapshots`) that this process knows of."""
        self.standing: Standing = None  # type: ignore[assignment]  # set by the first event, PartnerEnrolled
        self.seat: str | None = None

    def apply(self, event: e.Event) -> None:
        """Apply an event read back from the store."""
        self.standing = evolve(self.standing, event)
        self.seat = self.seat_now()

    def seat_now(self) -> str | None:
        """Give the awarded tier that the partner holds; an ended partner holds none."""
        return self.standing.tier if self.standing.awarded else None


class RosterAggregate:
    """Who holds an awarded tier in one country."""

    __slots__ = ("holders", "id", "version")

    def __init__(self, stream: str) -> None:
        self.id = stream
        self.version = 0
        self.holders: dict[str, str] = {}
        """Tier by partner_id."""

    def apply(self, event: e.Event) -> None:
        """Apply a seat taken or freed."""
        if isinstance(event, e.SeatTaken):
            self.holders[event.partner_id] = event.tier
        elif isinstance(event, e.SeatFreed):
            del self.holders[event.partner_id]


class ProgrammesAggregate:
    """The published programme versions; its version is the programmes version of the head row."""

    __slots__ = ("history", "id", "published", "version")

    def __init__(self, stream: str = PROGRAMMES) -> None:
        self.id = stream
        self.version = 0
        self.published: list[Programme] = []
        self.history = Programmes()

    def apply(self, event: e.Event) -> None:
        """Apply a publication."""
        if isinstance(event, e.ProgrammePublished):
            self.published.append(programme_from_content(event.content))
            self.history = Programmes(self.published)


class LedgerAggregate:
    """The ledger itself: its date."""

    __slots__ = ("date", "id", "version")

    def __init__(self, stream: str = LEDGER) -> None:
        self.id = stream
        self.version = 0
        self.date: dt.date | None = None

    def apply(self, event: e.Event) -> None:
        """Apply an advance."""
        if isinstance(event, e.LedgerAdvanced):
            self.date = event.to


Aggregate = PartnerAggregate | RosterAggregate | ProgrammesAggregate | LedgerAggregate


def new_aggregate(stream: str) -> Aggregate:
    """Make the empty aggregate of a stream."""
    if stream.startswith(PARTNER_PREFIX):
        return PartnerAggregate(stream)
    if stream.startswith(ROSTER_PREFIX):
        return RosterAggregate(stream)
    if stream == PROGRAMMES:
        return ProgrammesAggregate(stream)
    if stream == LEDGER:
        return LedgerAggregate(stream)
    raise IntegrityFault(f"The ledger has no streams named like {stream!r}.")


class LedgerMapper(Mapper[str]):
    """Between `LedgerEvent` and what is stored: plain JSON under a stable type name, never a class path."""

    def __init__(self) -> None:
        super().__init__(transcoder=JSONTranscoder())

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """Give what the recorder stores."""
        if not isinstance(domain_event, LedgerEvent):
            raise TypeError(f"not an event of the ledger: {domain_event!r}")
        event = domain_event.event
        return LedgerStoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=type(event).__name__,
            state=e.encode(event),
            schema_version=type(event).SCHEMA_VERSION,
            business_date=event.business_date,
            command_id=domain_event.command_id,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Give the event back.

        Raises:
            UnknownEventType: it was written by a newer version.

        """
        return ledger_event(stored_event)


def ledger_event(stored: StoredEvent) -> LedgerEvent:
    """Read a stored event back."""
    schema_version = stored.schema_version if isinstance(stored, LedgerStoredEvent) else 1
    command_id = stored.command_id if isinstance(stored, LedgerStoredEvent) else ""
    event = e.decode(stored.topic, schema_version, stored.state)
    return LedgerEvent(str(stored.originator_id), stored.originator_version, event, command_id)
