"""The store tampered with by its owner, the triggers off: each change is found, and named by its position."""

from collections.abc import Callable

import pytest

from domain.aggregates import LedgerEvent, PartnerAggregate
from domain.events import decode
from domain.recorded_identity import recorded_identity
from domain.snapshots import snapshot_of
from domain.streams import partner_stream
from tests.consumers import real
from tests.end_to_end.tampering import Copy, copy_of_original, original, sql_bytes

SALE, TIER, SEAT = "type = 'SaleRecorded'", "type = 'TierChanged'", "type = 'SeatTaken'"


@pytest.fixture
def copy() -> Copy:
    """A copy of the ledger, to be tampered with."""
    return copy_of_original()


def last(copy: Copy) -> int:
    return copy.task().last


def test_what_nobody_has_touched_is_clean() -> None:
    """Each check has looked at something, and found nothing; with the head kept outside as well."""
    whole, outside = original()
    audited = whole.audit(outside)
    assert audited.findings == []
    events = last(whole)
    counted = {name: check.checked for name, check in audited.checks.items()}
    for name in ("positions", "leaf-hashes", "events", "stream-versions", "recorded-at", "kafka", "projections:audit"):
        assert counted[name] == events, name
    assert counted["decisions"] == events
    assert counted["tree-head"] == outside.size
    facts = "('PartnerEnrolled','SaleRecorded','SaleReversed','TrainingCompleted','CertificateRevoked','TierAwarded',"
    facts += "'MembershipSuspended','MembershipResumed','MembershipEnded','ProgrammePublished')"
    assert counted["identities"] == whole.value(f"SELECT count(*) FROM ledger.event WHERE type IN {facts}")
    assert counted["projections:sale"] == whole.value(f"SELECT count(*) FROM ledger.event WHERE {SALE}")
    told = "('PartnerEnrolled', 'TierChanged', 'MembershipEnded')"
    assert counted["tier-changes"] == whole.value(f"SELECT count(*) FROM ledger.event WHERE type IN {told}")
    assert counted["balances"] == whole.value("SELECT count(*) FROM balance")
    assert counted["journal"] == 2 * int(str(whole.value("SELECT count(*) FROM bonus_line")))
    assert counted["tree"] == events // 256


def test_a_changed_payload(copy: Copy) -> None:
    """The data no longer have the hash that was stored with them; the deal's identity and decisions tell as well."""
    position = copy.position(SALE)
    copy.tamper(
        "event",
        "UPDATE ledger.event SET data = convert_to(regexp_replace(convert_from(data, 'UTF8'), '\"amount\":\"', '\"amount\":\"9'),"
        f" 'UTF8') WHERE position = {position}",
    )
    audited = copy.audit_store()
    assert ("leaf-hashes", "changed", position) in audited.found
    assert ("identities", "changed", position) in audited.found
    assert ("decisions", "decision", position) in audited.found
    assert copy.row(position).stream in audited.detail("leaf-hashes")
    assert copy.audit_kafka().found == set(), "Kafka and what follows from it are as they were"


def test_a_changed_payload_whose_hash_was_made_to_fit(copy: Copy) -> None:
    """Kafka has other bytes than the store says at that position."""
    position = copy.position(SALE)
    copy.rewrite(position, lambda data: data.replace(b'"amount":"', b'"amount":"9'))
    audited = copy.audit()
    assert audited.of("leaf-hashes") == set()
    assert audited.of("kafka") == {("kafka", "changed", position)}
    assert ("identities", "changed", position) in audited.found
    assert ("decisions", "decision", position) in audited.found


def test_what_stands_beside_the_payload(copy: Copy) -> None:
    """Actor and business date are in the hash too."""
    first = copy.position(SALE)
    second = copy.position(f"{SALE} AND position > {first}")
    copy.tamper("event", f"UPDATE ledger.event SET actor = 'somebody' WHERE position = {first}")
    copy.tamper("event", f"UPDATE ledger.event SET business_date = '2001-01-01' WHERE position = {second}")
    audited = copy.audit_store()
    assert audited.of("leaf-hashes") == {("leaf-hashes", "changed", first), ("leaf-hashes", "changed", second)}
    assert audited.of("events") == {("events", "changed", second)}


def test_a_row_deleted(copy: Copy) -> None:
    """Its position is missing; its stream goes on a version too far; Kafka still has it."""
    position = copy.position(SALE)
    stream = copy.row(position).stream
    following = copy.position(f"stream = '{stream}' AND position > {position}")
    copy.tamper("event", f"DELETE FROM ledger.event WHERE position = {position}")
    audited = copy.audit()
    assert audited.of("positions") == {("positions", "missing", position)}
    assert audited.of("stream-versions") == {("stream-versions", "order", following)}
    assert audited.of("kafka") == {("kafka", "changed", position)}
    assert ("identities", "added", None) in audited.found, "its identity stands for nothing now"


def test_the_last_row_deleted(copy: Copy) -> None:
    """The head row knows how many there were."""
    position = last(copy)
    copy.tamper("event", f"DELETE FROM ledger.event WHERE position = {position}")
    assert ("positions", "missing", position) in copy.audit_store().found


def test_two_rows_swapped(copy: Copy) -> None:
    """Both are found, and again where their hashes were made to fit."""
    one = copy.position(SALE)
    other = copy.position(f"{SALE} AND stream <> '{copy.row(one).stream}'")
    copy.tamper(
        "event",
        f"UPDATE ledger.event SET position = -1 WHERE position = {one};"
        f" UPDATE ledger.event SET position = {one} WHERE position = {other};"
        f" UPDATE ledger.event SET position = {other} WHERE position = -1",
    )
    assert copy.audit_store().of("leaf-hashes") == {("leaf-hashes", "changed", one), ("leaf-hashes", "changed", other)}
    copy.refit(one, other)
    audited = copy.audit()
    assert audited.of("leaf-hashes") == set()
    assert audited.of("kafka") == {("kafka", "changed", one), ("kafka", "changed", other)}


ADD = """
INSERT INTO ledger.event (position, recorded_at, version, business_date, schema_version, envelope_version, stream, type, actor,
    command_id, data, leaf_hash)
SELECT {position}, {recorded_at}, (SELECT max(version) + 1 FROM ledger.event WHERE stream = e.stream), business_date,
    schema_version, envelope_version, stream, type, actor, 'forged',
    convert_to(replace(convert_from(data, 'UTF8'), '"deal_id":"', '"deal_id":"X'), 'UTF8'), leaf_hash
FROM ledger.event AS e WHERE position = {like}
"""


def test_a_row_added_at_the_end(copy: Copy) -> None:
    """Behind the head: no append put it there."""
    position, like = last(copy) + 1, copy.position(SALE)
    copy.tamper("event", ADD.format(position=position, like=like, recorded_at="clock_timestamp()"))
    copy.refit(position)
    assert copy.audit_store().found == {("head", "added", position)}


def test_a_row_added_at_the_end_with_the_head_moved(copy: Copy) -> None:
    """Its fact has left no identity, Kafka does not have it, and no projection does."""
    position, like = last(copy) + 1, copy.position(SALE)
    copy.tamper("event", ADD.format(position=position, like=like, recorded_at="clock_timestamp()"))
    copy.refit(position)
    copy.tamper("head", f"UPDATE ledger.head SET position = {position}")
    audited = copy.audit()
    assert ("identities", "missing", position) in audited.found
    assert ("kafka", "missing", position) in audited.found
    assert ("decisions", "decision", position) in audited.found


def test_a_row_added_in_the_middle(copy: Copy) -> None:
    """All that come behind it move on by one, and none of them is what was hashed."""
    position = copy.position(SALE)
    events = last(copy)
    copy.tamper(
        "event",
        f"UPDATE ledger.event SET position = -position - 1 WHERE position >= {position};"
        " UPDATE ledger.event SET position = -position WHERE position < 0;"
        + ADD.format(position=position, like=position + 1, recorded_at="recorded_at"),
    )
    copy.tamper("head", f"UPDATE ledger.head SET position = {events + 1}")
    audited = copy.audit_store()
    wrong = {found[2] for found in audited.of("leaf-hashes")}
    assert min(position for position in wrong if position is not None) == position
    assert audited.checks["leaf-hashes"].found == events + 2 - position
    assert ("identities", "missing", position) in audited.found


def test_a_row_at_no_regular_position(copy: Copy) -> None:
    """Position 0 is nobody's."""
    copy.tamper("event", ADD.format(position=0, like=copy.position(SALE), recorded_at="recorded_at"))
    assert ("positions", "added", 0) in copy.audit_store().found


def test_recorded_at_running_back(copy: Copy) -> None:
    """The time is in the hash; and even with a hash that fits it does not run back."""
    position = copy.position(SALE)
    copy.tamper(
        "event", f"UPDATE ledger.event SET recorded_at = recorded_at - interval '1 day' WHERE position = {position}"
    )
    copy.refit(position)
    assert copy.audit_store().of("recorded-at") == {("recorded-at", "order", position)}


def test_an_identity_removed(copy: Copy) -> None:
    """The deal could be told, and rewarded, once more."""
    position = copy.position(SALE)
    row = copy.row(position)
    copy.tamper("identity", f"DELETE FROM ledger.identity WHERE stream = '{row.stream}' AND version = {row.version}")
    assert copy.audit_store().found == {("identities", "missing", position)}


def test_identities_changed(copy: Copy) -> None:
    """Every column counts."""
    expected = set()
    for n, change in enumerate(("content_hash = decode(repeat('00', 32), 'hex')", "refers_to = 'x'", "version = 9999")):
        position = int(
            str(copy.value(f"SELECT position FROM ledger.event WHERE {SALE} ORDER BY position OFFSET {n} LIMIT 1"))
        )
        row = copy.row(position)
        copy.tamper(
            "identity", f"UPDATE ledger.identity SET {change} WHERE stream = '{row.stream}' AND version = {row.version}"
        )
        expected.add(("identities", "changed", position))
    assert copy.audit_store().found == expected


def test_an_identity_added(copy: Copy) -> None:
    """A deal that was never told would be refused as a duplicate."""
    position = copy.position(SALE)
    row = copy.row(position)
    copy.tamper(
        "identity",
        f"INSERT INTO ledger.identity VALUES ('deal', 'never-told', '{row.stream}', {row.version}, '\\x00', NULL)",
    )
    audited = copy.audit_store()
    assert audited.found == {("identities", "added", position)}
    assert "never-told" in audited.detail("identities")


def test_the_head_row_edited(copy: Copy) -> None:
    """It says what the events say, or deciding would start from something else."""
    copy.tamper(
        "head",
        "UPDATE ledger.head SET programmes_version = 7, ledger_date = '2012-05-01', latest_business_date = '2030-01-01'",
    )
    audited = copy.audit_store()
    assert audited.found == {("head", "changed", last(copy))}
    details = "".join(finding.detail for finding in audited.findings)
    assert all(said in details for said in ("version 7;", "date 2012-05-01;", "date 2030-01-01;"))


def test_the_head_row_set_back(copy: Copy) -> None:
    """Then events stand behind it."""
    events = last(copy)
    copy.tamper("head", "UPDATE ledger.head SET position = 1")
    assert ("head", "added", events) in copy.audit_store().found


def test_the_head_row_moved_far_away(copy: Copy) -> None:
    """All positions up to it are missing; that takes no longer than to say so."""
    events = last(copy)
    copy.tamper("head", "UPDATE ledger.head SET position = 1000000000000000")
    audited = copy.audit_store()
    assert ("positions", "missing", events + 1) in audited.found
    assert audited.checks["positions"].found == 10**15 - events


def test_a_decision_changed_with_everything_made_to_fit(copy: Copy) -> None:
    """The tier that the facts give is another one: decided again, it shows."""
    position = copy.position(TIER)
    copy.rewrite(position, lambda data: data.replace(b'"to_tier":"', b'"to_tier":"x'))
    assert ("decisions", "decision", position) in copy.audit_store().found


def test_a_seat_edited_in_the_roster(copy: Copy) -> None:
    """A partner that holds a seat by the roster alone is a decision that nobody made."""
    position = copy.position(SEAT)
    copy.rewrite(position, lambda data: data.replace(b'"partner_id":"', b'"partner_id":"Q'))
    audited = copy.audit()
    assert ("decisions", "decision", position) in audited.found
    assert ("kafka", "changed", position) in audited.found


def snapshot(copy: Copy, change: Callable[[bytes], bytes]) -> int:
    """Put a snapshot of the partner with the most events into the store, as an append would, changed; give its position."""
    [(stream,)] = copy.execute(
        "SELECT stream FROM ledger.event WHERE stream LIKE 'partner:%' GROUP BY stream ORDER BY count(*) DESC, stream LIMIT 1"
    )
    rows = [
        copy.row(int(str(position)))
        for (position,) in copy.execute(f"SELECT position FROM ledger.event WHERE stream = '{stream}' ORDER BY version")
    ]
    last_of_command = next(n for n in range(5, len(rows)) if rows[n].command_id != rows[n + 1].command_id)
    partner = PartnerAggregate(str(stream))
    for row in rows[: last_of_command + 1]:
        event = decode(row.type, row.schema_version, row.data)
        LedgerEvent(row.stream, row.version, event, row.command_id).mutate(partner)
    state = change(bytes(snapshot_of(partner).state))
    copy.execute(
        f"INSERT INTO ledger.snapshot VALUES ('{stream}', {partner.version}, '{snapshot_of(partner).topic}', {sql_bytes(state)})"
    )
    return rows[last_of_command].position


def test_a_snapshot_edited(copy: Copy) -> None:
    """Decisions start from it; a true one is let pass, and counted."""
    true = copy_of_original()
    snapshot(true, lambda state: state)
    audited = true.audit_store()
    assert (audited.findings, audited.checks["snapshots"].checked) == ([], 1)
    position = snapshot(
        copy,
        lambda state: state.replace(b'"EUR"', b'"CHF"') if b'"EUR"' in state else state.replace(b'"CHF"', b'"EUR"'),
    )
    assert copy.audit_store().found == {("snapshots", "changed", position)}


def test_a_snapshot_of_a_version_that_is_not_there(copy: Copy) -> None:
    """It would be taken for the partner's latest."""
    copy.execute("INSERT INTO ledger.snapshot VALUES ('partner:nobody', 5, 'PartnerSnapshot/1', '')")
    audited = copy.audit_store()
    assert audited.found == {("snapshots", "added", None)}
    assert "partner:nobody at version 5" in audited.detail("snapshots")


def test_a_stored_subtree_hash_edited(copy: Copy) -> None:
    """Proofs are put together from it; the first of its positions names it."""
    copy.tamper(
        "tree_node", "UPDATE ledger.tree_node SET hash = decode(repeat('00', 32), 'hex') WHERE level = 8 AND number = 0"
    )
    assert copy.audit_store().found == {("tree", "changed", 1)}


def test_store_and_kafka_rewritten_together_are_found_with_a_head_kept_outside(copy: Copy) -> None:
    """Everything here says the same other thing; only what was signed before and kept elsewhere says otherwise."""
    _, outside = original()
    position = copy.position("type = 'PartnerEnrolled'")
    changed = copy.rewrite(position, lambda data: data.replace(b'"name":"', b'"name":"Not '))
    identity = recorded_identity(changed.stream, changed.version, decode(changed.type, 1, changed.data))
    assert identity is not None
    copy.tamper(
        "identity",
        f"UPDATE ledger.identity SET content_hash = {sql_bytes(identity.content_hash)} WHERE kind = 'partner' AND key = '{identity.key}'",
    )
    copy.tamper("tree_node", "DELETE FROM ledger.tree_node")
    real.drop_build(copy.endpoints)
    rewritten = copy.with_topics()
    topic = f"{rewritten.prefix}.events"
    projector = real.projector(rewritten.endpoints, topic)
    real.step_until(projector, last(copy))
    projector.close()

    alone = rewritten.audit()
    assert alone.findings == [], "nothing here contradicts anything here"
    assert rewritten.audit_store(outside).found == {("tree-head", "changed", outside.size)}


def test_a_head_of_more_events_than_there_are(copy: Copy) -> None:
    """What was signed for and is not there any more was taken away."""
    _, outside = original()
    events = last(copy)
    longer = type(outside)(events + 10, outside.root, outside.streams_root)
    assert copy.audit_store(longer).found == {("tree-head", "missing", events + 1)}


def test_a_partner_of_a_stream_name_is_taken_as_it_is(copy: Copy) -> None:
    """A partner's event on the roster's stream is no fact of anybody; nothing breaks, and it is found."""
    position = copy.position(SALE)
    copy.tamper("event", f"UPDATE ledger.event SET stream = 'roster:XX', version = 1 WHERE position = {position}")
    copy.refit(position)
    audited = copy.audit()
    assert ("decisions", "decision", position) in audited.found
    assert ("kafka", "changed", position) in audited.found
    assert partner_stream("x") not in audited.detail("kafka")
