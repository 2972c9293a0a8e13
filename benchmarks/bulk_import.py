"""Importing feeds: facts a second from the CSV files to the last commit, reading and sorting included."""

from pathlib import Path

from benchmarks.filled import PARTNERS, import_folder
from benchmarks.measuring import Bench, Spent
from benchmarks.network import feed_folder
from tests.servers import fresh_ledger

ADVENTURE_WORKS = Path(__file__).parents[2] / "shared" / "data" / "adventure-works"
FULL_SIZE = 50_000
"""The folder is as large as it is: with less than so many events wanted it is left out."""


def measure(bench: Bench) -> None:
    """Import a generated folder, and AdventureWorks where it lies beside the project."""
    with feed_folder(sales=bench.events, partners=PARTNERS) as folder:
        _measure(bench, f"{bench.events:,} sales, {PARTNERS} partners", folder)
    if ADVENTURE_WORKS.is_dir() and bench.events >= FULL_SIZE:
        _measure(bench, "AdventureWorks", ADVENTURE_WORKS)


def _measure(bench: Bench, what: str, folder: Path) -> None:
    events: list[Spent] = []
    staged: list[Spent] = []

    def run() -> Spent:
        summary, spent, staging = import_folder(fresh_ledger(), folder)
        events.append(spent._replace(done=summary.events))
        staged.append(staging)
        return spent

    bench.rate(what, "facts/s", run)
    bench.rates(f"{what}: its events", "events/s", events)
    bench.rates(f"{what}: reading, sorting", "rows/s", staged)
