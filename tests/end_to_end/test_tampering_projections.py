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


EDITS = (
    ("bonus_line", "amount = amount + 1"),
    ("bonus_line", "category = 'paid'"),
    ("tier", "tier = 'platinum-for-ever'"),
    ("tier", "effective_on = effective_on - 1"),
    ("sale", "amount = amount * 2"),
    ("membership", "effective_on = effective_on - 1"),
    ("specialisation", "held = NOT held"),
    ("reversal", "net = net + 1"),
    ("partner", "name = 'Somebody else'"),
    ("audit", "actor = 'nobody'"),
    ("audit", "record_offset = record_offset + 1"),
)


def test_rows_edited(copy: Copy) -> None:
    """Whatever column it is: each is found in its table, at its position, with the column's name and both values."""
    expected, columns = set(), []
    for n, (table, change) in enumerate(EDITS):
        position = int(
            str(
                copy.value(
                    f"SELECT position FROM {table} ORDER BY position DESC OFFSET {n} % (SELECT count(*) FROM {table}) LIMIT 1"
                )
            )
        )
        copy.project(f"UPDATE {table} SET {change} WHERE position = {position}")
        expected.add((f"projections:{table}", "changed", position))
        columns.append((table, change.split(" =", maxsplit=1)[0]))
    audited = copy.audit_kafka()
    tables = {f"projections:{table}" for table, _ in EDITS}
    assert audited.of(*tables) == expected
    details = " ".join(finding.detail for finding in audited.findings)
    for _, column in columns:
        assert f"{'offset' if column == 'record_offset' else column} is" in details, column


def test_rows_removed(copy: Copy) -> None:
    """They are missing."""
    tables = ("bonus_line", "sale", "tier", "audit", "partner", "membership", "reversal", "specialisation")
    expected = set()
    for table in tables:
        position = first(table)(copy)
        copy.project(f"DELETE FROM {table} WHERE position = {position}")
        expected.add((f"projections:{table}", "missing", position))
    assert copy.audit_kafka().of(*(f"projections:{table}" for table in tables)) == expected


def test_rows_added(copy: Copy) -> None:
    """No event gives them: before the first position, in the middle, far behind the last."""
    positions = (0, first("sale")(copy), 1_000_000_000)
    for position in positions:
        copy.project(
            f"INSERT INTO membership SELECT {position}, partner, 'ended', effective_on, reason FROM membership LIMIT 1"
        )
    assert copy.audit_kafka().found == {("projections:membership", "added", position) for position in positions}


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


def test_partitions_progress_edited(copy: Copy) -> None:
    """How much was applied, up to where, of which topic."""
    changes = (
        "applied = applied + 1",
        "last_position = last_position + 1",
        "topic_id = 'x'",
        "latest_business_date = '2030-01-01'",
    )
    expected = set()
    for partition, change in enumerate(changes):
        position = copy.value(f"SELECT last_position FROM partition_progress WHERE partition = {partition}")
        copy.project(f"UPDATE partition_progress SET {change} WHERE partition = {partition}")
        expected.add(("progress", "changed", position))
    assert copy.audit_kafka().found == expected


def test_stream_versions_edited(copy: Copy) -> None:
    """A version would be applied twice, or wait for ever."""
    changes = ("version = version + 1", "version = version - 1", "leaf_hash = '\\x00'", "partition = 9")
    streams = []
    for n, change in enumerate(changes):
        stream = str(copy.value(f"SELECT stream FROM stream_version ORDER BY stream OFFSET {n} LIMIT 1"))
        copy.project(f"UPDATE stream_version SET {change} WHERE stream = '{stream}'")
        streams.append(stream)
    audited = copy.audit_kafka()
    assert {(finding.check, finding.kind) for finding in audited.findings} == {
        ("projections:stream_version", "changed")
    }
    assert len(audited.findings) == len(changes)
    assert all(any(stream in finding.detail for finding in audited.findings) for stream in streams)


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
