"""Creating and checking topics, and the identities of a cluster and its topics.

Topics are created by code, never automatically: a topic that came into being with a default would lose events after a
week, or order keys by another partition count. So one that exists otherwise than laid out is refused.
"""

from collections.abc import Sequence
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import RetriableError, TopicAlreadyExistsError, for_code

from domain.errors import IntegrityFault, LedgerError
from infra.kafka import clients
from producers.topics import TopicLayout

_VERIFIED = ("cleanup.policy", "retention.ms", "retention.bytes")
_NOT_THERE = 3  # UNKNOWN_TOPIC_OR_PARTITION


def ensure_topics(bootstrap: str, layouts: Sequence[TopicLayout], replication_factor: int = 1) -> None:
    """Create the topics that are missing, and check those that exist.

    Raises:
        IntegrityFault: an existing topic has another partition count, or would lose records.
        ServiceUnreachable: Kafka does not answer.

    """
    client = clients.admin(bootstrap)
    try:
        with clients.reachable(bootstrap):
            names = [layout.name for layout in layouts]
            existing = _described(client, names)
            missing = [layout for layout in layouts if layout.name not in existing]
            if missing:
                _create(client, missing, replication_factor)
                existing = _described(client, names)
            _verify(client, layouts, existing)
    finally:
        client.close()


def cluster_id(bootstrap: str) -> str:
    """Give the identity of the cluster, which a Kafka made anew does not share."""
    client = clients.admin(bootstrap)
    try:
        with clients.reachable(bootstrap):
            identity: str = client.describe_cluster()["cluster_id"]
            return identity
    finally:
        client.close()


def topic_id(bootstrap: str, name: str) -> str | None:
    """Give the identity of a topic (a UUID), which a topic created again under its name does not share; None: no topic."""
    client = clients.admin(bootstrap)
    try:
        with clients.reachable(bootstrap):
            topic = _described(client, [name]).get(name)
            return None if topic is None else str(topic["topic_id"])
    finally:
        client.close()


def _described(client: Any, names: Sequence[str]) -> dict[str, Any]:
    """Describe those of the topics that exist, by name."""
    found: dict[str, Any] = {}
    for topic in client.describe_topics(list(names)):
        if topic["error_code"] == 0:
            found[topic["name"]] = topic
        elif topic["error_code"] != _NOT_THERE:
            raise for_code(topic["error_code"])(topic["name"])
    return found


def _create(client: Any, layouts: Sequence[TopicLayout], replication_factor: int) -> None:
    wanted = {
        layout.name: {
            "num_partitions": layout.partitions,
            "replication_factor": replication_factor,
            "configs": dict(layout.configs),
        }
        for layout in layouts
    }
    answer = client.create_topics(wanted, raise_errors=False)
    for topic in answer["topics"]:
        error = for_code(topic["error_code"])(topic["error_message"])
        if isinstance(error, RetriableError):
            raise error
        if topic["error_code"] != 0 and not isinstance(error, TopicAlreadyExistsError):  # another process was quicker
            raise LedgerError(
                f"Kafka does not create topic {topic['name']} with replication factor {replication_factor}:"
                f" {topic['error_message']} Set KAFKA_REPLICATION_FACTOR to what the cluster allows, or create it by hand."
            )
    client.wait_for_topics(list(wanted))


def _verify(client: Any, layouts: Sequence[TopicLayout], existing: dict[str, Any]) -> None:
    for layout in layouts:
        partitions = len(existing[layout.name]["partitions"])
        if partitions != layout.partitions:
            raise IntegrityFault(
                f"Topic {layout.name} has {partitions} partitions, but {layout.partitions} are set, and the order by key"
                f" depends on it: set KAFKA_PARTITIONS to {partitions}, or delete the ledger's topics and they are filled again."
            )
        _verify_configs(client, layout)


def _verify_configs(client: Any, layout: TopicLayout) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, layout.name)
    configs = client.describe_configs([resource], config_filter="all")["topic"][layout.name]
    for key in _VERIFIED:
        if key in layout.configs and configs[key]["value"] != layout.configs[key]:
            raise IntegrityFault(
                f"Topic {layout.name} has {key}={configs[key]['value']} where {layout.configs[key]} is needed, and would lose"
                f" events: alter the topic's {key} to {layout.configs[key]}."
            )
