"""The projections tampered with by their owner: each row is found, and named by its position."""

from collections.abc import Callable

import pytest

from tests.end_to_end.tampering import Copy, copy_of_original


@pytest.fixture
def copy() -> Copy:
    """A copy of the ledger, to be tampered with."""
    return copy_of_original()


def first(table: str, condition: str = "true") -> Callable[[Copy], int]:
    """Give the first position that a table has a row of."""
    return lambda copy: int(str(copy.value(f"SELECT min(position) FROM {table} WHERE {condition}")))


EDITS = {
    "a line's amount": ("bonus_line", "amount = amount + 1"),
    "a line's category": ("bonus_line", "category = 'paid'"),
    "a tier": ("tier", "tier = 'platinum-for-ever'"),
    "a tier's date": ("tier", "effective_on = effective_on - 1"),
    "a sale": ("sale", "amount = amount * 2"),
    "a membership": ("membership", "effective_on = effective_on - 1"),
    "a specialisation": ("specialisation", "held = NOT held"),
    "a reversal": ("reversal", "net = net + 1"),
    "a partner's name": ("partner", "name = 'Somebody else'"),
    "who did it": ("audit", "actor = 'nobody'"),
    "where it stood on Kafka": ("audit", "record_offset = record_offset + 1"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_row_edited(copy: Copy, edit: str) -> None:
    """Whatever column it is; other checks may say so too."""
    table, change = EDITS[edit]
    position = first(table)(copy)
    copy.project(f"UPDATE {table} SET {change} WHERE position = {position}")
    audited = copy.audit_kafka()
    assert audited.of(f"projections:{table}") == {(f"projections:{table}", "changed", position)}
    column = change.split(" =", maxsplit=1)[0]
    assert f"{'offset' if column == 'record_offset' else column} is" in audited.detail(f"projections:{table}")


@pytest.mark.parametrize("table", ["bonus_line", "sale", "tier", "audit", "partner"])
def test_a_row_removed(copy: Copy, table: str) -> None:
    """It is missing."""
    position = first(table)(copy)
    copy.project(f"DELETE FROM {table} WHERE position = {position}")
    assert (f"projections:{table}", "missing", position) in copy.audit_kafka().found


@pytest.mark.parametrize("where", ["before the first", "in the middle", "far behind the last"])
def test_a_row_added(copy: Copy, where: str) -> None:
    """No event gives it, wherever it stands."""
    position = {"before the first": 0, "in the middle": first("sale")(copy), "far behind the last": 1_000_000_000}[
        where
    ]
    copy.project(
        f"INSERT INTO membership SELECT {position}, partner, 'ended', effective_on, reason FROM membership LIMIT 1"
    )
    assert copy.audit_kafka().found == {("projections:membership", "added", position)}


def test_a_balance_edited(copy: Copy) -> None:
    """It is the sum of its lines, the last of which names it."""
    copy.project("UPDATE balance SET accrued = accrued + 100 WHERE (partner, currency, posting_month) ="
                 " (SELECT partner, currency, posting_month FROM balance ORDER BY 1, 2, 3 LIMIT 1)")  # fmt: skip
    position = copy.value(
        "SELECT max(l.position) FROM bonus_line l JOIN (SELECT * FROM balance ORDER BY partner, currency, posting_month LIMIT 1) b"
        " ON (l.partner, l.currency) = (b.partner, b.currency) AND date_trunc('month', l.posting_date)::date = b.posting_month"
    )
    audited = copy.audit_kafka()
    assert audited.found == {("balances", "changed", position)}
    assert "its lines add up to" in audited.detail("balances")


def test_a_balance_removed_or_made_up(copy: Copy) -> None:
    """One that its lines ask for, and one of a partner that has none."""
    copy.project(
        "DELETE FROM balance WHERE partner = (SELECT min(partner) FROM balance);"
        " INSERT INTO balance VALUES ('nobody', 'CHF', '2012-01-01', 5, 0, 0, 1)"
    )
    found = copy.audit_kafka().found
    assert ("balances", "added", None) in found
    assert {kind for _, kind, _ in found} == {"missing", "added"}


def test_an_offset_edited(copy: Copy) -> None:
    """The projector would read a record twice, or pass one over."""
    for step in (1, -1):
        position = copy.value("SELECT last_position FROM partition_progress WHERE partition = 0")
        copy.project(f"UPDATE partition_progress SET next_offset = next_offset + {step} WHERE partition = 0")
        assert copy.audit_kafka().found == {("progress", "changed", position)}, step
        copy.project(f"UPDATE partition_progress SET next_offset = next_offset - {step} WHERE partition = 0")


@pytest.mark.parametrize(
    "change",
    [
        "applied = applied + 1",
        "last_position = last_position + 1",
        "topic_id = 'x'",
        "latest_business_date = '2030-01-01'",
    ],
)
def test_a_partitions_progress_edited(copy: Copy, change: str) -> None:
    """How much was applied, up to where, of which topic."""
    position = copy.value("SELECT last_position FROM partition_progress WHERE partition = 1")
    copy.project(f"UPDATE partition_progress SET {change} WHERE partition = 1")
    assert copy.audit_kafka().found == {("progress", "changed", position)}


@pytest.mark.parametrize(
    "change", ["version = version + 1", "version = version - 1", "leaf_hash = '\\x00'", "partition = 9"]
)
def test_a_stream_version_edited(copy: Copy, change: str) -> None:
    """A version would be applied twice, or wait for ever."""
    copy.project(f"UPDATE stream_version SET {change} WHERE stream = (SELECT min(stream) FROM stream_version)")
    audited = copy.audit_kafka()
    assert {(check, kind) for check, kind, _ in audited.found} == {("projections:stream_version", "changed")}
    assert str(copy.value("SELECT min(stream) FROM stream_version")) in audited.detail("projections:stream_version")


def test_a_stream_added_or_removed(copy: Copy) -> None:
    """The streams are those of the events."""
    copy.project(
        "DELETE FROM stream_version WHERE stream = (SELECT min(stream) FROM stream_version);"
        " INSERT INTO stream_version VALUES ('partner:nobody', 0, 1, '')"
    )
    found = copy.audit_kafka().of("projections:stream_version")
    assert {kind for _, kind, _ in found} == {"missing", "added"}


def test_a_parked_record(copy: Copy) -> None:
    """What waits is in no answer; the position that it has in the store names it."""
    copy.project(
        "INSERT INTO parked (topic, partition, record_offset, stream, position, reason)"
        " SELECT topic, 0, 999, 'partner:x', 5, 'It waits.' FROM partition_progress LIMIT 1"
    )
    audited = copy.audit_kafka()
    assert audited.found == {("parked", "parked", 5)}
    assert "It waits." in audited.detail("parked")
