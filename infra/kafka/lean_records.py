"""Records as the projector needs them, offset, time, key and value, unpacked in a third of the client library's time.

kafka-python unpacks each record into thirteen fields, its headers included, and checks it once more: nearly half of the
projector's time went there (docs/benchmarks.md). This reads the same batches of the record format v2 (Kafka protocol,
"Record Batch"); checksums, decompression, aborted transactions, fetching and positions stay the library's. It takes the
place of a class that the library's fetcher looks up on itself; `tests/infra/kafka/test_lean_records.py` compares both on
real topics, and notices when a new version of the library has no such place.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, UnsupportedVersionError

FORMAT = 2
"""The record format ("magic") of every topic since Kafka 0.11."""


class LeanRecord(msgspec.Struct, frozen=True, gc=False):
    """What the projector reads of a record: port `consumers.sequencing.SourceRecord`. The time is in ms since 1970 UTC."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


def read_lean(consumer: Any) -> None:
    """Have a consumer's `poll` give `LeanRecord`s from now on; before its first poll."""
    consumer._fetcher.PartitionRecords = _LeanRecords


def read_on_what_was_held(consumer: Any) -> None:
    """Let partitions be read on that were paused in the midst of what was fetched; before each poll of who pauses and resumes.

    kafka-python 3.0.12 keeps such records aside and takes them up again when nothing else is in line; but what was in line stays
    there when it is used up, and if nothing else comes meanwhile, the resumed partition is never read again.
    """
    fetcher = consumer._fetcher
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None


class _LeanRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python has no types
    """A partition's part of a fetch's answer, with records unpacked leanly."""

    def _unpack_records(self, _tp: object, records: Any, *_deserializers: object) -> Iterator[LeanRecord]:
        while (batch := records.next_batch()) is not None:
            if batch.magic != FORMAT:
                raise UnsupportedVersionError(
                    f"A batch of {self.topic_partition} has record format {batch.magic}, not 2."
                )
            if not batch.validate_crc():
                raise CorruptRecordError(
                    f"The batch of {self.topic_partition} at {batch.base_offset} fails its checksum."
                )
            self.leader_epoch = batch.leader_epoch
            self.bytes_read += batch.size_in_bytes
            if self._is_delivered(batch):
                for record in _unpacked(batch):
                    self.next_fetch_offset = record.offset + 1
                    yield record
            self.next_fetch_offset = batch.next_offset
        self.drain()

    def _is_delivered(self, batch: Any) -> bool:
        """Tell whether a reader of what is committed gets the batch; keep count of the producers that are aborting."""
        if batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
                return False
            if self._is_batch_aborted(batch):
                return False
        return not batch.is_control_batch


def _unpacked(batch: Any) -> Iterator[LeanRecord]:
    batch._maybe_uncompress()
    data, at = bytes(batch._buffer), batch._pos
    base, began = batch.base_offset, batch.first_timestamp
    try:
        for _ in range(batch.records_count):
            length, at = _varint(data, at)
            end = at + length
            later, at = _varint(data, at + 1)  # behind the attributes: the timestamp's difference
            offset, at = _varint(data, at)
            size, at = _varint(data, at)
            key = None
            if size >= 0:
                key = data[at : at + size]
                at += size
            size, at = _varint(data, at)
            value = None
            if size >= 0:
                value = data[at : at + size]
                at += size
            if at >= end or end > len(data):  # a count of headers follows at least
                raise CorruptRecordError(f"A record of the batch at offset {base} does not end where it says.")
            yield LeanRecord(base + offset, began + later, key, value)
            at = end
    except IndexError:
        raise CorruptRecordError(f"A record of the batch at offset {base} goes beyond the batch.") from None
    if at != len(data):
        raise CorruptRecordError(f"The batch at offset {base} goes on behind its last record.")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a zigzag-encoded number of variable length; gives it, and where it ends."""
    byte = data[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    number, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at + 1
        shift += 7
