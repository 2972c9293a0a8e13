"""The events topic as the projector reads it, on the real Kafka."""

import threading
import time
import uuid

import pytest

from infra.kafka import event_source
from infra.kafka.admin import ensure_topics
from infra.kafka.event_source import KafkaEventSource
from producers.topics import TopicLayout
from tests.infra.kafka.real import bootstrap

PARTITIONS = 3


def test_a_place_in_the_group_is_taken_although_a_poll_ends_while_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls too short for a join to end within one, and a topic that comes while the group forms: none waits for ever."""
    monkeypatch.setattr(event_source, "POLL_MS", 2)
    at = bootstrap()
    for _ in range(5):
        topic = f"late-{uuid.uuid4()}"
        source = KafkaEventSource(at, topic, group_id=f"group-{topic}", max_records=100)
        making = threading.Timer(0.05, ensure_topics, (at, [TopicLayout(topic, PARTITIONS, {})]))
        making.start()
        began = time.monotonic()
        partitions: set[int] = set()
        while len(partitions) < PARTITIONS:
            assert time.monotonic() - began < 10, "it has no place in its group"
            source.poll()
            partitions = set(source.assigned_anew() or ())
        making.join()
        source.close()
