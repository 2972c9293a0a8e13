"""What the tests of the relay need of the real Kafka and PostgreSQL: stores to append to, and what stands on the topics.

The servers are the session's (`tests.servers`) or, for tests that kill servers, a pair of their own.
"""

import datetime as dt
import json
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import psycopg2
from kafka import TopicPartition
from psycopg2.extras import execute_values

from domain import events, streams
from domain.envelope import EventRow, envelope, leaf_hash, open_envelope
from infra.embedded.servers import Endpoints
from infra.kafka import admin
from infra.kafka.clients import read_committed_consumer
from infra.postgres.connections import CHANNEL
from producers.topics import TopicLayout, layouts
from tests.servers import servers
from tests.waiting import eventually

DAY = dt.date(2024, 5, 1)


def bootstrap() -> str:
    return servers()[2].bootstrap_servers


def fresh_prefix() -> str:
    return f"relay-{uuid.uuid4().hex[:12]}"


class Ledger:
    """An event store to append to: partners that enrol and change tier, several events to a command."""

    def __init__(self, endpoints: Endpoints, seed: str = "") -> None:
        self.endpoints = endpoints
        self._seed = seed
        self.connect()
        self._versions: dict[str, int] = defaultdict(int)
        self._told = 0

    def connect(self) -> None:
        """Connect, or connect again after PostgreSQL was away."""
        self._connection = psycopg2.connect(self.endpoints.database_url)

    def append(self, commands: int = 1, partners: int = 40) -> int:
        """Append commands of one to three events in one transaction; give the last position."""
        told: list[tuple[str, str, events.Event]] = []
        for _ in range(commands):
            self._told += 1
            partner_id = f"P-{self._seed}{self._told % partners}"
            command = f"command-{self._told}"
            told += [(command, streams.partner_stream(partner_id), event) for event in self._events(partner_id)]
        with self._connection, self._connection.cursor() as cursor:
            return self._insert(cursor, told)

    def _events(self, partner_id: str) -> Sequence[events.Event]:
        if self._versions[streams.partner_stream(partner_id)] == 0:
            return [
                events.PartnerEnrolled(
                    partner_id=partner_id,
                    name="Müller & Söhne",
                    country="CH",
                    currency="CHF",
                    enrolled_on=DAY,
                    tier="bronze",
                    programme="affinity-2011",
                )
            ]
        suspended = events.MembershipSuspended(on=DAY, effective_on=DAY)
        changed = events.TierChanged(
            country="CH",
            from_tier="bronze",
            to_tier="silver",
            to_awarded=False,
            reason="promotion",
            effective_on=DAY,
            by_fact=True,
            programme="affinity-2011",
        )
        return [suspended, changed, suspended][: 1 + self._told % 3]

    def _insert(self, cursor: Any, told: Sequence[tuple[str, str, events.Event]]) -> int:
        cursor.execute(
            "UPDATE ledger.head SET position = position + %s, latest_business_date = %s"
            " RETURNING position, recorded_at, session_user",
            (len(told), DAY),
        )
        last, recorded_at, actor = cursor.fetchone()
        rows = []
        for position, (command, stream, event) in enumerate(told, start=last - len(told) + 1):
            self._versions[stream] += 1
            row = EventRow(
                position=position,
                stream=stream,
                version=self._versions[stream],
                type=type(event).__name__,
                schema_version=1,
                business_date=DAY,
                recorded_at=recorded_at,
                actor=actor,
                command_id=command,
                envelope_version=1,
                data=events.encode(event),
            )
            rows.append((*(getattr(row, name) for name in EventRow.__struct_fields__), leaf_hash(envelope(row))))
        columns = ", ".join([*EventRow.__struct_fields__, "leaf_hash"])
        execute_values(cursor, f"INSERT INTO ledger.event ({columns}) VALUES %s", rows, page_size=len(rows))
        cursor.execute(f"NOTIFY {CHANNEL}")
        return int(last)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()


def records_of(topic: TopicLayout, bootstrap_servers: str | None = None) -> list[Any]:
    """Read a topic whole, as committed, each partition in its order.

    Kafka confirms a commit before its markers are on every partition: so this waits until no transaction is open there.
    """
    consumer = read_committed_consumer(bootstrap_servers or bootstrap())
    whole = read_committed_consumer(bootstrap_servers or bootstrap(), isolation_level="read_uncommitted")
    partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, 0)
    eventually(lambda: consumer.end_offsets(partitions) == whole.end_offsets(partitions))
    ends = consumer.end_offsets(partitions)
    whole.close()
    records: list[Any] = []
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for polled in consumer.poll(timeout_ms=100).values():
            records.extend(polled)
    consumer.close()
    return records


def assert_relayed_exactly_once(ledger: Ledger, prefix: str) -> None:
    """Compare store and topics: every event once, byte for byte, in order per stream, and its public tier change."""
    topics, kafka = layouts(prefix=prefix), ledger.endpoints.bootstrap_servers
    seen = [(open_envelope(record.value), record) for record in records_of(topics.events, kafka)]
    hashes = [(each.position, leaf_hash(record.value)) for each, record in seen]
    stored = ledger.query("SELECT position, leaf_hash FROM ledger.event ORDER BY position")
    assert sorted(hashes) == [(position, bytes(stored_hash)) for position, stored_hash in stored]
    assert [position for position, _ in stored] == list(range(1, len(stored) + 1))
    versions: dict[str, list[int]] = defaultdict(list)
    for each, record in seen:
        assert record.key == each.stream.encode()
        versions[each.stream].append(each.streamversion)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    told = [json.loads(record.value)["data"]["position"] for record in records_of(topics.tier_changes, kafka)]
    public = ledger.query(
        "SELECT position FROM ledger.event WHERE type IN ('PartnerEnrolled', 'TierChanged') ORDER BY 1"
    )
    assert sorted(told) == [position for (position,) in public]


class Checkpoints:
    """Follows a relay's committed checkpoints with one consumer, which is much cheaper than asking anew each time."""

    def __init__(self, prefix: str, bootstrap_servers: str | None = None) -> None:
        self._bootstrap_servers = bootstrap_servers or bootstrap()
        self._topic = TopicPartition(layouts(prefix=prefix).relay_checkpoint.name, 0)
        self._consumer: Any = None
        self._position = 0

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def position(self) -> int:
        """Give the last position known to be on Kafka."""
        if self._consumer is None:
            if admin.topic_id(self._bootstrap_servers, self._topic.topic) is None:
                return 0
            self._consumer = read_committed_consumer(self._bootstrap_servers)
            self._consumer.assign([self._topic])
            self._consumer.seek(self._topic, 0)
        end = self._consumer.end_offsets([self._topic])[self._topic]
        while self._consumer.position(self._topic) < end:
            for records in self._consumer.poll(timeout_ms=50).values():
                self._position = json.loads(records[-1].value)["position"]
        return self._position

    def reach(self, position: int, within_s: float = 60.0) -> None:
        eventually(lambda: self.position() == position, within_s)

    def move_on(self) -> None:
        """Wait until more is on Kafka than now."""
        now = self.position()
        eventually(lambda: self.position() > now, within_s=60)
