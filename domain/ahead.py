"""Telling ahead: a page of facts is decided while the store still takes the page before it.

At most one page is on its way to the store, and at most one more is decided upon it. What the second one sees of the first
is what will be, if the first is recorded: where it is not (another writer was faster, the terms are others by now), both are
forgotten, looked up and decided again, in their order. So what is recorded is what page after page would have recorded.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from eventsourcing.persistence import IntegrityError, OperationalError

from domain.application import Decided, Ledger, MakeProgress
from domain.batch import Telling
from domain.errors import StaleTerms


class _Page:
    """Facts that are recorded in one transaction, and how far they are."""

    __slots__ = ("appending", "decided", "make_progress", "on_recorded", "tellings")

    def __init__(
        self, tellings: Sequence[Telling], make_progress: MakeProgress, on_recorded: Callable[[], None]
    ) -> None:
        self.tellings = tellings
        self.make_progress = make_progress
        self.on_recorded = on_recorded
        self.decided: Decided | None = None
        self.appending: Future[list[int]] | None = None


class Ahead:
    """Tells a ledger page after page. `settle` before anything else is told to it; left by an exception, it lets go of both pages."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="append")
        self._sent: _Page | None = None
        self._next: _Page | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is on its way, which is recorded whole or not at all; what it was decided on is not relied on."""
        try:
            self._thread.shutdown()
        finally:
            self._forget()

    def tell(self, tellings: Sequence[Telling], make_progress: MakeProgress, on_recorded: Callable[[], None]) -> None:
        """Decide facts and record them in one transaction with an import's progress, after those told before.

        `on_recorded` is called once they are recorded, within a later call.

        Raises:
            LedgerError: the store cannot take what was told before; nothing after it was recorded.

        """
        page = _Page(tellings, make_progress, on_recorded)
        self._confirm()
        found = self._ledger.look_up(tellings)  # nothing is on its way: what others did is told from what we did
        before = self._next
        if before is not None and before.decided is not None and self._ledger.is_overtaken(before.decided):
            self.settle()
            found = self._ledger.look_up(tellings)
            before = None
        if before is not None:
            self._send(before)
        page.decided = self._ledger.decide(
            found,
            lambda batch: [batch.tell(telling) for telling in tellings],
            make_progress,
            before.decided if before is not None else None,
        )
        self._next = page

    def settle(self) -> None:
        """Wait until all that was told is recorded.

        Raises:
            LedgerError: the store cannot take it; what was not recorded has left no trace.

        """
        self._confirm()
        if self._next is not None:
            self._send(self._next)
            self._confirm()

    def _send(self, page: _Page) -> None:
        """Let the store take a page meanwhile; the next one is to be decided."""
        assert page.decided is not None
        page.appending = self._thread.submit(self._ledger.send, page.decided)
        self._sent, self._next = page, None

    def _confirm(self) -> None:
        """Wait for the page on its way; where it could not be recorded as decided, decide it and the next one again."""
        page = self._sent
        if page is None or page.appending is None:
            return
        while True:
            try:
                positions = page.appending.result()
                break
            except OperationalError as error:
                self._ledger.patience(error)
                page.appending = self._thread.submit(self._ledger.send, page.decided)  # type: ignore[arg-type]
            except (StaleTerms, IntegrityError):
                self._tell_again()
                return
        self._ledger.note_recorded(positions)
        self._sent = None
        page.on_recorded()

    def _tell_again(self) -> None:
        """Decide page and next page again, each on what the store has then."""
        pages = [page for page in (self._sent, self._next) if page is not None]
        self._forget()
        for page in pages:
            self._ledger.tell(page.tellings, page.make_progress)
            page.on_recorded()

    def _forget(self) -> None:
        for page in (self._sent, self._next):
            if page is not None and page.decided is not None:
                self._ledger.forget(page.decided)
        self._sent = self._next = None
