"""Partitions brought together: in order, complete, whatever the polls are; what is not genuine is told apart."""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from consumers.in_order import RecordsInOrder
from consumers.sequencing import Received, receive
from domain.envelope import leaf_hash
from domain.findings import Tally
from domain.streams import partner_stream
from tests.projections import histories as a
from tests.projections.histories import History, Told

TOPIC, PARTITIONS = "events", 3


class Polled(NamedTuple):
    """A record as Kafka's client gives it."""

    offset: int
    key: bytes | None
    value: bytes | None


def history(streams: Sequence[int]) -> list[Told]:
    """One event of each of these partners, in this order."""
    told = History()
    for number, partner in enumerate(streams):
        told.tell(partner_stream(str(partner)), a.sale(f"D{number}", "2012-01-02", "10.00"))
    return told.told


def partition_of(key: bytes | None) -> int:
    return int((key or b"0").rsplit(b":", 1)[-1]) % PARTITIONS


def by_partition(told: Sequence[Told]) -> dict[int, list[Received]]:
    """The records of each partition."""
    records: dict[int, list[Received]] = {partition: [] for partition in range(PARTITIONS)}
    for each in told:
        partition = partition_of(each.key)
        offset = len(records[partition])
        records[partition].append(receive(TOPIC, partition, Polled(offset, each.key, each.value)))
    return records


def reader(told: Sequence[Told], tally: Tally, dropped: Sequence[tuple[int, int, str | None]] = ()) -> RecordsInOrder:
    hashes = {each.position: leaf_hash(each.value) for each in told}
    return RecordsInOrder(tally, range(PARTITIONS), partition_of, len(told), hashes.get, dropped)


def times(records: Sequence[Received]) -> list[int]:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return [
        0 if r.recorded is None else (r.recorded.envelope.time - epoch) // dt.timedelta(milliseconds=1) for r in records
    ]


def read(order: RecordsInOrder, records: dict[int, list[Received]]) -> list[int]:
    """Read each partition in one go; give the positions handed on."""
    for partition, its in records.items():
        order.take(partition, its, times(its))
        order.end(partition)
    given = [at.envelope.position for at in order.give()]
    order.finish()
    return given


POLLS = st.lists(st.tuples(st.integers(0, PARTITIONS - 1), st.integers(1, 5)), max_size=30)


@given(st.lists(st.integers(0, 7), max_size=40), POLLS)
def test_every_way_of_polling_gives_all_of_it_in_order(streams: list[int], polls: list[tuple[int, int]]) -> None:
    """Whatever comes first from whichever partition: 1, 2, 3, …, each once, and nothing is found."""
    told, tally = history(streams), Tally()
    order, rest = reader(told, tally), by_partition(told)
    given: list[int] = []
    for partition, count in [*polls, *((partition, len(told)) for partition in range(PARTITIONS))]:
        taken, rest[partition] = rest[partition][:count], rest[partition][count:]
        order.take(partition, taken, times(taken))
        if not rest[partition]:
            order.end(partition)
        given += [at.envelope.position for at in order.give()]
        assert given == list(range(1, order.handed_on + 1)), "complete up to what it says"
    assert given == [each.position for each in told]
    order.finish()
    assert tally.findings == []
    assert order.versions == {each.stream: each.version for each in told}


@given(st.lists(st.integers(0, 7), min_size=3, max_size=20), st.data())
def test_a_record_left_out_is_missing(streams: list[int], data: st.DataObject) -> None:
    """By its position; all others are handed on."""
    told, tally = history(streams), Tally()
    position = data.draw(st.integers(1, len(told)))
    order = reader(told, tally)
    given = read(order, by_partition([each for each in told if each.position != position]))
    assert given == [each.position for each in told if each.position != position]
    assert [(f.kind, f.position) for f in tally.findings if f.check == "kafka"] == [("missing", position)]


@given(st.lists(st.integers(0, 7), min_size=3, max_size=20), st.data())
def test_a_record_put_in_once_more_is_repeated(streams: list[int], data: st.DataObject) -> None:
    """Wherever it comes behind the first one."""
    told, tally = history(streams), Tally()
    position = data.draw(st.integers(1, len(told)))
    again = data.draw(st.integers(position, len(told)))
    given = read(reader(told, tally), by_partition([*told[:again], told[position - 1], *told[again:]]))
    assert given == [each.position for each in told]
    assert [(f.check, f.kind, f.position) for f in tally.findings] == [("kafka", "repeated", position)]


def test_a_record_that_the_ledger_dropped_is_passed_over() -> None:
    """By its place and its hash: elsewhere, or with other bytes, it is forged."""
    told = history([0, 0, 0])
    forged = a.make_value(partner_stream("0"), 9, 2, a.sale("X", "2012-01-02", "10.00"))
    records = by_partition(told)
    records[0].append(receive(TOPIC, 0, Polled(3, b"partner:0", forged)))
    tally = Tally()
    order = reader(told, tally, [(0, 3, leaf_hash(forged).hex())])
    assert read(order, records) == [1, 2, 3]
    assert (tally.findings, order.passed_over) == ([], 1)
    for place in ((0, 4, leaf_hash(forged).hex()), (0, 3, leaf_hash(b"").hex())):
        tally = Tally()
        read(reader(told, tally, [place]), records)
        assert [(f.kind, f.position) for f in tally.findings] == [("forged", 2)]


def test_what_claims_to_be_recorded_meanwhile_is_asked_for() -> None:
    """The store holds the one, and not the other."""
    told = history([0, 1, 2])
    genuine, forged = (
        a.make_value(partner_stream("0"), 2, position, a.sale("X", "2012-01-02", "10.00")) for position in (4, 5)
    )
    records = by_partition(told)
    records[0] += [receive(TOPIC, 0, Polled(n, b"partner:0", value)) for n, value in enumerate((genuine, forged), 1)]
    tally = Tally()
    order = reader(told, tally)
    assert read(order, records) == [1, 2, 3]
    order.judge_later([(4, leaf_hash(genuine))])
    assert [(f.kind, f.position) for f in tally.findings] == [("forged", 5)]
