"""The envelope: the one place that says which bytes of an event go to Kafka and are hashed.

An envelope is a CloudEvents 1.0 document in structured JSON mode; the ledger's own fields are extension attributes. One
pure function per envelope version, kept for ever once used (`tests/domain/envelopes/` holds their bytes). The leaf hash,
SHA-256(0x00 ‖ envelope) as in RFC 9162's Merkle trees, is stored with the row: store and Kafka can be compared byte for byte.
"""

import datetime as dt
import hashlib
from functools import lru_cache

import msgspec

from domain.errors import UnknownEventType

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
"""The only header of a record."""

TIER_CHANGE = "partner-ledger.tier-change.v1"
"""The type of a record on the public topic of tier changes, which its writer and its readers share."""

CURRENT_VERSION = 1


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the store holds it: its data, and what the database and the append say of it."""

    position: int
    stream: str
    version: int
    type: str
    schema_version: int
    business_date: dt.date | None
    recorded_at: dt.datetime
    actor: str
    command_id: str
    envelope_version: int
    data: bytes


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope as a reader of Kafka decodes it. Field names are CloudEvents attribute names."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: dt.datetime
    datacontenttype: str
    envelopeversion: int
    position: int
    streamversion: int
    schemaversion: int
    businessdate: dt.date | None
    actor: str
    commandid: str
    data: msgspec.Raw

    @property
    def stream(self) -> str:
        """The stream that the event belongs to."""
        return self.subject


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Envelope)


class _Version1(msgspec.Struct, frozen=True, gc=False):
    """The fields of envelope version 1, in their order; encoding a struct takes a fifth of the time of a dict."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    envelopeversion: int
    position: int
    streamversion: int
    schemaversion: int
    businessdate: dt.date | None
    actor: str
    commandid: str
    data: msgspec.Raw


def _version_1(row: EventRow) -> bytes:
    position = row.position
    return _ENCODER.encode(
        _Version1(
            "1.0",
            str(position),
            "/partner-ledger",
            row.type,
            row.stream,
            _time(row.recorded_at),
            "application/json",
            1,
            position,
            row.version,
            row.schema_version,
            row.business_date,
            row.actor,
            row.command_id,
            msgspec.Raw(row.data),
        )
    )


@lru_cache(maxsize=64)
def _time(recorded_at: dt.datetime) -> str:
    """Give a time as envelopes have it; the events of one append share theirs."""
    return recorded_at.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


_VERSIONS = {1: _version_1}


def envelope(row: EventRow) -> bytes:
    """Give the bytes that go to Kafka for a stored event, in the envelope version it was stored under."""
    try:
        make = _VERSIONS[row.envelope_version]
    except KeyError:
        raise UnknownEventType(
            f"Event {row.position} has envelope version {row.envelope_version}, which this version does not know:"
            " update partner-ledger."
        ) from None
    return make(row)


def leaf_hash(envelope_bytes: bytes) -> bytes:
    """Give the leaf hash of an envelope: SHA-256 over 0x00 and its bytes."""
    return hashlib.sha256(b"\x00" + envelope_bytes).digest()


def open_envelope(value: bytes) -> Envelope:
    """Decode an envelope read from Kafka; `data` stays undecoded bytes.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: the bytes are no envelope of ours.

    """
    return _DECODER.decode(value)
