"""What an audit holds against each event of the store, taken in order of position, in pages. Pure.

Each check is an object that is given page after page and remembers only what the next page needs: a position, a time, the
last version of each stream. What it finds goes into the tally under its own name.
"""

import copy
import datetime as dt
from collections.abc import Mapping, Sequence

from domain import events as e
from domain.aggregates import PartnerAggregate
from domain.envelope import EventRow, envelope, leaf_hash
from domain.errors import LedgerError
from domain.findings import Tally
from domain.merkle import Frontier, Subtree
from domain.recording import Head
from domain.snapshots import snapshot_of
from domain.streams import LEDGER, PARTNER_PREFIX, PROGRAMMES

POSITIONS, LEAF_HASHES, TREE, EVENTS = "positions", "leaf-hashes", "tree", "events"
STREAM_VERSIONS, RECORDED_AT, HEAD, SNAPSHOTS = "stream-versions", "recorded-at", "head", "snapshots"

LEVEL_STEP = 8
FAN_OUT = 1 << LEVEL_STEP
"""Of the subtrees, those of 256, 65,536, … events are stored."""

LedgerEvents = Sequence[e.Event | None]
"""The events of a page; None for one that cannot be read."""


class Positions:
    """Positions are 1 to n, without a hole."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._last = 0

    def take(self, rows: Sequence[EventRow]) -> None:
        """Take the next events."""
        if rows and rows[0].position == self._last + 1 and rows[-1].position == self._last + len(rows):
            self._last += len(rows)  # positions rise and none is there twice: that is how they were read
        else:
            for row in rows:
                if row.position < 1:
                    self._tally.found(
                        POSITIONS,
                        "added",
                        row.position,
                        f"The store holds an event at position {row.position}; the first position is 1.",
                    )
                else:
                    self._missing_before(row.position)
                    self._last = row.position
        self._tally.count(POSITIONS, len(rows))

    def finish(self, last: int) -> None:
        """Say what is missing at the end."""
        self._missing_before(last + 1)

    def _missing_before(self, position: int) -> None:
        missing = range(self._last + 1, position)
        self._tally.found_each(POSITIONS, "missing", missing, "The store holds no event at position {}.".format)
        self._last = max(self._last, position - 1)


class LeafHashes:
    """An envelope made of what the row says has the leaf hash that is stored with it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def take(self, rows: Sequence[EventRow], stored: Sequence[bytes]) -> list[bytes]:
        """Take the next events and their stored hashes; give the hashes of what they say."""
        try:
            hashes = [leaf_hash(envelope(row)) for row in rows]
        except (ValueError, TypeError, LedgerError):
            hashes = [self._hash_of(row) for row in rows]
        if hashes != stored:
            for row, now, then in zip(rows, hashes, stored, strict=True):
                if now != then:
                    self._tally.found(
                        LEAF_HASHES,
                        "changed",
                        row.position,
                        f"What the store says at position {row.position} ({row.type}, version {row.version} of {row.stream})"
                        f" has the leaf hash {now.hex() or 'of nothing'}, but it was stored with {then.hex() or 'nothing'}.",
                    )
        self._tally.count(LEAF_HASHES, len(rows))
        return hashes

    @staticmethod
    def _hash_of(row: EventRow) -> bytes:
        try:
            return leaf_hash(envelope(row))
        except (ValueError, TypeError, LedgerError):
            return b""  # no envelope can be made of it


class Tree:
    """The hash tree over what the events say, and the stored hashes of its complete subtrees, which proofs are made of."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._whole = Frontier()
        self._rest: list[bytes] = []
        self._above: dict[int, list[bytes]] = {}
        self.size = 0

    def extend(self, hashes: Sequence[bytes]) -> dict[Subtree, bytes]:
        """Add the next leaves; give the subtrees of stored levels that they complete."""
        complete: dict[Subtree, bytes] = {}
        rest = self._rest
        rest += hashes
        self.size += len(hashes)
        whole = len(rest) - len(rest) % FAN_OUT
        for first in range(0, whole, FAN_OUT):
            self._join(LEVEL_STEP, rest[first : first + FAN_OUT], complete)
        del rest[:whole]
        return complete

    def _join(self, level: int, hashes: Sequence[bytes], complete: dict[Subtree, bytes]) -> None:
        joined = Frontier()
        joined.extend(hashes)
        root = joined.root()
        if level == LEVEL_STEP:
            number = self._whole.size >> level
            self._whole.add_subtree(level, root)
        else:
            number = (self._whole.size >> level) - 1
        complete[Subtree(level, number)] = root
        above = self._above.setdefault(level, [])
        above.append(root)
        if len(above) == FAN_OUT:
            self._join(level + LEVEL_STEP, above, complete)
            above.clear()

    def root(self) -> bytes:
        """Give the root of the tree as it is now."""
        tree = copy.deepcopy(self._whole)
        tree.extend(self._rest)
        return tree.root()

    def compare(self, complete: Mapping[Subtree, bytes], stored: Mapping[Subtree, bytes]) -> None:
        """Compare stored hashes of subtrees with what the events give."""
        for subtree, held in stored.items():
            given = complete[subtree]
            if held != given:
                first = (subtree.number << subtree.level) + 1
                last = (subtree.number + 1) << subtree.level
                detail = f"The stored hash over positions {first} to {last} is {held.hex()}; what the store says there gives {given.hex()}."
                self._tally.found(TREE, "changed", first, detail)
        self._tally.count(TREE, len(stored))


class StreamVersions:
    """The versions of a stream are 1, 2, 3, … in order of position. `last` has the last version of each stream."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.last: dict[str, int] = {}

    def take(self, rows: Sequence[EventRow]) -> None:
        """Take the next events."""
        last = self.last
        for row in rows:
            stream, version = row.stream, row.version
            before = last.get(stream, 0)
            if version != before + 1:
                self._tally.found(
                    STREAM_VERSIONS,
                    "order",
                    row.position,
                    f"Position {row.position} is version {version} of {stream}, which stood at version {before} before it.",
                )
            last[stream] = version
        self._tally.count(STREAM_VERSIONS, len(rows))


class RecordedAt:
    """The time of recording never runs back. `last` is the latest so far."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.last: dt.datetime | None = None

    def take(self, rows: Sequence[EventRow]) -> None:
        """Take the next events."""
        last = self.last
        for row in rows:
            time = row.recorded_at
            if last is not None and time < last:
                self._tally.found(
                    RECORDED_AT,
                    "order",
                    row.position,
                    f"Position {row.position} was recorded at {time.isoformat()}, before the one in front of it"
                    f" ({last.isoformat()}).",
                )
            last = time
        self.last = last
        self._tally.count(RECORDED_AT, len(rows))


class Readable:
    """Every event can be read, is by somebody, and stands under the business date that it says itself."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def take(self, rows: Sequence[EventRow]) -> LedgerEvents:
        """Take the next rows; give their events."""
        events: list[e.Event | None] = []
        for row in rows:
            try:
                event = e.decode(row.type, row.schema_version, row.data)
                differs = event.business_date != row.business_date
            except (ValueError, LedgerError) as error:  # msgspec's errors are ValueErrors
                self._tally.found(
                    EVENTS, "unreadable", row.position, f"Position {row.position} cannot be read: {error}"
                )
                events.append(None)
                continue
            if differs or not row.actor:
                self._say(row, event)
            events.append(event)
        self._tally.count(EVENTS, len(rows))
        return events

    def _say(self, row: EventRow, event: e.Event) -> None:
        if event.business_date != row.business_date:
            self._tally.found(
                EVENTS,
                "changed",
                row.position,
                f"Position {row.position} stands under the business date {row.business_date}, but its data say"
                f" {event.business_date}.",
            )
        if not row.actor:
            self._tally.found(EVENTS, "missing", row.position, f"Position {row.position} does not say who recorded it.")


class HeadRow:
    """The head row says what the events say."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._programmes = 0
        self._ledger_date: dt.date | None = None
        self._latest: dt.date | None = None

    def take(self, rows: Sequence[EventRow], events: LedgerEvents) -> None:
        """Take the next events."""
        latest = self._latest or dt.date.min
        for row, event in zip(rows, events, strict=True):
            stream = row.stream
            if stream.startswith(PARTNER_PREFIX):
                if row.business_date is not None and row.business_date > latest:
                    latest = row.business_date
            elif stream == PROGRAMMES:
                self._programmes = row.version
            elif stream == LEDGER and isinstance(event, e.LedgerAdvanced):
                self._ledger_date = event.to
        self._latest = None if latest == dt.date.min else latest

    def finish(self, head: Head, highest_position: int) -> None:
        """Compare with the head row, and with the highest position that the store had when it was read."""
        pairs: tuple[tuple[str, object, object], ...] = (
            ("programmes version", head.programmes_version, self._programmes),
            ("ledger's date", head.ledger_date, self._ledger_date),
            ("latest business date", head.latest_business_date, self._latest),
        )
        for what, said, follows in pairs:
            if said != follows:
                self._tally.found(
                    HEAD, "changed", head.position, f"The head row has the {what} {said}; the events say {follows}."
                )
        if highest_position > head.position:
            self._tally.found(
                HEAD,
                "added",
                highest_position,
                f"The store holds an event at position {highest_position}, but the head stands at {head.position}: it was not"
                " appended by the ledger.",
            )
        self._tally.count(HEAD, 1 + len(pairs))


class Snapshots:
    """A partner's snapshots hold what deciding again has made of it when its append had ended.

    `versions` has the versions at which each stream has a snapshot of the format in use.
    """

    def __init__(self, tally: Tally, versions: Mapping[str, Sequence[int]]) -> None:
        self._tally = tally
        self._due = {(stream, version) for stream, each in versions.items() for version in each}
        self._wanted: dict[tuple[str, int], tuple[int, bytes]] = {}

    def due(self, rows: Sequence[EventRow]) -> list[int]:
        """Give behind which of these events snapshots were taken: indexes of rows."""
        due = self._due
        if not due:
            return []
        return [index for index, row in enumerate(rows) if (row.stream, row.version) in due]

    def take(self, row: EventRow, partner: PartnerAggregate | None) -> None:
        """Take what the snapshot behind an event must hold: the partner as deciding again has left it."""
        self._tally.count(SNAPSHOTS, 1)
        if partner is None or partner.version != row.version:
            stands = "is not there" if partner is None else f"stands at version {partner.version}"
            detail = (
                f"The snapshot of {row.stream} at version {row.version} cannot be compared: by what was decided again the partner"
                f" {stands}."
            )
            self._tally.found(SNAPSHOTS, "unreadable", row.position, detail)
        else:
            self._wanted[row.stream, row.version] = row.position, bytes(snapshot_of(partner).state)

    def wanted(self) -> list[tuple[str, int]]:
        """Give the streams and versions of the snapshots to compare next."""
        return list(self._wanted)

    def compare(self, stored: Mapping[tuple[str, int], bytes]) -> None:
        """Compare what these snapshots hold with what they must."""
        for (stream, version), (position, state) in self._wanted.items():
            held = stored.get((stream, version))
            if held is not None and held != state:
                detail = f"The snapshot of {stream} at version {version} holds {_difference(held, state)}."
                self._tally.found(SNAPSHOTS, "changed", position, detail)
        self._wanted.clear()


def _difference(held: bytes, state: bytes) -> str:
    """Show two states from the first place at which they differ."""
    at = next((n for n, (a, b) in enumerate(zip(held, state, strict=False)) if a != b), min(len(held), len(state)))
    first = max(0, at - 20)
    return (
        f"…{held[first : at + 40].decode(errors='backslashreplace')}… at byte {at}, where the events give"
        f" …{state[first : at + 40].decode(errors='backslashreplace')}…"
    )
