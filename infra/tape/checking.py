"""A tape compared with the ledger once more, by all that its files hold and not only by their digests.

Whoever alters a tape may well write a manifest that fits. So every leaf hash is held against the store's, the root against the
tree, every fact's own hash is made again from its row, and the facts are counted: a tape on which all of this is right is the
ledger's, whatever became of it on the way.
"""

import mmap
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

from domain.envelope import envelope, leaf_hash
from domain.errors import InvalidInput
from domain.merkle import HASH_BYTES, Frontier
from infra.kafka.ledger_topics import partition_of
from infra.postgres.audited_store import PostgresAuditedStore
from infra.tape.arrow import pyarrow
from infra.tape.manifest import NAME, OWN, Manifest, Part, check_source, faults, load
from infra.tape.rows import FACTS, LEDGERS_STREAMS, event_rows
from infra.tape.writing import bucket_of

PAGE = 32_768
"""Positions that are compared at a time."""
ROWS_A_BATCH = 4_096
SHOWN = 50
"""So many findings are kept."""

OnChecked = Callable[[int, int], None]
"""Called with how much was checked, and how much is to be: events, and facts once more."""


class Finding(NamedTuple):
    """What is not as it must be: in which file, at which position (None: about all of the file)."""

    file: str
    position: int | None
    what: str


class Checked(NamedTuple):
    """A tape that was checked. `found` counts all findings, of which the first are kept."""

    manifest: Manifest
    findings: Sequence[Finding]
    found: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the tape is the ledger's, all of it."""
        return not self.found


def check(folder: Path, ledger_id: str, store: PostgresAuditedStore, on_checked: OnChecked) -> Checked:
    """Check the tape in a folder.

    Raises:
        InvalidInput: there is none, it is another ledger's, or pyarrow is not installed.
        IntegrityFault: its manifest was cut or altered.
        ServiceUnreachable: PostgreSQL does not answer.

    """
    pyarrow()
    began = time.monotonic()
    manifest = load(folder)
    if manifest is None:
        raise InvalidInput(f"There is no tape in {folder} yet: `partner-ledger replay tape` makes it.")
    check_source(folder, manifest, ledger_id)
    findings: list[Finding] = []
    found = 0
    with ExitStack() as opened:
        for finding in _Check(folder, manifest, store, on_checked, opened).run():
            found += 1
            if len(findings) < SHOWN:
                findings.append(finding)
    return Checked(manifest, findings, found, time.monotonic() - began)


class _Check:
    """One check of a tape."""

    def __init__(
        self, folder: Path, manifest: Manifest, store: PostgresAuditedStore, on_checked: OnChecked, opened: ExitStack
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._store = store
        self._on_checked = on_checked
        self._opened = opened
        self._places: dict[str, tuple[int, int]] = {}
        self._seen = bytearray()
        """Of each position, whether a fact of the tape stands there."""

    def run(self) -> Iterator[Finding]:
        """Give what is found; where a file is not the one that was written, its content is not looked at."""
        damaged = list(faults(self._folder, self._manifest))
        if damaged:
            yield from (Finding(fault.file, None, fault.what) for fault in damaged)
            return
        leaves = _Leaves(self._folder, self._manifest, self._opened)
        self._seen = bytearray(self._manifest.position)
        yield from self._facts(leaves)
        yield from self._events(leaves)

    def _tell(self, done: int) -> None:
        self._on_checked(done, self._manifest.position + self._manifest.facts)

    def _facts(self, leaves: "_Leaves") -> Iterator[Finding]:
        """Make each fact's leaf hash again from its row."""
        pa = pyarrow()
        seen, done = self._seen, 0
        for part in self._manifest.parts:
            if part.kind != "facts":
                continue
            with pa.parquet.ParquetFile(self._folder / part.file) as file:
                if file.num_row_groups != len(part.groups):
                    what = f"has {file.num_row_groups:,} row groups, and the manifest names {len(part.groups):,}"
                    yield Finding(part.file, None, what)
                    continue
                for bucket, batch in _batches(file, part):
                    for row in event_rows(batch):
                        if self._place(row.stream) != (part.partition, bucket):
                            what = (
                                "has a fact of a stream that belongs into another row group: no replay reads it there"
                            )
                            yield Finding(part.file, row.position, what)
                        elif not 0 < row.position <= len(seen):
                            yield Finding(
                                part.file, row.position, "has a fact at a position that the tape does not reach"
                            )
                        elif leaf_hash(envelope(row)) != leaves.at(row.position):
                            yield Finding(
                                part.file, row.position, "has a fact whose leaf hash is not that of its position"
                            )
                        elif seen[row.position - 1]:
                            yield Finding(part.file, row.position, "has a fact that is on the tape twice")
                        else:
                            seen[row.position - 1] = 1
                    done += batch.num_rows
                    self._tell(done)

    def _place(self, stream: str) -> tuple[int, int]:
        """Give the partition and the bucket that a stream belongs into."""
        place = self._places.get(stream)
        if place is None:
            partition = partition_of(stream.encode(), self._manifest.source.partitions)
            bucket = OWN if stream in LEDGERS_STREAMS else bucket_of(stream, self._manifest.buckets)
            place = self._places[stream] = (partition, bucket)
        return place

    def _events(self, leaves: "_Leaves") -> Iterator[Finding]:
        """Hold the leaf hashes of all events against the store's, their root against the manifest's, and count the facts."""
        last, tree, types = self._manifest.position, Frontier(), sorted(FACTS)
        for begin in range(0, last, PAGE):
            end = min(begin + PAGE, last)
            ours, held = leaves.between(begin, end), self._store.leaf_hashes(begin + 1, end)
            tree.extend(ours)
            for position, (mine, its) in enumerate(zip(ours, held, strict=True), begin + 1):
                if mine != its:
                    holds = "holds no event there" if its is None else f"holds {its.hex()}"
                    yield Finding(
                        leaves.file_of(position), position, f"has the leaf hash {mine.hex()}; the store {holds}"
                    )
            facts, recorded = self._seen.count(1, begin, end), self._store.count_types(begin + 1, end, types)
            if facts != recorded:
                what = f"between the positions {begin + 1} and {end} the store has {recorded:,} facts, and the tape {facts:,}"
                yield Finding(leaves.file_of(end), None, what)
            self._tell(self._manifest.facts + end)
        if tree.root().hex() != self._manifest.root:
            what = (
                f"says that the tree's root is {self._manifest.root}; over these leaf hashes it is {tree.root().hex()}"
            )
            yield Finding(NAME, last, what)
        if tuple(each.hex() for each in tree.right_edge()) != self._manifest.right_edge:
            yield Finding(
                NAME, last, "has another right edge of the tree than these leaf hashes, so it would grow on wrongly"
            )


def _batches(file: Any, part: Part) -> Iterator[tuple[int, Any]]:
    """Give a file's rows, batch by batch, with the bucket that the manifest names for their row group."""
    for number, bucket in enumerate(part.groups):
        for batch in file.iter_batches(ROWS_A_BATCH, row_groups=[number], use_threads=False):
            yield bucket, batch


class _Leaves:
    """The leaf hashes of the tape by position, as they lie in its files."""

    def __init__(self, folder: Path, manifest: Manifest, opened: ExitStack) -> None:
        self._parts: list[tuple[Part, mmap.mmap]] = []
        for part in manifest.parts:
            if part.kind == "leaves":
                file = opened.enter_context((folder / part.file).open("rb"))
                mapped = opened.enter_context(closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
                self._parts.append((part, mapped))

    def at(self, position: int) -> bytes:
        """Give the leaf hash of a position."""
        part, mapped = self._part(position)
        begin = (position - part.first_position) * HASH_BYTES
        return mapped[begin : begin + HASH_BYTES]

    def between(self, begin: int, end: int) -> list[bytes]:
        """Give the leaf hashes after a position, up to and with another one."""
        return [self.at(position) for position in range(begin + 1, end + 1)]

    def file_of(self, position: int) -> str:
        """Name the file that has the leaf hash of a position."""
        return self._part(position)[0].file

    def _part(self, position: int) -> tuple[Part, mmap.mmap]:
        at = bisect_right(self._parts, position, key=lambda each: each[0].first_position)
        return self._parts[at - 1]
