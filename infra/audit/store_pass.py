"""The pass over the store: every event in order of position, and what stands beside the events."""

import gc
from collections import defaultdict
from collections.abc import Sequence

from domain import store_checks as checks
from domain.envelope import EventRow
from domain.findings import Tally
from domain.recorded_identity import recorded_identity
from domain.recording import Identity
from domain.snapshots import FORMAT
from domain.store_checks import LedgerEvents
from infra.audit.clock import timed
from infra.audit.public_changes import PublicChanges
from infra.audit.task import Outcome, Report, Task, outcome
from infra.postgres.audited_store import PostgresAuditedStore

IDENTITIES, READING = "identities", "reading"
CHECKS = (
    checks.POSITIONS,
    checks.LEAF_HASHES,
    checks.EVENTS,
    checks.STREAM_VERSIONS,
    checks.RECORDED_AT,
    IDENTITIES,
    checks.HEAD,
    checks.SNAPSHOTS,
)


def verify_store(task: Task, report: Report) -> Outcome:
    """Verify the store up to the task's last position.

    Raises:
        ServiceUnreachable: PostgreSQL or Kafka does not answer.

    """
    gc.disable()  # rows form no cycles, and are freed as they go
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
        self._readable = checks.Readable(tally)
        self._versions = checks.StreamVersions(tally)
        self._recorded_at = checks.RecordedAt(tally)
        self._head_row = checks.HeadRow(tally)
        self._identities = _Identities(tally, store)
        self._public = PublicChanges(tally, task, store)

    def run(self, report: Report) -> Outcome:
        task, tally = self._task, self._tally
        with timed(tally, checks.SNAPSHOTS):
            snapshots = checks.Snapshots(tally, self._snapshot_versions())
        done = 0
        for rows, stored in self._store.pages(task.last):
            events = self._take(rows, stored)
            with timed(tally, checks.SNAPSHOTS):
                wanted = snapshots.take(rows, events)
                if wanted:
                    snapshots.compare(wanted, self._store.states(list(wanted)))
            done += len(rows)
            report(done)
        self._positions.finish(task.last)
        self._head_row.finish(task.head, task.highest_position)
        with timed(tally, IDENTITIES):
            self._identities.finish(task.last)
        self._public.finish()
        return outcome(tally, root=self._hashes.tree.root().hex(), streams=len(self._versions.last))

    def _take(self, rows: Sequence[EventRow], stored: Sequence[bytes]) -> LedgerEvents:
        tally = self._tally
        with timed(tally, checks.POSITIONS):
            self._positions.take(rows)
        with timed(tally, checks.LEAF_HASHES):
            hashes = self._hashes.take(rows, stored)
            self._hashes.tree.extend(hashes)
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
        self._public.note(rows)
        return events

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


class _Identities:
    """Every fact has its identity row, and there are no others."""

    def __init__(self, tally: Tally, store: PostgresAuditedStore) -> None:
        self._tally = tally
        self._store = store
        self._facts = 0

    def take(self, rows: Sequence[EventRow], events: LedgerEvents) -> None:
        """Compare the identities of a page in one round trip."""
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
        if expected:
            for index, found in self._store.other_identities(expected):
                self._say(positions[index], expected[index], found)
        self._tally.count(IDENTITIES, len(expected))

    def finish(self, last: int) -> None:
        """Look for identities that no fact has left, where there are more of them than facts."""
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

    _missing = 0

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
