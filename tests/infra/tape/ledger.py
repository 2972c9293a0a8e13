"""A ledger's database with topics of its own, filled from its store step by step, and tapes made from them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from domain.retold import FACTS_OF_PARTNERS
from infra.kafka.event_source import end_offsets, topic_identity
from infra.kafka.ledger_topics import KafkaLedgerTopics, relayed_position
from infra.postgres.audited_store import PostgresAuditedStore
from infra.postgres.tree import PostgresTree
from infra.tape.making import Made, Sources, make
from infra.tape.manifest import TapeSource
from producers.batches import StoredRow, transaction
from producers.topics import Transaction, layouts
from tests.end_to_end.tampering import Copy
from tests.servers import execute
from tests.waiting import eventually

_numbers = itertools.count(1)
OWN_FACTS = ("ProgrammePublished", "LedgerAdvanced", "RecordDropped")

Fact = tuple[str, int, str, int, bytes]


@dataclass(frozen=True)
class Relayed:
    """A copy of a ledger whose events are put on topics of its own as a test wants them."""

    copy: Copy

    def relay(self, first: int, last: int, change: Callable[[Transaction], Transaction] = lambda whole: whole) -> None:
        """Put the events of positions on the topic, with the relay's checkpoint, in one transaction."""
        topics = KafkaLedgerTopics(
            self.copy.endpoints.bootstrap_servers, self.copy.partitions, topic_prefix=self.copy.prefix
        )
        topics.open()
        try:
            if last < first:
                return
            whole = change(transaction(self._rows(first, last)))
            topics.send(whole)
            while not topics.committed(1):
                pass
        finally:
            topics.close()
        endpoints = self.copy.endpoints  # a transaction is committed before its records can be read
        eventually(lambda: relayed_position(endpoints.bootstrap_servers, self.copy.prefix) == whole.checkpoint.position)

    def produce(self, record: tuple[bytes | None, bytes | None, int]) -> None:
        """Put a record on the events topic as somebody else would, and wait until it can be read."""
        topic, bootstrap = (
            layouts(self.copy.partitions, self.copy.prefix).events.name,
            self.copy.endpoints.bootstrap_servers,
        )
        before = sum(end_offsets(bootstrap, topic).values())
        self.copy.produce("events", record)
        eventually(lambda: sum(end_offsets(bootstrap, topic).values()) > before + 1)  # the record and its marker

    def make(self, folder: Path, *, anew: bool = False, wait_s: float = 1) -> Made:
        """Make or top up a tape, as the command does."""
        return make(
            folder, self.sources(), anew=anew, wait_s=wait_s, say=lambda _: None, on_progress=lambda _done, _total: None
        )

    def sources(self) -> Sources:
        """Say what a tape is made from."""
        endpoints, topics = self.copy.endpoints, layouts(self.copy.partitions, self.copy.prefix)
        topic, cluster_id, topic_id = topic_identity(endpoints.bootstrap_servers, topics.events.name)
        source = TapeSource(self.ledger_id(), cluster_id, topic, topic_id, topics.events.partitions)
        return Sources(
            source,
            endpoints.bootstrap_servers,
            topics.relay_checkpoint.name,
            endpoints.read_database_url,
            "Europe/Zurich",
        )

    def ledger_id(self) -> str:
        """Ask the store for its id."""
        tree = PostgresTree(self.copy.endpoints.read_database_url)
        try:
            return str(tree.ledger_id())
        finally:
            tree.close()

    def store(self) -> PostgresAuditedStore:
        """Open the store as the reader; close it."""
        return PostgresAuditedStore(self.copy.endpoints.read_database_url, "Europe/Zurich")

    def facts(self, last: int) -> tuple[list[Fact], list[Fact]]:
        """Give the facts that the store has up to a position: partners' by stream, the ledger's own."""

        def select(types: tuple[str, ...], order: str) -> list[Fact]:
            names = ", ".join(f"'{name}'" for name in types)
            found = execute(
                self.copy.endpoints.read_database_url,
                "SELECT stream, position, type, schema_version, data FROM ledger.event"
                f" WHERE position <= {last} AND type IN ({names}) ORDER BY {order}",
            )
            return [_fact(*row) for row in found]

        partners = select(tuple(FACTS_OF_PARTNERS), 'stream COLLATE "C", position')
        return partners, select(OWN_FACTS, "position")

    def last(self) -> int:
        """Give the last position of the store."""
        return int(str(self.copy.value("SELECT max(position) FROM ledger.event")))

    def _rows(self, first: int, last: int) -> list[StoredRow]:
        store = self.store()
        pages = list(store.pages(last))
        store.close()
        rows = [pair for page in pages for pair in zip(page.rows, page.stored, strict=True)]
        return [pair for pair in rows if pair[0].position >= first]


def _fact(stream: Any, position: Any, type_name: Any, schema_version: Any, data: Any) -> Fact:
    return stream, position, type_name, schema_version, bytes(data)


def with_own_topics(copy: Copy) -> Relayed:
    """Give a copy of a ledger topics that nobody has written to yet."""
    return Relayed(replace(copy, prefix=f"{copy.prefix}-tape-{next(_numbers)}"))
