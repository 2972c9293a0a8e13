"""The events topic as an audit reads it: its partitions brought together in order of position, each record judged. Pure.

A record is genuine where its bytes hash to what the store holds at the position that it claims. The others are told apart:
put there by somebody (`forged`), genuine but there twice (`repeated`), or the only record of a position at which the store
says something else (`changed`). Within a partition positions rise, so a partition whose last genuine record stands at a
position has no earlier one to come: up to the lowest of these, everything is complete and can be handed on.
"""

import datetime as dt
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Sequence

from consumers.sequencing import Received
from domain.findings import Tally
from projections.recorded import Recorded

KAFKA, ORDER, TIME = "kafka", "kafka-order", "kafka-time"

HashAt = Callable[[int], bytes | None]
"""Gives the leaf hash that the store holds at a position from 1 to the last one looked at; None where there is no event."""
DroppedRecord = tuple[int, int, str | None]
"""Partition, offset, and leaf hash in hex."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)


class RecordsInOrder:
    """Takes each partition's records in their order, and gives the events of all of them in order of position."""

    def __init__(  # noqa: PLR0917 - what is read, and what it is held against
        self,
        tally: Tally,
        partitions: Collection[int],
        partition_of: Callable[[bytes | None], int],
        last_position: int,
        hash_at: HashAt,
        dropped: Collection[DroppedRecord] = (),
    ) -> None:
        self._tally = tally
        self._partition_of = partition_of
        self._last_position = last_position
        self._hash_at = hash_at
        self._dropped = frozenset(dropped)
        self._waiting: dict[int, list[Recorded]] = {partition: [] for partition in partitions}
        self._reached = dict.fromkeys(partitions, 0)
        self._ended: set[int] = set()
        self._ahead: set[int] = set()
        """Positions of genuine records that were not handed on yet."""
        self._unlike: dict[int, Received] = {}
        """Of a position, the record that is not what the store holds there, and the first one like that."""
        self._missing: list[range] = []
        self.handed_on = 0
        """Everything up to this position was handed on, or is missing."""
        self.versions: dict[str, int] = {}
        """The last version of each stream."""
        self.handled: dict[int, int] = {}
        """The offset of each partition's last genuine record up to the last position."""
        self.offsets_after: dict[int, list[int]] = {partition: [] for partition in partitions}
        """The offsets of the records behind that one."""
        self.later: list[Received] = []
        """Records that claim a position behind the last one: recorded meanwhile, or forged."""
        self.passed_over = 0
        """Records that the ledger has dropped."""

    def take(self, partition: int, records: Sequence[Received], times_ms: Sequence[int]) -> None:
        """Take the next records of a partition, with Kafka's own time of each."""
        hash_at, last_position, versions, ahead = self._hash_at, self._last_position, self.versions, self._ahead
        waiting, reached, partition_of = self._waiting[partition], self._reached[partition], self._partition_of
        recorded_at: dt.datetime | None = None
        at_ms = -1
        for record, time_ms in zip(records, times_ms, strict=True):
            at = record.recorded
            position = 0 if at is None else at.envelope.position
            if at is None or position > last_position or hash_at(position) != at.leaf_hash:
                self._stranger(record)
            elif position <= reached or position in ahead:
                self._out_of_turn(record, at, reached)
            else:
                envelope = at.envelope
                stream, version = envelope.subject, envelope.streamversion
                before = versions.get(stream, 0)
                if version != before + 1:
                    self._note_order(record, at, before)
                if partition_of(record.source.key) != partition:
                    self._note_partition(record, at)
                versions[stream] = version
                if envelope.time != recorded_at:
                    recorded_at = envelope.time
                    at_ms = (recorded_at - _EPOCH) // _MILLISECOND
                if time_ms != at_ms:
                    self._note_time(at, time_ms, at_ms)
                reached = position
                ahead.add(position)
                waiting.append(at)
                self.handled[partition] = record.offset
                self.offsets_after[partition].clear()
                continue
            self.offsets_after[partition].append(record.offset)
        self._reached[partition] = reached
        self._tally.count(KAFKA, len(records))

    def end(self, partition: int) -> None:
        """Note that a partition has been read to its end."""
        self._ended.add(partition)

    @property
    def waiting(self) -> int:
        """How many events wait for other partitions."""
        return len(self._ahead)

    def slowest(self) -> Collection[int]:
        """Give the partitions that all others wait for."""
        reading = {partition: at for partition, at in self._reached.items() if partition not in self._ended}
        lowest = min(reading.values(), default=0)
        return {partition for partition, at in reading.items() if at == lowest}

    def give(self) -> list[Recorded]:
        """Give what is complete, in order of position; `handed_on` then says up to where."""
        reading = [at for partition, at in self._reached.items() if partition not in self._ended]
        bound = min(reading, default=self._last_position)
        if bound <= self.handed_on:
            return []
        given: list[Recorded] = []
        for waiting in self._waiting.values():
            cut = next((n for n, at in enumerate(waiting) if at.envelope.position > bound), len(waiting))
            given += waiting[:cut]
            del waiting[:cut]
        given.sort(key=_position)
        positions = [_position(at) for at in given]
        self._ahead.difference_update(positions)
        if self._unlike or len(given) != bound - self.handed_on:
            given += self._others(set(positions), bound)
            given.sort(key=_position)
        self.handed_on = bound
        return given

    def finish(self) -> None:
        """Say what is left when every partition has ended and everything was given."""
        for position, record in sorted(self._unlike.items()):
            self._forged(record, position)
        self._unlike.clear()

    def _others(self, genuine: set[int], bound: int) -> list[Recorded]:
        """Say of the positions up to a bound what is wrong with those that have no genuine record; give what stands for them."""
        others: list[Recorded] = []
        for position in range(self.handed_on + 1, bound + 1):
            if position in genuine:
                continue
            unlike = self._unlike.pop(position, None)
            held = self._hash_at(position)
            if unlike is not None:
                others += self._changed(unlike, position, held)
            else:
                self._note_missing(position)
                if held is not None:
                    detail = f"Kafka has no record of position {position}; the store holds an event with the leaf hash {held.hex()}."
                    self._tally.found(KAFKA, "missing", position, detail)
        for position in [position for position in self._unlike if position <= bound]:
            self._forged(self._unlike.pop(position), position)
        return others

    def _changed(self, record: Received, position: int, held: bytes | None) -> list[Recorded]:
        if record.recorded is None:
            self._tally.found(
                KAFKA, "unreadable", position, f"Of position {position} Kafka has this alone: {record.fault}"
            )
            return []
        holds = "holds no event there" if held is None else f"holds one with the leaf hash {held.hex()}"
        detail = f"The record of position {position} at {_place(record)} has the leaf hash {_hex(record)}; the store {holds}."
        self._tally.found(KAFKA, "changed", position, detail)
        return [record.recorded]

    def _note_missing(self, position: int) -> None:
        if self._missing and self._missing[-1].stop == position:
            self._missing[-1] = range(self._missing[-1].start, position + 1)
        else:
            self._missing.append(range(position, position + 1))

    def _stranger(self, record: Received) -> None:
        """Take a record that is not what the store holds at the position it claims."""
        claimed, leaf_hash = record.position, record.leaf_hash
        if (record.partition, record.offset, None if leaf_hash is None else leaf_hash.hex()) in self._dropped:
            self.passed_over += 1
        elif claimed is not None and claimed > self._last_position:
            self.later.append(record)
        elif claimed is None or claimed < 1 or claimed in self._unlike or claimed <= self.handed_on:
            self._forged(record, claimed)
        else:
            self._unlike[claimed] = record

    def _forged(self, record: Received, claimed: int | None) -> None:
        what = "claims no position" if claimed is None else f"claims position {claimed}"
        held = self._hash_at(claimed) if claimed is not None and 0 < claimed <= self._last_position else None
        holds = "which the store does not hold" if held is None else f"where the store holds {held.hex()}"
        self._tally.found(
            KAFKA,
            "forged",
            claimed,
            f"The record at {_place(record)} with the leaf hash {_hex(record)} {what}, {holds}.",
        )

    def judge_later(self, held: Iterable[tuple[int, bytes]]) -> None:
        """Say which of the records behind the last position are not what the store holds there by now."""
        hashes = dict(held)
        for record in self.later:
            if record.position is None or hashes.get(record.position) != record.leaf_hash:
                self._forged(record, record.position)
        self.later.clear()

    def _out_of_turn(self, record: Received, at: Recorded, reached: int) -> None:
        position = at.envelope.position
        late = position not in self._ahead and (
            any(position in missing for missing in self._missing) or position > self.handed_on
        )
        if late:
            detail = f"Position {position} at {_place(record)} comes behind position {reached} of the same partition."
            self._tally.found(ORDER, "order", position, detail)
            if position > self.handed_on:
                self._ahead.add(position)
                insort(self._waiting[record.partition], at, key=_position)
        else:
            detail = f"Position {position} is there again, with the same bytes, at {_place(record)}."
            self._tally.found(KAFKA, "repeated", position, detail)

    def _note_order(self, record: Received, at: Recorded, before: int) -> None:
        envelope = at.envelope
        detail = f"Version {envelope.streamversion} of {envelope.subject} at {_place(record)} follows version {before} on Kafka."
        self._tally.found(ORDER, "order", envelope.position, detail)

    def _note_partition(self, record: Received, at: Recorded) -> None:
        belongs = self._partition_of(record.source.key)
        detail = f"{at.envelope.subject} is in partition {record.partition}; its key belongs into partition {belongs}."
        self._tally.found(ORDER, "changed", at.envelope.position, detail)

    def _note_time(self, at: Recorded, time_ms: int, at_ms: int) -> None:
        detail = (
            f"The record of position {at.envelope.position} has Kafka's time {time_ms} ms; it was recorded at {at_ms} ms"
            f" ({at.envelope.time.isoformat()})."
        )
        self._tally.found(TIME, "changed", at.envelope.position, detail)


def _position(at: Recorded) -> int:
    return at.envelope.position


def _place(record: Received) -> str:
    return f"partition {record.partition}, offset {record.offset}"


def _hex(record: Received) -> str:
    return "none" if record.leaf_hash is None else record.leaf_hash.hex()
