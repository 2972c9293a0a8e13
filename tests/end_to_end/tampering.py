"""A small ledger of which copies are tampered with, by the database's owner and by whoever may write to Kafka, and audited."""

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from domain.envelope import EventRow, envelope, leaf_hash
from domain.findings import Check, Finding, in_order
from infra.audit.kafka_pass import verify_kafka
from infra.audit.store_pass import verify_store
from infra.audit.task import OutsideHead, Task
from infra.bootstrap import audit_task
from infra.embedded.servers import Endpoints, Servers
from infra.kafka.clients import transactional_producer
from infra.kafka.ledger_topics import KafkaLedgerTopics
from infra.postgres.audited_store import PostgresAuditedStore
from infra.settings import Settings
from producers.batches import transaction
from producers.topics import Record, Transaction, layouts
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.conftest import shared
from tests.servers import copied_database, execute, fresh_ledger

CASE = ("golden", "case-108-corners", "1")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Audited:
    """What an audit of a copy came to."""

    checks: dict[str, Check]
    findings: Sequence[Finding]

    @property
    def found(self) -> set[tuple[str, str, int | None]]:
        """Check, kind and position of each finding."""
        return {(finding.check, finding.kind, finding.position) for finding in self.findings}

    def of(self, *checks: str) -> set[tuple[str, str, int | None]]:
        """The same, of some checks only."""
        return {found for found in self.found if found[0] in checks}

    def detail(self, check: str) -> str:
        """The sentence of a check's first finding."""
        return next(finding.detail for finding in self.findings if finding.check == check)


@dataclass(frozen=True)
class Copy:
    """A copy of the ledger's database, with topics that nobody else writes to, or those of the ledger itself."""

    endpoints: Endpoints
    prefix: str
    partitions: int

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run statements as the database's owner, past the triggers of the store."""
        url = self.endpoints.admin_database_url
        return execute(url, statement)

    def tamper(self, table: str, statement: str) -> None:
        """Change a table of the store with its triggers off, and switch them on again."""
        self.execute(
            f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER; {statement}; ALTER TABLE ledger.{table} ENABLE TRIGGER USER"
        )

    def project(self, statement: str) -> None:
        """Change the projections behind the projector's back."""
        execute(self.endpoints.projector_database_url, f"SET search_path = projection_1; {statement}")

    def value(self, statement: str) -> object:
        """Give the one value of a query, with the projections' tables by their names."""
        execute_ = f"SET search_path = projection_1, ledger; {statement}"
        [(value,)] = execute(self.endpoints.admin_database_url.replace("ledger_owner@", "postgres@"), execute_)
        return value

    def position(self, condition: str) -> int:
        """Give the first position of an event that meets a condition."""
        return int(str(self.value(f"SELECT min(position) FROM ledger.event WHERE {condition}")))

    def row(self, position: int) -> EventRow:
        """Give the event at a position."""
        store = PostgresAuditedStore(self.endpoints.read_database_url, "UTC")
        try:
            return store.at([position])[position]
        finally:
            store.close()

    def rewrite(self, position: int, change: Callable[[bytes], bytes]) -> EventRow:
        """Change an event's data and make its hash fit; give the event as it stands then."""
        row = self.row(position)
        changed = EventRow(**{**{name: getattr(row, name) for name in row.__struct_fields__}, "data": change(row.data)})
        assert changed.data != row.data
        self.tamper(
            "event",
            f"UPDATE ledger.event SET data = {sql_bytes(changed.data)}, leaf_hash = {sql_bytes(leaf_hash(envelope(changed)))}"
            f" WHERE position = {position}",
        )
        return changed

    def refit(self, *positions: int) -> None:
        """Make the hashes of events fit what they say."""
        for position in positions:
            now = sql_bytes(leaf_hash(envelope(self.row(position))))
            self.tamper("event", f"UPDATE ledger.event SET leaf_hash = {now} WHERE position = {position}")

    def task(self, outside: OutsideHead | None = None) -> Task:
        """Say what is to be verified, as `audit verify` does."""
        settings = Settings(topic_prefix=self.prefix, kafka_partitions=self.partitions)
        return audit_task(settings, self.endpoints, outside)

    def audit_store(self, outside: OutsideHead | None = None) -> Audited:
        """Run the pass over the store."""
        came_to = verify_store(self.task(outside), lambda _: None)
        return Audited({check.name: check for check in came_to.checks}, came_to.findings)

    def audit_kafka(self) -> Audited:
        """Run the pass over Kafka and the projections."""
        came_to = verify_kafka(self.task(), lambda _: None)
        return Audited({check.name: check for check in came_to.checks}, came_to.findings)

    def audit(self, outside: OutsideHead | None = None) -> Audited:
        """Run both."""
        store, kafka = self.audit_store(outside), self.audit_kafka()
        return Audited({**store.checks, **kafka.checks}, in_order([*store.findings, *kafka.findings]))

    def with_topics(self, change: Callable[[Transaction], Transaction] = lambda whole: whole) -> "Copy":
        """Give the same copy with topics of its own, filled from its store as it is now, but for what somebody changes."""
        store = PostgresAuditedStore(self.endpoints.read_database_url, "UTC")
        pages = list(store.pages(2**62))
        store.close()
        rows = [pair for page in pages for pair in zip(page.rows, page.stored, strict=True)]
        prefix = f"{self.prefix}-copy-{next(_numbers)}"
        topics = KafkaLedgerTopics(self.endpoints.bootstrap_servers, self.partitions, topic_prefix=prefix)
        topics.open()
        try:
            topics.send(change(transaction(rows)))
            while not topics.committed(1):
                pass
        finally:
            topics.close()
        return replace(self, prefix=prefix)

    def produce(self, topic: str, *records: tuple[bytes | None, bytes | None, int]) -> None:
        """Put records on a topic of the copy (`events`, `tier_changes`): key, value, time in ms."""
        name = getattr(layouts(self.partitions, self.prefix), topic).name
        producer = transactional_producer(self.endpoints.bootstrap_servers, f"forger-{os.getpid()}-{next(_numbers)}")
        producer.init_transactions()
        producer.begin_transaction()
        for key, value, time_ms in records:
            producer.send(name, key=key, value=value, timestamp_ms=time_ms)
        producer.commit_transaction()
        producer.close()


def sql_bytes(value: bytes) -> str:
    """Give bytes as a literal of SQL."""
    return f"'\\x{value.hex()}'"


@cache
def original() -> tuple[Copy, OutsideHead]:
    """Make the ledger once: a golden case with every kind of fact, and a tree head that was kept outside."""
    ledger = CommandLine(fresh_ledger())
    try:
        ledger.run("import", shared(*CASE), "--json")
        ledger.done("advance", "--to", "2012-04-10")
        head = ledger.done("audit", "head", "--to", ledger.settings.home)
    finally:
        ledger.down()
    endpoints = Servers(ledger.settings, say=lambda _: None).up()
    outside = OutsideHead(head["size"], bytes.fromhex(head["root"]), bytes.fromhex(head["streams_root"]))
    return Copy(endpoints, ledger.settings.topic_prefix, ledger.settings.kafka_partitions), outside


def copy_of_original() -> Copy:
    """Make a copy of the ledger's database; its topics are the ledger's own, to be read only."""
    whole, _ = original()
    return replace(whole, endpoints=copied_database(whole.endpoints))


def without(position: int) -> Callable[[Transaction], Transaction]:
    """Leave the record of a position out."""

    def change(whole: Transaction) -> Transaction:
        return replace(whole, events=tuple(r for n, r in enumerate(whole.events, 1) if n != position))

    return change


def again(position: int) -> Callable[[Transaction], Transaction]:
    """Put the record of a position at the end once more."""
    return lambda whole: replace(whole, events=(*whole.events, whole.events[position - 1]))


def instead(position: int, change: Callable[[Record], Record]) -> Callable[[Transaction], Transaction]:
    """Change the record of a position."""
    return lambda whole: replace(
        whole, events=tuple(change(r) if n == position else r for n, r in enumerate(whole.events, 1))
    )
