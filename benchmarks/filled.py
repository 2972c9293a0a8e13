"""A ledger that has events: the store that the relay reads, and the topic that the projector reads."""

import re
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

from benchmarks.measuring import Clock, Spent
from benchmarks.network import feed_folder
from infra.bootstrap import Runtime, make_ledger
from infra.embedded import processes
from infra.embedded.servers import Endpoints, Servers
from infra.kafka.ledger_topics import KafkaLedgerTopics
from infra.postgres.event_log import PostgresEventLog
from infra.postgres.staging import PostgresFeedStaging
from infra.settings import Settings
from producers.feeds import FeedFolder
from producers.importer import Importer, ImportSummary
from producers.relay import Relay
from producers.topics import Relayed, Transaction
from tests.servers import fresh_ledger
from tests.waiting import eventually

PARTNERS = 700


def endpoints_of(settings: Settings) -> Endpoints:
    """Say where a ledger of these settings is; its servers run."""
    return Servers(settings, say=lambda _: None).up()


def last_position(settings: Settings) -> int:
    """Give the number of events in a ledger's store."""
    log = PostgresEventLog(endpoints_of(settings).database_url)
    try:
        return log.last_position()
    finally:
        log.close()


def most_memory_mb(settings: Settings, process: str, done: Callable[[], bool]) -> float:
    """Have a background process as `up` starts it work until it is done; give the most memory that was resident."""
    Runtime(settings, lambda _: None).start(process)
    try:
        eventually(done, pause_s=0.2)
        pid = processes.running(settings.home, process)
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
        assert found is not None
        return int(found[1]) * 1024 / 1e6
    finally:
        processes.stop(settings.home, process, timeout=20)


def import_folder(settings: Settings, folder: Path) -> tuple[ImportSummary, Spent, Spent]:
    """Import a folder; what was spent on all of it, counted in facts, and on reading and sorting alone."""
    endpoints = endpoints_of(settings)
    ledger = make_ledger(settings, endpoints, lambda _: None)
    staging = PostgresFeedStaging(endpoints.database_url)
    clock = Clock()
    staged: list[Spent] = []

    def note_staged(done: int, rows: int) -> None:
        if not done:
            staged.append(clock.spent(rows))

    summary = Importer(ledger, staging, settings.import_batch_facts).run(
        FeedFolder(folder), lambda _done, _rows: None, note_staged
    )
    spent = clock.spent(summary.recorded)
    staging.close()
    ledger.close()
    return summary, spent, staged[0]


@cache
def imported(sales: int) -> Settings:
    """Give a ledger that has imported so many sales; the same one each time."""
    settings = fresh_ledger()
    with feed_folder(sales=sales, partners=PARTNERS) as folder:
        import_folder(settings, folder)
    return settings


def relay_all(settings: Settings) -> Spent:
    """Relay all that a ledger has to topics that have nothing, in this process; counted in events."""
    endpoints = endpoints_of(settings)
    event_log = PostgresEventLog(endpoints.database_url)
    stop = threading.Event()
    topics = _Watched(endpoints.bootstrap_servers, settings, event_log.last_position(), stop)
    try:
        Relay(event_log, topics, settings.relay_batch_events, settings.poll_interval_ms).run(stop)
    finally:
        event_log.close()
    return topics.spent


class _Watched(KafkaLedgerTopics):
    """The topics, timed from the end of `open` until the last position is committed, at which they stop the relay."""

    def __init__(self, bootstrap: str, settings: Settings, last_position: int, stop: threading.Event) -> None:
        super().__init__(bootstrap, settings.kafka_partitions, topic_prefix=settings.topic_prefix)
        self._last_position = last_position
        self._stop = stop
        self._sent = 0
        self.spent = Spent(0, 0.0)

    def open(self) -> Relayed:
        relayed = super().open()
        self._clock = Clock()
        return relayed

    def send(self, content: Transaction) -> None:
        super().send(content)
        self._sent = content.checkpoint.position

    def committed(self, timeout_s: float) -> bool:
        committed = super().committed(timeout_s)
        if committed and self._sent == self._last_position and not self._stop.is_set():
            self.spent = self._clock.spent(self._last_position)
            self._stop.set()
        return committed


@cache
def relayed(sales: int) -> Settings:
    """Give the ledger of `imported` with all of its events on Kafka."""
    settings = imported(sales).model_copy(update={"topic_prefix": f"{imported(sales).topic_prefix}-relayed"})
    relay_all(settings)
    return settings
