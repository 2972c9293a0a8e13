"""The projector: reads events from Kafka and writes what follows from them, each event's rows exactly once.

A batch's rows and its offsets are written in one database transaction, whose first statement moves each partition's
next offset, only where it stands at the offset that the batch started from. So a process that was killed has written a
batch whole or not at all, and of two that believe to own a partition one writes nothing. Kafka's own committed offsets are
not used: on assignment the projector seeks to the stored ones.

Nothing is applied that the event store does not hold (ADR 0008): a batch's transaction compares its leaf hashes with the
store's before it writes a row. While the database takes one batch, the next is read and folded; only one is under way.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from consumers.applying import CannotApply, Folded, Writing, apply_one_by_one, fold_batch
from consumers.parked import ParkedStore, retry_dropped
from consumers.remembered import Remembered
from consumers.sequencing import Applied, Received, SourceRecord, receive, sort_out
from domain.errors import ServiceUnreachable

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


class Place(NamedTuple):
    """Where a partition stands: its next offset, and how many retries have changed its streams behind a projector's back."""

    next_offset: int
    retries: int


class Move(NamedTuple):
    """A partition's step from where a batch started to behind its last record."""

    partition: int
    started_from: Place
    next_offset: int


class PartitionMoved(Exception):
    """A partition does not stand where the batch started: another process owns it, a retry was here, another build is live."""


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


class ProjectionStore(ParkedStore, Protocol):
    """The live build, to write to. Adapter: `infra.postgres.projections.store.PostgresProjectionStore`.

    Every method raises `ServiceUnreachable` where the database does not answer; nothing was written then.
    """

    def start(self, topic: TopicIdentity, partitions: Collection[int]) -> Mapping[int, Place]:
        """Give the places to read the partitions from; offset 0 for one never seen.

        Raises:
            IntegrityFault: the stored offsets are those of another cluster or topic.

        """
        ...

    def committed(self) -> Applied:
        """Give what is known of the streams outside of any batch; may be asked while a batch is under way."""
        ...

    def batch(self, topic: str, moves: Sequence[Move]) -> AbstractContextManager[Writing]:
        """Open a batch's transaction by moving the partitions' offsets; it commits if the block ends well.

        Raises:
            PartitionMoved: one of them does not stand where the batch started.

        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class _UnderWay(NamedTuple):
    """A batch that is being written, and its records, should it have to be applied one by one."""

    writing: "Future[None]"
    records: Sequence[Received]
    moves: Sequence[Move]
    folded: Folded


class Projector:
    """One process of the projector. `step` is one poll and one batch; `run` goes on until told to stop."""

    def __init__(self, source: EventSource, store: ProjectionStore, say: Say) -> None:
        self._source = source
        self._store = store
        self._say = say
        self._topic: TopicIdentity | None = None
        self._assigned: Collection[int] = ()
        self._next: dict[int, Place] | None = None
        """Where each partition is read from next; None where this has to be read from the store first."""
        self._known: Remembered | None = None
        self._writer = ThreadPoolExecutor(1, "projector-writer")
        self._under_way: _UnderWay | None = None
        self.handled = 0
        """Records of which it is known that they were applied, skipped as repeats, passed over or parked."""
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
            self.close()

    def close(self) -> None:
        """Finish the batch under way and leave the group."""
        self._writer.shutdown()
        self._source.close()
        self._store.close()

    def step(self) -> None:
        """Poll once, and have what came written while the next step polls; `finish` waits for it."""
        if self._next is None:
            self._abandon()
            if self._assigned:
                self._seek_to_stored()
        polled = self._source.poll()
        assigned = self._source.assigned_anew()
        if assigned is not None:
            self._assigned = assigned
            self._next = None
        if self._next is None or self._topic is None:
            return  # the partitions changed hands: what came is read again from the stored offsets
        if polled:
            self._take(self._topic.topic, polled)
        else:
            self.finish()

    @property
    def under_way(self) -> int:
        """The number of records taken that are being written."""
        return 0 if self._under_way is None else len(self._under_way.records)

    def finish(self) -> bool:
        """Wait until what was taken is written; False if something has to be read again, which the next step does."""
        try:
            self._settle()
        except _StartAgain:
            self._next = None
        return self._next is not None

    def _seek_to_stored(self) -> None:
        topic = self._source.identity()
        retry_dropped(self._store)
        places = dict(self._store.start(topic, self._assigned))
        self._known = Remembered(self._store.committed(), self._settle)
        self._source.seek({partition: place.next_offset for partition, place in places.items()})
        self._topic, self._next = topic, places

    def _take(self, topic: str, polled: Mapping[int, Sequence[SourceRecord]]) -> None:
        assert self._next is not None and self._known is not None, "checked by the only caller"  # noqa: PT018
        places = self._next
        records: list[Received] = []
        moves: list[Move] = []
        for partition, batch in sorted(polled.items()):
            start = places.get(partition)
            if start is None or batch[0].offset < start.next_offset:
                self._next = None  # fetched before a change of hands: read again from the stored offsets
                return
            moves.append(Move(partition, start, batch[-1].offset + 1))
            records += [receive(topic, partition, record) for record in batch]
        try:
            sequenced = sort_out(records, self._known)
            folded = None if sequenced.faulty else fold_batch(sequenced, self._store.payload)
            self._settle()
        except CannotApply:
            folded = None
        except (_StartAgain, PartitionMoved):  # the second: another build is live, and the streams of this one are gone
            self._next = None
            return
        if folded is None:
            self._take_with_faults(topic, records, moves)
            return
        self._known.note(sequenced)
        self._under_way = _UnderWay(self._writer.submit(self._write, topic, moves, folded), records, moves, folded)
        self._next = {**places, **{m.partition: Place(m.next_offset, m.started_from.retries) for m in moves}}

    def _write(self, topic: str, moves: Sequence[Move], folded: Folded) -> None:
        """Write a batch; runs on the writer's thread."""
        with self._store.batch(topic, moves) as writing:
            writing.write(folded)

    def _settle(self) -> None:
        """Wait until the batch under way is written.

        Raises:
            _StartAgain: it was not written as it was folded, or changes what waits: the stored offsets tell where to go on.
            ServiceUnreachable: the database does not answer.

        """
        batch, self._under_way = self._under_way, None
        if batch is None:
            return
        try:
            batch.writing.result()
        except PartitionMoved:
            raise _StartAgain from None
        except CannotApply:
            assert self._topic is not None, "a batch was under way"
            self._take_with_faults(self._topic.topic, batch.records, batch.moves)
            raise _StartAgain from None
        self._count(batch.records, batch.folded.applied)
        if batch.folded.drops:
            raise _StartAgain  # which retries the streams that wait behind what was dropped

    def _abandon(self) -> None:
        """Let the batch under way end, well or not: the stored offsets tell."""
        batch, self._under_way = self._under_way, None
        if batch is not None and batch.writing.exception() is None:
            self._count(batch.records, batch.folded.applied)

    def _take_with_faults(self, topic: str, records: Sequence[Received], moves: Sequence[Move]) -> None:
        """Apply a batch one by one, at once; afterwards all is read from the store again."""
        self._next = None
        try:
            self._settle()
            with self._store.batch(topic, moves) as writing:
                applied = apply_one_by_one(records, writing, self._store.payload)
        except (PartitionMoved, _StartAgain):
            return
        self._count(records, applied)

    def _count(self, records: Sequence[Received], applied: int) -> None:
        self.handled += len(records)
        self.applied += applied
        positions = (record.recorded.envelope.position for record in records if record.recorded is not None)
        self.last_position = max(self.last_position, max(positions, default=0)) if applied else self.last_position


class _StartAgain(Exception):
    """What was prepared rests on a batch that was not written as prepared: read again from the stored offsets."""


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
