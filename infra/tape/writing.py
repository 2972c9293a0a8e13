"""Facts and leaf hashes become files of the tape; what is not committed never was.

Facts of a partition go into one file for each top-up, whose row groups hold a bucket of streams each: a replay reads a bucket, all
of it, and nothing else. Rows wait, as Arrow columns, until they are many, so memory does not grow with the tape. Leaf hashes go
into a file without any structure: that of position p is the 32 bytes at (p - first position) · 32, so they can be looked up as
they lie there.
"""

import hashlib
import os
import secrets
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from domain.errors import IntegrityFault
from domain.merkle import HASH_BYTES
from infra.tape.arrow import pyarrow
from infra.tape.manifest import OWN, Manifest, Part, load, replace
from infra.tape.rows import DICTIONARIES, LEDGERS_STREAMS, TapeRow, record_batch, schema

ROWS_A_BATCH = 256
"""So many rows of a bucket wait as Python objects before they become columns, which take a third of the memory."""
BUFFER_BYTES = 24 * 1024 * 1024
"""So much waits as columns before the bucket that has most of it is written."""
COMPRESSION = "zstd"
LEVEL = 1
"""Higher ones made the files of a generated network no smaller (measured)."""


def bucket_of(stream: str, buckets: int) -> int:
    """Give the bucket of a stream: the same one for ever."""
    return zlib.crc32(stream.encode()) % buckets


class TapeWriter:
    """Adds to a tape: facts by partition, and the leaf hashes of all events from the tape's position on, one after another.

    A context manager: what was not committed when the block ends is taken away again. Whoever has facts at hand that never were on
    a Kafka, as a benchmark has, writes a tape by it just as well: `facts`, `leaves`, `commit`.

    Every method raises OSError where the disk is full or the folder cannot be written.
    """

    def __init__(self, folder: Path, before: Manifest) -> None:
        """Begin to add to the tape in a folder, which `before` describes (`manifest.blank` for a new one)."""
        self._folder = folder
        self._before = before
        self._token = secrets.token_hex(4)
        self._files: dict[int, _FactsFile] = {}
        self._buckets: dict[tuple[int, int], _Bucket] = {}
        self._leaves: _HashedFile | None = None
        self._tree = before.tree()
        self._waiting_bytes = 0
        self._made: list[Path] = []

    @property
    def position(self) -> int:
        """The position up to which leaf hashes were given."""
        return self._tree.size

    def facts(self, partition: int, rows: Sequence[TapeRow]) -> None:
        """Add facts of a partition, in order of position; those of the ledger itself among them."""
        buckets = self._before.buckets
        for row in rows:
            stream = row.stream
            number = OWN if stream in LEDGERS_STREAMS else bucket_of(stream, buckets)
            try:
                bucket = self._buckets[partition, number]
            except KeyError:
                bucket = self._buckets[partition, number] = _Bucket()
            waiting = bucket.rows
            waiting.append(row)
            if len(waiting) >= ROWS_A_BATCH:
                self._waiting_bytes += bucket.to_columns()
        while self._waiting_bytes > BUFFER_BYTES:
            self._write(max(self._buckets, key=lambda key: self._buckets[key].size_bytes))

    def leaves(self, hashes: Sequence[bytes]) -> None:
        """Add the leaf hashes of the next positions."""
        if self._leaves is None:
            self._leaves = self._open(f"leaves-{self._before.position + 1:012}-{self._token}.bin")
        self._leaves.write(b"".join(hashes))
        self._tree.extend(hashes)

    def commit(self, next_offsets: Mapping[int, int]) -> Manifest:
        """Write what waits, and have the tape reach up to the last leaf hash; all facts up to there must have been given.

        `next_offsets` says from which offset each partition is read next. Gives the new manifest.
        """
        for key in sorted(self._buckets):
            self._write(key)
        before, offsets = self._before, {**self._before.next_offsets, **next_offsets}
        parts = [*before.parts, *self._leaves_part()]
        for partition, file in sorted(self._files.items()):
            offset = before.next_offsets.get(partition, 0)
            parts.append(file.part(partition, offset, offsets.get(partition, offset)))
        manifest = msgspec.structs.replace(
            before,
            position=self.position,
            root=self._tree.root().hex(),
            right_edge=tuple(each.hex() for each in self._tree.right_edge()),
            next_offsets=offsets,
            parts=tuple(parts),
        )
        manifest = replace(self._folder, manifest)
        self._made.clear()
        return manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.give_up()
        if self._leaves is not None:
            self._leaves.give_up()
        if self._made:
            self._take_away()

    def _take_away(self) -> None:
        """Remove what was written but for what counts: an interrupt may come when the manifest names it already."""
        try:
            manifest = load(self._folder)
        except (IntegrityFault, OSError):
            return  # whoever writes next clears away what its manifest does not name
        kept = {part.file for part in manifest.parts} if manifest is not None else set()
        for path in self._made:
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def _write(self, key: tuple[int, int]) -> None:
        partition, number = key
        bucket = self._buckets.pop(key)
        if partition not in self._files:
            offset = self._before.next_offsets.get(partition, 0)
            file = self._open(f"facts-{partition:03}-{offset:012}-{self._token}.parquet")
            self._files[partition] = _FactsFile(file)
        self._waiting_bytes -= bucket.size_bytes
        bucket.to_columns()
        self._files[partition].write(number, bucket.batches)

    def _open(self, name: str) -> "_HashedFile":
        path = self._folder / name
        self._made.append(path)
        return _HashedFile(path)

    def _leaves_part(self) -> list[Part]:
        if self._leaves is None:
            return []
        self._leaves.finish()
        part = Part(
            file=self._leaves.path.name,
            kind="leaves",
            first_position=self._before.position + 1,
            last_position=self.position,
            rows=self.position - self._before.position,
            bytes=self._leaves.size,
            sha256=self._leaves.digest(),
        )
        assert part.bytes == part.rows * HASH_BYTES
        return [part]


class _Bucket:
    """Rows of a bucket that wait to be written."""

    def __init__(self) -> None:
        self.rows: list[TapeRow] = []
        self.batches: list[Any] = []
        self.size_bytes = 0

    def to_columns(self) -> int:
        """Make columns of the rows; give how many bytes these take."""
        if not self.rows:
            return 0
        batch = record_batch(self.rows)
        self.rows.clear()
        self.batches.append(batch)
        self.size_bytes += batch.nbytes
        return int(batch.nbytes)


class _FactsFile:
    """A file of facts under way."""

    def __init__(self, file: "_HashedFile") -> None:
        pa = pyarrow()
        self._file = file
        self._writer = pa.parquet.ParquetWriter(
            pa.PythonFile(file, mode="w"),
            schema(),
            compression=COMPRESSION,
            compression_level=LEVEL,
            use_dictionary=list(DICTIONARIES),
            write_statistics=False,
        )
        self._groups: list[int] = []
        self._rows = 0
        self._first, self._last = 0, 0

    def write(self, bucket: int, batches: Sequence[Any]) -> None:
        """Write a row group."""
        pa = pyarrow()
        table = pa.Table.from_batches(batches)
        positions = table.column("position")
        first, last = positions[0].as_py(), positions[-1].as_py()
        self._first = min(self._first or first, first)
        self._last = max(self._last, last)
        self._rows += table.num_rows
        self._groups.append(bucket)
        self._writer.write_table(table, row_group_size=table.num_rows)

    def part(self, partition: int, first_offset: int, next_offset: int) -> Part:
        """Finish the file, and say what it is."""
        self._writer.close()
        self._file.finish()
        return Part(
            file=self._file.path.name,
            kind="facts",
            partition=partition,
            first_offset=first_offset,
            next_offset=next_offset,
            first_position=self._first,
            last_position=self._last,
            rows=self._rows,
            groups=tuple(self._groups),
            bytes=self._file.size,
            sha256=self._file.digest(),
        )

    def give_up(self) -> None:
        """End it, wherever it stands."""
        self._file.give_up()
        self._writer.close()  # writes its footer, to nowhere


class _HashedFile:
    """A new file whose digest is known when it is finished; as much of one as Arrow asks for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.closed = False
        self._sha256 = hashlib.sha256()
        self._file = path.open("xb")

    def write(self, content: bytes) -> int:
        """Write; after `give_up` do nothing."""
        if not self._file.closed:
            self._file.write(content)
            self._sha256.update(content)
            self.size += len(content)
        return len(content)

    def tell(self) -> int:
        """Give the size so far."""
        return self.size

    def flush(self) -> None:
        """Do nothing: `finish` does."""

    def close(self) -> None:
        """Do nothing: `finish` does."""

    def finish(self) -> None:
        """Have the disk keep it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def give_up(self) -> None:
        """Close it, whatever the disk says of what is not written yet."""
        with suppress(OSError):  # it is taken away
            self._file.close()

    def digest(self) -> str:
        """Give the SHA-256 of what was written."""
        return self._sha256.hexdigest()
