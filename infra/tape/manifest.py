"""The manifest: what a tape is made of, of which ledger, and up to where.

It is the one file that is ever replaced, by renaming a new one over it as the last step of a top-up. Whatever it does not name
does not count, and is cleared away by the next one who writes. It carries its own digest and that of every file, so that
whatever was cut or altered is noticed before a fact is read.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from domain.errors import IntegrityFault, InvalidInput
from domain.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, complete_subtrees

FORMAT = 1
NAME = "manifest.json"
PIECES = 48
"""Into so many pieces, or one for each partition, the facts are cut: enough that processes get equal shares of them."""
MANY_FILES = 500
"""From so many on it pays to make the tape anew, of a few."""
OWN = -1
"""In place of a bucket: the facts of the ledger itself."""

ANEW = "make the tape anew with `partner-ledger replay tape --anew`"
_OURS = re.compile(r"facts-\d{3,}-\d{12,}-[0-9a-f]{8}\.parquet|leaves-\d{12,}-[0-9a-f]{8}\.bin|\.manifest\.json-\d+")

OnBytes = Callable[[int], None]
"""Called with how many bytes more were read."""


class TapeSource(msgspec.Struct, frozen=True):
    """The ledger and the topic that a tape was made from."""

    ledger_id: str
    cluster_id: str
    topic: str
    topic_id: str
    partitions: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the tape: the facts of a partition's offsets, or the leaf hashes of a range of positions."""

    file: str
    kind: Literal["facts", "leaves"]
    partition: int | None = None
    first_offset: int | None = None
    next_offset: int | None = None
    first_position: int
    last_position: int
    rows: int
    groups: tuple[int, ...] = ()
    """Of a file of facts, the bucket of each row group; -1: facts of the ledger itself."""
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A tape as it is on the disk."""

    format: int = FORMAT
    source: TapeSource
    buckets: int
    """Into so many each partition's streams are divided, by the CRC-32 of the stream."""
    position: int = 0
    """Events up to this position are on the tape, all of them."""
    root: str = EMPTY_ROOT.hex()
    """Of the hash tree over their leaf hashes, in hex."""
    right_edge: tuple[str, ...] = ()
    """The hashes of that tree's complete subtrees, largest first, from which it grows on."""
    next_offsets: dict[int, int] = {}
    """The offset of each partition from which it was not read yet."""
    parts: tuple[Part, ...] = ()
    digest: str = ""
    """SHA-256 of this document with an empty digest, without white space."""

    @property
    def facts(self) -> int:
        """How many facts are on the tape, the ledger's own included."""
        return sum(part.rows for part in self.parts if part.kind == "facts")

    @property
    def size_bytes(self) -> int:
        """The size of all files but the manifest."""
        return sum(part.bytes for part in self.parts)

    def tree(self) -> Frontier:
        """Give the hash tree over what is on the tape, to grow on."""
        tree = Frontier()
        for subtree, each in zip(complete_subtrees(0, self.position), self.right_edge, strict=True):
            tree.add_subtree(subtree.level, bytes.fromhex(each))
        return tree


class FileFault(NamedTuple):
    """A file of the tape that is not as the manifest says."""

    file: str
    what: str


def many_files(manifest: Manifest) -> str:
    """Say what to do about a tape that was topped up so often that it is slow to read; empty where it was not."""
    files = len(manifest.parts)
    if files <= MANY_FILES:
        return ""
    return f"The tape is in {files:,} files by now; `partner-ledger replay tape --anew` makes it of a few again."


def blank(source: TapeSource) -> Manifest:
    """Give the manifest of a tape on which nothing is yet."""
    return Manifest(source=source, buckets=max(1, -(-PIECES // source.partitions)))


def load(folder: Path) -> Manifest | None:
    """Read a tape's manifest; None where there is no tape in the folder.

    Raises:
        IntegrityFault: it was cut or altered, or is of a later version.

    """
    path = folder / NAME
    if path.exists() and not path.is_file():
        raise IntegrityFault(f"{path} is no file: {ANEW}.")
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        claimed = msgspec.json.decode(content, type=_Format).format
        if claimed != FORMAT:
            raise IntegrityFault(f"{path} has format {claimed}, which this version does not know: {ANEW}.")
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise IntegrityFault(f"{path} was cut or altered ({error}): {ANEW}.") from error
    if manifest.digest != _digest(manifest):
        raise IntegrityFault(f"{path} was altered: its digest is not that of its content; {ANEW}.")
    if contradiction := _contradiction(manifest):
        raise IntegrityFault(f"{path} was altered: {contradiction}; {ANEW}.")
    return manifest


def _contradiction(manifest: Manifest) -> str:
    """Say where a manifest cannot be one that was written here, whatever its digest; empty where it can."""
    expected = 1
    for part in manifest.parts:
        if part.kind == "leaves":
            after = part.last_position + 1
            if part.first_position != expected or part.rows != after - expected or part.bytes != part.rows * HASH_BYTES:
                return f"{part.file} does not hold the leaf hashes from position {expected} on"
            expected = after
        elif part.partition is None or not 0 <= part.partition < manifest.source.partitions or part.rows < 0:
            return f"{part.file} is of no partition of the topic"
        elif any(not OWN <= bucket < manifest.buckets for bucket in part.groups):
            return f"{part.file} has facts in buckets that there are not"
    if manifest.position != expected - 1:
        return f"it reaches up to position {manifest.position}, and its leaf hashes up to {expected - 1}"
    sizes = [subtree.level for subtree in complete_subtrees(0, manifest.position)]
    if len(sizes) != len(manifest.right_edge) or any(len(each) != 2 * HASH_BYTES for each in manifest.right_edge):
        return "its right edge is none of a tree of so many events"
    return ""


def replace(folder: Path, manifest: Manifest) -> Manifest:
    """Have a new manifest take the place of the old one, in one step; gives it with its digest.

    Raises:
        OSError: the disk is full, or the folder not writable; the old one is as it was.

    """
    whole = msgspec.structs.replace(manifest, digest=_digest(manifest))
    beside = folder / f".{NAME}-{os.getpid()}"
    try:
        with beside.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)  # the files that it names, before it
        beside.replace(folder / NAME)
        sync_folder(folder)
    finally:
        beside.unlink(missing_ok=True)
    return whole


def sync_folder(folder: Path) -> None:
    """Have the disk keep which files a folder has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear(folder: Path, manifest: Manifest | None) -> None:
    """Remove the tape's files that its manifest does not name: what somebody who was killed has left. Others' files stay."""
    named = set() if manifest is None else {part.file for part in manifest.parts}
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in named:
            path.unlink(missing_ok=True)


def faults(folder: Path, manifest: Manifest, on_bytes: OnBytes | None = None) -> Iterator[FileFault]:
    """Compare every file with the manifest's digest of it; give those that were cut, altered or taken away."""
    with ThreadPoolExecutor(os.cpu_count() or 1, "tape-digests") as threads:
        for part, what in zip(
            manifest.parts, threads.map(lambda part: _fault(folder, part, on_bytes), manifest.parts), strict=True
        ):
            if what:
                yield FileFault(part.file, what)


def verify(folder: Path, manifest: Manifest, on_bytes: OnBytes | None = None) -> None:
    """Compare every file with its digest before anything is read of it.

    Raises:
        IntegrityFault: a file was cut, altered or taken away.

    """
    for fault in faults(folder, manifest, on_bytes):
        raise IntegrityFault(f"{folder / fault.file} {fault.what}; {ANEW}.")


def check_source(folder: Path, manifest: Manifest, ledger_id: str) -> None:
    """See to it that a tape is one of this ledger.

    Raises:
        InvalidInput: it is another one's.

    """
    if manifest.source.ledger_id != ledger_id:
        raise InvalidInput(
            f"{folder} is the tape of the ledger {manifest.source.ledger_id}; this ledger is {ledger_id}."
            " Name this one's own with --tape, or make it anew with `partner-ledger replay tape --anew`."
        )


class _Format(msgspec.Struct):
    format: int


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(manifest, digest=""))).hexdigest()


def _fault(folder: Path, part: Part, on_bytes: OnBytes | None) -> str:
    path = folder / part.file
    try:
        if path.exists() and not path.is_file():
            return "is no file"
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != part.bytes:
                return f"was {'cut' if size < part.bytes else 'altered'}: it has {size:,} bytes, not {part.bytes:,}"
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing, though the tape's manifest names it"
    if on_bytes is not None:
        on_bytes(size)
    return "" if digest == part.sha256 else f"was altered: its SHA-256 is {digest}, not {part.sha256}"
