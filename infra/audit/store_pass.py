"""The pass over the store: every event in order of position, and what stands beside the events."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from domain import store_checks as checks
from domain.envelope import EventRow
from domain.findings import Tally
from domain.recorded_identity import recorded_identity
from domain.recording import Identity
from domain.replay import Difference, Replay
from domain.snapshots import FORMAT
from domain.store_checks import LedgerEvents
from domain.stream_map import StreamMap
from domain.streams import partner_id_of
from infra.audit.clock import timed
from infra.audit.public_changes import PublicChanges
from infra.audit.task import Outcome, Report, Task, outcome
from infra.postgres.audited_store import OtherIdentity, Page, PostgresAuditedStore

IDENTITIES, DECISIONS, TREE_HEAD = "identities", "decisions", "tree-head"
CHECKS = (
    checks.POSITIONS,
    checks.LEAF_HASHES,
    checks.TREE,
    checks.EVENTS,
    checks.STREAM_VERSIONS,
    checks.RECORDED_AT,
    IDENTITIES,
    DECISIONS,
    checks.HEAD,
    checks.SNAPSHOTS,
)


def verify_store(task: Task, report: Report) -> Outcome:
    """Verify the store up to the task's last position.

    Raises:
        ServiceUnreachable: PostgreSQL or Kafka does not answer.

    """
    store = PostgresAuditedStore(task.read_database_url, task.timezone)
    try:
        return _StorePass(task, store).run(report)
    finally:
        store.close()


class _StorePass:
    """One pass: the checks, and what each remembers from page to page."""

    def __init__(self, task: Task, store: PostgresAuditedStore) -> None:
        self._task = task
        self._store = store
        self._tally = tally = Tally(CHECKS)
        self._positions = checks.Positions(tally)
        self._hashes = checks.LeafHashes(tally)
        self._tree = checks.Tree(tally)
        self._readable = checks.Readable(tally)
        self._versions = checks.StreamVersions(tally)
        self._recorded_at = checks.RecordedAt(tally)
        self._head_row = checks.HeadRow(tally)
        self._identities = _Identities(tally, store)
        self._decisions = _Decisions(tally, store, self._snapshot_versions())
        self._public = PublicChanges(tally, task, store)

    def run(self, report: Report) -> Outcome:
        task, tally = self._task, self._tally
        done = 0
        for rows, stored in self._cut(self._store.pages(task.last)):
            self._take(rows, stored)
            self._compare_with_outside()
            done += len(rows)
            report(done)
        self._decisions.finish()
        if task.outside is not None and self._tree.size < task.outside.size:
            detail = (
                f"The tree head kept outside is of {task.outside.size:,} events; the store has {self._tree.size:,} up to position"
                f" {task.last:,}."
            )
            tally.found(TREE_HEAD, "missing", self._tree.size + 1, detail)
        self._positions.finish(task.head.position)
        self._head_row.finish(task.head, task.highest_position)
        with timed(tally, IDENTITIES):
            self._identities.finish(task.last)
        self._public.finish()
        return outcome(tally, root=self._tree.root().hex(), rows=done, streams=len(self._versions.last))

    def _take(self, rows: Sequence[EventRow], stored: Sequence[bytes]) -> None:
        tally = self._tally
        with timed(tally, checks.POSITIONS):
            self._positions.take(rows)
        with timed(tally, checks.LEAF_HASHES):
            hashes = self._hashes.take(rows, stored)
        with timed(tally, checks.TREE):
            complete = self._tree.extend(hashes)
            if complete:
                self._tree.compare(complete, self._store.tree_nodes(list(complete)))
        with timed(tally, checks.STREAM_VERSIONS):
            self._versions.take(rows)
        with timed(tally, checks.RECORDED_AT):
            self._recorded_at.take(rows)
        with timed(tally, checks.EVENTS):
            events = self._readable.take(rows)
        with timed(tally, checks.HEAD):
            self._head_row.take(rows, events)
        with timed(tally, IDENTITIES):
            self._identities.take(rows, events)
        self._decisions.take(rows)
        self._public.note(rows)

    def _cut(self, pages: Iterator[Page]) -> Iterator[Page]:
        """Give the pages, cut where the head kept outside ends."""
        size = 0 if self._task.outside is None else self._task.outside.size
        for page in pages:
            cut = size - self._tree.size
            if 0 < cut < len(page.rows):
                yield Page(page.rows[:cut], page.stored[:cut])
                yield Page(page.rows[cut:], page.stored[cut:])
            else:
                yield page

    def _compare_with_outside(self) -> None:
        """Where the store has been read as far as the head kept outside goes, compare with it."""
        outside, tally = self._task.outside, self._tally
        if outside is None or self._tree.size != outside.size:
            return
        with timed(tally, TREE_HEAD):
            roots = (
                ("events", self._tree.root(), outside.root),
                (
                    "streams and their last versions",
                    StreamMap(self._versions.last.items()).root(),
                    outside.streams_root,
                ),
            )
            for what, now, then in roots:
                if now != then:
                    detail = (
                        f"The first {outside.size:,} events give the root {now.hex()} over the {what}; the tree head kept outside"
                        f" has {then.hex()}: at least one of them was changed, taken away or put in since."
                    )
                    tally.found(TREE_HEAD, "changed", outside.size, detail)
            tally.count(TREE_HEAD, outside.size)

    def _snapshot_versions(self) -> dict[str, Sequence[int]]:
        """Read where snapshots stand, and say which stand where there is no event."""
        versions: dict[str, list[int]] = defaultdict(list)
        for each in self._store.snapshots():
            if each.format == FORMAT:
                versions[each.stream].append(each.version)
            if each.position is None:
                detail = f"There is a snapshot of {each.stream} at version {each.version}, which the store holds no event of."
                self._tally.found(checks.SNAPSHOTS, "added", None, detail)
        return dict(versions)


class _Decisions:
    """Every decision made again from the facts is what was recorded; snapshots hold what that makes of the partners."""

    def __init__(self, tally: Tally, store: PostgresAuditedStore, snapshots: Mapping[str, Sequence[int]]) -> None:
        self._tally = tally
        self._store = store
        self._replay = Replay(store.reversed_deals(), store.of_stream)
        self._snapshots = checks.Snapshots(tally, snapshots)
        self._waiting: list[EventRow] = []
        """Events behind which snapshots were taken, of the command that is not decided again yet."""

    def take(self, rows: Sequence[EventRow]) -> None:
        """Decide the facts of a page again; where snapshots were taken, stop at the end of the command and compare."""
        first = 0
        if self._waiting:
            end = _end_of_command(rows, 0, self._waiting[0].command_id)
            if end < len(rows):
                self._decide(rows[:end])
                first = end
        for index in self._snapshots.due(rows):
            end = _end_of_command(rows, index, rows[index].command_id)
            self._waiting.append(rows[index])
            if end < len(rows):
                self._decide(rows[first:end])
                first = max(first, end)
        with timed(self._tally, DECISIONS):
            before = self._replay.events
            self._note(self._replay.take(rows[first:]))
            self._tally.count(DECISIONS, self._replay.events - before)
        self._compare_snapshots()

    def finish(self) -> None:
        """Decide what is left."""
        self._decide(())
        self._compare_snapshots()

    def _compare_snapshots(self) -> None:
        """Compare the snapshots of a page in one round trip."""
        with timed(self._tally, checks.SNAPSHOTS):
            wanted = self._snapshots.wanted()
            if wanted:
                self._snapshots.compare(self._store.states(wanted))

    def _decide(self, rows: Sequence[EventRow]) -> None:
        """Decide facts again up to the end of a command, and take what the snapshots behind it must hold."""
        with timed(self._tally, DECISIONS):
            before = self._replay.events
            self._note(self._replay.take(rows))
            self._note(self._replay.finish())
            self._tally.count(DECISIONS, self._replay.events - before)
        with timed(self._tally, checks.SNAPSHOTS):
            for row in self._waiting:
                self._snapshots.take(row, self._replay.partners.get(partner_id_of(row.stream) or ""))
            self._waiting.clear()

    def _note(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self._tally.found(DECISIONS, "decision", difference.position, str(difference))


def _end_of_command(rows: Sequence[EventRow], first: int, command_id: str) -> int:
    """Give the index of the first event, from one on, that is of another command; the number of events where none is."""
    return next((n for n in range(first, len(rows)) if rows[n].command_id != command_id), len(rows))


class _Identities:
    """Every fact has its identity row, and there are no others."""

    def __init__(self, tally: Tally, store: PostgresAuditedStore) -> None:
        self._tally = tally
        self._store = store
        self._facts = 0
        self._missing = 0
        self._asker = ThreadPoolExecutor(1, "audit-identities")
        self._asked: tuple[Sequence[int], Sequence[Identity], Future[list[OtherIdentity]]] | None = None

    def take(self, rows: Sequence[EventRow], events: LedgerEvents) -> None:
        """Compare the identities of a page in one round trip, whose answer is looked at with the next page."""
        expected: list[Identity] = []
        positions: list[int] = []
        for row, event in zip(rows, events, strict=True):
            try:
                identity = None if event is None else recorded_identity(row.stream, row.version, event)
            except TypeError:
                continue  # on another stream than a partner's: the decisions say so
            if identity is not None:
                expected.append(identity)
                positions.append(row.position)
        self._facts += len(expected)
        self._settle()
        if expected:
            self._asked = positions, expected, self._asker.submit(self._store.other_identities, expected)
        self._tally.count(IDENTITIES, len(expected))

    def _settle(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            positions, expected, answer = asked
            for index, found in answer.result():
                self._say(positions[index], expected[index], found)

    def finish(self, last: int) -> None:
        """Look for identities that no fact has left, where there are more of them than facts."""
        self._settle()
        self._asker.shutdown()
        identities, further = self._store.identities(last)
        if identities == self._facts + further - self._missing:
            return
        for held in self._store.every_identity():
            given = None if held.event is None else recorded_identity(held.stream, held.version, held.event)
            if given is None or (given.kind, given.key) != (held.kind, held.key):
                what = "holds no event" if held.position is None else "holds another fact or a decision"
                detail = (
                    f"There is an identity {held.kind} {held.key!r} for version {held.version} of {held.stream}, where the store"
                    f" {what}."
                )
                self._tally.found(IDENTITIES, "added", held.position, detail)

    def _say(self, position: int, expected: Identity, found: tuple[object, ...] | None) -> None:
        name = f"{expected.kind} {expected.key!r} of position {position}"
        if found is None:
            self._missing += 1
            self._tally.found(IDENTITIES, "missing", position, f"The identity {name} is not there.")
            return
        stream, version, content_hash, refers_to = found
        pairs = (
            ("stream", stream, expected.stream),
            ("version", version, expected.version),
            ("content hash", _hex(content_hash), _hex(expected.content_hash)),
            ("reference", refers_to, expected.refers_to),
        )
        said = "; ".join(f"{what} {was}, where the event gives {given}" for what, was, given in pairs if was != given)
        self._tally.found(IDENTITIES, "changed", position, f"The identity {name} has the {said}.")


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
