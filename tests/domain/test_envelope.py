"""The envelope: the bytes that go to Kafka and are hashed, pinned for each envelope version for ever.

`envelopes/version-N.jsonl` holds the envelopes of `samples`, one in each line, and `version-N.sha256` their leaf hashes.
They were made once by the code of that version; a difference is a published event changed.
"""

import datetime as dt
import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from domain.envelope import CURRENT_VERSION, envelope, leaf_hash, open_envelope
from domain.errors import UnknownEventType
from tests.domain.samples import SAMPLES, rows

ENVELOPES = Path(__file__).parent / "envelopes"


@pytest.mark.parametrize("version", range(1, CURRENT_VERSION + 1))
def test_the_bytes_of_an_envelope_never_change(version: int) -> None:
    """Store, Kafka and every leaf hash ever made rest on them."""
    pinned = (ENVELOPES / f"version-{version}.jsonl").read_bytes().splitlines()
    hashes = (ENVELOPES / f"version-{version}.sha256").read_text(encoding="ascii").split()
    made = [envelope(row) for row in rows(version)]
    assert made == pinned
    assert [leaf_hash(value).hex() for value in made] == hashes
    assert len(made) == len(SAMPLES)


def test_a_leaf_hash_is_that_of_rfc_9162() -> None:
    """SHA-256 over a zero byte and the entry; of nothing it is the RFC's known leaf of an empty entry."""
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"abc") == hashlib.sha256(b"\x00abc").digest()


def test_an_envelope_is_a_cloudevents_document_in_structured_mode() -> None:
    """Required attributes, extension attributes of lower-case letters and digits, the data as JSON."""
    row = rows(1)[8]
    document = json.loads(envelope(row))
    assert (document["specversion"], document["id"], document["source"], document["type"], document["subject"]) == (
        "1.0",
        "9",
        "/partner-ledger",
        "SaleRecorded",
        "partner:CH-0001",
    )
    assert document["time"] == "2026-01-01T10:00:09.000005Z"
    assert document["position"] == 9
    assert document["businessdate"] == "2012-02-10"
    assert document["data"] == json.loads(row.data)
    assert all(name.isascii() and name.isalnum() and name.islower() for name in document)


def test_an_envelope_can_be_opened_and_keeps_its_data_as_bytes() -> None:
    """A reader sees all that the row says."""
    for row in rows(1):
        opened = open_envelope(envelope(row))
        assert bytes(opened.data) == row.data
        assert (opened.position, opened.stream, opened.streamversion, opened.type, opened.schemaversion) == (
            row.position,
            row.stream,
            row.version,
            row.type,
            row.schema_version,
        )
        assert (opened.time, opened.actor, opened.commandid) == (row.recorded_at, row.actor, row.command_id)
        assert opened.businessdate == row.business_date
        assert opened.time.utcoffset() == dt.timedelta(0)


def test_an_envelope_version_of_a_newer_code_is_refused() -> None:
    """Nobody hashes bytes that this version cannot make."""
    with pytest.raises(UnknownEventType, match="envelope version 99"):
        envelope(rows(99)[0])


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"not json", b'{"specversion": "1.0"}'])
def test_bytes_that_are_no_envelope_are_refused(value: bytes) -> None:
    """Whatever stands on a topic."""
    with pytest.raises(msgspec.DecodeError):
        open_envelope(value)
