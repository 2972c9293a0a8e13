"""The topics of the ledger: their names, layout and the records that a relay's transaction puts on them.

Pure data. The adapter that creates, verifies and writes them is `infra.kafka.ledger_topics`. Names are fixed; the prefix
is a parameter only so that tests on one Kafka have topics of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

PREFIX = "partner-ledger"
DEFAULT_PARTITIONS = 6

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""The largest record a topic takes: a programme's content is kept whole in one event."""

_KEPT_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_COMMON = {
    "max.message.bytes": str(MAX_RECORD_BYTES),
    "message.timestamp.type": "CreateTime",
    # By default a record dated an hour ahead of the broker's clock is refused; recorded-at is the database's clock.
    "message.timestamp.after.max.ms": str(2**63 - 1),
}
_COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(16 * 1024 * 1024)}


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """A topic as it has to be: its partition count never changes, because the order by key depends on it."""

    name: str
    partitions: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicLayouts:
    """The four topics of a ledger.

    `events` holds every event's envelope, key = stream. `tier_changes` is public, key = partner id
    (`producers.tier_changes`). `relay_checkpoint` is compacted and says how far the relay has come. `tree_heads` has the
    signed heads in the order they were made, key = origin (`domain.heads`).
    """

    events: TopicLayout
    tier_changes: TopicLayout
    relay_checkpoint: TopicLayout
    tree_heads: TopicLayout

    @property
    def all(self) -> tuple[TopicLayout, ...]:
        """Every topic, in the order of creation."""
        return (self.events, self.tier_changes, self.relay_checkpoint, self.tree_heads)


def layouts(partitions: int = DEFAULT_PARTITIONS, prefix: str = PREFIX) -> TopicLayouts:
    """Give the layout of a ledger's topics; `partitions` is the setting `kafka_partitions`, fixed for ever."""
    for_ever = _COMMON | _KEPT_FOR_EVER
    return TopicLayouts(
        events=TopicLayout(f"{prefix}.events", partitions, for_ever),
        tier_changes=TopicLayout(f"{prefix}.tier-changes", partitions, for_ever),
        relay_checkpoint=TopicLayout(f"{prefix}.relay-checkpoint", 1, _COMMON | _COMPACTED),
        tree_heads=TopicLayout(f"{prefix}.tree-heads", 1, for_ever),
    )


class Record(NamedTuple):
    """A record for Kafka. The timestamp is the event's recorded-at, in milliseconds since 1970 UTC."""

    key: bytes
    value: bytes
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far the relay has come: the last position on the topics, and the leaf hash of the event there.

    The hash tells this ledger's Kafka from that of another one.
    """

    position: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Relayed:
    """What the topics hold, read as committed: the last checkpoint, and the highest position of an event (0: none)."""

    checkpoint: Checkpoint | None
    highest_position: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one Kafka transaction carries: whole commands' events, their public tier changes, the new checkpoint."""

    events: tuple[Record, ...]
    tier_changes: tuple[Record, ...]
    checkpoint: Checkpoint
