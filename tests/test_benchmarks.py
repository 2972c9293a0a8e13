"""The benchmarks run, all of them, and give figures; how good the figures are is no test's matter."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.__main__ import BENCHMARKS, run
from benchmarks.measuring import Bench

ROOT = Path(__file__).parents[1]
EXPECTED = {
    "append": 8 if find_spec("psycopg") else 4,  # the library's recorder too, where the group `bench` is installed
    "import": 5,
    "relay": 2,
    "projector": 3,
    "rebuild": 4,
    "tape": 5,
    "visible": 4,
    "scale-out": 5,
    "deal": 6,
    "verify": 3,
    "decide": 2,
    "models": 6,
    "what-if": 3,
    "peers": 2 + bool(shutil.which("hledger")),
}


def test_every_benchmark_gives_figures() -> None:
    """All of them on a real Kafka and PostgreSQL, with the machine and what PostgreSQL says of its durability."""
    bench = Bench(events=200, rows_times=2)
    document = run(list(BENCHMARKS), bench)
    assert document["complete"]
    counted = {name: sum(figure.benchmark == name for figure in bench.figures) for name in BENCHMARKS}
    assert counted == EXPECTED
    for figure in bench.figures:
        assert figure.value > 0, figure
        assert figure.what, figure
        assert figure.unit, figure
    assert set(document["machine"]) >= {"processor", "memory", "python", "kafka", "kafka-python", "eventsourcing"}
    promised = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    assert document["durability"].items() >= promised.items()
    assert document["durability"]["wal_level"] in ("replica", "logical")


def test_the_command_prints_its_figures() -> None:
    """For a program it is one JSON document and nothing else; for a person tables, with every figure in them."""
    ran = _benchmarks("models", "--events", "200", "--json")
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout)["figures"]
    assert len(figures) == EXPECTED["models"]
    ran = _benchmarks("models", "--events", "200")
    assert ran.returncode == 0, ran.stderr
    for figure in figures:
        assert figure["what"] in ran.stdout


def test_an_unknown_benchmark_is_wrong_usage() -> None:
    """A mistyped name starts nothing and is named."""
    ran = _benchmarks("relais")
    assert ran.returncode == 2
    assert "relais" in ran.stderr


def _benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
