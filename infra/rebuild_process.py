"""The processes that fill a new build: `python -m infra.rebuild_process`, told on standard input what to do.

Each reads some of the partitions, as the projector does, and says on standard output how far it is. It ends when whoever started
it has ended: standard input is closed then. Port `consumers.rebuild.Filling`.
"""

import errno
import gc
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from consumers.filling import Bounded, UpTo, fill
from consumers.parked import retry_dropped
from consumers.projector import PartitionMoved, Projector, TopicIdentity
from consumers.rebuild import Plan
from domain.errors import IntegrityFault, LedgerError, Refused, ServiceUnreachable
from domain.recording import TopicRecord
from infra.embedded.servers import Endpoints
from infra.kafka.event_source import KafkaEventSource, end_offsets
from infra.postgres.projections.store import Beside, PostgresProjectionStore
from infra.projector_process import GC_THRESHOLD, SWITCH_INTERVAL_S
from infra.settings import Settings
from producers.topics import layouts

TOLD_EVERY_S = 0.2

Note = Callable[[int, int], None]
_ERRORS: Mapping[str, type[LedgerError]] = {
    each.__name__: each for each in (ServiceUnreachable, IntegrityFault, Refused)
}


@dataclass(frozen=True)
class Task:
    """What one process has to fill; `ends` are those of its partitions."""

    bootstrap: str
    database_url: str
    topic: str
    name: str
    projections: Sequence[str]
    max_records: int
    until: int | None
    ends: Mapping[int, int]
    dropped: Collection[TopicRecord] = field(default=())

    def encoded(self) -> bytes:
        """Give the task as one line of JSON."""
        dropped = [(r.topic, r.partition, r.offset, r.leaf_hash and r.leaf_hash.hex()) for r in self.dropped]
        fields = {**self.__dict__, "ends": list(self.ends.items()), "dropped": dropped}
        return json.dumps(fields).encode() + b"\n"

    @classmethod
    def decoded(cls, line: bytes) -> "Task":
        """Read what `encoded` gave."""
        given: dict[str, Any] = json.loads(line)
        dropped = frozenset(
            TopicRecord(topic, partition, offset, None if leaf_hash is None else bytes.fromhex(leaf_hash))
            for topic, partition, offset, leaf_hash in given.pop("dropped")
        )
        return cls(**{**given, "ends": dict(given["ends"]), "dropped": dropped})

    def do(self, note: Note) -> None:
        """Fill what is to be filled, in this process.

        Raises:
            ServiceUnreachable: Kafka or PostgreSQL does not answer.
            Refused: somebody has dropped the build.
            OSError: PostgreSQL has no space left on its disk.

        """
        store = PostgresProjectionStore(self.database_url, Beside(self.name, self.projections, self.dropped))
        source: Bounded = KafkaEventSource(self.bootstrap, self.topic, ends=self.ends, max_records=self.max_records)
        if self.until is not None:
            source = UpTo(source, self.until, store, self.topic)
        try:
            fill(Projector(source, store, lambda _: None), source, note)
        except ServiceUnreachable as error:
            if isinstance(error.__cause__, psycopg2.errors.DiskFull):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
        except PartitionMoved as error:
            raise Refused(f"Somebody has dropped {self.name} while it was filled; rebuild once more.") from error


class RebuildProcesses:
    """Fills builds by processes of this machine, and the last bit in this one."""

    def __init__(
        self, settings: Settings, endpoints: Endpoints, dropped: Callable[[], Collection[TopicRecord]], note: Note
    ) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._topic = layouts(prefix=settings.topic_prefix).events.name
        self._dropped = dropped
        self._note = note

    def identity(self) -> TopicIdentity:
        """Ask Kafka which topic this is now."""
        return KafkaEventSource(self._endpoints.bootstrap_servers, self._topic, ends={}, max_records=1).identity()

    def ends(self) -> Mapping[int, int]:
        """Ask Kafka where the partitions end now."""
        return end_offsets(self._endpoints.bootstrap_servers, self._topic)

    def by_processes(self, name: str, plan: Plan, ends: Mapping[int, int]) -> None:
        """Fill a build by several processes, each some of the partitions; where one is enough, by this one.

        Raises:
            ServiceUnreachable: Kafka or PostgreSQL does not answer.
            Refused: one of the processes was ended by somebody.

        """
        parts = divided(ends, plan.workers)
        if len(parts) == 1:
            self.here(name, plan, parts[0])
        else:
            self._by_processes(name, plan, parts)
        self._retry_dropped(name, plan)

    def _by_processes(self, name: str, plan: Plan, parts: Sequence[Mapping[int, int]]) -> None:
        total = sum(sum(part.values()) for part in parts)
        workers = [_Worker(self._task(name, plan, part)) for part in parts]
        try:
            _watch(workers, total, self._note)
        finally:
            for worker in workers:
                worker.end()

    def _retry_dropped(self, name: str, plan: Plan) -> None:
        """Retry what one process may have parked after another one learnt that the ledger has dropped it."""
        beside = Beside(name, plan.projections, self._dropped())
        store = PostgresProjectionStore(self._endpoints.projector_database_url, beside)
        try:
            retry_dropped(store)
        finally:
            store.close()

    def here(self, name: str, plan: Plan, ends: Mapping[int, int]) -> None:
        """Fill the rest of a build in this process."""
        total = sum(ends.values())
        self._task(name, plan, ends).do(lambda handled, _: self._note(handled, total))

    def _task(self, name: str, plan: Plan, ends: Mapping[int, int]) -> Task:
        return Task(
            bootstrap=self._endpoints.bootstrap_servers,
            database_url=self._endpoints.projector_database_url,
            topic=self._topic,
            name=name,
            projections=plan.projections,
            max_records=self._settings.projector_batch_events,
            until=plan.until,
            ends=ends,
            dropped=self._dropped(),
        )


def work_in_batches() -> None:
    """Have the interpreter of this process suit what it does, as the projector's does (`infra.projector_process`)."""
    gc.set_threshold(*GC_THRESHOLD)
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def divided(ends: Mapping[int, int], workers: int) -> list[dict[int, int]]:
    """Divide partitions into as many parts of about one size; none is empty."""
    parts: list[dict[int, int]] = [{} for _ in range(min(workers, len(ends)))]
    for partition in sorted(ends, key=lambda each: (-ends[each], each)):
        least = min(parts, key=lambda part: (sum(part.values()), len(part)))
        least[partition] = ends[partition]
    return [part for part in parts if part]


class _Worker:
    """A process at work, seen from the one that started it."""

    def __init__(self, task: Task) -> None:
        self.handled = 0
        self._rest = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.rebuild_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdin is not None, "it was asked for"
        try:
            self.process.stdin.write(task.encoded())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already, which is told by its exit code

    @property
    def output(self) -> int:
        """The descriptor that it tells on."""
        assert self.process.stdout is not None, "it was asked for"
        return self.process.stdout.fileno()

    def heard(self) -> bool:
        """Take in what it has told; False when it has ended, and well.

        Raises:
            LedgerError: what it has ended with.

        """
        told = os.read(self.output, 65536)
        if not told:
            code = self.process.wait()
            if code:
                raise Refused(
                    f"A process of the rebuild was ended ({_ended_by(code)}); the live build is as it was, rebuild once more."
                )
            return False
        *lines, self._rest = (self._rest + told).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "error" in said:
                raise _error(said["error"], said["sentence"])
            self.handled = said["handled"]
        return True

    def end(self) -> None:
        """End it at once, whatever it does: what it has not committed is not there."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def _watch(workers: Sequence[_Worker], total: int, note: Note) -> None:
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.output, selectors.EVENT_READ, worker)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data.heard():
                    selector.unregister(key.fd)
            note(sum(worker.handled for worker in workers), total)


def _ended_by(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _error(kind: str, sentence: str) -> Exception:
    if kind == "disk":
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return _ERRORS.get(kind, LedgerError)(sentence)


def main() -> int:
    """Do the task of standard input; end with whoever has started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends its processes
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    work_in_batches()
    task = Task.decoded(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    told_at = 0.0

    def note(handled: int, _position: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > TOLD_EVERY_S:
            told_at = time.monotonic()
            _tell({"handled": handled})

    try:
        task.do(note)
    except LedgerError as error:
        return _tell({"error": type(error).__name__, "sentence": str(error)})
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _tell({"error": "disk", "sentence": str(error)})
    return 0


def _tell(what: dict[str, Any]) -> int:
    sys.stdout.buffer.write(json.dumps(what).encode() + b"\n")
    sys.stdout.buffer.flush()
    return 0


def _end_with_the_starter() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through `sys.stdin`, which must not be in use when the interpreter ends
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
