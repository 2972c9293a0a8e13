"""Kafka tampered with by somebody who may write to its topics: each record is found, and named by its position."""

from dataclasses import replace

import pytest

from domain.envelope import EventRow, envelope
from producers.topics import Checkpoint, Record, Transaction
from tests.end_to_end.tampering import Copy, again, copy_of_original, instead, without

KAFKA = ("kafka", "kafka-order", "kafka-time", "checkpoint")


@pytest.fixture(scope="module")
def copy() -> Copy:
    """A copy of the ledger, whose topics are made anew by each test; the store stays as it is."""
    return copy_of_original()


def forged(copy: Copy, like: int, **changes: object) -> bytes:
    row = copy.row(like)
    return envelope(EventRow(**{**{name: getattr(row, name) for name in row.__struct_fields__}, **changes}))


def test_topics_made_anew_are_clean(copy: Copy) -> None:
    """What the tests below change is all that is found there."""
    audited = copy.with_topics().audit()
    assert audited.of(*KAFKA, "tier-changes") == set()
    assert audited.checks["kafka"].checked == copy.task().last


def test_a_missing_record(copy: Copy) -> None:
    """Its position is named, and that its stream goes on without it."""
    position = copy.position("type = 'SaleRecorded'")
    audited = copy.with_topics(without(position)).audit_kafka()
    assert audited.of("kafka") == {("kafka", "missing", position)}
    following = copy.position(f"stream = '{copy.row(position).stream}' AND position > {position}")
    assert audited.of("kafka-order") == {("kafka-order", "order", following)}


def test_the_last_record_missing(copy: Copy) -> None:
    """Nothing comes behind it that would show it."""
    position = copy.task().last
    audited = copy.with_topics(without(position)).audit_kafka()
    assert audited.of("kafka", "kafka-order") == {("kafka", "missing", position)}


def test_a_repeated_record(copy: Copy) -> None:
    """The same bytes once more."""
    position = copy.position("type = 'SaleRecorded'")
    audited = copy.with_topics(again(position)).audit_kafka()
    assert audited.of(*KAFKA) == {("kafka", "repeated", position)}


def test_a_changed_record(copy: Copy) -> None:
    """In the place of the genuine one."""
    position = copy.position("type = 'SaleRecorded'")

    def change(record: Record) -> Record:
        return record._replace(value=record.value.replace(b'"amount":"', b'"amount":"9'))

    audited = copy.with_topics(instead(position, change)).audit_kafka()
    assert ("kafka", "changed", position) in audited.found
    assert ("projections:sale", "changed", position) in audited.found, "the projections followed the genuine one"


@pytest.mark.parametrize("beyond", [False, True])
def test_a_forged_record(copy: Copy, *, beyond: bool) -> None:
    """Beside the genuine one, or at a position that the store does not have."""
    like = copy.position("type = 'SaleRecorded'")
    position = 1_000_000_000 if beyond else like
    row = copy.row(like)
    value = forged(copy, like, position=position, command_id="forged")
    topics = copy.with_topics()
    topics.produce("events", (row.stream.encode(), value, 1))
    audited = topics.audit_kafka()
    assert audited.of(*KAFKA) == {("kafka", "forged", position)}
    assert "partition" in audited.detail("kafka")


def test_a_record_that_is_none_of_ours(copy: Copy) -> None:
    """It claims no position; it is found all the same."""
    topics = copy.with_topics()
    topics.produce("events", (b"partner:x", b"no JSON", 1), (b"partner:y", None, 1))
    audited = topics.audit_kafka()
    assert audited.of(*KAFKA) == {("kafka", "forged", None)}
    assert audited.checks["kafka"].found == 2


def test_records_in_another_order(copy: Copy) -> None:
    """A stream's two events the other way round."""
    first = copy.position("type = 'SaleRecorded'")
    stream = copy.row(first).stream
    second = copy.position(f"stream = '{stream}' AND position > {first}")

    def change(whole: Transaction) -> Transaction:
        events = list(whole.events)
        events[first - 1], events[second - 1] = events[second - 1], events[first - 1]
        return replace(whole, events=tuple(events))

    audited = copy.with_topics(change).audit_kafka()
    assert ("kafka-order", "order", second) in audited.found
    assert ("kafka-order", "order", first) in audited.found
    assert audited.of("kafka") == set(), "each is there once, with its bytes"


def test_a_record_in_another_partition(copy: Copy) -> None:
    """The genuine bytes under another key go elsewhere, and do not count as the stream's."""
    position = copy.position("type = 'SaleRecorded'")
    audited = copy.with_topics(instead(position, lambda record: record._replace(key=b"partner:other"))).audit_kafka()
    assert ("kafka", "unreadable", position) in audited.found


def test_another_time(copy: Copy) -> None:
    """Kafka's time of a record is the one at which it was recorded."""
    position = copy.position("type = 'SaleRecorded'")
    audited = copy.with_topics(
        instead(position, lambda record: record._replace(timestamp_ms=record.timestamp_ms - 1))
    ).audit_kafka()
    assert audited.of(*KAFKA) == {("kafka-time", "changed", position)}


def test_the_checkpoint(copy: Copy) -> None:
    """The relay would go on from a wrong place."""
    audited = copy.with_topics(lambda whole: replace(whole, checkpoint=Checkpoint(3, b"x"))).audit_kafka()
    assert audited.of(*KAFKA) == {("checkpoint", "changed", 3)}


def test_a_public_tier_change_forged_missing_and_repeated(copy: Copy) -> None:
    """Byte for byte what the ledger's event gives, each once."""
    first, second = (copy.position("type = 'PartnerEnrolled'"), copy.position("type = 'TierChanged'"))

    def missing(whole: Transaction) -> Transaction:
        changes = [r for r in whole.tier_changes if f'"position":{second}}}'.encode() not in r.value]
        assert len(changes) == len(whole.tier_changes) - 1
        return replace(whole, tier_changes=tuple(changes))

    assert copy.with_topics(missing).audit_store().found == {("tier-changes", "missing", second)}

    def twice(whole: Transaction) -> Transaction:
        return replace(whole, tier_changes=(*whole.tier_changes, whole.tier_changes[0]))

    audited = copy.with_topics(twice).audit_store()
    assert ("tier-changes", "repeated", first) in audited.found

    topics = copy.with_topics()
    told = b'{"type":"partner-ledger.tier-change.v1","data":{"position":%d}}' % second
    topics.produce("tier_changes", (b"P", told, 1))
    assert topics.audit_store().found == {("tier-changes", "forged", second)}
