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


class Received(NamedTuple):
    """A record read, with the stream it belongs to by its key, which decided its partition.

    `recorded` is None where it cannot be read; `fault` then says why, and `envelope` is there if that much could be opened.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    stream: str
    envelope: Envelope | None
    recorded: Recorded | None
    fault: str | None


class Parked(NamedTuple):
    """A record to be kept for a retry, and the reason in one sentence."""

    record: Received
    reason: str


class StreamState(NamedTuple):
    """What was applied of a stream last, and the partition that all of it came from."""

    partition: int
    version: int
    leaf_hash: bytes


@dataclass(slots=True)
class Sequenced:
    """A batch sorted out. `streams` holds the new state of each stream that has something to apply."""

    apply: list[Recorded] = field(default_factory=list)
    park: list[Parked] = field(default_factory=list)
    repeats: int = 0
    streams: dict[str, StreamState] = field(default_factory=dict)


class Applied(Protocol):
    """What the projections know of the streams, as the batch's transaction sees it."""

    def stream_states(self, streams: Collection[str]) -> Mapping[str, StreamState]:
        """Give the last applied version of those streams that have one."""
        ...

    def parked_streams(self, streams: Collection[str]) -> Collection[str]:
        """Give those of the streams that are parked."""
        ...

    def applied_hashes(self, versions: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], bytes]:
        """Give the leaf hashes under which versions of streams were applied."""
        ...


def receive(topic: str, partition: int, record: SourceRecord) -> Received:
    """Read a record: open its envelope, decode its event, compute its leaf hash."""
    offset, key, value = record.offset, record.key, record.value
    envelope: Envelope | None = None
    try:
        if value is None:
            raise ValueError("it has no value")
        envelope = open_envelope(value)
        _check_identity(envelope, key)
        event = decode(envelope.type, envelope.schemaversion, envelope.data)
    except (ValueError, RecursionError, UnknownEventType, msgspec.MsgspecError) as error:
        fault = f"The record at partition {partition}, offset {offset} cannot be read: {error}"
        stream = _stream_of(partition, offset, key)
        if envelope is not None and envelope.subject != stream:
            envelope = None
        return Received(topic, partition, offset, key, value, stream, envelope, None, fault)
    stream = envelope.subject
    recorded = Recorded(topic, partition, offset, envelope, event, leaf_hash(value))
    return Received(topic, partition, offset, key, value, stream, envelope, recorded, None)


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
    parked = set(applied.parked_streams(streams))
    hashes = dict(applied.applied_hashes(_seen_before(records, states)))
    for record in records:
        stream = record.stream
        if (at := record.recorded) is None:
            parked.add(stream)
            result.park.append(Parked(record, record.fault or "The record cannot be read."))
            continue
        state = states.get(stream)
        version = at.envelope.streamversion
        last = 0 if state is None else state.version
        if version == last + 1 and stream not in parked and (state is None or state.partition == record.partition):
            states[stream] = result.streams[stream] = StreamState(record.partition, version, at.leaf_hash)
            hashes[stream, version] = at.leaf_hash
            result.apply.append(at)
        elif version <= last and hashes.get((stream, version)) == at.leaf_hash:
            result.repeats += 1
        else:
            result.park.append(Parked(record, _why(record, version, state, waits=stream in parked)))
            parked.add(stream)
    return result


def _seen_before(records: Sequence[Received], states: Mapping[str, StreamState]) -> set[tuple[str, int]]:
    return {
        (record.stream, version)
        for record in records
        if record.recorded is not None
        and (state := states.get(record.stream)) is not None
        and (version := record.recorded.envelope.streamversion) <= state.version
    }


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
