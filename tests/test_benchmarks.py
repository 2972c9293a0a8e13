"""The benchmarks run, all of them, and give figures; how good the figures are is no test's matter."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EVENTS = 200
EXPECTED = {
    "append": 6 if find_spec("psycopg") else 3,  # the library's recorder too, where the group `bench` is installed
    "import": 3,
    "relay": 1,
    "projector": 2,
    "visible": 4,
    "decide": 1,
    "models": 6,
}


@pytest.mark.timeout(180)
def test_one_command_measures_everything() -> None:
    """All benchmarks on servers of their own, with the machine and what PostgreSQL says of its durability."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--json", "--events", str(EVENTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["complete"]
    figures = document["figures"]
    counted = {name: sum(figure["benchmark"] == name for figure in figures) for name in EXPECTED}
    assert counted == EXPECTED
    for figure in figures:
        assert figure["value"] > 0, figure
        assert figure["what"], figure
        assert figure["unit"], figure
    assert set(document["machine"]) >= {"processor", "memory", "python", "kafka", "kafka-python", "eventsourcing"}
    promised = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    assert document["durability"].items() >= promised.items()
    assert document["durability"]["wal_level"] in ("replica", "logical")


def test_an_unknown_benchmark_is_wrong_usage() -> None:
    """A mistyped name starts nothing and is named."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", "relais"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "relais" in ran.stderr
