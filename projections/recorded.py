"""Events with where they stand: as read from Kafka, the input of every fold; as read back from the store, to be cited."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from domain.envelope import Envelope
from domain.events import Event


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event with its place on Kafka. `leaf_hash` is recomputed from the record's value, never taken from elsewhere."""

    topic: str
    partition: int
    offset: int
    envelope: Envelope
    event: Event
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class CitedEvent:
    """An event of the store with what the database says of it: what explanations and histories cite."""

    position: int
    stream: str
    version: int
    recorded_at: dt.datetime
    actor: str
    command_id: str
    event: Event


class Events(Protocol):
    """Events by where they stand. Adapter: `infra.postgres.events.PostgresEvents`."""

    def at(self, position: int) -> CitedEvent | None:
        """Give the event at a position, None where there is none."""
        ...

    def of_stream(self, stream: str, up_to_position: int | None = None) -> Iterator[CitedEvent]:
        """Give a stream's events in order, up to a position if wanted."""
        ...
