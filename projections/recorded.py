"""One event as it was read from Kafka: where it stood, its envelope, and the event itself; the input of every fold."""

from typing import NamedTuple

from domain.envelope import Envelope
from domain.events import Event


class Recorded(NamedTuple):
    """An event with its place on Kafka. `leaf_hash` is recomputed from the record's value, never taken from elsewhere."""

    topic: str
    partition: int
    offset: int
    envelope: Envelope
    event: Event
    leaf_hash: bytes
