"""The relay: puts every event of the store on Kafka exactly once, in order, with its public tier change.

PostgreSQL and Kafka cannot commit together, so how far the relay has come is told by Kafka alone: each Kafka transaction
carries events *and* a checkpoint with the last position. Whatever interrupts it (a kill, Kafka or PostgreSQL away, an answer
to a commit that never came), it starts over the same way: leader lock, open the topics (which ends any transaction left open and
fences an earlier relay), read the committed checkpoint, go on behind it. There is no second way to recover.

One process leads by a lock in PostgreSQL; others follow and take over. The lock only spares work: that nothing is sent
twice rests on the fencing in Kafka.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from domain.errors import IntegrityFault, ServiceUnreachable
from producers.batches import Batches, StoredRow, transaction
from producers.topics import Checkpoint, Relayed, Transaction

log = logging.getLogger(__name__)

LEAD_AGAIN_AFTER_S = 0.5
"""How often a follower tries to become the leader."""
PROGRESS_EVERY_S = 10.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between attempts while a service is away; the last one for ever."""
SAY_AFTER_S = 3.0
"""How long a transaction may take before the relay says that it waits."""
STOP_WITHIN_S = 3.0
"""How long a stop waits for the transaction in hand before it leaves it to be aborted."""

_NOTHING_SENT = "Nothing was sent."


class EventLog(Protocol):
    """What the relay asks of the event store. Adapter: `infra.postgres.event_log.PostgresEventLog`.

    Every method raises `ServiceUnreachable` while PostgreSQL is away and connects again by itself when called later.
    A lost connection loses the lead.
    """

    def read(self, after: int, limit: int) -> Sequence[StoredRow]:
        """Give events and their stored leaf hashes after a position, in order; fewer than `limit` only at the end."""
        ...

    def last_position(self) -> int:
        """Give the last position; 0 for a ledger without events."""
        ...

    def wait(self, timeout_s: float) -> object:
        """Return as soon as something was appended since the last call, or after the timeout."""
        ...

    def try_lead(self) -> bool:
        """Become the one leader if nobody is; True also where this process leads already."""
        ...

    def still_leading(self) -> bool:
        """Say whether the connection that holds the lead is alive."""
        ...


class LedgerTopics(Protocol):
    """What the relay asks of Kafka. Adapter: `infra.kafka.ledger_topics.KafkaLedgerTopics`.

    They raise `ServiceUnreachable` where Kafka is away or a transaction's outcome is unknown, and then only `close` and
    `open` may follow; `IntegrityFault` where another relay has taken over or the topics are not as they must be.
    """

    def open(self) -> Relayed:
        """End what an earlier relay left open, shut it out, and say how far the topics are."""
        ...

    def send(self, content: Transaction) -> None:
        """Send a transaction and begin to commit it; the one before must be committed."""
        ...

    def committed(self, timeout_s: float) -> bool:
        """Wait until the transaction sent last is committed; False if it is not yet. True where there is none."""
        ...

    def close(self) -> None:
        """Leave; a transaction that is not committed is aborted, at the latest by the next `open`. Never raises."""
        ...


class Relay:
    """The relay's loop: `run` until told to stop, or until something contradicts itself."""

    def __init__(self, event_log: EventLog, topics: LedgerTopics, batch_events: int, poll_interval_ms: int) -> None:
        self._event_log = event_log
        self._topics = topics
        self._batch_events = batch_events
        self._poll_interval_s = poll_interval_ms / 1000
        self._said = ""
        self._failures = 0
        self._reported_at = time.monotonic()
        self._reported_position = 0

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop` is set; the transaction in hand is finished, or left to be aborted if Kafka is away.

        Raises:
            IntegrityFault: store and Kafka contradict each other, or another relay has taken over.

        """
        try:
            while not stop.is_set():
                try:
                    if self._lead(stop):
                        self._relay(stop)
                except ServiceUnreachable as fault:
                    self._topics.close()
                    self._wait_for_service(fault, stop)
        finally:
            self._topics.close()

    def _lead(self, stop: threading.Event) -> bool:
        """Wait until this process is the leader; False if told to stop."""
        if not self._event_log.try_lead():
            log.info("Another relay leads; this one waits to take over.")
            while not self._event_log.try_lead():
                if stop.wait(LEAD_AGAIN_AFTER_S):
                    return False
            log.info("The other relay has gone; this one leads now.")
        return not stop.is_set()

    def _relay(self, stop: threading.Event) -> None:
        """Relay as the leader; return when told to stop or when the lead is lost."""
        position = self._resume()
        batches = Batches(self._event_log.read, position, self._batch_events)
        while not stop.is_set():
            if not self._event_log.still_leading():
                log.warning("The connection that held the lead is lost: the relay starts over.")
                self._topics.close()
                return
            rows = batches.take()
            content = transaction(rows) if rows else None  # made while Kafka commits the transaction before
            if not self._settle(stop):
                return
            self._report(position)
            if content is None:
                self._event_log.wait(self._poll_interval_s)
                continue
            self._topics.send(content)
            position = content.checkpoint.position
        self._settle(stop)

    def _resume(self) -> int:
        """Open the topics and give the position to go on after."""
        relayed = self._topics.open()
        position = position_to_resume(relayed, self._event_log.last_position())
        if relayed.checkpoint is not None:
            (_, stored_hash) = self._event_log.read(position - 1, 1)[0]
            check_same_ledger(relayed.checkpoint, stored_hash)
        log.info("Relaying from position %d on.", position + 1)
        self._said, self._failures = "", 0
        self._reported_at, self._reported_position = time.monotonic(), position
        return position

    def _settle(self, stop: threading.Event) -> bool:
        """Wait for the transaction in hand; False if told to stop while Kafka does not answer."""
        began, asked_to_stop_at, said = time.monotonic(), None, False
        while not self._topics.committed(timeout_s=0.2):
            now = time.monotonic()
            if now - began > SAY_AFTER_S and not said:
                log.warning(
                    "Kafka has not confirmed a transaction for %.0f s; the relay waits, nothing is lost.", SAY_AFTER_S
                )
                said = True
            if stop.is_set():
                asked_to_stop_at = asked_to_stop_at or now
                if now - asked_to_stop_at > STOP_WITHIN_S:
                    log.warning("Kafka does not answer: the transaction in hand is left, and will be sent again.")
                    return False
        return True

    def _wait_for_service(self, fault: ServiceUnreachable, stop: threading.Event) -> None:
        """Say what is away, once, and wait longer with each attempt."""
        if self._said != str(fault):
            log.warning("%s The relay waits and tries again; nothing is lost.", fault)
            self._said = str(fault)
        stop.wait(BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)])
        self._failures += 1

    def _report(self, position: int) -> None:
        """Log the progress, at most every ten seconds and only if there was any; `position` is committed."""
        elapsed_s = time.monotonic() - self._reported_at
        if elapsed_s < PROGRESS_EVERY_S:
            return
        relayed = position - self._reported_position
        if relayed:
            log.info("Relayed up to position %d, %.0f events/s.", position, relayed / elapsed_s)
        self._reported_at, self._reported_position = time.monotonic(), position


def position_to_resume(relayed: Relayed, last_position: int) -> int:
    """Give the position to go on after, from what the topics hold and the store's last position.

    Raises:
        IntegrityFault: checkpoint, topic and store contradict each other.

    """
    checkpoint, highest = relayed.checkpoint, relayed.highest_position
    if checkpoint is None and highest == 0:
        return 0
    if checkpoint is None:
        raise IntegrityFault(
            f"Kafka holds events up to position {highest} but no relay checkpoint: bring the checkpoint topic back, or"
            f" delete the ledger's topics, and they are filled again from position 1. {_NOTHING_SENT}"
        )
    if checkpoint.position != highest:
        raise IntegrityFault(
            f"The relay checkpoint says position {checkpoint.position}, but the events topic ends at position {highest}:"
            " restore Kafka's topics together, or delete all of the ledger's topics, and they are filled again from"
            f" position 1. {_NOTHING_SENT}"
        )
    if checkpoint.position > last_position:
        raise IntegrityFault(
            f"Kafka holds events up to position {checkpoint.position}, but the event store ends at position {last_position}:"
            " it was restored from an older backup or belongs to another ledger; restore the store, or name the Kafka that"
            f" belongs to it. {_NOTHING_SENT}"
        )
    return checkpoint.position


def check_same_ledger(checkpoint: Checkpoint, stored_hash: bytes) -> None:
    """Refuse the Kafka of another ledger: at the checkpoint's position the store must hold the same event.

    Raises:
        IntegrityFault: it holds another one.

    """
    if checkpoint.leaf_hash != stored_hash:
        raise IntegrityFault(
            f"At position {checkpoint.position} Kafka has the event with leaf hash {checkpoint.leaf_hash.hex()} and the event"
            f" store {stored_hash.hex()}: this Kafka belongs to another ledger; name the one that belongs to this store."
            f" {_NOTHING_SENT}"
        )
