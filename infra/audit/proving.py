"""Writing proofs: text files, line by line, that `verify.py` checks on a machine with nothing of ours.

    partner-ledger proof of inclusion, format 1      the kind
    (7 lines)                                        the signed head; of consistency two, the older one first
    stream <last version> <stream>                   of a partner: what the map of streams is to say
    map <base64> <check>                             …: its path there, from the leaf up
    event <base64 of leaf hash> <envelope>           the very bytes that are on Kafka
    tree <base64> <check>                            a hash of the tree over the events

Of inclusion the event comes first, then its path (RFC 9162, 2.1.3.1); of a partner its events in order, each behind the complete
subtrees since the one before. There is no slack: each line has one form, and how many hashes stand where follows from size and
positions. A hash's check (the first 4 bytes of its own SHA-256) only tells where damage is.

Whatever is written was checked on the way: events against their hashes, hashes against the head.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from domain.envelope import EventRow, envelope, leaf_hash
from domain.errors import IntegrityFault, Refused, UnknownReference
from domain.heads import SignedHead
from domain.merkle import Multiproof, SubtreeHashes, consistency_path, inclusion_path
from domain.stream_map import StreamMap
from domain.streams import partner_id_of, partner_stream

_TITLE = "partner-ledger proof of {}, format 1\n"


class ProvenEvents(SubtreeHashes, Protocol):
    """The store as proofs are made of it."""

    def event(self, position: int) -> tuple[EventRow, bytes] | None:
        """Give the event at a position with its stored leaf hash; None where there is none."""
        ...

    def of_stream(self, stream: str, size: int) -> Iterable[Sequence[tuple[EventRow, bytes]]]:
        """Give a stream's events among the first `size` with their leaf hashes, in order, in pages."""
        ...

    def last_versions(self, size: int) -> Iterable[tuple[str, int]]:
        """Give every stream of the first `size` events with its last version among them."""
        ...


def inclusion(events: ProvenEvents, signed: SignedHead, position: int) -> Iterator[bytes]:
    """Prove that one event is in the ledger of a head.

    Raises:
        Refused: the head does not reach to the position, or there is no such event.
        IntegrityFault: the event is not what its hash says.

    """
    head = signed.head
    found = events.event(position)
    if found is None:
        raise Refused(f"There is no event at position {position:,} of this ledger.")
    if position > head.size:
        raise Refused(
            f"The tree head is of {head.size:,} events, and position {position:,} came later: make a new one with"
            " `partner-ledger audit head`."
        )
    yield from _begin("inclusion", signed)
    yield _event(*found)
    yield from _hashes("tree", inclusion_path(position - 1, head.size, events))


def consistency(known: SubtreeHashes, first: SignedHead, second: SignedHead) -> Iterator[bytes]:
    """Prove that the ledger of the second head begins with that of the first."""
    yield from _begin("consistency", first, second)
    yield from _hashes("tree", consistency_path(first.head.size, second.head.size, known))


def partner(
    events: ProvenEvents, signed: SignedHead, partner_id: str, on_events: Callable[[int, int], None]
) -> Iterator[bytes]:
    """Prove a partner's history whole: every event, first to last. `on_events` is told how many are written, and of how many.

    Raises:
        UnknownReference: there is no such partner under the head.
        IntegrityFault: an event is not what its hash says, one is missing, or the head's map of streams is another one.

    """
    head, stream = signed.head, partner_stream(partner_id)
    versions = dict(events.last_versions(head.size))
    if stream not in versions:
        raise UnknownReference(
            f"The ledger has no partner {partner_id!r} among the {head.size:,} events of the tree head; if it was enrolled later, make"
            " a new one with `partner-ledger audit head`."
        )
    streams, last = StreamMap(versions.items()), versions.pop(stream)
    if streams.root() != head.streams_root:
        raise IntegrityFault(
            f"The tree head of {head.size:,} events has another map of streams than the ledger: one of them was changed;"
            " `partner-ledger audit verify` says more."
        )
    versions.clear()
    yield from _begin("a partner's events", signed)
    yield f"stream {last} {stream}\n".encode()
    yield from _hashes("map", streams.path(stream))
    yield from _history(events, signed, stream, last, on_events)


def _history(
    events: ProvenEvents, signed: SignedHead, stream: str, last: int, on_events: Callable[[int, int], None]
) -> Iterator[bytes]:
    version = 0
    proof = Multiproof(signed.head.size, events)
    for page in events.of_stream(stream, signed.head.size):
        before = proof.before([(row.position - 1, leaf) for row, leaf in page])
        for gap, (row, leaf) in zip(before, page, strict=True):
            version += 1
            if row.version != version:
                raise IntegrityFault(
                    f"Of {partner_id_of(stream)} version {version} is missing before position {row.position}."
                )
            yield from _hashes("tree", gap)
            yield _event(row, leaf)
        on_events(version, last)
    yield from _hashes("tree", proof.after())
    if version != last or proof.root() != signed.head.root:
        raise IntegrityFault(
            f"The events of {partner_id_of(stream)} do not lead to the root of the tree head of {signed.head.size:,} events: the store"
            " was tampered with; `partner-ledger audit verify` says more."
        )


def _begin(kind: str, *heads: SignedHead) -> Iterator[bytes]:
    yield _TITLE.format(kind).encode()
    for head in heads:
        yield head.text.encode()


def _event(row: EventRow, stored_hash: bytes) -> bytes:
    content = envelope(row)
    if leaf_hash(content) != stored_hash:
        raise IntegrityFault(
            f"Event {row.position} is not what its stored hash says: the store was tampered with; `partner-ledger audit verify` says"
            " more."
        )
    if b"\n" in content:
        raise IntegrityFault(f"Event {row.position} has a line end in its envelope, so it fits no line of a proof.")
    return b"event " + base64.b64encode(stored_hash) + b" " + content + b"\n"


def _hashes(kind: str, hashes: Iterable[bytes]) -> Iterator[bytes]:
    for each in hashes:
        check = hashlib.sha256(each).hexdigest()[:8]
        yield f"{kind} {base64.b64encode(each).decode('ascii')} {check}\n".encode()
