"""Eight writers at once, with conflicts and rollbacks on purpose, and readers that tail: no hole, no repetition, no disorder."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from eventsourcing.persistence import IntegrityError

from domain.envelope import EventRow, envelope, leaf_hash
from domain.errors import StaleTerms
from domain.recording import Append, Head, Identity
from infra.postgres.connections import ConnectionPool
from infra.postgres.event_log import PostgresEventLog
from infra.postgres.recorder import PostgresLedgerRecorder
from tests.infra.postgres.conftest import PostgresUrls, run, sales

WRITERS, APPENDS, STREAMS, DEALS = 8, 40, 5, 120


class Writer:
    """Appends to streams that others write to as well, at the version it saw; counts what it got through."""

    def __init__(self, url: str, number: int) -> None:
        self.recorder = PostgresLedgerRecorder(ConnectionPool(url), timezone="UTC")
        self.chance = random.Random(number)
        self.number = number
        self.positions: list[list[int]] = []
        self.conflicts = self.stale = 0

    def run(self) -> "Writer":
        for n in range(APPENDS):
            stream = f"partner:P{self.chance.randrange(STREAMS)}"
            last = self.recorder.select_events(stream, desc=True, limit=1)
            first = (last[0].originator_version if last else 0) + 1
            count = self.chance.choice((1, 1, 2, 5, 60))
            deal = Identity("deal", f"D{self.chance.randrange(DEALS)}", stream, first, b"")
            append = Append(judge=self.judge, identities=[deal] if self.chance.random() < 0.5 else [])
            stored = sales(stream, first, count, command_id=f"w{self.number}-{n}")
            try:
                self.positions.append(self.recorder.insert_events(stored, append=append))
            except IntegrityError:
                self.conflicts += 1
            except StaleTerms:
                self.stale += 1
        self.recorder.close()
        return self

    def judge(self, head: Head) -> None:
        if self.chance.random() < 0.1:
            raise StaleTerms


class Reader:
    """Tails the store as the relay does, by position, woken by NOTIFY."""

    def __init__(self, url: str) -> None:
        self.log = PostgresEventLog(url)
        self.rows: list[tuple[EventRow, bytes]] = []
        self.until = threading.Event()
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._tail)

    def _tail(self) -> None:
        try:
            finished = False
            while not finished:
                finished = self.until.is_set()
                while page := self.log.read(self.rows[-1][0].position if self.rows else 0, 7):
                    self.rows.extend(page)
                if not finished:
                    self.log.wait(0.2)
        except BaseException as error:  # handed to the test, which raises it
            self.failure = error
        finally:
            self.log.close()


def test_every_event_is_seen_once_in_order_without_a_hole(postgres_urls: PostgresUrls) -> None:
    reader = Reader(postgres_urls.reader)
    reader.thread.start()
    subscriber = PostgresLedgerRecorder(ConnectionPool(postgres_urls.application), timezone="UTC")
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = list(pool.map(lambda n: Writer(postgres_urls.application, n).run(), range(WRITERS)))
    reader.until.set()
    reader.thread.join()
    if reader.failure is not None:
        raise reader.failure

    appended = sum(len(positions) for writer in writers for positions in writer.positions)
    rows = [row for row, _ in reader.rows]
    assert [row.position for row in rows] == list(range(1, appended + 1))
    assert run(postgres_urls.reader, "SELECT count(*), max(position) FROM ledger.event") == [(appended, appended)]
    assert all(earlier.recorded_at <= later.recorded_at for earlier, later in pairwise(rows))
    for stream in {row.stream for row in rows}:
        versions = [row.version for row in rows if row.stream == stream]
        assert versions == list(range(1, len(versions) + 1))
    # A command's events stand next to each other, where the writer was told that they are.
    for writer in writers:
        for positions in writer.positions:
            assert positions == list(range(positions[0], positions[0] + len(positions)))
            assert len({rows[position - 1].command_id for position in positions}) == 1
    assert all(leaf_hash(envelope(row)) == stored_hash for row, stored_hash in reader.rows)
    # What this is about did happen.
    assert sum(writer.conflicts for writer in writers) > 10
    assert sum(writer.stale for writer in writers) > 5
    with subscriber.subscribe(gt=0) as subscription:
        seen = [next(subscription).id for _ in range(appended)]
    subscriber.close()
    assert seen == list(range(1, appended + 1))
