"""The public topic of tier changes held against the store: each record byte for byte what its event gives, each once, in order."""

from array import array
from collections.abc import Sequence

from domain.envelope import EventRow
from domain.errors import LedgerError
from domain.findings import Tally
from infra.audit.clock import timed
from infra.audit.task import Task
from infra.kafka.lean_records import LeanRecord
from infra.kafka.ledger_topics import partition_of
from infra.kafka.whole_topic import WholeTopic
from infra.postgres.audited_store import PostgresAuditedStore
from producers.tier_changes import TOLD, claimed_position, tier_change

TIER_CHANGES = "tier-changes"


class PublicChanges:
    """Notes which events must be told while the store is read; `finish` then reads the topic."""

    def __init__(self, tally: Tally, task: Task, store: PostgresAuditedStore) -> None:
        self._tally = tally
        tally.check(TIER_CHANGES)
        self._task = task
        self._store = store
        self._due = array("q")
        self._told = array("q")

    def note(self, rows: Sequence[EventRow]) -> None:
        """Note which of the next events must be told."""
        self._due.extend([row.position for row in rows if row.type in TOLD])

    def finish(self) -> None:
        """Read the topic to its end and compare it.

        Raises:
            ServiceUnreachable: Kafka does not answer.

        """
        with timed(self._tally, TIER_CHANGES):
            topic = WholeTopic(self._task.bootstrap_servers, self._task.tier_changes_topic)
            try:
                reached = dict.fromkeys(topic.partitions, 0)
                while len(topic.ended()) < len(reached):
                    for partition, records in topic.poll().items():
                        reached[partition] = self._take(partition, records, reached[partition], len(reached))
            finally:
                topic.close()
            self._compare()

    def _take(self, partition: int, records: Sequence[LeanRecord], reached: int, partitions: int) -> int:
        claims = [claimed_position(record.value) for record in records]
        rows = self._store.at([claim for claim in claims if claim is not None])
        for record, claim in zip(records, claims, strict=True):
            row = None if claim is None else rows.get(claim)
            expected = None if row is None else _told(row)
            place = f"partition {partition}, offset {record.offset} of the tier changes"
            if claim is None or expected != (record.key, record.value):
                given = (
                    "no tier change"
                    if expected is None
                    else f"{expected[1].decode()} under the key {expected[0].decode()}"
                )
                detail = (
                    f"The record at {place} is {(record.value or b'').decode(errors='backslashreplace')} under the key"
                    f" {(record.key or b'').decode(errors='backslashreplace')}; the store gives {given}."
                )
                self._tally.found(TIER_CHANGES, "forged", claim, detail)
                continue
            if claim <= self._task.last:
                self._told.append(claim)
            if claim < reached:
                detail = f"Position {claim} at {place} comes behind position {reached}."
                self._tally.found(TIER_CHANGES, "order", claim, detail)
            if partition_of(record.key or b"", partitions) != partition:
                self._tally.found(
                    TIER_CHANGES, "changed", claim, f"Position {claim} at {place} is in a wrong partition."
                )
            reached = max(reached, claim)
        self._tally.count(TIER_CHANGES, len(records))
        return reached

    def _compare(self) -> None:
        """Say which changes are not told, and which are told twice."""
        if len(self._told) == len(self._due):
            told = sorted(self._told)
            if told == self._due.tolist():
                return
        told_once: set[int] = set()
        for position in self._told:
            if position in told_once:
                detail = f"The tier change of position {position} is on the public topic more than once."
                self._tally.found(TIER_CHANGES, "repeated", position, detail)
            told_once.add(position)
        for position in self._due:
            if position not in told_once:
                detail = f"The tier change of position {position} is not on the public topic."
                self._tally.found(TIER_CHANGES, "missing", position, detail)


def _told(row: EventRow) -> tuple[bytes, bytes] | None:
    try:
        told = tier_change(row)
    except (ValueError, LedgerError):
        return None  # an event that cannot be read, or stands on a wrong stream: said by other checks
    return None if told is None else (told[0].encode(), told[1])
