"""The pass over Kafka: every record against the store, and every projection made again from the records."""

from collections import OrderedDict
from collections.abc import Sequence

from consumers.in_order import KAFKA, ORDER, TIME, RecordsInOrder
from consumers.sequencing import MAX_POSITION, Received, receive
from domain.findings import Tally
from infra.audit.clock import timed
from infra.audit.made_again import PROJECTIONS, MadeAgain
from infra.audit.task import Outcome, Report, Task, outcome
from infra.kafka.lean_records import LeanRecord
from infra.kafka.ledger_topics import partition_of, read_checkpoint
from infra.kafka.whole_topic import WholeTopic, settled_ends
from infra.postgres.audited_store import PostgresAuditedStore
from infra.postgres.projections.audited import PostgresAuditedProjections
from projections.recorded import Recorded

CHECKPOINT = "checkpoint"
MOST_WAITING = 30_000
"""So many events wait for other partitions before those that are ahead are held."""
HASHES_A_PAGE = 8_192
HASH_PAGES = 32
MOST_LATER = 5_000


def verify_kafka(task: Task, report: Report) -> Outcome:
    """Verify the events topic and the projections up to the task's last position.

    Raises:
        ServiceUnreachable: PostgreSQL or Kafka does not answer.

    """
    store = PostgresAuditedStore(task.read_database_url, task.timezone)
    projections = PostgresAuditedProjections(task.read_database_url)
    topic = WholeTopic(task.bootstrap_servers, task.events_topic)
    try:
        return _KafkaPass(task, store, projections, topic).run(report)
    finally:
        topic.close()
        projections.close()
        store.close()


class _KafkaPass:
    """One pass: the records in order, and what follows from them."""

    def __init__(
        self, task: Task, store: PostgresAuditedStore, projections: PostgresAuditedProjections, topic: WholeTopic
    ) -> None:
        self._task = task
        self._store = store
        self._topic = topic
        self._tally = Tally((KAFKA, ORDER, TIME, CHECKPOINT, *PROJECTIONS))
        self._hashes = _HashPages(store, task.last)
        partitions = len(topic.partitions)
        self._order = RecordsInOrder(
            self._tally,
            topic.partitions,
            lambda key: partition_of(key, partitions),
            task.last,
            self._hashes.at,
            {
                (dropped.partition, dropped.offset, dropped.leaf_hash)
                for dropped in store.dropped_records()
                if dropped.topic == task.events_topic
            },
        )
        self._again = MadeAgain(self._tally, projections, task)

    def run(self, report: Report) -> Outcome:
        ended: set[int] = set()
        done = 0
        while len(ended) < len(self._topic.ends):
            for partition in set(self._topic.ended()) - ended:
                ended.add(partition)
                self._order.end(partition)
            with timed(self._tally, "reading"):
                polled = self._topic.poll()
            with timed(self._tally, KAFKA):
                for partition, records in polled.items():
                    self._take(partition, records)
                given = self._order.give()
            self._hand_on(given)
            done += len(given)
            report(done)
            waits = self._order.waiting > MOST_WAITING
            self._topic.hold(set(self._topic.ends) - set(self._order.slowest()) if waits else ())
        self._hand_on(self._order.give())
        self._order.finish()
        self._judge_later()
        self._again.finish(self._order, self._topic)
        with timed(self._tally, CHECKPOINT):
            self._check_checkpoint()
        # The time that the checks on order and time take is the events' own.
        for name in (ORDER, TIME):
            self._tally.check(name).checked = self._tally.check(KAFKA).checked
        return outcome(self._tally, dropped=self._order.passed_over, **self._again.facts())

    def _take(self, partition: int, records: Sequence[LeanRecord]) -> None:
        topic = self._task.events_topic
        received = [receive(topic, partition, record) for record in records]
        self._order.take(partition, received, [record.timestamp_ms for record in records])
        if len(self._order.later) > MOST_LATER:
            self._judge_later()

    def _hand_on(self, events: list[Recorded]) -> None:
        self._again.take(events, self._order.handed_on)

    def _judge_later(self) -> None:
        positions = [record.position for record in self._order.later if _is_position(record)]
        rows = self._store.hashes_at([position for position in positions if position is not None])
        self._order.judge_later(rows)

    def _check_checkpoint(self) -> None:
        """Say where the relay's checkpoint does not stand on an event of this ledger, or behind what is verified."""
        task, tally = self._task, self._tally
        settled_ends(task.bootstrap_servers, task.checkpoint_topic)
        checkpoint = read_checkpoint(task.bootstrap_servers, task.checkpoint_topic)
        tally.count(CHECKPOINT, 1)
        if checkpoint is None:
            if task.last:
                detail = f"The relay has no checkpoint on Kafka, though events up to position {task.last} are there."
                tally.found(CHECKPOINT, "missing", task.last, detail)
            return
        held = dict(self._store.hashes_at([checkpoint.position])).get(checkpoint.position)
        if checkpoint.position < task.last:
            detail = (
                f"The relay's checkpoint stands at position {checkpoint.position}; Kafka has events up to {task.last}."
            )
            tally.found(CHECKPOINT, "changed", checkpoint.position, detail)
        if held != checkpoint.leaf_hash:
            holds = "no event" if held is None else f"an event with {held.hex()}"
            detail = (
                f"The relay's checkpoint says that position {checkpoint.position} has the leaf hash"
                f" {checkpoint.leaf_hash.hex()}; the store holds {holds}."
            )
            tally.found(CHECKPOINT, "changed", checkpoint.position, detail)


def _is_position(record: Received) -> bool:
    return record.position is not None and 0 < record.position <= MAX_POSITION


class _HashPages:
    """The store's leaf hashes by position, a few pages of them at a time."""

    def __init__(self, store: PostgresAuditedStore, last: int) -> None:
        self._store = store
        self._last = last
        self._pages: OrderedDict[int, list[bytes | None]] = OrderedDict()

    def at(self, position: int) -> bytes | None:
        """Give the hash at a position from 1 to the last one."""
        number, index = divmod(position - 1, HASHES_A_PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._read(number)
        return page[index]

    def _read(self, number: int) -> list[bytes | None]:
        first = number * HASHES_A_PAGE + 1
        page = self._store.leaf_hashes(first, min(first + HASHES_A_PAGE - 1, self._last))
        self._pages[number] = page
        if len(self._pages) > HASH_PAGES:
            self._pages.popitem(last=False)
        return page
