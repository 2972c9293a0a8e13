"""What goes into the relay's transactions."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.envelope import envelope, leaf_hash, open_envelope
from domain.errors import IntegrityFault
from producers.batches import Batches, StoredRow, transaction
from tests.producers.rows import ENROLLED, reading, row_of, store_of, stored

COMMAND_SIZES = st.lists(st.integers(1, 12), max_size=30)


def all_batches(rows: list[StoredRow], after: int, size: int) -> list[list[StoredRow]]:
    batches = Batches(reading(rows), after, size)
    return [list(batch) for batch in iter(batches.take, [])]


@given(COMMAND_SIZES, st.integers(1, 10))
def test_every_position_is_in_exactly_one_batch_and_in_order(sizes: list[int], batch_events: int) -> None:
    rows = store_of(sizes)
    assert list(itertools.chain.from_iterable(all_batches(rows, 0, batch_events))) == rows


@given(COMMAND_SIZES, st.integers(1, 10))
def test_a_batch_never_holds_a_part_of_a_command(sizes: list[int], batch_events: int) -> None:
    batches = all_batches(store_of(sizes), 0, batch_events)
    commands = [{row.command_id for row, _ in batch} for batch in batches]
    assert sum(len(each) for each in commands) == len(set().union(*commands))


@given(COMMAND_SIZES, st.integers(1, 10))
def test_a_batch_is_larger_than_set_only_where_one_command_is(sizes: list[int], batch_events: int) -> None:
    for batch in all_batches(store_of(sizes), 0, batch_events):
        assert len(batch) <= batch_events or len({row.command_id for row, _ in batch}) == 1


@given(COMMAND_SIZES, st.integers(1, 10), st.data())
def test_going_on_after_any_committed_batch_gives_the_rest(
    sizes: list[int], batch_events: int, data: st.DataObject
) -> None:
    rows = store_of(sizes)
    batches = all_batches(rows, 0, batch_events)
    ends = [0, *(batch[-1][0].position for batch in batches)]
    after = data.draw(st.sampled_from(ends))
    assert list(itertools.chain.from_iterable(all_batches(rows, after, batch_events))) == rows[after:]


def test_what_is_appended_later_comes_with_the_next_take() -> None:
    rows = store_of([2, 3])
    shown: list[StoredRow] = rows[:2]
    batches = Batches(lambda after, limit: shown[after : after + limit], 0, 10)
    assert batches.take() == rows[:2]
    assert batches.take() == []
    shown.extend(rows[2:])
    assert batches.take() == rows[2:]


def test_a_hole_in_the_positions_is_refused() -> None:
    rows = store_of([1, 1, 1, 1])
    batches = Batches(lambda after, limit: [rows[0], rows[2]], 0, 10)
    with pytest.raises(IntegrityFault, match="position 3 after position 1"):
        batches.take()


def test_a_batch_of_no_events_is_refused() -> None:
    with pytest.raises(ValueError, match="not 0"):
        Batches(reading([]), 0, 0)


def test_a_transaction_holds_the_envelopes_the_tier_changes_and_the_checkpoint_of_the_last_event() -> None:
    rows = [stored(row_of(ENROLLED, 1)), *store_of([1, 1])[1:]]
    content = transaction(rows)
    assert [open_envelope(record.value).position for record in content.events] == [1, 2]
    assert [record.key for record in content.events] == [b"partner:P-1", b"ledger"]
    assert {record.timestamp_ms for record in content.events} == {1772366400123}
    assert [record.key for record in content.tier_changes] == [b"P-1"]
    assert content.checkpoint.position == 2
    assert content.checkpoint.leaf_hash == leaf_hash(content.events[-1].value)


def test_an_event_changed_in_the_database_is_refused_by_position() -> None:
    (row, stored_hash), *_ = store_of([1])
    changed = msgspec.structs.replace(row, actor="somebody else")
    assert leaf_hash(envelope(changed)) != stored_hash
    with pytest.raises(IntegrityFault, match="Event 1 of stream 'ledger'"):
        transaction([(changed, stored_hash)])
