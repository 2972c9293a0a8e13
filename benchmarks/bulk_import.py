"""Importing feeds: facts a second from the CSV files to the last commit, reading and sorting included; and the memory of it."""

import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.filled import PARTNERS, import_folder
from benchmarks.measuring import Bench, Spent
from benchmarks.network import feed_folder
from benchmarks.resident import resident_mb
from tests.servers import fresh_ledger

ADVENTURE_WORKS = Path(__file__).parents[2] / "shared" / "data" / "adventure-works"
FULL_SIZE = 50_000
"""The folder is as large as it is: with less than so many events wanted it is left out."""


def measure(bench: Bench) -> None:
    """Import a generated folder, and AdventureWorks where it lies beside the project."""
    with feed_folder(sales=bench.events, partners=PARTNERS) as folder:
        what = f"{bench.events:,} sales, {PARTNERS} partners"
        _measure(bench, what, folder)
        if not ADVENTURE_WORKS.is_dir() or bench.events < FULL_SIZE:
            _measure_memory(bench, what, folder)
            return
    _measure(bench, "AdventureWorks", ADVENTURE_WORKS)
    _measure_memory(bench, "AdventureWorks", ADVENTURE_WORKS)


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


def _measure_memory(bench: Bench, what: str, folder: Path) -> None:
    """Measure the peak memory of an import, and of one with the sales many times over where that was asked for."""
    recorded, megabytes = resident_mb(fresh_ledger(), folder)
    bench.values(f"{what}: peak memory, {recorded:,} facts", "MB", [megabytes])
    if bench.rows_times > 1:
        with _sales_again(folder, bench.rows_times) as larger:
            recorded, megabytes = resident_mb(fresh_ledger(), larger)
        bench.values(f"{what}: peak memory, {recorded:,} facts", "MB", [megabytes])


@contextmanager
def _sales_again(folder: Path, times: int) -> Iterator[Path]:
    """Make a folder with the sales so many times, as other deals; from one time to the next the dates begin anew."""
    with tempfile.TemporaryDirectory(prefix="plb-") as place:
        larger = Path(place)
        (larger / "programmes").symlink_to(folder / "programmes")
        (larger / "partners.csv").symlink_to(folder / "partners.csv")
        with (larger / "sales.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            for time in range(times):
                with (folder / "sales.csv").open(encoding="utf-8", newline="") as source:
                    columns, *sales = csv.reader(source)
                deal_id = columns.index("deal_id")
                if not time:
                    writer.writerow(columns)
                writer.writerows([*row[:deal_id], f"{row[deal_id]}/{time}", *row[deal_id + 1 :]] for row in sales)
        yield larger
