"""Group commit: appends of one login in one process that wait for the head at the same time share a transaction.

A transaction costs a wait for the head's lock and a flush to the disk, whatever is in it. So while one group is being
written, what comes meanwhile waits and is written together next. Each append keeps its own optimistic check and its own
outcome: what would conflict is found under the head's lock, where nobody else can append, and left out.
"""

from collections import deque
from collections.abc import Sequence
from threading import Event, Lock
from weakref import WeakValueDictionary

from eventsourcing.persistence import OperationalError, StoredEvent

from domain.recording import Append
from infra.postgres import writing
from infra.postgres.connections import ConnectionPool

MAX_GROUP = 64
"""Appends to a transaction; the head's lock is then held for some milliseconds at most."""


class _Waiting:
    """An append on its way: `turn` is set when it has its outcome, or when its caller is to write the next group."""

    __slots__ = ("append", "events", "leads", "outcome", "turn")

    def __init__(self, events: Sequence[StoredEvent], append: Append) -> None:
        self.events = events
        self.append = append
        self.turn = Event()
        self.leads = False
        self.outcome: writing.Outcome | None = None

    @property
    def is_alone(self) -> bool:
        """A publication and an advance are alone in their transaction; an import's page has its own progress."""
        append = self.append
        return (
            not self.events or bool(append.publishes) or append.ledger_date is not None or append.progress is not None
        )


class GroupCommit:
    """The appends to one database, of all threads of this process."""

    def __init__(self, timezone: str) -> None:
        self._timezone = timezone
        self._lock = Lock()
        self._queue: deque[_Waiting] = deque()
        self._is_led = False

    def append(self, pool: ConnectionPool, events: Sequence[StoredEvent], append: Append) -> list[int]:
        """Append events, in a transaction of its own or with those of other threads; give their positions.

        Raises what `PostgresLedgerRecorder.insert_events` tells of.
        """
        own = _Waiting(events, append)
        with self._lock:
            self._queue.append(own)
            own.leads = not self._is_led
            self._is_led = True
        try:
            if not own.leads:
                own.turn.wait()
            if own.outcome is None:
                self._lead(pool)
        except BaseException:
            self._withdraw(own)
            raise
        outcome = own.outcome
        assert outcome is not None, "whoever leads writes its own append first"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _lead(self, pool: ConnectionPool) -> None:
        """Write what waits, the leader's own first, and hand the lead on."""
        group = self._take()
        try:
            self._write(pool, group)
        finally:
            for each in group:
                if each.outcome is None:
                    each.outcome = OperationalError("The thread that wrote this append with its own was interrupted.")
            self._hand_on()
            for each in group:
                each.turn.set()

    def _take(self) -> list[_Waiting]:
        with self._lock:
            group = [self._queue.popleft()]
            while self._queue and len(group) < MAX_GROUP and not group[-1].is_alone and not self._queue[0].is_alone:
                group.append(self._queue.popleft())
        return group

    def _hand_on(self) -> None:
        with self._lock:
            self._is_led = bool(self._queue)
            if self._queue:
                self._queue[0].leads = True
                self._queue[0].turn.set()

    def _withdraw(self, own: _Waiting) -> None:
        """Take back an append whose caller was interrupted before it was written; somebody else leads then."""
        with self._lock:
            if own not in self._queue:
                return
            self._queue.remove(own)
        if own.leads:
            self._hand_on()

    def _write(self, pool: ConnectionPool, group: Sequence[_Waiting]) -> None:
        if len(group) > 1:
            outcomes = writing.write_group([(each.events, each.append) for each in group], pool, self._timezone)
            for each, outcome in zip(group, outcomes, strict=True):
                each.outcome = outcome
        for each in group:
            if each.outcome is None:
                try:
                    each.outcome = writing.write_alone(each.events, each.append, pool, self._timezone)
                except Exception as error:  # the outcome of this append, raised where it was called for
                    each.outcome = error


_OF_LOGIN: WeakValueDictionary[tuple[str, str], GroupCommit] = WeakValueDictionary()
_OF_LOGIN_LOCK = Lock()


def group_commit(url: str, timezone: str) -> GroupCommit:
    """Give the one of a login and database, shared by all recorders of this process."""
    with _OF_LOGIN_LOCK:
        return _OF_LOGIN.setdefault((url, timezone), GroupCommit(timezone))
