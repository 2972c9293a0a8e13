"""What a ledger holds, read from outside: rows by SQL, records by a Kafka consumer that belongs to no group.

Nothing here goes through the project's own readers, folds or decoders: what is compared must not be read by what wrote it.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg2

from domain.errors import ServiceUnreachable
from infra.embedded.servers import Endpoints
from infra.settings import Settings

READ_TIMEOUT_S = 120.0

DIFFER_BY_NATURE = frozenset(
    {"recorded_at", "leaf_hash", "record_offset", "next_offset", "cluster_id", "topic_id", "parked_at"}
)
"""Columns of the projections that two runs do not share: times, hashes over times, and places on one Kafka's topics."""
BOOKKEEPING: frozenset[str] = frozenset()
"""Tables of the projections that are about the projecting itself, so that two runs need not agree on them."""

_PSEUDONYM = re.compile(r"\b[0-9a-f]{32}\b")
_RANDOM_ID = re.compile(r"(?<=[:-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""The command of an advance has a random id."""
_EVENTS = (
    "SELECT position, stream, version, type, schema_version, envelope_version, business_date, actor, command_id,"
    " convert_from(data, 'UTF8') FROM ledger.event ORDER BY position"
)

Row = tuple[Any, ...]


class Record(NamedTuple):
    """A record of a topic, as a subscriber has it."""

    partition: int
    offset: int
    key: str
    value: bytes

    @property
    def leaf_hash(self) -> str:
        """SHA-256(0x00 || value), in hexadecimal."""
        return hashlib.sha256(b"\0" + self.value).hexdigest()


@dataclass(frozen=True)
class Table:
    """A table of the projections: its columns but for those that differ by nature, and its rows as COPY writes them, sorted."""

    columns: Sequence[str]
    rows: Sequence[str]


class Outside:
    """A ledger seen by somebody with database logins and a Kafka client; use it as a context."""

    def __init__(self, settings: Settings, endpoints: Endpoints) -> None:
        self._prefix = settings.topic_prefix
        self._endpoints = endpoints

    @contextmanager
    def opened(self) -> Iterator["Reading"]:
        """Connect for a while."""
        connection = psycopg2.connect(self._endpoints.admin_database_url)
        projections = psycopg2.connect(self._endpoints.read_database_url)
        try:
            yield Reading(connection, projections, self._endpoints.bootstrap_servers, self._prefix)
        finally:
            connection.close()
            projections.close()


class Reading:
    """One look at a ledger that is at rest."""

    def __init__(self, store: Any, projections: Any, bootstrap: str, prefix: str) -> None:
        self._store = store
        self._projections = projections
        self._bootstrap = bootstrap
        self.events_topic = f"{prefix}.events"
        self.tier_changes_topic = f"{prefix}.tier-changes"

    # --- the store ---

    def events(self) -> list[Row]:
        """Give all events, but for what differs by nature: times, hashes over them, random ids; pseudonyms are persons here."""
        named = self._named()
        return [(*row[:-2], _RANDOM_ID.sub("", row[-2]), named(row[-1])) for row in self.query(_EVENTS)]

    def hashes(self) -> list[Row]:
        """Give position, stream, version and stored leaf hash of all events."""
        return self.query(
            "SELECT position, stream, version, encode(leaf_hash, 'hex') FROM ledger.event ORDER BY position"
        )

    def identities(self) -> list[Row]:
        """Give all identities, each with the hash of what was told."""
        named = self._named()
        rows = self.query(
            "SELECT kind, key, stream, version, encode(content_hash, 'hex'), coalesce(refers_to, '')"
            " FROM ledger.identity ORDER BY kind, key"
        )
        return [(*row[:-1], named(row[-1])) for row in rows]

    def persons(self) -> list[Row]:
        """Give the persons that are known."""
        return self.query("SELECT person_id FROM ledger.person ORDER BY 1")

    def imports(self) -> list[Row]:
        """Give what each import recorded and which rows it refused."""
        return [
            *self.query("SELECT digest, done, recorded, duplicates, events FROM ledger.import_progress ORDER BY 1"),
            *self.query("SELECT digest, seq, file, line, reason FROM ledger.import_refusal ORDER BY 1, 2"),
        ]

    def sold(self) -> Mapping[str, Decimal]:
        """Give the sum of all sales by currency, of the events themselves."""
        return dict(
            self.query(
                "SELECT body ->> 'currency', sum((body ->> 'amount')::numeric) FROM"
                " (SELECT convert_from(data, 'UTF8')::json AS body FROM ledger.event WHERE type = 'SaleRecorded') AS sale"
                " GROUP BY 1"
            )
        )

    # --- the topics ---

    def records(self, topic: str) -> list[Record]:
        """Read a topic whole, as committed, each partition in its order.

        Raises:
            ServiceUnreachable: its end cannot be reached.

        """
        from kafka import KafkaConsumer, TopicPartition  # where it is used: every command imports this module

        consumer = KafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_poll_records=10_000,
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )
        try:
            partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            found: list[Record] = []
            give_up_at = time.monotonic() + READ_TIMEOUT_S
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                if time.monotonic() > give_up_at:
                    raise ServiceUnreachable(f"Topic {topic} cannot be read to its end within {READ_TIMEOUT_S:.0f} s.")
                for polled in consumer.poll(timeout_ms=200).values():
                    found += [Record(each.partition, each.offset, each.key.decode(), each.value) for each in polled]
            return found
        finally:
            consumer.close()

    def tier_changes(self) -> list[Row]:
        """Give the public tier changes, partition by partition in order, without their times."""
        found: list[tuple[int, int, str, dict[str, Any]]] = []
        for record in self.records(self.tier_changes_topic):
            document = json.loads(record.value)
            del document["time"]
            found.append((record.partition, record.offset, record.key, document))
        found.sort(key=lambda row: row[:2])
        return [(partition, key, json.dumps(document)) for partition, _, key, document in found]

    # --- the projections ---

    def tables(self) -> dict[str, Table]:
        """Give all tables of the live projections that the catalogue names, row by row."""
        columns: dict[str, list[str]] = {}
        for table, column in self.query(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            f" WHERE c.relnamespace = '{self._schema()}'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum"
        ):
            if table not in BOOKKEEPING and column not in DIFFER_BY_NATURE:
                columns.setdefault(table, []).append(column)
        return {table: Table(names, self._copied(table, names)) for table, names in columns.items()}

    def audited(self) -> list[Row]:
        """Give where the audit trail says that each event is on Kafka, with its hash."""
        return self.projected(
            "SELECT position, topic, partition, record_offset, encode(leaf_hash, 'hex') FROM {schema}.audit ORDER BY position"
        )

    def sold_by_projection(self) -> Mapping[str, Decimal]:
        """Give the sum of all sales by currency, of the projections."""
        return dict(self.projected("SELECT currency, sum(amount) FROM {schema}.sale GROUP BY 1"))

    def bonuses(self) -> Mapping[str, Sequence[Row]]:
        """Give the sums of bonuses by currency: of the lines, of the balances, and of what was posted less what was posted back."""
        return {
            "lines": self.projected("SELECT currency, sum(amount) FROM {schema}.bonus_line GROUP BY 1 ORDER BY 1"),
            "balances": self.projected(
                "SELECT currency, sum(accrued + clawed_back) FROM {schema}.balance GROUP BY 1 ORDER BY 1"
            ),
        }

    def parked(self) -> int:
        """Count the records that were set aside."""
        ((count,),) = self.projected("SELECT count(*) FROM {schema}.parked")
        return int(count)

    def query(self, statement: str) -> list[Row]:
        """Query as the owner."""
        return _rows(self._store, statement)

    def projected(self, statement: str) -> list[Row]:
        """Query the live projections by the login that only reads."""
        return _rows(self._projections, statement.format(schema=self._schema()))

    def _named(self) -> Callable[[str], str]:
        """Make what puts persons in place of their pseudonyms, which are random."""
        persons: dict[str, str] = dict(self.query("SELECT pseudonym, person_id FROM ledger.person"))
        return lambda text: _PSEUDONYM.sub(lambda found: persons[found[0]], text)

    def _schema(self) -> str:
        ((build,),) = _rows(self._projections, "SELECT build FROM projection.live")
        return f"projection_{int(build)}"

    def _copied(self, table: str, columns: Sequence[str]) -> list[str]:
        taken = _Lines()
        listed = ", ".join(f'"{column}"' for column in columns)
        with self._projections.cursor() as cursor:
            cursor.copy_expert(f'COPY (SELECT {listed} FROM {self._schema()}."{table}") TO STDOUT', taken)
        text = b"".join(taken.parts).decode().replace(self.events_topic, "events")  # whatever the topics' prefix is
        return sorted(_RANDOM_ID.sub("", text).split("\n")[:-1])  # each row ends with a line feed


class _Lines:
    """What COPY writes to."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self.parts.append(part)
        return len(part)


def _rows(connection: Any, statement: str) -> list[Row]:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
