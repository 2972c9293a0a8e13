"""The projector: reads events from Kafka and writes what follows from them, each event's rows exactly once.

A batch's rows and its offsets are written in one database transaction, whose first statement moves each partition's
next offset, only where it stands at the offset that the batch started from. So a process that was killed has written a
batch whole or not at all, and of two that believe to own a partition one writes nothing. Kafka's own committed offsets are
not used: on assignment the projector seeks to the stored ones.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from consumers.sequencing import Applied, Parked, Received, SourceRecord, StreamState, receive, sort_out
from domain.errors import ServiceUnreachable
from projections.fold import Rows, fold

Say = Callable[[str], None]
"""Where the projector's few lines for a person go."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
PROGRESS_EVERY_S = 10.0


class TopicIdentity(NamedTuple):
    """Which topic this is: its name alone would not tell a topic from one made anew, or on another cluster."""

    topic: str
    cluster_id: str
    topic_id: str


class Move(NamedTuple):
    """A partition's next offset, from where a batch started to behind its last record."""

    partition: int
    started_from: int
    next_offset: int


class PartitionMoved(Exception):
    """A partition does not stand where the batch started: another process owns it, or another build is live."""


class CannotApply(Exception):
    """Something in these records cannot be folded or written; the message says what. Nothing of them was written."""


class EventSource(Protocol):
    """The topic, read as a member of the consumer group. Adapter: `infra.kafka.event_source.KafkaEventSource`."""

    def identity(self) -> TopicIdentity:
        """Ask Kafka which topic this is now."""
        ...

    def poll(self) -> Mapping[int, Sequence[SourceRecord]]:
        """Wait a moment for committed records, by partition; only of partitions that were sought since assigned.

        Raises:
            ServiceUnreachable: Kafka does not answer; calling again is how to find out when it does.

        """
        ...

    def assigned_anew(self) -> Collection[int] | None:
        """Give the partitions assigned, if the assignment changed since this was asked last; otherwise None."""
        ...

    def seek(self, next_offsets: Mapping[int, int]) -> None:
        """Read on from these offsets."""
        ...

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        ...


class Writing(Applied, Protocol):
    """What can be written within a batch's transaction."""

    def trial(self) -> AbstractContextManager[None]:
        """Undo what was written inside, and that alone, if `CannotApply` is raised."""
        ...

    def write(self, rows: Rows, streams: Mapping[str, StreamState]) -> None:
        """Write a fold's rows and the new state of its streams, and count its events as applied.

        Raises:
            CannotApply: the database refuses something in them.

        """
        ...

    def park(self, parked: Sequence[Parked]) -> None:
        """Keep records for a retry."""
        ...


class ProjectionStore(Protocol):
    """The live build, to write to. Adapter: `infra.postgres.projections.store.PostgresProjectionStore`.

    Every method raises `ServiceUnreachable` where the database does not answer; nothing was written then.
    """

    def start(self, topic: TopicIdentity, partitions: Collection[int]) -> Mapping[int, int]:
        """Give the offsets to read the partitions from; 0 for one never seen.

        Raises:
            IntegrityFault: the stored offsets are those of another cluster or topic.

        """
        ...

    def batch(self, topic: str, moves: Sequence[Move]) -> AbstractContextManager[Writing]:
        """Open a batch's transaction by moving the partitions' offsets; it commits if the block ends well.

        Raises:
            PartitionMoved: one of them does not stand where the batch started.

        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def apply(records: Sequence[Received], writing: Writing) -> int:
    """Apply records in order, parking what cannot be; gives the number of events applied.

    A fault in one record spoils the rows of all: then halves are tried, down to the record at fault, which parks.
    """
    try:
        with writing.trial():
            return _apply_together(records, writing)
    except CannotApply as error:
        if len(records) == 1:
            writing.park([Parked(records[0], f"It cannot be applied: {error}")])
            return 0
    middle = len(records) // 2
    return apply(records[:middle], writing) + apply(records[middle:], writing)


def _apply_together(records: Sequence[Received], writing: Writing) -> int:
    sequenced = sort_out(records, writing)
    try:
        rows = fold(sequenced.apply)
    except Exception as error:  # whatever is wrong with an event or its fold parks its stream, with the error
        raise CannotApply(f"{type(error).__name__}: {error}") from error
    writing.write(rows, sequenced.streams)
    writing.park(sequenced.park)
    return len(sequenced.apply)


class Projector:
    """One process of the projector. `step` is one poll and one batch; `run` goes on until told to stop."""

    def __init__(self, source: EventSource, store: ProjectionStore, say: Say) -> None:
        self._source = source
        self._store = store
        self._say = say
        self._topic: TopicIdentity | None = None
        self._assigned: Collection[int] = ()
        self._next: Mapping[int, int] | None = None
        """Where each partition is read from next; None where this has to be read from the store first."""
        self.applied = 0
        self.last_position = 0

    def run(self, stop: threading.Event) -> None:
        """Read and apply until told to stop, then finish the batch and leave the group.

        Kafka or PostgreSQL away is said once, and tried again for ever.

        Raises:
            IntegrityFault: what was stored belongs to another topic or cluster.

        """
        pause_s = 0.0
        progress = _Progress(self._say)
        try:
            while not stop.is_set():
                try:
                    self.step()
                except ServiceUnreachable as error:
                    self._next = None
                    if not pause_s:
                        self._say(f"{error} Trying again until it answers.")
                    pause_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
                    stop.wait(pause_s)
                    continue
                if pause_s:
                    self._say("Connected again.")
                    pause_s = 0.0
                progress.note(self.applied, self.last_position)
        finally:
            self._source.close()
            self._store.close()

    def step(self) -> int:
        """Poll once and apply what came, in one transaction; gives the number of records handled."""
        if self._next is None and self._assigned:
            self._seek_to_stored()
        polled = self._source.poll()
        assigned = self._source.assigned_anew()
        if assigned is not None:
            self._assigned = assigned
            self._next = None
        if self._next is None or self._topic is None:
            return 0  # the partitions changed hands: what came is read again from the stored offsets
        return self._apply(self._topic.topic, self._next, polled) if polled else 0

    def _seek_to_stored(self) -> None:
        topic = self._source.identity()
        next_offsets = dict(self._store.start(topic, self._assigned))
        self._source.seek(next_offsets)
        self._topic, self._next = topic, next_offsets

    def _apply(self, topic: str, next_offsets: Mapping[int, int], polled: Mapping[int, Sequence[SourceRecord]]) -> int:
        records: list[Received] = []
        moves: list[Move] = []
        for partition, batch in sorted(polled.items()):
            start = next_offsets.get(partition)
            if start is None or batch[0].offset < start:
                self._next = None  # fetched before a change of hands: read again from the stored offsets
                return 0
            moves.append(Move(partition, start, batch[-1].offset + 1))
            records += [receive(topic, partition, record) for record in batch]
        self._next = None  # until the commit is known to have happened
        try:
            with self._store.batch(topic, moves) as writing:
                applied = apply(records, writing)
        except PartitionMoved:
            return 0
        self._next = {**next_offsets, **{move.partition: move.next_offset for move in moves}}
        self.applied += applied
        self.last_position = max(
            self.last_position, max((r.envelope.position for r in records if r.envelope is not None), default=0)
        )
        return len(records)


class _Progress:
    """At most one line each ten seconds, and only when there is something to say."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._since = time.monotonic()
        self._applied = 0

    def note(self, applied: int, position: int) -> None:
        now = time.monotonic()
        seconds = now - self._since
        if seconds < PROGRESS_EVERY_S:
            return
        if applied > self._applied:
            rate = (applied - self._applied) / seconds
            self._say(f"Applied {applied - self._applied} events, to position {position} ({rate:,.0f}/s).")
        self._since, self._applied = now, applied
