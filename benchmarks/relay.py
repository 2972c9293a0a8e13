"""The relay: events a second from the store to committed on Kafka."""

from itertools import count

from benchmarks.filled import imported, relay_all
from benchmarks.measuring import Bench, Spent


def measure(bench: Bench) -> None:
    """Relay a filled store to topics of its own, again and again."""
    settings = imported(bench.events)
    numbers = count(1)

    def run() -> Spent:
        return relay_all(settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}-relay-{next(numbers)}"}))

    bench.rate("store to committed on Kafka", "events/s", run)
