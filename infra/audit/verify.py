#!/usr/bin/env python3
"""Check a proof of a partner ledger, on any machine with Python 3.9 or later and nothing else.

    python3 verify.py PROOF --key KEY

KEY is the ledger's verifier key, or a file with it. It must have come to you by another way than the proof: from an
earlier statement, a contract, an auditor. A proof is a text file of one of three kinds:

    inclusion             one event is in the ledger, with the content shown
    consistency           the ledger of a later date begins with that of an earlier one: it was only added to
    a partner's events    all events of a partner, first to last, none left out; the bonuses in them are summed here

What is checked: the Ed25519 signature (RFC 8032) of the tree head, which is a C2SP checkpoint; each event's bytes against
its hash; the hashes against the head's root (RFC 9162); for a partner also that the versions are 1 to the last, and that the
head's map of streams has that last version. Every byte of the file is accounted for: one that is changed, missing or too
many makes it fail. Exit code 0: all of it is right; 1: it is not, and a sentence says where; 2: wrong usage.

What it cannot see: whether the map of streams that was signed is that of the signed events. An auditor who has the whole ledger
checks that (`partner-ledger audit verify --head`); whoever has signed two heads that contradict each other is convicted by them.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import hashlib
import json
import re
import sys
import uuid
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

TITLE = "partner-ledger proof of {}, format 1"
INCLUSION, CONSISTENCY, PARTNER = "inclusion", "consistency", "a partner's events"

NO_MONEY = frozenset(
    (
        *("PartnerEnrolled", "MembershipSuspended", "MembershipResumed", "MembershipEnded"),
        *("TrainingCompleted", "CertificateRevoked", "SaleRecorded", "SaleReversed", "TierAwarded"),
        *("SpecialisationAwarded", "SpecialisationLapsed", "TierChanged", "ReviewPassed", "ReviewMissed"),
        "ProgrammeEntered",
    )
)
"""Events of a partner that change no balance. One that stands neither here nor in MONEY is refused: it might."""

MONEY = frozenset(("BonusAccrued", "BonusClawedBack", "KickbackSettled"))

MAX_LINE_BYTES = 32 * 1024 * 1024
MAX_TREE_LINES = 128
"""The most hashes that can stand between two events of one tree."""

EXACT = Context(prec=200, traps=[Inexact, InvalidOperation])


class Failed(Exception):
    """The proof is not right. `line` counts from 1; `position` is the event's, where it is about one."""

    def __init__(self, sentence: str, line: int | None = None, position: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence, self.line, self.position = sentence, line, position

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line else []
        where += [f"position {self.position}"] if self.position else []
        return f"{', '.join(where)}: {self.sentence}" if where else self.sentence


# --- Ed25519 (RFC 8032, section 5.1) -------------------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]
"""Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x·y = T/Z."""

NEUTRAL: Point = (0, 1, 1, 0)


def point_from(encoded: bytes) -> Point | None:
    """Decode a point (5.1.3); None if the bytes are not its one encoding, or no point."""
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    sign = encoded[31] >> 7
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (v * x * x - u) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def added(p: Point, q: Point) -> Point:
    """Add two points (5.1.4)."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(factor: int, point: Point) -> Point:
    """Multiply a point."""
    result = NEUTRAL
    while factor:
        if factor & 1:
            result = added(result, point)
        point = added(point, point)
        factor >>= 1
    return result


def is_same(p: Point, q: Point) -> bool:
    """Compare two points."""
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


BASE_POINT = point_from((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify a signature (5.1.7), without the cofactor; S, the key and R in their one encoding only."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, r = point_from(public_key), point_from(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= ORDER or BASE_POINT is None or is_same(times(8, key), NEUTRAL):
        return False  # the last: a key of small order, for which anybody can make signatures
    k = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    return is_same(times(s, BASE_POINT), added(r, times(k, key)))


# --- The file --------------------------------------------------------------------------------------------------------------


class Lines:
    """The lines of a file, counted; each ends with a newline and holds UTF-8."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._peeked: bytes | None = None
        self.number = 0

    def next(self, what: str) -> bytes:
        """Give the next line without its newline."""
        line, self._peeked = self.peek(), None
        self.number += 1
        if not line:
            self.fail(f"the file ends where {what} should stand: it was cut")
        return line[:-1]

    def text(self, what: str) -> str:
        """Give the next line as text."""
        try:
            return self.next(what).decode("utf-8")
        except UnicodeDecodeError:
            self.fail("it is no UTF-8 text")

    def peek(self) -> bytes:
        """Give the next line with its newline and stay before it; nothing at the end."""
        if self._peeked is None:
            self._peeked = self._file.readline(MAX_LINE_BYTES)
            if self._peeked and not self._peeked.endswith(b"\n"):
                self.number += 1
                self.fail("the line does not end: the file was cut, or it is no proof")
        return self._peeked

    def end(self) -> None:
        """Check that nothing follows."""
        if self.peek():
            self.number += 1
            self.fail("something follows where the proof ends")

    def fail(self, sentence: str, position: int | None = None) -> NoReturn:
        """Fail at the line read last."""
        raise Failed(sentence, self.number, position)


def from_base64(text: str, length: int) -> bytes | None:
    """Decode base64; None if it is not the one form of so many bytes."""
    try:
        value = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return None
    return value if len(value) == length and base64.b64encode(value).decode("ascii") == text else None


def hashes(lines: Lines, kind: str) -> Iterator[bytes]:
    """Give the hashes of the lines of one kind that follow: `<kind> <base64> <check>`.

    The check, the first 4 bytes of the hash's own SHA-256 in hex, protects from nobody; it tells where damage is.
    """
    begin = f"{kind} ".encode()
    while lines.peek().startswith(begin):
        parts = lines.text("a hash").split(" ")
        value = from_base64(parts[1], 32)
        if len(parts) != 3 or value is None or hashlib.sha256(value).hexdigest()[:8] != parts[2]:
            lines.fail("the hash is damaged: it does not fit its check")
        yield value


# --- Key and head ----------------------------------------------------------------------------------------------------------


class Key:
    """A verifier key: `<name>+<key hash in hex>+<base64 of 0x01 and the public key>` (C2SP signed-note)."""

    def __init__(self, text: str) -> None:
        parts = text.strip().split("+", 2)
        encoded = from_base64(parts[2], 33) if len(parts) == 3 else None
        if encoded is None or encoded[0] != 1:
            raise Failed(f"{text.strip()[:200]!r} is no verifier key (<name>+<8 hex digits>+<base64>)")
        self.name, self.public_key = parts[0], encoded[1:]
        self.hash = hashlib.sha256(self.name.encode() + b"\n" + encoded).digest()[:4]
        if parts[1] != self.hash.hex():
            raise Failed("the verifier key is damaged: its parts do not fit each other")


class Head:
    """A signed tree head: seven lines."""

    def __init__(self, lines: Lines, key: Key) -> None:
        self.first_line = lines.number + 1
        self.origin = lines.text("the ledger's name")
        self.ledger = self.origin[len("partner-ledger/") :]
        if not is_ledger(self.origin):
            lines.fail("it is no ledger's name")
        if self.origin != key.name:
            lines.fail(
                f"the tree head is of {self.origin}, the key of {key.name}: it is another ledger's, or was changed"
            )
        size = lines.text("the size")
        if not re.fullmatch("[1-9][0-9]{0,18}", size):
            lines.fail("it is no size")
        self.size = int(size)
        root = lines.text("the root")
        self.root = hash_of(lines, root)
        self.root_line = lines.number
        time = lines.text("the time")
        self.time = time[len("time ") :]
        if not is_time(time):
            lines.fail("it is no time")
        streams = lines.text("the root over the streams")
        if not streams.startswith("streams "):
            lines.fail("it does not begin with 'streams '")
        self.streams_root = hash_of(lines, streams[len("streams ") :])
        self.streams_line = lines.number
        self.text = f"{self.origin}\n{size}\n{root}\n{time}\n{streams}\n"
        if lines.text("a blank line"):
            lines.fail("it is not the blank line before the signature")
        self.signature_line = lines.text("the signature")
        self._check_signature(lines, key)

    def _check_signature(self, lines: Lines, key: Key) -> None:
        begin = f"— {key.name} "
        if not self.signature_line.startswith(begin):
            lines.fail(f"it is no signature by {key.name}")
        signature = from_base64(self.signature_line[len(begin) :], 68)
        if signature is None:
            lines.fail("it is no base64 of a signature")
        if signature[:4] != key.hash:
            lines.fail("the signature is by another key than the one given")
        if not is_signed(key.public_key, self.text.encode(), signature[4:]):
            lines.fail(
                f"the signature is not right for the lines {self.first_line} to {lines.number - 2}: one of them was changed"
            )

    @property
    def note(self) -> str:
        """All of it, as it stands in the file."""
        return f"{self.text}\n{self.signature_line}\n"


def hash_of(lines: Lines, text: str) -> bytes:
    """Decode a hash of the head."""
    value = from_base64(text, 32)
    if value is None:
        lines.fail("it is no base64 of a hash")
    return value


def is_ledger(origin: str) -> bool:
    """Tell whether this is `partner-ledger/` and a UUID."""
    try:
        return origin == f"partner-ledger/{uuid.UUID(origin[len('partner-ledger/') :])}"
    except ValueError:
        return False


def is_time(text: str) -> bool:
    """Tell whether this is `time ` and a time in UTC, with microseconds."""
    try:
        found = datetime.datetime.strptime(text, "time %Y-%m-%dT%H:%M:%S.%fZ")  # noqa: DTZ007 - UTC by its form
    except ValueError:
        return False
    return text == f"time {found.isoformat(timespec='microseconds')}Z"


# --- Hash trees ------------------------------------------------------------------------------------------------------------


def node_hash(left: bytes, right: bytes) -> bytes:
    """Give the hash of an inner node of the tree over the events (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of_path(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """Follow an inclusion path (RFC 9162, 2.1.3.2); None if it has not as many hashes as it must."""
    at, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            root = node_hash(sibling, root)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        at, last = at >> 1, last >> 1
    return root if last == 0 else None


def roots_of_consistency(first: int, second: int, root: bytes, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Follow a consistency path from the first root (RFC 9162, 2.1.4.2): both roots it leads to; None if its length is wrong."""
    if first == second:
        return None if path else (root, root)
    hashes_left = list(path)
    if first & (first - 1) == 0:
        hashes_left.insert(0, root)
    if not hashes_left:
        return None
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = hashes_left[0]
    for sibling in hashes_left[1:]:
        if last == 0:
            return None
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    return (old, new) if last == 0 else None


class Cover:
    """The tree rebuilt from left to right out of events and complete subtrees; it keeps one hash for each bit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []

    def add(self, joined: bytes, leaves: int = 1) -> None:
        """Add a subtree of 2^i leaves at a multiple of 2^i."""
        bit = leaves
        while self.size & bit:
            joined = node_hash(self._hashes.pop(), joined)
            bit <<= 1
        self._hashes.append(joined)
        self.size += leaves

    def add_gap(self, subtrees: Sequence[bytes], end: int) -> bool:
        """Add what lies before the leaf `end`: the fewest complete subtrees, as many as given; False if they are not as many."""
        for each in subtrees:
            if self.size >= end:
                return False
            leaves = 1 << ((end - self.size).bit_length() - 1)
            self.add(each, min(leaves, self.size & -self.size) if self.size else leaves)
        return self.size == end

    def root(self) -> bytes:
        """Give the root."""
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root


def map_root(stream: str, version: int, path: Sequence[bytes]) -> bytes:
    """Follow the path of a stream in the map of last versions: a binary trie over SHA-256 of the name."""
    key = hashlib.sha256(stream.encode()).digest()
    root = hashlib.sha256(b"\x02" + key + version.to_bytes(8, "big")).digest()
    for depth, sibling in zip(range(len(path) - 1, -1, -1), path):
        right = int.from_bytes(key, "big") >> (255 - depth) & 1
        root = hashlib.sha256(b"\x03" + (sibling + root if right else root + sibling)).digest()
    return root


# --- Events ----------------------------------------------------------------------------------------------------------------


class Event:
    """A line `event <base64 of its hash> <envelope>`: the envelope is the very bytes that the ledger has on Kafka."""

    def __init__(self, lines: Lines, size: int) -> None:
        keyword, _, rest = lines.next("an event").partition(b" ")
        stated, _, self.envelope = rest.partition(b" ")
        if keyword != b"event":
            lines.fail("it is neither an event nor a hash that belongs here")
        self.leaf = hashlib.sha256(b"\x00" + self.envelope).digest()
        self.fields = parsed(self.envelope)
        self.position = whole(self.fields.get("position"))
        if base64.b64encode(self.leaf) != stated:
            lines.fail("the event is not what its hash says: one of them was changed", self.position)
        self.stream, self.version = self.fields.get("subject"), whole(self.fields.get("streamversion"))
        self.type = self.fields.get("type")
        self.data: Any = self.fields.get("data")
        if (
            not self.position
            or not self.version
            or not all(isinstance(each, str) for each in (self.stream, self.type))
            or not isinstance(self.data, dict)
        ):
            lines.fail("it is no event of a ledger")
        if self.position > size:
            lines.fail(f"the event is after the head's {size} events", self.position)


def parsed(document: bytes) -> dict[str, Any]:
    """Parse JSON; nothing if it is none, or says something twice."""
    try:
        found = json.loads(document.decode("utf-8"), object_pairs_hook=once, parse_float=Decimal, parse_constant=refuse)
    except (ValueError, ArithmeticError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object whose keys stand there once each."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def refuse(constant: str) -> NoReturn:
    """Refuse NaN and the infinities."""
    raise ValueError(constant)


def whole(value: Any) -> int:
    """Give a whole number above 0; 0 for anything else."""
    return value if type(value) is int and 0 < value < 2**63 else 0


class Balances:
    """Sums of a partner's bonus lines by currency, as the ledger's rules have it; lines posted after `as_of` do not count."""

    CATEGORIES = ("accrued", "clawed_back", "paid")

    def __init__(self, as_of: datetime.date | None) -> None:
        self._as_of = as_of
        self._sums: dict[str, dict[str, Decimal]] = {}
        self.lines = 0

    def add(self, event: Event, lines: Lines) -> None:
        """Add what an event changes."""
        if event.type in NO_MONEY:
            return
        if event.type not in MONEY or event.fields.get("schemaversion") != 1:
            lines.fail(
                f"events of type {event.type!r}, schema version {event.fields.get('schemaversion')}, are unknown here: get the newest"
                " verify.py",
                event.position,
            )
        back = event.type == "BonusClawedBack" or (
            event.type == "KickbackSettled" and event.data.get("cause") == "reversal"
        )
        try:
            posted = datetime.date.fromisoformat(event.data["posting_date"])
            for line in event.data["lines"] if self._as_of is None or posted <= self._as_of else ():
                if not re.fullmatch(r"-?[0-9]{1,40}(\.[0-9]{1,10})?", line["amount"]):
                    raise ValueError(line["amount"])
                sums = self._sums.setdefault(line["currency"], {each: Decimal(0) for each in self.CATEGORIES})
                category = "clawed_back" if back else "accrued"
                sums[category] = EXACT.add(sums[category], Decimal(line["amount"]))
                self.lines += 1
        except (KeyError, TypeError, ValueError, DecimalException):
            lines.fail("its bonus lines cannot be read", event.position)

    def table(self) -> dict[str, dict[str, str]]:
        """Give the sums, and what is payable, as decimal strings by currency."""
        found = {}
        for currency, sums in sorted(self._sums.items()):
            payable = EXACT.subtract(EXACT.add(sums["accrued"], sums["clawed_back"]), sums["paid"])
            found[currency] = {**{each: str(sums[each]) for each in self.CATEGORIES}, "payable": str(payable)}
        return found


# --- The three proofs ------------------------------------------------------------------------------------------------------


def check(
    file: BinaryIO, key: Key, known_head: bytes | None = None, as_of: datetime.date | None = None
) -> dict[str, Any]:
    """Check a proof; give what it shows. `known_head` is a head that it must have among its own.

    Raises:
        Failed: it is not right, and where.

    """
    lines = Lines(file)
    title = lines.text("a title")
    for kind in (INCLUSION, CONSISTENCY, PARTNER):
        if title == TITLE.format(kind):
            break
    else:
        lines.fail("it is no proof of a partner ledger, or of another format")
    heads = [Head(lines, key) for _ in range(2 if kind == CONSISTENCY else 1)]
    if known_head is not None and known_head not in [head.note.encode() for head in heads]:
        raise Failed("the proof is not made against the tree head given with --head", heads[0].first_line)
    shown = {"ok": True, "proof": kind, "ledger": heads[0].ledger, "heads": [about(head) for head in heads]}
    if kind == INCLUSION:
        shown["event"] = check_inclusion(lines, heads[0])
    elif kind == CONSISTENCY:
        check_consistency(lines, *heads)
    else:
        shown.update(check_partner(lines, heads[0], as_of))
    lines.end()
    return shown


def about(head: Head) -> dict[str, Any]:
    """Say of a head what a person wants to know."""
    return {"size": head.size, "time": head.time, "root": head.root.hex(), "streams_root": head.streams_root.hex()}


def check_inclusion(lines: Lines, head: Head) -> dict[str, Any]:
    """Check that one event is in the tree."""
    event = Event(lines, head.size)
    first = lines.number + 1
    path = list(hashes(lines, "tree"))
    lines.end()
    root = root_of_path(event.position - 1, head.size, event.leaf, path)
    if root is None:
        lines.fail(f"there are {len(path)} hashes, not as many as lead from this position to the root", event.position)
    if root != head.root:
        lines.fail(
            f"the event and the hashes from line {first} on do not lead to the root in line {head.root_line}: one of them was replaced",
            event.position,
        )
    return event.fields


def check_consistency(lines: Lines, first: Head, second: Head) -> None:
    """Check that the tree of the first head is the beginning of that of the second."""
    begin = lines.number + 1
    path = list(hashes(lines, "tree"))
    lines.end()
    if first.size > second.size:
        raise Failed(
            f"the first head has more events than the second ({first.size} and {second.size})", first.first_line + 1
        )
    roots = roots_of_consistency(first.size, second.size, first.root, path)
    if roots is None:
        lines.fail(f"there are {len(path)} hashes, not as many as lead from {first.size} events to {second.size}")
    for root, head in zip(roots, (first, second)):
        if root != head.root:
            lines.fail(
                f"the hashes from line {begin} on do not lead to the root in line {head.root_line}: history was rewritten, or the"
                " proof changed"
            )


def check_partner(lines: Lines, head: Head, as_of: datetime.date | None) -> dict[str, Any]:
    """Check that these are all events of a partner, and sum its bonuses."""
    stream, last = check_last_version(lines, head)
    cover, balances, version, first = Cover(), Balances(as_of), 0, lines.number + 1
    while True:
        gap = []
        for each in hashes(lines, "tree"):
            gap.append(each)
            if len(gap) > MAX_TREE_LINES:
                lines.fail("there are more hashes here than can stand between two events")
        if version == last:
            break
        event = Event(lines, head.size)
        version += 1
        if event.stream != stream or event.version != version:
            lines.fail(
                f"here version {version} of {stream} must stand, not {event.version} of {event.stream}", event.position
            )
        if event.position <= cover.size or not cover.add_gap(gap, event.position - 1):
            lines.fail("the hashes before the event are not as many as its position needs", event.position)
        cover.add(event.leaf)
        balances.add(event, lines)
    lines.end()
    if not cover.add_gap(gap, head.size):
        lines.fail(f"the hashes after the last event are not as many as lead to the end of {head.size} events")
    if cover.root() != head.root:
        lines.fail(
            f"the events and hashes from line {first} on do not lead to the root in line {head.root_line}: one of them was replaced"
        )
    shown = {
        "partner": stream[len("partner:") :],
        "events": last,
        "lines": balances.lines,
        "balances": balances.table(),
    }
    return {**shown, "as_of": None if as_of is None else as_of.isoformat()}


def check_last_version(lines: Lines, head: Head) -> tuple[str, int]:
    """Check the line `stream <last version> <stream>` and the path below it against the map of streams."""
    text = lines.text("the stream")
    matched = re.fullmatch("stream ([1-9][0-9]{0,17}) (partner:.+)", text, re.DOTALL)
    if matched is None:
        lines.fail("it is not the line of a partner's stream")
    at, stream, last = lines.number, matched[2], int(matched[1])
    path = []
    for each in hashes(lines, "map"):
        path.append(each)
        if len(path) > 256:
            lines.fail("there are more hashes than a path in the map of streams can have")
    if not lines.peek().startswith((b"tree ", b"event ")):
        lines.next("an event or a hash")
        lines.fail("it is neither an event nor a hash that belongs here")
    if map_root(stream, last, path) != head.streams_root:
        raise Failed(
            f"that the last version of {stream} is {last} does not lead, with the {len(path)} hashes below, to the root over the"
            f" streams in line {head.streams_line}: events were left out, or the lines changed",
            at,
        )
    return stream, last


# --- The command -----------------------------------------------------------------------------------------------------------


def told(shown: dict[str, Any]) -> Iterator[str]:
    """Say for a person what a proof shows."""
    yield f"OK: proof of {shown['proof']}. The signature is right, and every byte is accounted for."
    yield f"Ledger:  {shown['ledger']}"
    for head in shown["heads"]:
        yield f"Head:    {head['size']:,} events on {head['time'][:10]} at {head['time'][11:19]} UTC"
    if "event" in shown:
        event = shown["event"]
        yield f"Event:   position {event['position']:,}, {event['type']}, version {event['streamversion']} of {event['subject']}"
        yield f"         recorded {event.get('time')} by {event.get('actor')}, business date {event.get('businessdate')}"
        yield f"Content: {json.dumps(event['data'], ensure_ascii=False, default=str)}"
    if "partner" in shown:
        yield f"Partner: {shown['partner']}, all its events, versions 1 to {shown['events']:,}; {shown['lines']:,} bonus lines"
        if shown["as_of"]:
            yield f"Lines posted up to {shown['as_of']}:"
        columns = ("accrued", "clawed_back", "paid", "payable")
        rows = [(c, *(f"{Decimal(sums[each]):,}" for each in columns)) for c, sums in shown["balances"].items()]
        for row in [("", "accrued", "clawed back", "paid", "payable"), *rows] if rows else [("No bonuses.", *[""] * 4)]:
            yield "  ".join([f"{row[0]:8}", *(f"{each:>18}" for each in row[1:])]).rstrip()


def key_from(text: str) -> Key:
    """Read the key given: itself, or a file with it."""
    try:
        return Key(text)
    except Failed as failed:
        try:
            with Path(text).open(encoding="utf-8") as file:
                return Key(file.read(4096))
        except (OSError, ValueError):
            raise Failed(f"{failed.sentence}, nor a file that can be read") from None


def printable(text: str) -> str:
    """Replace what would do things to a terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the proof that is named; print what it shows, or where it fails; give the exit code."""
    parser = argparse.ArgumentParser(description="Check a proof of a partner ledger; needs Python alone.")
    parser.add_argument("proof", help="the file")
    parser.add_argument(
        "--key", required=True, help="the ledger's verifier key, or a file with it; from elsewhere than the proof"
    )
    parser.add_argument("--head", metavar="FILE", help="a tree head that you have: the proof must be made against it")
    parser.add_argument(
        "--as-of", metavar="DATE", help="of a partner: sum the lines posted up to this date (YYYY-MM-DD)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    try:
        as_of = None if options.as_of is None else datetime.date.fromisoformat(options.as_of)
    except ValueError:
        parser.error(f"{options.as_of!r} is not a date (YYYY-MM-DD)")
    try:
        head = None
        if options.head is not None:
            with Path(options.head).open("rb") as file:
                head = file.read(65536)
        try:
            key = key_from(options.key)
        except Failed as error:
            return failed(options.json, error)
        with Path(options.proof).open("rb") as file:
            shown = check(file, key, head, as_of)
    except OSError as error:
        return failed(options.json, Failed(f"{error.filename} cannot be read: {error.strerror}"))
    except Failed as error:
        return failed(options.json, error, f"{options.proof}, ")
    if options.json:
        print(json.dumps(shown, ensure_ascii=True, indent=2, default=str))
    else:
        for line in told(shown):
            print(printable(line))
    return 0


def failed(as_json: bool, error: Failed, where: str = "") -> int:
    """Print where the proof fails; give the exit code."""
    if as_json:
        document = {"ok": False, "error": error.sentence, "line": error.line, "position": error.position or None}
        print(json.dumps(document, indent=2))
    print(printable(f"FAILED: {where}{error}."), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
