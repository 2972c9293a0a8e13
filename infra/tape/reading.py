"""The tape as a replay reads it: whole columns of a bucket of streams, by Arrow. Port: `projections.facts_by_stream.RecordedFacts`."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from domain.errors import IntegrityFault, InvalidInput
from infra.tape.arrow import pyarrow
from infra.tape.manifest import ANEW, OWN, Manifest, OnBytes, check_source, load, verify
from projections.facts_by_stream import Facts, Source

COLUMNS = ("position", "stream", "type", "schema_version", "data")
AS_CODES = ("stream", "type")


class RecordedTape:
    """A tape as its manifest described it when it was opened: what is added meanwhile is not seen.

    It holds nothing open and can be sent to another process, which then reads the same facts.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest

    @classmethod
    def open(cls, folder: Path, ledger_id: str | None = None, on_bytes: OnBytes | None = None) -> Self:
        """Open the tape in a folder, of a certain ledger if one is named, once all its files were compared with their digests.

        Raises:
            InvalidInput: there is no tape in the folder, it is another ledger's, or pyarrow is not installed.
            IntegrityFault: it was cut or altered.

        """
        pyarrow()
        manifest = load(folder)
        if manifest is None:
            raise InvalidInput(f"There is no tape in {folder} yet: `partner-ledger replay tape` makes it.")
        if ledger_id is not None:
            check_source(folder, manifest, ledger_id)
        verify(folder, manifest, on_bytes)
        return cls(folder, manifest)

    @property
    def position(self) -> int:
        """The position up to which facts were read."""
        return self._manifest.position

    @property
    def source(self) -> Source:
        """The ledger, and the root that `audit head` signs for so many events."""
        return Source(self._manifest.source.ledger_id, self._manifest.root)

    @property
    def manifest(self) -> Manifest:
        """What the tape is made of."""
        return self._manifest

    def pieces(self) -> Sequence[str]:
        """Name the pieces that have facts: partition and bucket."""
        buckets = {
            (part.partition, bucket)
            for part in self._manifest.parts
            if part.partition is not None
            for bucket in part.groups
            if bucket != OWN
        }
        return [f"{partition}-{bucket}" for partition, bucket in sorted(buckets)]

    def facts(self, piece: str) -> Facts:
        """Read the facts of a piece, by stream and then by position.

        Raises:
            IntegrityFault: a file was taken away or damaged since the tape was opened.

        """
        partition, bucket = map(int, piece.split("-"))
        return self._facts(bucket, partition, by_stream=True)

    def ledgers_own(self) -> Facts:
        """Read publications, advances and drops, in order of position.

        Raises:
            IntegrityFault: as for `facts`.

        """
        return self._facts(OWN, None, by_stream=False)

    def _facts(self, bucket: int, partition: int | None, *, by_stream: bool) -> Facts:
        pa = pyarrow()
        tables = []
        for part in self._manifest.parts:
            groups = [n for n, each in enumerate(part.groups) if each == bucket]
            if groups and partition in (None, part.partition):
                try:
                    with pa.parquet.ParquetFile(self._folder / part.file, read_dictionary=list(AS_CODES)) as file:
                        tables.append(file.read_row_groups(groups, columns=list(COLUMNS), use_threads=False))
                except (OSError, pa.ArrowException) as error:
                    raise IntegrityFault(
                        f"{self._folder / part.file} was altered or taken away while it was read: run the same command again,"
                        f" or {ANEW}."
                    ) from error
        if not tables:
            return Facts([], [], [], [], [])
        table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
        return _columns(table.take(_order(table, by_stream=by_stream)))


def _order(table: Any, *, by_stream: bool) -> Any:
    """Give the order of the rows: by position, and by stream before that."""
    pa = pyarrow()
    order = pa.compute.sort_indices(table.column("position"))
    if not by_stream:
        return order
    coded = table.column("stream").combine_chunks()
    names = coded.dictionary.to_pylist()
    ranks = {name: rank for rank, name in enumerate(sorted(names))}
    ranked = pa.array([ranks[name] for name in names], pa.int32()).take(coded.indices)
    # Arrow's sort of whole numbers is stable, so rows of a stream stay in the order of their positions.
    return order.take(pa.compute.array_sort_indices(ranked.take(order)))


def _columns(table: Any) -> Facts:
    return Facts(
        _numbers(table.column("position").combine_chunks(), "q"),
        _words(table.column("stream")),
        _words(table.column("type")),
        _numbers(table.column("schema_version").combine_chunks(), "i"),
        _bytes(table.column("data")),
    )


def _numbers(array: Any, kind: Literal["i", "q"]) -> list[int]:
    """Give an array without nulls as Python has it, from its buffer: a tenth of the time of `to_pylist`."""
    whole = memoryview(array.buffers()[1]).cast("B").cast(kind)
    return whole[array.offset : array.offset + len(array)].tolist()


def _words(column: Any) -> list[str]:
    """Give a coded column: the same object for the same word."""
    array = column.combine_chunks()
    words: list[str] = array.dictionary.to_pylist()
    return [words[code] for code in _numbers(array.indices, "i")]


def _bytes(column: Any) -> list[bytes]:
    array = column.combine_chunks()
    _, offsets, data = array.buffers()
    ends = memoryview(offsets).cast("B").cast("i")[array.offset : array.offset + len(array) + 1].tolist()
    content = memoryview(data)[ends[0] : ends[-1]].tobytes() if data is not None else b""
    base = ends[0]
    if base:
        ends = [end - base for end in ends]
    return [content[begin:end] for begin, end in pairwise(ends)]
