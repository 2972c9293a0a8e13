"""What the application asks of the event store beyond the library's recorder, and what travels with an append.

The library's `insert_events(stored_events, **kwargs)` is the only way to write. Our keyword arguments are the fields of
`Append`; the adapter is `infra.postgres.recorder`. Positions, recorded-at and actor come from the database alone.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent

IdentityKey = tuple[str, str]
"""(kind, key): the one thing for ever that a fact is about (rules.md, Identity)."""


@dataclass(frozen=True, init=False)
class LedgerStoredEvent(StoredEvent):
    """A stored event with what the ledger keeps beside it.

    `topic` is the stable type name and `state` the exact JSON. `business_date` is None only for events that are not
    the ledger's own (the library's contract cases).
    """

    schema_version: int = 1
    business_date: dt.date | None = None
    command_id: str = ""

    def __init__(  # noqa: PLR0917 - in the order of the fields
        self,
        originator_id: UUID | str,
        originator_version: int,
        topic: str,
        state: bytes,
        schema_version: int = 1,
        business_date: dt.date | None = None,
        command_id: str = "",
    ) -> None:
        """Set all fields at once, in a third of the time of a frozen dataclass's own way."""
        self.__dict__.update(
            originator_id=originator_id,
            originator_version=originator_version,
            topic=topic,
            state=state,
            schema_version=schema_version,
            business_date=business_date,
            command_id=command_id,
        )


@dataclass(frozen=True, slots=True)
class Head:
    """The head row as the database gave it, in the append's first statement or by a read.

    `position` is the last position taken (by this append, where it is one); `recorded_at`, `actor` and `today` (in the
    configured time zone) are the database's. `latest_business_date` is that of any partner's events.
    """

    position: int
    recorded_at: dt.datetime
    actor: str
    programmes_version: int
    ledger_date: dt.date | None
    latest_business_date: dt.date | None
    today: dt.date


class Identity(msgspec.Struct, frozen=True, gc=False):
    """One recorded identity: where its fact stands, and a hash of its normalised content.

    `refers_to` is the deal of a reversal, the person's pseudonym of a training, else None.
    """

    kind: str
    key: str
    stream: str
    version: int
    content_hash: bytes
    refers_to: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row of a feed that was refused: its place in the import's order, file relative to the folder, line from 1."""

    seq: int
    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import has come once this append is committed, to be added to what its digest has already.

    `done` is the number of the import's rows handled so far, in its order; `refused` are those of this append.
    """

    digest: str
    done: int
    recorded: int
    duplicates: int
    events: int
    finished: bool
    refused: tuple[RefusedRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """What an append carries beside its events, all written in the same transaction.

    `judge` is called with the head as the first statement left it, before anything is inserted; it raises to roll back
    (`StaleTerms`: other terms than decided under; `Refused`: a publication or advance that the head forbids).
    """

    judge: Callable[[Head], None] | None = None
    identities: Sequence[Identity] = ()
    persons: Mapping[str, str] = field(default_factory=dict)
    """New pseudonyms by person_id."""
    publishes: int = 0
    """How many programme versions this append publishes: added to the head's programmes version."""
    ledger_date: dt.date | None = None
    """The ledger's date from now on; the head keeps the later one."""
    progress: ImportProgress | None = None
    snapshots: Sequence[StoredEvent] = ()
    """Partners as this append leaves them (`domain.snapshots`)."""


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """A record on Kafka by its place, and the leaf hash of its value (None where it has none)."""

    topic: str
    partition: int
    offset: int
    leaf_hash: bytes | None


@dataclass(frozen=True, slots=True)
class LookUp:
    """What the store knows of the identities and persons asked for, and the head row, read together."""

    head: Head
    identities: Mapping[IdentityKey, Identity]
    persons: Mapping[str, str]
    """Pseudonyms by person_id, of those asked for that are known."""


class LedgerStore(Protocol):
    """What the application reads from the store. Adapter: `infra.postgres.recorder.PostgresLedgerRecorder`."""

    def head(self) -> Head:
        """Read the head row; a ledger without events has position 0."""
        ...

    def look_up(self, identities: Collection[IdentityKey], person_ids: Collection[str] = ()) -> LookUp:
        """Read the identities and persons of many facts, and the head, in one round trip."""
        ...

    def known_pseudonyms(self, pseudonyms: Collection[str]) -> frozenset[str]:
        """Give those of the pseudonyms that still stand for somebody."""
        ...

    def select_streams(
        self, streams: Collection[str], snapshot_format: str = ""
    ) -> Mapping[str, Sequence[LedgerStoredEvent]]:
        """Read many whole streams in one round trip, each in order of version; one without events is left out.

        With a snapshot format, a stream that has a snapshot of it begins with the latest of them (its type is the format),
        and the events after that follow.
        """
        ...

    def select_deals(self, deal_ids: Collection[str]) -> Mapping[str, Sequence[LedgerStoredEvent]]:
        """Read what was recorded of deals: of each, the sale, its reversals and the event right after each of them."""
        ...

    def streams_since(self, position: int, limit: int) -> Collection[str] | None:
        """Give the streams appended to after a position; None where those are more events than the limit."""
        ...

    def position_of(self, leaf_hash: bytes) -> int | None:
        """Give the position of the event with this leaf hash; None where the store holds none. Reads all of the store."""
        ...

    def partner_ids(self, after: str | None, limit: int) -> Sequence[str]:
        """Give partner ids in order, those after the given one: a page by key, no snapshot is held."""
        ...
