"""The relay: events a second from the store to committed on Kafka, and how much memory its process takes at most."""

from itertools import count

from benchmarks.filled import endpoints_of, imported, last_position, most_memory_mb, relay_all
from benchmarks.measuring import Bench, Spent
from infra.bootstrap import RELAY
from infra.kafka.ledger_topics import relayed_position
from infra.settings import Settings
from tests.servers import temporary_home


def measure(bench: Bench) -> None:
    """Relay a filled store to topics of its own, again and again."""
    settings = imported(bench.events)
    numbers = count(1)

    def run() -> Spent:
        return relay_all(settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}-relay-{next(numbers)}"}))

    bench.rate("store to committed on Kafka", "events/s", run)
    alone = {"home": temporary_home(), "topic_prefix": f"{settings.topic_prefix}-relay-{next(numbers)}"}
    bench.values("resident memory of its process, at most", "MB", [_most_memory_mb(settings.model_copy(update=alone))])


def _most_memory_mb(settings: Settings) -> float:
    """Have a relay as `up` starts it relay everything; give the most memory that was resident."""
    endpoints = endpoints_of(settings)
    events = last_position(settings)
    return most_memory_mb(
        settings, RELAY, lambda: relayed_position(endpoints.bootstrap_servers, settings.topic_prefix) == events
    )
