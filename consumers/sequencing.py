"""Which records of a batch can be applied: consecutive versions of a stream, each once; what cannot parks its stream.

Pure. Kafka may deliver a record again, and anyone who may write to the topic may put a forged one there, so each record
is judged against what was applied of its stream: the next version is applied, a repeat with the same hash is skipped, and
anything else parks the stream, whose later records wait behind it. Nothing is ever dropped silently.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from domain.envelope import Envelope, leaf_hash, open_envelope
from domain.errors import UnknownEventType
from domain.events import decode
from projections.recorded import Recorded

MAX_STREAM_BYTES = 512
"""A longer key is not ours, and could not be indexed."""
MAX_POSITION = 2**63 - 1
MAX_VERSION = 2**31 - 1


class SourceRecord(Protocol):
    """A record as Kafka's client gives it."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102


class Received(msgspec.Struct, frozen=True, gc=False):
    """A record read, with the stream it belongs to by its key, which decided its partition.

    `recorded` is None where it cannot be applied as it is; `fault` then says why. `position` is the one that it claims, None
    where not even that can be read.
    """

    topic: str
    partition: int
    offset: int
    source: SourceRecord
    stream: str
    recorded: Recorded | None
    fault: str | None
    position: int | None

    @property
    def leaf_hash(self) -> bytes | None:
        """The hash of the record's value; None where it has none."""
        if self.recorded is not None:
            return self.recorded.leaf_hash
        return None if self.source.value is None else leaf_hash(self.source.value)

    def found_faulty(self, fault: str) -> "Received":
        """Give the same record, known not to be one that can be applied."""
        return msgspec.structs.replace(self, recorded=None, fault=fault)


class Parked(NamedTuple):
    """A record to be kept for a retry, and the reason in one sentence."""

    record: Received
    reason: str


class StreamState(msgspec.Struct, frozen=True, gc=False):
    """What was applied of a stream last, and the partition that all of it came from."""

    partition: int
    version: int
    leaf_hash: bytes


@dataclass(slots=True)
class Sequenced:
    """A batch sorted out. `streams` holds the new state of each stream that has something to apply.

    `faulty`: a record parks for a reason of its own, not only because it waits behind another one.
    """

    apply: list[Recorded] = field(default_factory=list)
    park: list[Parked] = field(default_factory=list)
    repeats: int = 0
    faulty: bool = False
    streams: dict[str, StreamState] = field(default_factory=dict)


ParkedStream = tuple[int, str]
"""A stream waits in the partition where one of its records parked: that is where its later ones come."""


class Applied(Protocol):
    """What the projections know of the streams."""

    def stream_states(self, streams: Collection[str]) -> Mapping[str, StreamState]:
        """Give the last applied version of those streams that have one."""
        ...

    def parked_streams(self, partitions: Collection[int]) -> Collection[ParkedStream]:
        """Give the streams that are parked in these partitions."""
        ...

    def applied_hashes(self, positions: Collection[int]) -> Mapping[int, bytes]:
        """Give the leaf hashes of the events applied at these positions."""
        ...


class _Claim(msgspec.Struct, frozen=True, gc=False):
    """As much of an envelope as has to be read to ask the store about it."""

    position: int


_CLAIMS = msgspec.json.Decoder(_Claim)


def receive(topic: str, partition: int, record: SourceRecord) -> Received:
    """Read a record: open its envelope, decode its event, compute its leaf hash."""
    offset, value = record.offset, record.value
    try:
        if value is None:
            raise ValueError("it has no value")
        envelope = open_envelope(value)
        _check_identity(envelope, record.key)
        event = decode(envelope.type, envelope.schemaversion, envelope.data)
    except (ValueError, RecursionError, UnknownEventType, msgspec.MsgspecError) as error:
        fault = f"The record at partition {partition}, offset {offset} cannot be read: {error}"
        stream = _stream_of(partition, offset, record.key)
        return Received(topic, partition, offset, record, stream, None, fault, claimed_position(value))
    recorded = Recorded(topic, partition, offset, envelope, event, leaf_hash(value))
    return Received(topic, partition, offset, record, envelope.subject, recorded, None, envelope.position)


def claimed_position(value: bytes | None) -> int | None:
    """Give the position that a record claims to be at; None if it claims none that can be."""
    try:
        position = _CLAIMS.decode(value or b"").position
    except (msgspec.MsgspecError, RecursionError):
        return None
    return position if 0 < position <= MAX_POSITION else None


def _check_identity(envelope: Envelope, key: bytes | None) -> None:
    stream = envelope.subject
    if key is None or key != stream.encode():
        raise ValueError(f"its key {key!r} is not its stream {stream!r}")
    if not 0 < len(key) <= MAX_STREAM_BYTES or "\x00" in stream:
        raise ValueError(f"its stream is not a name of 1 to {MAX_STREAM_BYTES} bytes")
    if not 0 < envelope.position <= MAX_POSITION or not 0 < envelope.streamversion <= MAX_VERSION:
        raise ValueError(f"its position {envelope.position} or version {envelope.streamversion} is out of range")


def _stream_of(partition: int, offset: int, key: bytes | None) -> str:
    """Give the stream that an unreadable record parks: that of its key, which is what put it into this partition."""
    if not key or len(key) > MAX_STREAM_BYTES:
        return f"unreadable:{partition}:{offset}"
    return key.decode(errors="backslashreplace").replace("\x00", "\\x00")


def sort_out(records: Sequence[Received], applied: Applied) -> Sequenced:
    """Sort a batch into what is applied, what is a repeat and what parks, in the order of its records."""
    result = Sequenced()
    streams = {record.stream for record in records}
    states = dict(applied.stream_states(streams))
    parked = set(applied.parked_streams({record.partition for record in records}))
    seen = _seen_before(records, states)
    hashes: Mapping[int, bytes] = applied.applied_hashes(seen) if seen else {}
    news = result.streams
    for record in records:
        stream = record.stream
        at = record.recorded
        if at is None:
            parked.add((record.partition, stream))
            result.park.append(Parked(record, record.fault or "The record cannot be read."))
            result.faulty = True
            continue
        state = states.get(stream)
        version = at.envelope.streamversion
        last = 0 if state is None else state.version
        waits = bool(parked) and (record.partition, stream) in parked
        if version == last + 1 and not waits and (state is None or state.partition == record.partition):
            states[stream] = news[stream] = StreamState(record.partition, version, at.leaf_hash)
            result.apply.append(at)
        elif version <= last and _hash_of(at, hashes, result.apply) == at.leaf_hash:
            result.repeats += 1
        else:
            result.park.append(Parked(record, _why(record, version, state, waits=waits)))
            parked.add((record.partition, stream))
            result.faulty = result.faulty or not waits
    return result


def _seen_before(records: Sequence[Received], states: Mapping[str, StreamState]) -> set[int]:
    """Give the positions of records that may be repeats of what was applied before."""
    return {
        envelope.position
        for record in records
        if record.recorded is not None
        and (state := states.get(record.stream)) is not None
        and (envelope := record.recorded.envelope).streamversion <= state.version
    }


def _hash_of(record: Recorded, before: Mapping[int, bytes], now: Sequence[Recorded]) -> bytes | None:
    """Give the hash under which its position was applied: before, or in this batch; repeats are rare, so it is looked for."""
    position = record.envelope.position
    if (known := before.get(position)) is not None:
        return known
    return next((at.leaf_hash for at in now if at.envelope.position == position), None)


def _why(record: Received, version: int, state: StreamState | None, *, waits: bool) -> str:
    stream = record.stream
    last = 0 if state is None else state.version
    where = f"partition {record.partition}, offset {record.offset}"
    if version <= last:
        return f"Version {version} of {stream} at {where} has another hash than the one that was applied."
    if waits:
        return f"Version {version} of {stream} at {where} waits, as the stream is parked."
    if version != last + 1:
        return f"Version {version} of {stream} at {where} follows version {last}: what is between them is missing."
    return f"Version {version} of {stream} is at {where}, but the stream's partition is {state and state.partition}."
