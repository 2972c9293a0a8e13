"""The map of every stream to its last version, under one root: no shorter history of a partner can be shown beside it.

A binary trie over SHA-256 of the stream's name, the first bit at the root. A subtree without a stream is 32 zero bytes; one
with a single stream is that stream's leaf, SHA-256(0x02 ‖ key ‖ version as 8 bytes, big-endian); any other is
SHA-256(0x03 ‖ left ‖ right). The key alone says where its leaf stands, and a hash is either a leaf or an inner node: so under one
root a stream has one version. The prefixes are not those of the tree over the events (0x00 and 0x01): no hash of one can stand
in the other.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable

EMPTY = bytes(32)
"""The root over no stream."""

_KEY_BYTES, _VERSION_BYTES = 32, 8


class StreamMap:
    """The map at one size of the ledger; holds 40 bytes for each stream, however many events it has."""

    def __init__(self, last_versions: Iterable[tuple[str, int]]) -> None:
        entries = [_key(stream) + version.to_bytes(_VERSION_BYTES, "big") for stream, version in last_versions]
        entries.sort()
        self._entries = entries

    def root(self) -> bytes:
        """Give the root over all streams."""
        return self._hash(0, len(self._entries), 0)

    def path(self, stream: str) -> list[bytes]:
        """Give the path that shows a stream's version: siblings, from its leaf up.

        Raises:
            KeyError: the stream is not in the map.

        """
        key = _key(stream)
        begin, end, depth = 0, len(self._entries), 0
        siblings: list[bytes] = []
        while end - begin > 1:
            middle = self._middle(begin, end, depth)
            depth += 1
            if key >= _first_right(self._entries[begin], depth):
                siblings.append(self._hash(begin, middle, depth))
                begin = middle
            else:
                siblings.append(self._hash(middle, end, depth))
                end = middle
        if end == begin or not self._entries[begin].startswith(key):
            raise KeyError(stream)
        return siblings[::-1]

    def _hash(self, begin: int, end: int, depth: int) -> bytes:
        """Hash the entries of one subtree, which agree in their first `depth` bits."""
        if end - begin <= 1:
            return EMPTY if begin == end else hashlib.sha256(b"\x02" + self._entries[begin]).digest()
        middle = self._middle(begin, end, depth)
        left, right = self._hash(begin, middle, depth + 1), self._hash(middle, end, depth + 1)
        return hashlib.sha256(b"\x03" + left + right).digest()

    def _middle(self, begin: int, end: int, depth: int) -> int:
        """Give where the entries begin whose bit after the first `depth` is 1."""
        return bisect_left(self._entries, _first_right(self._entries[begin], depth + 1), begin, end)


def _key(stream: str) -> bytes:
    return hashlib.sha256(stream.encode()).digest()


def _first_right(entry: bytes, bits: int) -> bytes:
    """Give the lowest key with the first bits of an entry, but for the last of them, which is 1."""
    shift = 8 * _KEY_BYTES - bits
    prefix = int.from_bytes(entry[:_KEY_BYTES], "big") >> shift
    return ((prefix | 1) << shift).to_bytes(_KEY_BYTES, "big")
