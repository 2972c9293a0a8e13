"""The map of streams to last versions, against a plain reading of its definition."""

import hashlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.stream_map import EMPTY, StreamMap


def bits(stream: str) -> str:
    return f"{int.from_bytes(hashlib.sha256(stream.encode()).digest(), 'big'):0256b}"


def defined_root(versions: Mapping[str, int], prefix: str = "") -> bytes:
    below = {stream: version for stream, version in versions.items() if bits(stream).startswith(prefix)}
    if not below:
        return bytes(32)
    if len(below) == 1:
        ((stream, version),) = below.items()
        key = hashlib.sha256(stream.encode()).digest()
        return hashlib.sha256(b"\x02" + key + version.to_bytes(8, "big")).digest()
    left, right = (defined_root(below, prefix + bit) for bit in "01")
    return hashlib.sha256(b"\x03" + left + right).digest()


def root_of_path(stream: str, version: int, path: list[bytes]) -> bytes:
    found = defined_root({stream: version})
    for depth, sibling in enumerate(path):
        right = bits(stream)[len(path) - 1 - depth] == "1"
        found = hashlib.sha256(b"\x03" + (sibling + found if right else found + sibling)).digest()
    return found


maps = st.dictionaries(st.text(max_size=8), st.integers(1, 2**40), max_size=60)


@given(maps)
def test_the_root_is_as_defined_in_whatever_order_streams_come(versions: Mapping[str, int]) -> None:
    """A trie over the hashes of the names."""
    assert StreamMap(versions.items()).root() == defined_root(versions)
    assert StreamMap(list(versions.items())[::-1]).root() == defined_root(versions)


@given(maps.filter(bool), st.data())
def test_a_path_leads_to_the_root_with_the_one_version(versions: Mapping[str, int], data: st.DataObject) -> None:
    """And with no other one."""
    stream = data.draw(st.sampled_from(sorted(versions)))
    path = StreamMap(versions.items()).path(stream)
    assert root_of_path(stream, versions[stream], path) == defined_root(versions)
    assert root_of_path(stream, versions[stream] + 1, path) != defined_root(versions)


def test_an_empty_map_has_a_root_and_no_stream_a_path() -> None:
    """A stream that is not there has none in any map."""
    assert StreamMap([]).root() == EMPTY
    for versions in ([], [("a", 1)], [(str(number), 1) for number in range(100)]):
        with pytest.raises(KeyError):
            StreamMap(versions).path("b")
