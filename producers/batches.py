"""What goes into one transaction of the relay: whole commands, read from the store in pages and checked one by one.

Pure but for the `read` it is given. A reader of Kafka never sees half of a command's events, because one command's events
are never split across transactions: a page that ends in the middle of a command is read on until the command ends.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from itertools import chain

from domain.envelope import EventRow, envelope, leaf_hash
from domain.errors import IntegrityFault
from producers.tier_changes import tier_change
from producers.topics import Checkpoint, Record, Transaction

StoredRow = tuple[EventRow, bytes]
"""An event and the leaf hash that the store holds for it."""

Read = Callable[[int, int], Sequence[StoredRow]]
"""read(after, limit): the events after a position, in order, at most so many; fewer only at the end of the store."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)


class Batches:
    """The events after a position as batches of whole commands: at most `size` events, more only where one command has more.

    A command's events share the command id and stand next to each other. The store appends a command whole, so where the
    store ends, a command ends.
    """

    def __init__(self, read: Read, after: int, size: int) -> None:
        if size < 1:
            raise ValueError(f"A batch needs at least one event, not {size}.")
        self._read = read
        self._size = size
        self._last_read = after
        self._rows: list[StoredRow] = []

    def take(self) -> Sequence[StoredRow]:
        """Give the next batch; empty where the store has nothing more for now."""
        while (cut := _boundary(self._rows, self._size)) is None:
            page = self._read(self._last_read, self._size)
            self._check_no_hole(page)
            self._rows.extend(page)
            if len(page) < self._size:
                return self._cut(_boundary(self._rows, self._size) or len(self._rows))
        return self._cut(cut)

    def _cut(self, index: int) -> Sequence[StoredRow]:
        batch, self._rows = self._rows[:index], self._rows[index:]
        return batch

    def _check_no_hole(self, page: Sequence[StoredRow]) -> None:
        for row, _ in page:
            if row.position != self._last_read + 1:
                raise IntegrityFault(
                    f"The event store has position {row.position} after position {self._last_read}, but positions have no"
                    " holes: restore the store from a backup before the relay is started again."
                )
            self._last_read = row.position


def _boundary(rows: Sequence[StoredRow], size: int) -> int | None:
    """Give the index at which to cut: the last one, up to `size`, where another command begins; else the first behind it.

    None where more must be read to know.
    """
    if len(rows) <= size:
        return None
    for index in chain(range(size, 0, -1), range(size + 1, len(rows))):
        if rows[index][0].command_id != rows[index - 1][0].command_id:
            return index
    return None


def transaction(rows: Sequence[StoredRow]) -> Transaction:
    """Make the records of a batch; every envelope is made anew and must have the leaf hash the store holds.

    Raises:
        IntegrityFault: an event is not what was stored; nothing of the batch may be sent.

    """
    events: list[Record] = []
    tier_changes: list[Record] = []
    hash_of_last = b""
    for row, stored_hash in rows:
        value = envelope(row)
        hash_of_last = leaf_hash(value)
        if hash_of_last != stored_hash:
            raise IntegrityFault(
                f"Event {row.position} of stream {row.stream!r} does not have the leaf hash {stored_hash.hex()} it was stored"
                f" with, but {hash_of_last.hex()}: it was changed in the database; restore the store from a backup."
            )
        timestamp_ms = (row.recorded_at - _EPOCH) // _MILLISECOND
        events.append(Record(row.stream.encode(), value, timestamp_ms))
        change = tier_change(row)
        if change is not None:
            tier_changes.append(Record(change[0].encode(), change[1], timestamp_ms))
    return Transaction(tuple(events), tuple(tier_changes), Checkpoint(rows[-1][0].position, hash_of_last))
