"""Applying a batch: its events folded to rows, the rows written, and what cannot be applied parked.

Nothing is applied that the event store does not hold (ADR 0008): whoever can write to the topic could otherwise move money
until somebody noticed. Most batches are written as they are folded; one with a fault is gone through record by record.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from consumers.sequencing import Applied, Parked, Received, Sequenced, StreamState, sort_out
from projections.fold import Rows, fold


class CannotApply(Exception):
    """Something in these records cannot be folded or written; the message says what. Nothing of them was written."""


class Folded(NamedTuple):
    """What follows from a batch, ready to be written: `payload` is the store's own form of the rows."""

    payload: object
    streams: Mapping[str, StreamState]
    park: Sequence[Parked]
    applied: int
    drops: bool
    """Whether the batch dropped records, which others may wait behind."""


class Writing(Applied, Protocol):
    """What can be written within a batch's transaction."""

    def trial(self) -> AbstractContextManager[None]:
        """Undo what was written inside, and that alone, if `CannotApply` is raised."""
        ...

    def not_in_store(self, records: Sequence[Received]) -> Collection[int]:
        """Give the indexes of those records that the event store does not hold byte for byte at their position."""
        ...

    def dropped(self, records: Sequence[Received]) -> Collection[int]:
        """Give the indexes of those records that the ledger has dropped (`RecordDropped`)."""
        ...

    def parked_records(self, stream: str) -> int:
        """Count the records that a stream has parked now."""
        ...

    def write(self, folded: Folded) -> None:
        """Write what follows from a batch, count its events as applied, keep what it parks.

        Raises:
            CannotApply: the store does not hold one of the records, or the database refuses something in the rows.

        """
        ...


MakePayload = Callable[[Rows], object]


def apply_one_by_one(records: Sequence[Received], writing: Writing, payload: MakePayload) -> int:
    """Apply records in order, parking what cannot be; gives the number of events applied.

    The way of a batch that has a fault, and of a retry. What the store does not hold is known first, and parks, unless the
    ledger has dropped it: then it is passed over.
    """
    forged = writing.not_in_store(records)
    dropped = set(writing.dropped(records)).intersection(forged) if forged else set()
    genuine = [
        record.found_faulty(_forged(record)) if index in forged else record
        for index, record in enumerate(records)
        if index not in dropped
    ]
    return _apply(genuine, writing, payload) if genuine else 0


def _forged(record: Received) -> str:
    where = f"partition {record.partition}, offset {record.offset}"
    if record.recorded is None:
        return f"{(record.fault or '').rstrip('.')}; nor does the event store hold it."
    at = record.recorded.envelope
    return (
        f"Version {at.streamversion} of {record.stream} at {where} is forged: at position {at.position} the event store holds"
        " another event, or none."
    )


def _apply(records: Sequence[Received], writing: Writing, payload: MakePayload) -> int:
    """Apply records; a fault in one spoils the rows of all, so halves are tried, down to the record at fault, which parks."""
    try:
        with writing.trial():
            folded = fold_batch(sort_out(records, writing), payload)
            writing.write(folded)
            return folded.applied
    except CannotApply as error:
        if len(records) == 1:
            fault = Parked(records[0], f"It cannot be applied: {error}")
            writing.write(Folded(payload(Rows()), {}, [fault], 0, drops=False))
            return 0
    middle = len(records) // 2
    return _apply(records[:middle], writing, payload) + _apply(records[middle:], writing, payload)


def fold_batch(sequenced: Sequenced, payload: MakePayload) -> Folded:
    """Fold what can be applied of a batch.

    Raises:
        CannotApply: something is wrong with an event.

    """
    events = sequenced.apply
    try:
        rows = fold(events)
        written = payload(rows)
    except Exception as error:  # whatever is wrong with an event or its fold parks its stream, with the error
        raise CannotApply(f"{type(error).__name__}: {error}") from error
    return Folded(written, sequenced.streams, sequenced.park, len(events), drops=bool(rows.drops))
