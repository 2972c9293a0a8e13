"""A tape is made, or topped up, from the events topic: each record is judged against the store before its fact is kept.

All partitions are read side by side, in windows of positions: a window is done when each of its positions was seen once, in a
record whose bytes hash to what the store holds there. A partition that is ahead waits. So memory is that of a window, and what is
on the tape is complete up to one position, whatever was recorded or relayed meanwhile: that position is the relay's checkpoint as
the reading began, and records behind it are left to the next top-up.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from consumers.sequencing import claimed_position
from domain.errors import IntegrityFault, InvalidInput
from infra.embedded.locks import exclusive
from infra.kafka.lean_records import LeanRecord
from infra.kafka.ledger_topics import partition_of, read_checkpoint
from infra.kafka.whole_topic import WholeTopic
from infra.postgres.audited_store import PostgresAuditedStore
from infra.tape.arrow import pyarrow
from infra.tape.manifest import ANEW, Manifest, TapeSource, blank, check_source, clear, load, verify
from infra.tape.rows import FACTS, TapeRow
from infra.tape.writing import TapeWriter

WINDOW = 65_536
"""Positions that are looked at together; the hashes of the next ones are fetched meanwhile."""
MARKERS_WITHIN_S = 15.0
"""A checkpoint may be committed this long before the same transaction's events can be read: its markers are written one by one."""
LOCK = ".lock"

OnProgress = Callable[[int, int], None]
"""Called with how many events were read, and how many are to be read."""


class Sources(NamedTuple):
    """What a tape is made from: the topic on Kafka, and the store that its records are held against."""

    source: TapeSource
    bootstrap_servers: str
    checkpoint_topic: str
    read_database_url: str
    timezone: str


class Made(NamedTuple):
    """A tape that was made or topped up; `events` and `facts` are what was added."""

    manifest: Manifest
    events: int
    facts: int
    seconds: float


def make(
    folder: Path, sources: Sources, *, anew: bool, wait_s: float, say: Callable[[str], None], on_progress: OnProgress
) -> Made:
    """Make the tape in a folder, or top it up with what has come since; with `anew` make another in its place.

    Whatever stops it leaves the tape that was there.

    Raises:
        InvalidInput: pyarrow is not installed, or the tape is another ledger's.
        IntegrityFault: the tape was cut or altered; Kafka and the store contradict each other.
        ServiceUnreachable: Kafka or PostgreSQL does not answer, or another top-up has not ended in `wait_s`.
        OSError: the disk is full, or the folder not writable.

    """
    pyarrow()
    began = time.monotonic()
    with taken(folder, wait_s, say):
        there = None if anew else load(folder)
        before = _to_go_on(folder, there, sources.source)
        if not anew or _readable(folder) is not None:  # what cannot be read stays until the new one is whole
            clear(folder, _readable(folder) if anew else there)
        with closing(PostgresAuditedStore(sources.read_database_url, sources.timezone)) as store:
            manifest = _top_up(folder, before, sources, store, on_progress)
        clear(folder, manifest)
    return Made(manifest, manifest.position - before.position, manifest.facts - before.facts, time.monotonic() - began)


@contextmanager
def taken(folder: Path, wait_s: float, say: Callable[[str], None]) -> Iterator[None]:
    """Have a tape's folder to oneself, as a writer."""
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(
        folder / LOCK, wait_s, lambda: say(f"Another command is writing the tape in {folder}; waiting for it.")
    ):
        yield


def _to_go_on(folder: Path, there: Manifest | None, source: TapeSource) -> Manifest:
    """Give the tape to add to; see to it that it is this ledger's, and as it was written."""
    if there is None:
        return blank(source)
    check_source(folder, there, source.ledger_id)
    if there.source != source:
        old, new = (
            f"topic {each.topic} ({each.topic_id}, {each.partitions} partitions)" for each in (there.source, source)
        )
        raise InvalidInput(f"The tape in {folder} was made from {old}, and Kafka has {new} now: {ANEW}.")
    verify(folder, there)
    return there


def _readable(folder: Path) -> Manifest | None:
    """Give the tape that is to be replaced, if it can be read: it stays until then."""
    try:
        return load(folder)
    except IntegrityFault:
        return None


def _relayed(sources: Sources, store: PostgresAuditedStore) -> int:
    """Give the position up to which events are on Kafka; see to it that they are this ledger's."""
    checkpoint = read_checkpoint(sources.bootstrap_servers, sources.checkpoint_topic)
    if checkpoint is None:
        return 0
    if dict(store.hashes_at([checkpoint.position])).get(checkpoint.position) != checkpoint.leaf_hash:
        raise IntegrityFault(
            f"The relay's checkpoint on Kafka stands at position {checkpoint.position} with the leaf hash"
            f" {checkpoint.leaf_hash.hex()}, which the store does not hold there: `partner-ledger audit verify` says more."
        )
    return checkpoint.position


def _top_up(
    folder: Path,
    before: Manifest,
    sources: Sources,
    store: PostgresAuditedStore,
    on_progress: OnProgress,
) -> Manifest:
    up_to = _relayed(sources, store)
    if up_to < before.position:
        raise IntegrityFault(
            f"Kafka has events up to position {up_to}, and the tape in {folder} up to {before.position}: when the relay has filled"
            f" Kafka again, {ANEW}."
        )
    dropped = {
        (each.partition, each.offset, each.leaf_hash)
        for each in store.dropped_records()
        if each.topic == sources.source.topic
    }
    topic = WholeTopic(sources.bootstrap_servers, sources.source.topic, begin=before.next_offsets)
    with closing(topic), TapeWriter(folder, before) as writer:
        reading = _Reading(topic, sources.source, store, dropped, writer, before.next_offsets)
        reading.run(before.position, up_to, on_progress)
        if up_to == before.position and before.digest:
            return before
        return writer.commit(reading.next_offsets)


class _Reading:
    """One reading of the topic, from a position to another one."""

    def __init__(  # noqa: PLR0917 - what is read, and what it is held against
        self,
        topic: WholeTopic,
        source: TapeSource,
        store: PostgresAuditedStore,
        dropped: set[tuple[int, int, str | None]],
        writer: TapeWriter,
        next_offsets: Mapping[int, int],
    ) -> None:
        self._topic = topic
        self._source = source
        self._store = store
        self._dropped = dropped
        self._writer = writer
        self._pending: dict[int, Sequence[LeanRecord]] = dict.fromkeys(topic.partitions, ())
        self._ahead: set[int] = set()
        self.next_offsets = {partition: next_offsets.get(partition, 0) for partition in topic.partitions}

    def run(self, after: int, up_to: int, on_progress: OnProgress) -> None:
        """Read the events after a position, up to and with another one, and what stands among and behind them."""
        with ThreadPoolExecutor(1, "tape-hashes") as ahead:
            following = ahead.submit(self._hashes, after, up_to)
            begin = after
            while begin < up_to:
                hashes = following.result()
                end = begin + len(hashes)
                following = ahead.submit(self._hashes, end, up_to)
                self._window(begin, hashes, lambda seen: on_progress(seen - after, up_to - after))
                self._writer.leaves(hashes)
                begin = end
        self._rest(up_to)

    def _hashes(self, after: int, up_to: int) -> list[bytes]:
        last = min(after + WINDOW, up_to)
        if last == after:
            return []
        hashes = [each for each in self._store.leaf_hashes(after + 1, last) if each is not None]
        if len(hashes) != last - after:
            raise IntegrityFault(
                f"The store lacks events between the positions {after + 1} and {last}: `partner-ledger audit verify` says more."
            )
        return hashes

    def _window(self, begin: int, hashes: Sequence[bytes], on_position: Callable[[int], None]) -> None:
        """Read until each position after `begin` that has a hash here was seen."""
        seen, missing = bytearray(len(hashes)), len(hashes)
        self._ahead.clear()
        give_up_at = None
        while True:
            for partition in self._pending:
                missing -= self._take(partition, begin, hashes, seen)
            on_position(begin + len(hashes) - missing)
            if not missing:
                return
            if len(self._ahead | set(self._topic.ended())) == len(self._pending):
                give_up_at = give_up_at or time.monotonic() + MARKERS_WITHIN_S
                if time.monotonic() > give_up_at or len(self._ahead) == len(self._pending):
                    raise _missing(begin + 1 + seen.index(0), self._source)
                self._topic.look_again()
            self._poll()

    def _rest(self, up_to: int) -> None:
        """Read on behind the last position, each partition to its end or to an event recorded meanwhile."""
        self._ahead.clear()
        while True:
            for partition in self._pending:
                self._take(partition, up_to, (), bytearray())
            if len(self._ahead | set(self._topic.ended())) == len(self._pending):
                return
            self._poll()

    def _poll(self) -> None:
        self._topic.hold(self._ahead)
        for partition, records in self._topic.poll().items():
            self._pending[partition] = [*self._pending[partition], *records]

    def _take(self, partition: int, begin: int, hashes: Sequence[bytes], seen: bytearray) -> int:
        """Take what has come of a partition, as far as the window goes; give how many of its positions were seen now."""
        records = self._pending[partition]
        if partition in self._ahead or not records:
            return 0
        size, partitions = len(hashes), self._source.partitions
        facts: list[TapeRow] = []
        taken = 0
        self._pending[partition] = ()
        for n, record in enumerate(records):
            value = record.value
            leaf = sha256(b"\x00" + value).digest() if value is not None else None
            row = _opened(value)
            if row is not None and leaf is not None:
                at = row.position - begin - 1
                mine = row.stream.encode() == record.key and partition_of(record.key, partitions) == partition
                if mine and 0 <= at < size and hashes[at] == leaf:
                    if not seen[at]:  # otherwise it is there again, which a projector passes over as well
                        seen[at] = 1
                        taken += 1
                        if row.type in FACTS:
                            facts.append(row)
                    continue
                if mine and self._is_held(row.position, leaf):
                    if at < 0:
                        continue  # there again
                    self._ahead.add(partition)
                    self._pending[partition] = records[n:]
                    break
            self._pass_over(partition, record, leaf)
        self._writer.facts(partition, facts)
        left = self._pending[partition]
        self.next_offsets[partition] = left[0].offset if left else records[-1].offset + 1
        return taken

    def _is_held(self, position: int, leaf: bytes) -> bool:
        return 0 < position < 2**63 and dict(self._store.hashes_at([position])).get(position) == leaf

    def _pass_over(self, partition: int, record: LeanRecord, leaf: bytes | None) -> None:
        """Pass over a record that the ledger has dropped.

        Raises:
            IntegrityFault: it has not: somebody has put it there.

        """
        if (partition, record.offset, leaf and leaf.hex()) in self._dropped:
            return
        claimed = claimed_position(record.value)
        claims = (
            "claims no position"
            if claimed is None
            else f"claims position {claimed}, where the store holds another event or none"
        )
        raise IntegrityFault(
            f"The record at partition {partition}, offset {record.offset} of topic {self._source.topic} is none of the ledger's: it"
            f" {claims}. Look at it (`partner-ledger parked list`) and drop it"
            f" (`partner-ledger parked drop {partition}:{record.offset}`); the tape is as it was."
        )


def _opened(value: bytes | None) -> TapeRow | None:
    try:
        return _DECODER.decode(value or b"")
    except (msgspec.MsgspecError, RecursionError):
        return None


_DECODER = msgspec.json.Decoder(TapeRow)


def _missing(position: int, source: TapeSource) -> IntegrityFault:
    return IntegrityFault(
        f"Topic {source.topic} has no record of position {position}, or not in order, though the store holds an event there and the"
        " relay has gone past it: `partner-ledger audit verify` says more; the tape is as it was."
    )
