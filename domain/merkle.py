"""The hash tree over the events: RFC 6962 (RFC 9162, section 2.1) over leaf hashes that exist already.

The leaf of position p is the event's stored leaf hash (`domain.envelope.leaf_hash`), at index p - 1. An inner node is
SHA-256(0x01 ‖ left ‖ right), the root of no leaves SHA-256 of nothing. Whatever a proof holds is put together from *complete*
subtrees, those of 2^level leaves that begin at a multiple of 2^level: their hashes never change as the tree grows, so they can
be stored (port: `SubtreeHashes`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

HASH_BYTES = 32


class Subtree(NamedTuple):
    """A complete subtree: 2^`level` leaves, after the `number` · 2^`level` before them. Level 0 is a leaf."""

    level: int
    number: int


class SubtreeHashes(Protocol):
    """Whoever knows the hashes of complete subtrees."""

    def hashes(self, subtrees: Sequence[Subtree]) -> Sequence[bytes]:
        """Give the hash of each subtree, in the same order; all of them lie within the tree."""
        ...


def node_hash(left: bytes, right: bytes) -> bytes:
    """Give the hash of an inner node: SHA-256 over 0x01 and its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that grows leaf by leaf and keeps only the complete subtrees at its right edge: at most one for each bit of its size."""

    def __init__(self) -> None:
        self._size = 0
        self._hashes: list[bytes] = []  # of the complete subtrees that the size's bits stand for, largest first

    @property
    def size(self) -> int:
        """The number of leaves so far."""
        return self._size

    def add(self, leaf_hash: bytes) -> None:
        """Add the next leaf."""
        self._add(leaf_hash, 1)

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves, in order."""
        sha256, hashes, size = hashlib.sha256, self._hashes, self._size
        for leaf_hash in leaf_hashes:
            joined, ones = leaf_hash, size
            while ones & 1:
                joined = sha256(b"\x01" + hashes.pop() + joined).digest()
                ones >>= 1
            hashes.append(joined)
            size += 1
        self._size = size

    def add_subtree(self, level: int, subtree_hash: bytes) -> None:
        """Add a complete subtree of 2^`level` leaves; the size so far must be a multiple of that."""
        if self._size & ((1 << level) - 1):
            raise ValueError(f"a subtree of level {level} cannot begin at leaf {self._size}")
        self._add(subtree_hash, 1 << level)

    def root(self) -> bytes:
        """Give the root of the tree as it is now."""
        return joined_root(self._hashes)

    def right_edge(self) -> Sequence[bytes]:
        """Give the hashes of the complete subtrees that make up the tree (`complete_subtrees(0, size)`), to grow on from later."""
        return tuple(self._hashes)

    def _add(self, joined: bytes, leaves: int) -> None:
        bit = leaves
        while self._size & bit:
            joined = node_hash(self._hashes.pop(), joined)
            bit <<= 1
        self._hashes.append(joined)
        self._size += leaves


def joined_root(hashes: Sequence[bytes]) -> bytes:
    """Give the root over the complete subtrees of a tree, or of a part of it, from left to right, largest first."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def complete_subtrees(begin: int, end: int) -> Iterator[Subtree]:
    """Cut the leaves from `begin` up to, without, `end` into the fewest complete subtrees, from left to right."""
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        yield Subtree(level, begin >> level)
        begin += 1 << level


def inclusion_path(index: int, size: int, known: SubtreeHashes) -> list[bytes]:
    """Give the path that shows the leaf at an index in the tree of a size (RFC 9162, 2.1.3.1): siblings, from the leaf up."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    ranges: list[tuple[int, int]] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return _range_hashes(ranges[::-1], known)


def consistency_path(first: int, second: int, known: SubtreeHashes) -> list[bytes]:
    """Give the path that shows the tree of the first size to be the beginning of that of the second (RFC 9162, 2.1.4.1)."""
    if not 0 < first <= second:
        raise ValueError(f"a tree of {first} is not the beginning of one of {second}")
    ranges: list[tuple[int, int]] = []
    begin, end, from_root = 0, second, True  # from_root: all of the first tree, which whoever verifies knows
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin, from_root = middle, False
    if not from_root:
        ranges.append((begin, end))
    return _range_hashes(ranges[::-1], known)


class Multiproof:
    """Shows many leaves of a tree at once: whatever subtrees are missing around them, the fewest possible.

    Leaves and subtrees in their order cover the tree from left to right, so whoever has them rebuilds the root. Of n leaves k
    are shown by about k · log2(n/k) hashes, not by k paths. They are told page by page: memory does not grow with k.
    """

    def __init__(self, size: int, known: SubtreeHashes) -> None:
        self._size = size
        self._known = known
        self._covered = Frontier()

    def before(self, leaves: Sequence[tuple[int, bytes]]) -> list[list[bytes]]:
        """Give for each of the next leaves (index and hash, ascending) the subtrees between it and the one before."""
        begin = self._covered.size
        gaps: list[list[Subtree]] = []
        for index, _ in leaves:
            if not begin <= index < self._size:
                raise ValueError(f"leaf {index} is out of order or not in a tree of {self._size}")
            gaps.append(list(complete_subtrees(begin, index)))
            begin = index + 1
        hashes = iter(self._known.hashes([subtree for gap in gaps for subtree in gap]))
        found = []
        for gap, (_, leaf_hash) in zip(gaps, leaves, strict=True):
            found.append(self._cover(gap, hashes))
            self._covered.add(leaf_hash)
        return found

    def after(self) -> list[bytes]:
        """Give the subtrees between the last leaf and the end of the tree."""
        gap = list(complete_subtrees(self._covered.size, self._size))
        return self._cover(gap, iter(self._known.hashes(gap)))

    def root(self) -> bytes:
        """Give the root that what was told so far leads to."""
        return self._covered.root()

    def _cover(self, gap: Sequence[Subtree], hashes: Iterator[bytes]) -> list[bytes]:
        told = []
        for subtree in gap:
            each = next(hashes)
            self._covered.add_subtree(subtree.level, each)
            told.append(each)
        return told


def tree_root(size: int, known: SubtreeHashes) -> bytes:
    """Give the root of the tree of a size from the hashes of its complete subtrees."""
    return joined_root(known.hashes(list(complete_subtrees(0, size))))


def _split(size: int) -> int:
    """Give the size of the left subtree: the largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_hashes(ranges: Sequence[tuple[int, int]], known: SubtreeHashes) -> list[bytes]:
    """Hash ranges of leaves that are subtrees of the tree (its right edge is no complete one), all asked for at once."""
    cut = [list(complete_subtrees(begin, end)) for begin, end in ranges]
    hashes = iter(known.hashes([subtree for each in cut for subtree in each]))
    return [joined_root([next(hashes) for _ in each]) for each in cut]
