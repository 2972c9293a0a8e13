"""A subscription of the event-sourcing library on LISTEN/NOTIFY: pulls when something was appended, never in a tight loop."""

from collections.abc import Sequence
from threading import Thread
from typing import TYPE_CHECKING

from eventsourcing.persistence import ListenNotifySubscription

from infra.postgres.connections import Listener

if TYPE_CHECKING:
    from infra.postgres.recorder import PostgresLedgerRecorder

LISTEN_TIMEOUT_S = 0.1
"""How often a listening thread looks whether the subscription was stopped."""


class PostgresSubscription(ListenNotifySubscription["PostgresLedgerRecorder"]):
    """Iterates over notifications; a lost connection ends the iteration with `StoreUnreachable`."""

    def __init__(
        self, recorder: "PostgresLedgerRecorder", url: str, gt: int | None = None, topics: Sequence[str] = ()
    ) -> None:
        super().__init__(recorder, gt=gt, topics=topics)
        self._listener = Listener(url)
        self._listen_thread = Thread(target=self._listen, name="ledger subscription")
        self._listen_thread.start()

    def __exit__(self, *args: object, **kwargs: object) -> None:
        try:
            super().__exit__(*args, **kwargs)
        finally:
            self._listen_thread.join()

    def _listen(self) -> None:
        try:
            while not self._has_been_stopped:
                # The first wait returns once LISTEN is in force: what was appended before that is pulled then.
                if self._listener.wait(LISTEN_TIMEOUT_S):
                    self._has_been_notified.set()
        except BaseException as error:
            if self._thread_error is None:
                self._thread_error = error
            self.stop()
        finally:
            self._listener.close()
