"""Imports a feed folder: stages its rows, decides them page by page, and keeps its place so that it can be cut off.

Each page's facts, how far the import has come and what it refused are one transaction. An import is known by the digest
of its rows and its run. A run is open until `finish` says that its result was told: cut off before, wherever it was, and
run again it goes on and tells what an undisturbed one would have; run again afterwards it begins a new run, in which
recorded rows are duplicates and the others are judged anew.
"""

import gc
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import msgspec

from domain.ahead import Ahead
from domain.application import Ledger
from domain.batch import Outcome, Telling
from domain.facts import FACT_TYPES, fact_from_json
from domain.programme import programme_from_content
from domain.recording import ImportProgress, RefusedRow
from producers.feeds import PROGRAMME, FeedFolder, FeedRow


class StagedRow(NamedTuple):
    """A staged row in the import's order; `seq` counts from 1."""

    seq: int
    kind: str
    file: str
    line: int
    content: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class ImportStart:
    """A staged import: the key of its run, how many rows it has and how many of them are done already."""

    key: str
    rows: int
    done: int


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What a run of an import came to, over all the times it was started.

    `key` is the run's, for `finish`. The refused rows are only counted: `FeedStaging.refused_rows` gives them.
    """

    key: str
    recorded: int
    duplicates: int
    events: int
    refused: int


class FeedStaging(Protocol):
    """Where rows wait, sorted, until they are decided. Adapter: `infra.postgres.staging.PostgresFeedStaging`."""

    def stage(self, rows: Iterable[FeedRow]) -> None:
        """Take all rows of a folder in; nothing is recorded by this."""
        ...

    def begin(self, digest: str, told: Collection[str] = ()) -> ImportStart:
        """Put the rows in order and find the open run to go on with, but for those in `told`, or begin a new one.

        Raises:
            LedgerError: the same folder is being imported by another process just now.

        """
        ...

    def page(self, after: int, limit: int) -> Sequence[StagedRow]:
        """Give the next rows in order: a page by key, no snapshot is held."""
        ...

    def summary(self, key: str) -> ImportSummary:
        """Give what a run has come to so far."""
        ...

    def refused_rows(self, key: str) -> Iterator[RefusedRow]:
        """Give what a run has refused so far, in order; a page at a time, there may be millions."""
        ...

    def finish(self, keys: Collection[str]) -> None:
        """Note that the results of these runs were told; the same folders begin new runs when they are told again."""
        ...

    def close(self) -> None:
        """Let the staged rows go."""
        ...


OnProgress = Callable[[int, int], None]
"""Called with rows done and rows in all."""


class Importer:
    """Imports feed folders into a ledger, `batch_facts` facts to a transaction."""

    def __init__(self, ledger: Ledger, staging: FeedStaging, batch_facts: int) -> None:
        self._ledger = ledger
        self._staging = staging
        self._batch_facts = batch_facts

    def run(
        self, folder: FeedFolder, on_staged: OnProgress, on_progress: OnProgress, *, told: Collection[str] = ()
    ) -> ImportSummary:
        """Import a folder; `on_staged` hears of rows read, `on_progress` of rows decided.

        `told` are the keys of runs that the caller has the results of: the same folder once more is another run.

        Raises:
            InvalidInput: a file that cannot be read at all; nothing was recorded.
            LedgerError: the store cannot take it; what was recorded stays, and the same call goes on from there.

        """
        with _for_bulk():
            return self._run(folder, on_staged, on_progress, told)

    def _run(
        self, folder: FeedFolder, on_staged: OnProgress, on_progress: OnProgress, told: Collection[str]
    ) -> ImportSummary:
        self._staging.stage(_counted(folder.rows(), on_staged))
        start = self._staging.begin(folder.digest, told)
        done = start.done
        on_progress(done, start.rows)
        with Ahead(self._ledger) as ahead:
            while done < start.rows:
                page = self._staging.page(done, self._batch_facts)
                for alone, group in groupby(page, key=lambda row: row.kind == PROGRAMME):
                    rows = list(group)
                    for part in [[row] for row in rows] if alone else [rows]:
                        self._decide(ahead, start, part, on_progress, alone=alone)
                done = page[-1].seq
            ahead.settle()
        return self._staging.summary(start.key)

    def _decide(
        self, ahead: Ahead, start: ImportStart, rows: Sequence[StagedRow], on_progress: OnProgress, *, alone: bool
    ) -> None:
        """Decide rows in one transaction, with how far the import then is."""

        def progress(outcomes: Sequence[Outcome]) -> ImportProgress:
            return _progress(start, rows, outcomes)

        def recorded() -> None:
            on_progress(rows[-1].seq, start.rows)

        if alone:
            (row,) = rows
            content = msgspec.json.decode(row.content)
            ahead.settle()
            self._ledger.publish(programme_from_content(content), _command_id(start, row), progress)
            recorded()
        else:
            tellings = [
                Telling(fact_from_json(FACT_TYPES[row.kind], row.content), _command_id(start, row))
                for row in rows
                if row.reason is None
            ]
            ahead.tell(tellings, progress, recorded)


@contextmanager
def _for_bulk() -> Iterator[None]:
    """Set the interpreter up for many facts and one thread that mostly waits, for as long as the block runs.

    Facts, events and standings form no cycles: looking for some every 700 objects took a seventh of an import's time. And the
    thread that gets a page to the store has to go on soon when PostgreSQL has answered, not after the usual 5 ms.
    """
    thresholds, interval_s = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _command_id(start: ImportStart, row: StagedRow) -> str:
    """Name the command after the row it came from, so that an event leads back to file and line."""
    return f"import:{start.key[:12]}:{row.file}:{row.line}"


def _progress(start: ImportStart, rows: Sequence[StagedRow], outcomes: Sequence[Outcome]) -> ImportProgress:
    told = iter(outcomes)
    refused = []
    for row in rows:
        reason = row.reason
        if reason is None:
            outcome = next(told)
            reason = outcome.reason if outcome.kind == "refused" else None
        if reason is not None:
            refused.append(RefusedRow(row.seq, row.file, row.line, reason))
    return ImportProgress(
        digest=start.key,
        done=rows[-1].seq,
        recorded=sum(outcome.kind == "recorded" for outcome in outcomes),
        duplicates=sum(outcome.kind == "duplicate" for outcome in outcomes),
        events=sum(outcome.events for outcome in outcomes),
        finished=False,  # not before its result was told: `finish`
        refused=tuple(refused),
    )


def _counted(rows: Iterable[FeedRow], on_staged: OnProgress) -> Any:
    for count, row in enumerate(rows, start=1):
        yield row
        if count % 5000 == 0:
            on_staged(count, 0)
