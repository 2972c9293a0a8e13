"""Which records of a batch can be applied: consecutive versions of a stream, each once; what cannot parks its stream.

Pure. Kafka may deliver a record again, and anyone who may write to the topic may put a forged one there, so each record
is judged against what was applied of its stream: the next version is applied, a repeat with the same hash is skipped, and
anything else parks the stream, whose later records wait behind it. Nothing is ever dropped silently.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from domain.envelope import Envelope, leaf_hash, open_envelope
from domain.errors import UnknownEventType
from domain.events import decode
from projections.recorded import Recorded


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

    `recorded` is None where it cannot be read; `fault` then says why. `envelope` is there as far as it could be opened.
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

    def applied_hash(self, stream: str, version: int) -> bytes | None:
        """Give the leaf hash under which a version of a stream was applied."""
        ...


def receive(topic: str, partition: int, record: SourceRecord) -> Received:
    """Read a record: open its envelope, decode its event, compute its leaf hash."""
    key, value = record.key, record.value
    envelope: Envelope | None = None
    try:
        if value is None:
            raise ValueError("it has no value")
        envelope = open_envelope(value)
        event = decode(envelope.type, envelope.schemaversion, envelope.data)
        stream = envelope.subject
        if key is None or key.decode() != stream:
            raise ValueError(f"its key {key!r} is not its stream {stream!r}")
    except (ValueError, UnknownEventType, msgspec.MsgspecError) as error:
        stream = key.decode(errors="backslashreplace") if key else f"unknown:{partition}:{record.offset}"
        fault = f"The record at partition {partition}, offset {record.offset} cannot be read: {error}."
        return Received(topic, partition, record.offset, key, value, stream, envelope, None, fault)
    recorded = Recorded(topic, partition, record.offset, envelope, event, leaf_hash(value))
    return Received(topic, partition, record.offset, key, value, stream, envelope, recorded, None)


def sort_out(records: Iterable[Received], applied: Applied) -> Sequenced:
    """Sort a batch into what is applied, what is a repeat and what parks, in the order of its records."""
    records = list(records)
    result = Sequenced()
    streams = {record.stream for record in records}
    states = dict(applied.stream_states(streams))
    parked = set(applied.parked_streams(streams))
    for record in records:
        stream = record.stream
        if (at := record.recorded) is None:
            parked.add(stream)
            result.park.append(Parked(record, record.fault or "It cannot be read."))
            continue
        state = states.get(stream)
        version = at.envelope.streamversion
        last = 0 if state is None else state.version
        if version == last + 1 and stream not in parked and (state is None or state.partition == record.partition):
            states[stream] = result.streams[stream] = StreamState(record.partition, version, at.leaf_hash)
            result.apply.append(at)
        elif version <= last and _hash_of(stream, version, result, applied, state) == at.leaf_hash:
            result.repeats += 1
        else:
            result.park.append(Parked(record, _why(record, version, state, waits=stream in parked)))
            parked.add(stream)
    return result


def _hash_of(stream: str, version: int, result: Sequenced, applied: Applied, state: StreamState | None) -> bytes | None:
    if state is not None and state.version == version:
        return state.leaf_hash
    for at in result.apply:
        if at.envelope.subject == stream and at.envelope.streamversion == version:
            return at.leaf_hash
    return applied.applied_hash(stream, version)


def _why(record: Received, version: int, state: StreamState | None, *, waits: bool) -> str:
    stream = record.stream
    last = 0 if state is None else state.version
    where = f"partition {record.partition}, offset {record.offset}"
    if version <= last or version < 1:
        return f"Version {version} of {stream} at {where} is not the one that was applied: another hash."
    if waits:
        return f"Version {version} of {stream} at {where} waits: the stream is parked."
    if version != last + 1:
        return f"Version {version} of {stream} at {where} follows version {last}: what is between them is missing."
    return f"Version {version} of {stream} is at {where}, but the stream's partition is {state and state.partition}."
