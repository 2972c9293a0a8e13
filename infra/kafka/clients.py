"""The one place where the settings of Kafka clients stand, and where the client's errors become ours.

Each setting that is not the library's default has its reason beside it. Timeouts are short, because every caller knows
what to do when Kafka is away: say so, and try again from a known point.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaConnectionError, KafkaError, RetriableError

from domain.errors import ServiceUnreachable
from producers.topics import MAX_RECORD_BYTES

REQUEST_TIMEOUT_MS = 10_000
DELIVERY_TIMEOUT_MS = 20_000
TRANSACTION_TIMEOUT_MS = 60_000
"""After this the broker aborts a transaction; a batch and a commit that take this long are given up long before."""

_COMMON: dict[str, Any] = {
    "bootstrap_timeout_ms": 3_000,
    "request_timeout_ms": REQUEST_TIMEOUT_MS,
    "reconnect_backoff_max_ms": 1_000,  # 30 s by default: a broker that is back would be noticed late
}

_PRODUCER: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,  # explicit: the library drops it silently where another setting conflicts
    "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
    "delivery_timeout_ms": DELIVERY_TIMEOUT_MS,
    "max_block_ms": 10_000,
    "allow_auto_create_topics": False,
    # The broker answers the first request after a commit with CONCURRENT_TRANSACTIONS until the commit's markers are
    # written; the library then sleeps this long. At its 100 ms transactions of 1,000 events ran at 4,400/s, not 16,000/s.
    "retry_backoff_ms": 5,
    # A transaction is flushed as a whole: large batches, and none sent half full while more is being added.
    "batch_size": 256 * 1024,
    "linger_ms": 50,
    "max_request_size": MAX_RECORD_BYTES,
    # Without: gzip, the one codec without a further package, ran at 10,100/s against 16,300/s, and readers pay too.
    "compression_type": None,
    "metrics_enabled": False,
}

_CONSUMER: dict[str, Any] = {
    "isolation_level": "read_committed",
    "enable_auto_commit": False,
    "auto_offset_reset": "none",  # a position that is not on the topic is a fault, never a silent jump
    "allow_auto_create_topics": False,
    "max_poll_records": 5_000,
    "max_partition_fetch_bytes": MAX_RECORD_BYTES,
    "fetch_max_bytes": 6 * MAX_RECORD_BYTES,
    "metrics_enabled": False,
}


def transactional_producer(bootstrap: str, transactional_id: str) -> Any:
    """Connect a producer; a later one with the same id shuts this one out. Close it with `discard`."""
    with reachable(bootstrap):
        return KafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id, **_COMMON, **_PRODUCER)


def idempotent_producer(bootstrap: str) -> Any:
    """Connect a producer for a record now and then; close it with `close`."""
    with reachable(bootstrap):
        return KafkaProducer(bootstrap_servers=bootstrap, **_COMMON, **_PRODUCER)


def read_committed_consumer(
    bootstrap: str, group_id: str | None = None, session_timeout_ms: int = 6_000, **further: Any
) -> Any:
    """Connect a consumer of what is committed; without a group it is used with `assign` and `seek`.

    A killed member of a group is replaced after the session timeout. `further` are settings of the library's consumer.
    """
    group: dict[str, Any] = {}
    if group_id is not None:
        timing = {"session_timeout_ms": session_timeout_ms, "heartbeat_interval_ms": max(1, session_timeout_ms // 3)}
        group = {"group_id": group_id, **timing}
    with reachable(bootstrap):
        return KafkaConsumer(bootstrap_servers=bootstrap, **(_COMMON | _CONSUMER | group | further))


def admin(bootstrap: str) -> Any:
    """Connect an admin client."""
    with reachable(bootstrap):
        return KafkaAdminClient(bootstrap_servers=bootstrap, **_COMMON)


@contextmanager
def reachable(bootstrap: str) -> Iterator[None]:
    """Turn the client's errors that mean "no broker answers (yet)" into ours.

    Raises:
        ServiceUnreachable: instead of a retriable error of the client.

    """
    try:
        yield
    except RetriableError as error:
        raise unreachable(bootstrap, error) from error


def unreachable(bootstrap: str, error: KafkaError) -> ServiceUnreachable:
    """Give the sentence for a Kafka that does not answer."""
    detail = "" if isinstance(error, KafkaConnectionError) else f" ({type(error).__name__})"
    return ServiceUnreachable(f"Kafka at {bootstrap} does not answer{detail}: start it, or check the setting KAFKA.")


def discard(producer: Any) -> None:
    """Close a transactional producer at once, whatever it is doing, and free every thread that waits for it.

    `close()` alone cannot: with a broker away it raises while batches wait, leaves the sending thread running, and nobody
    ever answers a commit that waits (kafka-python 3.0.12). So this uses the library's own forced close behind it. What was
    not committed is aborted when a producer with the same transactional id connects. Returns at once; never raises.
    """
    producer._sender.force_close()
    threading.Thread(target=_bury, args=(producer,), name="kafka-discard", daemon=True).start()


def _bury(producer: Any) -> None:
    producer._sender.join()
    producer._transaction_manager.authentication_failed(KafkaConnectionError("The producer was closed."))
    producer.close(timeout=0)
