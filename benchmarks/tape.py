"""The tape: events a second from Kafka to it, facts a second from it to a replay, and what making it takes of memory."""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.filled import endpoints_of, last_position, relayed
from benchmarks.measuring import Bench, Clock, Spent
from benchmarks.resident import peak_kilobytes
from infra.kafka.event_source import topic_identity
from infra.postgres.tree import PostgresTree
from infra.settings import Settings
from infra.tape.making import Made, Sources, make
from infra.tape.manifest import TapeSource
from infra.tape.reading import RecordedTape
from producers.topics import layouts


def measure(bench: Bench) -> None:
    """Make the tape of a filled topic, each time anew; read it as a replay does."""
    settings = relayed(bench.events)
    events = last_position(settings)
    with tempfile.TemporaryDirectory(prefix="plb-") as folder:
        tape = Path(folder)
        bench.rate("made from Kafka", "events/s", lambda: _make(settings, tape, events))
        bench.values("resident memory of its process, at most", "MB", [_most_memory_mb(settings, tape)])
        bench.rate("topped up, where nothing is new", "times/s", lambda: _top_up(settings, tape))
        bench.rate("read, files verified first", "facts/s", lambda: _read(tape))
        recorded = RecordedTape.open(tape).manifest
        bench.values("on the disk", "bytes/fact", [recorded.size_bytes / recorded.facts])


def _sources(settings: Settings) -> Sources:
    endpoints, topics = endpoints_of(settings), layouts(settings.kafka_partitions, settings.topic_prefix)
    tree = PostgresTree(endpoints.read_database_url)
    topic, cluster_id, topic_id = topic_identity(endpoints.bootstrap_servers, topics.events.name)
    source = TapeSource(str(tree.ledger_id()), cluster_id, topic, topic_id, topics.events.partitions)
    tree.close()
    return Sources(
        source,
        endpoints.bootstrap_servers,
        topics.relay_checkpoint.name,
        endpoints.read_database_url,
        settings.timezone,
    )


def _made(sources: Sources, folder: Path, *, anew: bool) -> Made:
    return make(folder, sources, anew=anew, wait_s=1, say=lambda _: None, on_progress=lambda _done, _total: None)


def _make(settings: Settings, folder: Path, events: int) -> Spent:
    sources = _sources(settings)
    clock = Clock()
    made = _made(sources, folder, anew=True)
    assert made.events == events
    return clock.spent(events)


def _top_up(settings: Settings, folder: Path) -> Spent:
    sources = _sources(settings)
    clock = Clock()
    assert not _made(sources, folder, anew=False).events
    return clock.spent(1)


def _read(folder: Path) -> Spent:
    clock = Clock()
    tape = RecordedTape.open(folder)
    facts = sum(len(tape.facts(piece).positions) for piece in tape.pieces()) + len(tape.ledgers_own().positions)
    assert facts == tape.manifest.facts
    return clock.spent(facts)


def _most_memory_mb(settings: Settings, folder: Path) -> float:
    """Make it in a process that does nothing else, as the command's does."""
    script = "import sys, benchmarks.tape; benchmarks.tape.print_memory_of_making(*sys.argv[1:])"
    sources = msgspec.json.encode(_sources(settings)).decode()
    ran = subprocess.run([sys.executable, "-c", script, sources, str(folder)], capture_output=True, check=True)
    return float(ran.stdout)


def print_memory_of_making(sources: str, folder: str) -> None:
    """Make a tape; print the most memory that this process had, in MB."""
    _made(msgspec.json.decode(sources, type=Sources), Path(folder), anew=True)
    print(peak_kilobytes() * 1024 / 1e6)
