"""The hash tree, by Certificate Transparency's reference vectors (RFC 6962) and against the definition itself."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.merkle import (
    EMPTY_ROOT,
    Frontier,
    Multiproof,
    Subtree,
    complete_subtrees,
    consistency_path,
    inclusion_path,
    node_hash,
    tree_root,
)

LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A, B, C, D = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
)
E, F = (
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
)
PATHS = {(0, 1): [], (0, 8): [A, B, C], (5, 8): [D, E, ROOTS[3]], (2, 3): [ROOTS[1]], (1, 5): [ROOTS[0], B, D]}
CONSISTENCY = {(1, 1): [], (1, 8): [A, B, C], (6, 8): [F, E, ROOTS[3]], (2, 5): [B, D]}


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\0" + leaf).digest()


class Leaves:
    """A tree held in memory, hashed by the recursive definition of RFC 6962, section 2.1."""

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self.leaf_hashes = leaf_hashes

    def root(self, begin: int, end: int) -> bytes:
        if end - begin == 1:
            return self.leaf_hashes[begin]
        split = 1
        while split * 2 < end - begin:
            split *= 2
        return node_hash(self.root(begin, begin + split), self.root(begin + split, end))

    def hashes(self, subtrees: Sequence[Subtree]) -> Sequence[bytes]:
        return [self.root(number << level, (number + 1) << level) for level, number in subtrees]


REFERENCE = Leaves([leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES])
many = st.integers(1, 300).map(lambda size: Leaves([leaf_hash(b"%d" % number) for number in range(size)]))


def test_a_tree_without_leaves_has_the_hash_of_nothing() -> None:
    """RFC 6962: MTH({}) = SHA-256()."""
    assert (
        Frontier().root()
        == EMPTY_ROOT
        == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference_tree(size: int) -> None:
    """Leaf by leaf, all at once, and from complete subtrees."""
    frontier = Frontier()
    for each in REFERENCE.leaf_hashes[:size]:
        frontier.add(each)
    at_once = Frontier()
    at_once.extend(REFERENCE.leaf_hashes[:size])
    assert frontier.root().hex() == at_once.root().hex() == tree_root(size, REFERENCE).hex() == ROOTS[size - 1]
    assert frontier.size == at_once.size == size


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_inclusion_paths_are_those_of_the_reference_tree(index: int, size: int) -> None:
    """Siblings from the leaf up."""
    assert [each.hex() for each in inclusion_path(index, size, REFERENCE)] == PATHS[index, size]


@pytest.mark.parametrize(("first", "second"), CONSISTENCY)
def test_consistency_paths_are_those_of_the_reference_tree(first: int, second: int) -> None:
    """As Certificate Transparency's own test has them."""
    assert [each.hex() for each in consistency_path(first, second, REFERENCE)] == CONSISTENCY[first, second]


@given(many, st.data())
def test_leaves_and_what_is_missing_around_them_rebuild_the_root(tree: Leaves, data: st.DataObject) -> None:
    """Whichever leaves are shown, in pages of whatever length; with few more hashes than one path for each of few leaves."""
    size = len(tree.leaf_hashes)
    shown = sorted(data.draw(st.sets(st.integers(0, size - 1))))
    page = data.draw(st.integers(1, 7))
    proof = Multiproof(size, tree)
    hashes = 0
    for begin in range(0, len(shown), page):
        leaves = [(index, tree.leaf_hashes[index]) for index in shown[begin : begin + page]]
        hashes += sum(map(len, proof.before(leaves)))
    hashes += len(proof.after())
    assert proof.root() == tree.root(0, size)
    assert hashes <= min(2 * size.bit_length() * (len(shown) + 1), size - len(shown))


def test_leaves_out_of_order_are_no_multiproof() -> None:
    """Nor is one that is not in the tree."""
    leaf = REFERENCE.leaf_hashes[0]
    for indices in ([2, 1], [1, 1], [8]):
        with pytest.raises(ValueError, match=f"leaf {indices[-1]} is out of order"):
            Multiproof(8, REFERENCE).before([(index, leaf) for index in indices])


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_range_is_cut_into_few_complete_subtrees(begin: int, length: int) -> None:
    """In order, without a hole, at most two of a level."""
    cut = list(complete_subtrees(begin, begin + length))
    at = begin
    for level, number in cut:
        assert number << level == at
        at += 1 << level
    assert at == begin + length
    levels = [level for level, _ in cut]
    assert all(levels.count(level) <= 2 for level in levels)


def test_a_subtree_begins_only_where_one_can() -> None:
    """Anything else would put leaves into other places than they have."""
    frontier = Frontier()
    frontier.add(EMPTY_ROOT)
    with pytest.raises(ValueError, match="level 1 cannot begin at leaf 1"):
        frontier.add_subtree(1, EMPTY_ROOT)


def test_what_is_in_no_tree_has_no_path() -> None:
    """A leaf after the end, sizes the wrong way round."""
    with pytest.raises(ValueError, match="leaf 8 is not in a tree of 8"):
        inclusion_path(8, 8, REFERENCE)
    with pytest.raises(ValueError, match="a tree of 3 is not the beginning of one of 2"):
        consistency_path(3, 2, REFERENCE)
