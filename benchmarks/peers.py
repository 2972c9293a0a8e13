"""What others do with as many facts: hledger and Beancount summing transactions, and the event-sourcing library loading partners.

The two programs read a journal of plain transactions, each a sale's bonus, and sum what every partner is owed; the number of
transactions is doubled for as long as another doubling fits into half a minute. They decide nothing: it is the nearest that a
ready-made program comes to a replay. The library's repository folds partners from the event store, one after the other, as any
program built on it would.
"""

import datetime as dt
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, cast

from benchmarks.filled import PARTNERS, endpoints_of, imported
from benchmarks.measuring import Bench, Clock, Spent, say
from benchmarks.network import deals
from domain.streams import partner_stream
from infra.bootstrap import make_ledger
from infra.settings import Settings

WITHIN_S = 30
FIRST_TRANSACTIONS = 25_000
FIRST_DAY = dt.date(2012, 1, 1)
DAYS = 730
SALES_OF_A_PARTNER = 550
"""As many as in ten million facts of 18,000 partners, more or less what `benchmarks.europe` gives each."""


def measure(bench: Bench) -> None:
    """Let the programs that are there sum, and the library load."""
    hledger, bean_query = shutil.which("hledger"), Path(sys.executable).with_name("bean-query")
    if hledger is None:
        say("peers: hledger is not installed (Debian and Ubuntu: apt-get install hledger)")
    else:
        _sum(bench, "hledger", _hledger_journal, lambda file: [hledger, "-f", str(file), "balance", "-N", "payable"])
    if not bean_query.exists():
        say("peers: Beancount is not installed; with it: uv run --group dev --group bench python -m benchmarks peers")
    else:
        query = "SELECT account, sum(position) WHERE account ~ 'Payable' GROUP BY account"
        _sum(bench, "Beancount", _beancount_journal, lambda file: [str(bean_query), str(file), query])
    settings = imported(bench.events)
    bench.rate("the library's repository loading partners", "events/s", lambda: _load(settings))


def _sum(
    bench: Bench, name: str, journal: Callable[[int], Iterator[str]], command: Callable[[Path], list[str]]
) -> None:
    """Double the transactions until they take too long; keep the most that were summed."""
    transactions, summed = min(FIRST_TRANSACTIONS, bench.events), Spent(0, 0.0)
    with tempfile.TemporaryDirectory(prefix="plb-") as folder:
        file = Path(folder) / "journal"
        while summed.seconds <= WITHIN_S / 2 and transactions <= bench.events:
            with file.open("w", encoding="utf-8") as text:
                text.writelines(journal(transactions))
            clock = Clock()
            if not _runs(command(file)):
                break
            summed = Spent(transactions, clock.spent(transactions).seconds)
            transactions *= 2
    if summed.done:
        bench.rates(f"{name} summing {summed.done:,} transactions", "transactions/s", [summed])


def _runs(command: list[str]) -> bool:
    """Run a program to its end; False if that takes more than the time given."""
    environment = os.environ | {"LC_ALL": "C.UTF-8", "BEANCOUNT_DISABLE_LOAD_CACHE": "1"}
    try:
        subprocess.run(command, env=environment, capture_output=True, timeout=WITHIN_S, check=True)
    except subprocess.TimeoutExpired:
        return False
    return True


def _bonuses(transactions: int) -> Iterator[tuple[int, dt.date, Decimal]]:
    """Give so many partners' numbers, dates and amounts, partner by partner."""
    for number, (_family, amount) in enumerate(islice(deals(transactions), transactions)):
        partner, nth = divmod(number, SALES_OF_A_PARTNER)
        yield partner, FIRST_DAY + dt.timedelta(nth * DAYS // SALES_OF_A_PARTNER), Decimal(amount)


def _hledger_journal(transactions: int) -> Iterator[str]:
    for partner, on, amount in _bonuses(transactions):
        yield f"{on} bonus\n  expense:deal  {amount} CHF\n  payable:P{partner}  -{amount} CHF\n"


def _beancount_journal(transactions: int) -> Iterator[str]:
    yield f"{FIRST_DAY} open Expenses:Deal\n"
    yield from (
        f"{FIRST_DAY} open Liabilities:Payable:P{n}\n" for n in range((transactions - 1) // SALES_OF_A_PARTNER + 1)
    )
    for partner, on, amount in _bonuses(transactions):
        yield f'{on} * "bonus"\n  Expenses:Deal  {amount} CHF\n  Liabilities:Payable:P{partner}  -{amount} CHF\n'


def _load(settings: Settings) -> Spent:
    """Load every partner by the library's own repository, past our application's cache and snapshots."""
    ledger = make_ledger(settings, endpoints_of(settings), lambda _: None)
    repository = cast("Any", ledger.repository)
    repository.cache = None
    clock = Clock()
    events = sum(repository.get(partner_stream(f"P{number:04}")).version for number in range(PARTNERS))
    spent = clock.spent(events)
    ledger.close()
    return spent
