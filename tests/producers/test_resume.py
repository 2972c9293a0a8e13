"""Where the relay goes on, and when it refuses to."""

import pytest

from domain.errors import IntegrityFault
from producers.relay import check_same_ledger, position_to_resume
from producers.topics import Checkpoint, Relayed, layouts

HASH = bytes(range(32))


def test_an_empty_kafka_is_filled_from_the_first_position() -> None:
    assert position_to_resume(Relayed(None, 0), last_position=500) == 0


def test_it_goes_on_after_a_checkpoint_that_the_topic_agrees_with() -> None:
    assert position_to_resume(Relayed(Checkpoint(40, HASH), 40), last_position=500) == 40


@pytest.mark.parametrize(
    ("relayed", "last_position", "figures"),
    [
        (Relayed(None, 40), 500, "up to position 40 but no relay checkpoint"),
        (
            Relayed(Checkpoint(41, HASH), 40),
            500,
            "checkpoint says position 41, but the events topic ends at position 40",
        ),
        (
            Relayed(Checkpoint(39, HASH), 40),
            500,
            "checkpoint says position 39, but the events topic ends at position 40",
        ),
        (Relayed(Checkpoint(40, HASH), 0), 500, "checkpoint says position 40, but the events topic ends at position 0"),
        (Relayed(Checkpoint(40, HASH), 40), 39, "up to position 40, but the event store ends at position 39"),
    ],
)
def test_contradictions_are_refused_with_the_figures(relayed: Relayed, last_position: int, figures: str) -> None:
    with pytest.raises(IntegrityFault, match=figures):
        position_to_resume(relayed, last_position)


def test_the_kafka_of_another_ledger_is_refused() -> None:
    check_same_ledger(Checkpoint(40, HASH), HASH)
    with pytest.raises(IntegrityFault, match=r"At position 40 .* belongs to another ledger"):
        check_same_ledger(Checkpoint(40, HASH), bytes(32))


def test_topics_keep_events_for_ever_and_the_checkpoint_compacted() -> None:
    topics = layouts(partitions=6)
    assert [(each.name, each.partitions) for each in topics.all] == [
        ("partner-ledger.events", 6),
        ("partner-ledger.tier-changes", 6),
        ("partner-ledger.relay-checkpoint", 1),
        ("partner-ledger.tree-heads", 1),
    ]
    for topic in (topics.events, topics.tier_changes, topics.tree_heads):
        assert (topic.configs["cleanup.policy"], topic.configs["retention.ms"]) == ("delete", "-1")
    assert topics.relay_checkpoint.configs["cleanup.policy"] == "compact"
