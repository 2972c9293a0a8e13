"""Records on Kafka that the ledger has dropped: whoever reads the topic passes them over (ADR 0008)."""

from domain.events import RecordDropped
from projections.recorded import Recorded
from projections.row import Row, in_hex


class DroppedRow(Row, frozen=True, array_like=True, gc=False):
    """A record passed over: its place on Kafka, and its leaf hash (None where it has no value)."""

    position: int
    topic: str
    partition: int
    offset: int
    leaf_hash: str | None
    reason: str


def dropped_row(at: Recorded, event: RecordDropped) -> DroppedRow:
    """Give the row of a dropped record.

    Raises:
        ValueError: its hash is not one in hex.

    """
    leaf_hash = None if event.leaf_hash is None else in_hex(bytes.fromhex(event.leaf_hash))
    return DroppedRow(at.envelope.position, event.topic, event.partition, event.offset, leaf_hash, event.reason)
