"""Making a tree head: what holds of the whole ledger at this moment, signed, and put on its topic for ever.

A head is never made that contradicts one that was published before: its tree must begin with the earlier one.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol
from uuid import UUID

from domain.errors import IntegrityFault, Refused
from domain.heads import SignedHead, TreeHead
from domain.merkle import SubtreeHashes, tree_root
from domain.stream_map import StreamMap


class Tree(SubtreeHashes, Protocol):
    """The store as heads are made of it."""

    def ledger_id(self) -> UUID:
        """Give the ledger's id."""
        ...

    def moment(self) -> tuple[int, dt.datetime]:
        """Give the last position, and the store's own time then."""
        ...

    def fill(self, size: int, on_leaves: Callable[[int], None]) -> None:
        """Store the hashes of the complete subtrees of the first `size` events; `on_leaves` is told how many are done."""
        ...

    def last_versions(self, size: int) -> Iterable[tuple[str, int]]:
        """Give every stream of the first `size` events with its last version among them."""
        ...


class Signer(Protocol):
    """Whoever has the key."""

    def sign(self, head: TreeHead) -> SignedHead:
        """Sign a head."""
        ...


class HeadsTopic(Protocol):
    """The topic of tree heads, in the order they were made."""

    def heads(self, on_other: Callable[[str], None]) -> Iterator[SignedHead]:
        """Give every head; what is none is passed over, and `on_other` told why in a sentence."""
        ...

    def publish(self, signed: SignedHead) -> None:
        """Put a head on the topic, and return when Kafka has it for certain."""
        ...


def own_heads(
    topic: HeadsTopic, ledger_id: UUID, check: Callable[[SignedHead, str], None], warn: Callable[[str], None]
) -> Iterator[SignedHead]:
    """Give the heads of a ledger that `check` lets pass (it raises an `IntegrityFault` otherwise), in the order of the topic.

    Whoever may write to Kafka may put other things there; that must not keep the ledger from making heads. So they are passed
    over, and `warn` is told of all of them in one sentence at the end.
    """
    others: list[str] = []
    for number, signed in enumerate(topic.heads(others.append), 1):
        what = f"The tree head number {number} on the topic, of size {signed.head.size}"
        try:
            if signed.head.ledger_id != ledger_id:
                raise IntegrityFault(f"{what}, is of the ledger {signed.head.ledger_id}; this one is {ledger_id}.")
            check(signed, what)
        except IntegrityFault as error:
            others.append(str(error))
        else:
            yield signed
    if others:
        warn(
            f"Passed over on the topic of tree heads, records that are not of this ledger: {len(others)}. The last: {others[-1]}"
        )


def make_head(
    tree: Tree, signer: Signer, newest: SignedHead | None, on_leaves: Callable[[int, int], None]
) -> SignedHead:
    """Make a head of all that is recorded at this moment; it is not published yet. `newest` is the one made before.

    `on_leaves` is told how many events' hashes are in the stored subtrees, and of how many.

    Raises:
        Refused: the ledger has no events.
        IntegrityFault: the events contradict the head that was made before.

    """
    size, _ = tree.moment()
    tree.fill(size, lambda done: on_leaves(done, size))  # the long part, before the moment that the head is of
    size, time = tree.moment()
    if newest is not None:
        check_head(tree, size, newest.head)
    if size == 0:
        raise Refused("The ledger has no events yet, so there is nothing that a tree head could be of.")
    tree.fill(size, lambda done: on_leaves(done, size))
    streams = StreamMap(tree.last_versions(size))
    return signer.sign(TreeHead(tree.ledger_id(), size, tree_root(size, tree), time, streams.root()))


def check_head(tree: SubtreeHashes, size: int, head: TreeHead) -> None:
    """Check that a store of `size` events begins with those of a head: nobody shall sign that history was rewritten.

    Raises:
        IntegrityFault: it does not.

    """
    if head.size > size or tree_root(head.size, tree) != head.root:
        raise IntegrityFault(
            f"The ledger's first {head.size:,} events are not those of its tree head of {head.time:%Y-%m-%d %H:%M:%S} UTC: the ledger"
            " was rewritten or put back to an older state, or the head is not genuine; `partner-ledger audit verify` says more."
        )
