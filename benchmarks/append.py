"""Appending: events a second into the store, beside the library's own PostgreSQL recorder on the same server.

Each writer appends to a stream of its own as fast as it is let: a process of its own, or a thread beside others in one
process, where appends that wait for the head at the same time share a transaction (`infra.postgres.group_commit`).
Payloads, stream names and numbers of events a save are the same for both recorders, and neither writes anything but events
(an import's identities are part of the benchmark `import`).
"""

import datetime as dt
import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from psycopg2.extensions import parse_dsn

from benchmarks.measuring import Bench, Spent, say
from domain.events import SaleRecorded, encode
from domain.recording import LedgerStoredEvent
from infra.postgres.connections import ConnectionPool
from infra.postgres.recorder import PostgresLedgerRecorder
from tests.servers import execute, fresh_database, servers, superuser_url

MANY_WRITERS = 8
EVENTS_A_SAVE = 200
WITHIN_S = 3.0
"""A writer that has gone on for so long stops."""
START_WITHIN_S = 60.0
TYPE, DAY = "SaleRecorded", dt.date(2012, 3, 1)

_numbers = itertools.count(1)
_start: Any = None
"""The barrier at which the writers of one pool wait for each other."""


def measure(bench: Bench) -> None:
    """Measure single events by one and by eight writers, and 200 a save, on both recorders."""
    recorders = ["ours"]
    if find_spec("psycopg") is None:
        say("append: the library's recorder is not installed; with it: uv run --group bench python -m benchmarks")
    else:
        recorders.append("library's")
    for recorder, (writers, events_a_save) in itertools.product(
        recorders, [(1, 1), (MANY_WRITERS, 1), (1, EVENTS_A_SAVE)]
    ):
        saves = max(1, bench.events // (25 if events_a_save == 1 else events_a_save) // writers)
        who = f"{writers} processes" if writers > 1 else "1 writer"
        name = f"{recorder}: {who}, {events_a_save} event{'s' * (events_a_save > 1)} a save"
        bench.rates(name, "events/s", _runs(bench.runs, recorder, writers, saves, events_a_save))
    for recorder in recorders:
        saves = max(1, bench.events // 25 // MANY_WRITERS)
        name = f"{recorder}: {MANY_WRITERS} threads of one process, 1 event a save"
        bench.rates(name, "events/s", _threads(bench.runs, recorder, saves))


def _runs(runs: int, recorder: str, writers: int, saves: int, events_a_save: int) -> Sequence[Spent]:
    """Let writers append, all at once, a few times; from the first one's start to the last one's end."""
    url = _DATABASES[recorder]()
    # Nothing of this process's connections and threads, and everything imported once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.__main__"])
    barrier = context.Barrier(writers)
    spent = []
    with context.Pool(writers, _keep_barrier, (barrier,)) as pool:
        for run in range(runs):
            tasks = [(recorder, url, f"partner:{run}-{number}", saves, events_a_save) for number in range(writers)]
            written = pool.starmap(_write, tasks, chunksize=1)
            events, began, ended = zip(*written, strict=True)
            spent.append(Spent(sum(events), max(ended) - min(began)))
    return spent


def _threads(runs: int, recorder: str, saves: int) -> Sequence[Spent]:
    """Let the threads of one process append, all at once, by the same recorder; its pool is as large as they are many."""
    global _start  # noqa: PLW0603  # the same barrier that the processes have
    _start = threading.Barrier(MANY_WRITERS)
    opened = _RECORDERS[recorder](_DATABASES[recorder]())
    spent = []
    with ThreadPoolExecutor(MANY_WRITERS) as pool:
        for run in range(runs):
            streams = [f"partner:{run}-{number}" for number in range(MANY_WRITERS)]
            written = list(pool.map(lambda stream: _append(opened[0], recorder, stream, saves, 1), streams))
            events, began, ended = zip(*written, strict=True)
            spent.append(Spent(sum(events), max(ended) - min(began)))
    opened[1]()
    return spent


def _keep_barrier(barrier: Any) -> None:
    global _start  # noqa: PLW0603  # handed to a process of the pool once, when it begins
    _start = barrier


def _write(recorder: str, url: str, stream: str, saves: int, events_a_save: int) -> tuple[int, float, float]:
    """Append in one process; give the number of events and when it began and ended."""
    writing, close = _RECORDERS[recorder](url)
    written = _append(writing, recorder, stream, saves, events_a_save)
    close()
    return written


def _append(writing: Any, recorder: str, stream: str, saves: int, events_a_save: int) -> tuple[int, float, float]:
    make = _EVENTS[recorder]
    batches = [
        [make(stream, first + number, _payload(stream, first + number)) for number in range(events_a_save)]
        for first in range(1, saves * events_a_save + 1, events_a_save)
    ]
    events = 0
    _start.wait(START_WITHIN_S)
    began = time.monotonic()
    for batch in batches:
        writing.insert_events(batch)
        events += len(batch)
        if time.monotonic() - began > WITHIN_S:
            break
    return events, began, time.monotonic()


def _payload(stream: str, number: int) -> bytes:
    amount = Decimal(number).scaleb(-2)
    return encode(
        SaleRecorded(
            deal_id=f"{stream}-{number}",
            closed_on=DAY,
            family="virtualisation",
            amount=amount,
            currency="CHF",
            earning=True,
            qualifying=amount,
            base_currency="EUR",
            programme="partner-2012",
            clock=DAY,
            source_ref=f"crm:{number}",
        )
    )


# --- the two recorders ---


def _our_database() -> str:
    return fresh_database().database_url


def _library_database() -> str:
    name = f"library_{os.getpid()}_{next(_numbers)}"
    execute(superuser_url(), f"CREATE DATABASE {name} OWNER ledger_owner TEMPLATE template0 ENCODING 'UTF8'")
    url = servers()[2].admin_database_url.replace("@/ledger?", f"@/{name}?")
    recorder, close = _open_library(url)
    recorder.create_table()
    close()
    return url


Opened = tuple[Any, Callable[[], None]]
"""A recorder, and how to close its connections."""


def _open_ours(url: str) -> Opened:
    pool = ConnectionPool(url)
    recorder: ApplicationRecorder = PostgresLedgerRecorder(pool, timezone="Europe/Zurich")
    return recorder, pool.close


def _open_library(url: str) -> Opened:
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore  # only in the group `bench`

    to = parse_dsn(url)
    datastore = PostgresDatastore(to["dbname"], to["host"], "5432", to["user"], "", originator_id_type="text")
    return PostgresApplicationRecorder(datastore), datastore.close


def _our_event(stream: str, version: int, data: bytes) -> StoredEvent:
    return LedgerStoredEvent(stream, version, TYPE, data, 1, DAY, "benchmark")


def _library_event(stream: str, version: int, data: bytes) -> StoredEvent:
    return StoredEvent(stream, version, TYPE, data)


_DATABASES = {"ours": _our_database, "library's": _library_database}
_RECORDERS = {"ours": _open_ours, "library's": _open_library}
_EVENTS = {"ours": _our_event, "library's": _library_event}
