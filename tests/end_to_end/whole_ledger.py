"""What a ledger holds, read from outside: rows by SQL, records by a Kafka consumer, and whether the two agree.

Nothing here goes through the project's own readers, so that a total is never checked by the code that made it.
"""

import hashlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from kafka import KafkaConsumer, TopicPartition

from infra.embedded.servers import Endpoints, Servers
from tests.end_to_end.command_line import CommandLine

_PSEUDONYM = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Record:
    """A record of the events topic, as a subscriber sees it."""

    partition: int
    offset: int
    key: str
    leaf_hash: str
    envelope: dict[str, Any]

    @property
    def position(self) -> int:
        """The event's position in the store."""
        return int(self.envelope["position"])


class Outside:
    """A ledger seen by somebody with a database login and a Kafka client."""

    def __init__(self, ledger: CommandLine) -> None:
        self.ledger = ledger
        endpoints = Servers(ledger.settings, say=lambda _: None).status().endpoints
        assert endpoints is not None, "the servers of the ledger do not run"
        self.endpoints: Endpoints = endpoints

    @property
    def topic(self) -> str:
        """The events topic."""
        return f"{self.ledger.settings.topic_prefix}.events"

    def query(self, statement: str, *, url: str | None = None) -> list[tuple[Any, ...]]:
        """Query the store, or the projections as `projection_1.…`."""
        connection = psycopg2.connect(url or self.endpoints.admin_database_url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()

    def projected(self, statement: str) -> list[tuple[Any, ...]]:
        """Query the projections by the login that only reads."""
        return self.query(statement, url=self.endpoints.read_database_url)

    def records(self) -> list[Record]:
        """Read the events topic whole, as committed, each partition in its order."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.endpoints.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_poll_records=10_000,
        )
        try:
            partitions = [TopicPartition(self.topic, number) for number in consumer.partitions_for_topic(self.topic)]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            found: list[Record] = []
            give_up_at = time.monotonic() + 120
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                assert time.monotonic() < give_up_at, "the topic could not be read to its end"
                for polled in consumer.poll(timeout_ms=200).values():
                    found += [_record(each) for each in polled]
            return found
        finally:
            consumer.close()

    def events(self) -> list[tuple[Any, ...]]:
        """All columns of all events, in order of position, but those that differ by nature: times and random pseudonyms.

        A pseudonym is replaced by the person it stands for. The leaf hash covers both, so it is compared with Kafka instead.
        """
        persons = dict(self.query("SELECT pseudonym, person_id FROM ledger.person"))
        rows = self.query(
            "SELECT position, stream, version, type, schema_version, envelope_version, business_date, actor, command_id,"
            " convert_from(data, 'UTF8') FROM ledger.event ORDER BY position"
        )
        return [(*row[:-1], _PSEUDONYM.sub(lambda found: persons[found[0]], row[-1])) for row in rows]

    def parked(self) -> int:
        """Count the records that the projector has put aside."""
        ((count,),) = self.projected("SELECT count(*) FROM projection_1.parked")
        return int(count)


def _record(polled: Any) -> Record:
    leaf_hash = hashlib.sha256(b"\0" + polled.value).hexdigest()
    return Record(polled.partition, polled.offset, polled.key.decode(), leaf_hash, json.loads(polled.value))


def check_every_event_once(outside: Outside) -> list[Record]:
    """Compare store, topic and audit trail: every event once in each, byte for byte, in order per stream, none parked."""
    stored = outside.query("SELECT position, stream, version, encode(leaf_hash, 'hex') FROM ledger.event ORDER BY 1")
    assert [row[0] for row in stored] == list(range(1, len(stored) + 1)), "positions 1..n without a hole"
    records = outside.records()
    seen = [(r.position, r.envelope["subject"], r.envelope["streamversion"], r.leaf_hash) for r in records]
    assert sorted(seen) == stored, "the topic holds each event once, with the bytes that were hashed"

    versions: dict[str, list[int]] = defaultdict(list)
    places: dict[str, set[int]] = defaultdict(set)
    for record in records:
        assert record.key == record.envelope["subject"]
        versions[record.key].append(record.envelope["streamversion"])
        places[record.key].add(record.partition)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values()), "in order per stream"
    assert all(len(partitions) == 1 for partitions in places.values())

    audited = outside.projected(
        "SELECT position, topic, partition, record_offset, encode(leaf_hash, 'hex') FROM projection_1.audit ORDER BY 1"
    )
    expected = sorted((r.position, outside.topic, r.partition, r.offset, r.leaf_hash) for r in records)
    assert audited == expected, "the audit trail cites each event once, at its place on Kafka"
    assert outside.parked() == 0
    return records


def check_as_if_undisturbed(disturbed: CommandLine, undisturbed: CommandLine) -> None:
    """Compare two ledgers that were told the same: events in their order, and what is answered about the partners."""
    found, expected = Outside(disturbed), Outside(undisturbed)
    check_every_event_once(found)
    differing = [pair for pair in zip(found.events(), expected.events(), strict=True) if pair[0] != pair[1]]
    assert not differing, f"the first of {len(differing)} events that differ: {differing[0]}"
    assert disturbed.done("partners") == undisturbed.done("partners")


class Position:
    """Follows the last position of a store, on a connection that is made when it can be."""

    def __init__(self, outside: Outside) -> None:
        self._connection = psycopg2.connect(outside.endpoints.read_database_url)
        self._connection.autocommit = True

    def now(self) -> int:
        """Give the last position."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT position FROM ledger.head")
            row = cursor.fetchone()
            assert row is not None
            return int(row[0])

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()


def one_sentence(err: str) -> Sequence[str]:
    """Give the lines of standard error but for what was said while starting; there is never a traceback."""
    assert "Traceback" not in err, err
    return [line for line in err.splitlines() if line.strip() and not line.startswith("Started the ")]
