"""A rebuild beside a live build, on the real servers: equal rows, a switch that nobody notices, differences named, past states."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from consumers.rebuild import Plan, Rebuild, Rebuilt
from domain.errors import Refused
from domain.events import SaleRecorded
from domain.streams import partner_stream
from infra.kafka.admin import topic_id
from infra.kafka.event_source import KafkaEventSource, end_offsets
from infra.postgres.projections.builds import index_statements
from infra.postgres.projections.read_models import PostgresReadModels
from infra.postgres.projections.rebuilds import PostgresBuilds
from infra.postgres.projections.tables import PROJECTIONS
from infra.rebuild_process import RebuildProcesses, divided
from infra.settings import Settings
from tests.consumers import real
from tests.consumers.conftest import Bench
from tests.consumers.test_parked import A, B, drop, told
from tests.projections import histories as a
from tests.projections.histories import History, make_value, network
from tests.servers import execute, fresh_database
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)
ALL = tuple(PROJECTIONS)
PLACES = ("record_offset", "next_offset", "topic", "topic_id", "parked_at", "retries")
"""Columns in which a build on one topic differs from one on another, and times."""


class Quietly:
    """Told how a rebuild goes on; `at` does something when a stage begins."""

    def __init__(self, at: dict[str, Callable[[], object]]) -> None:
        self._at = at
        self.stages: list[str] = []

    def stage(self, doing: str, total: int | None = None) -> None:
        self.stages.append(doing)
        if doing in self._at:
            self._at.pop(doing)()

    def note(self, done: int, total: int) -> None:
        pass


@contextmanager
def one_rebuild(
    bench: Bench, plan: Plan, at: dict[str, Callable[[], object]] | None = None
) -> Iterator[tuple[Rebuild, Quietly]]:
    builds = PostgresBuilds(bench.endpoints.projector_database_url)
    telling = Quietly(at or {})
    settings = Settings(topic_prefix=bench.topic.removesuffix(".events"), projector_batch_events=100)
    filling = RebuildProcesses(settings, bench.endpoints, builds.dropped_records, telling.note)
    try:
        yield Rebuild(plan, builds, filling, telling), telling
    finally:
        builds.close()


def rebuild(
    bench: Bench,
    *projections: str,
    until: int | None = None,
    workers: int = 1,
    at: dict[str, Callable[[], object]] | None = None,
) -> Rebuilt:
    plan = Plan(projections or ALL, workers, not projections, until)
    with one_rebuild(bench, plan, at) as (each, _):
        return each.run()


def all_rows(bench: Bench, schema: str, but: tuple[str, ...] = ("parked_at", "retries")) -> dict[str, list[str]]:
    without = "".join(f" - '{column}'" for column in but)
    url = bench.endpoints.read_database_url
    return {
        table: sorted(
            str(row) for (row,) in execute(url, f"SELECT (to_jsonb(t){without})::text FROM {schema}.{table} t")
        )
        for table in (*real.TABLES, "deal", "journal")
    }


def indexes(bench: Bench, schema: str) -> list[str]:
    return sorted(
        str(definition).replace(schema, "")
        for (definition,) in execute(
            bench.endpoints.read_database_url, f"SELECT indexdef FROM pg_indexes WHERE schemaname = '{schema}'"
        )
    )


def schemas(bench: Bench) -> set[str]:
    found = execute(
        bench.endpoints.read_database_url,
        "SELECT nspname FROM pg_namespace WHERE nspname ~ '^(projection|past|evidence)_'",
    )
    return {str(name) for (name,) in found}


def damage(bench: Bench, statement: str) -> None:
    execute(bench.endpoints.projector_database_url, f"SET search_path = projection_1; {statement}")


def test_a_new_build_has_the_rows_and_indexes_of_the_live_one_and_takes_its_place(bench: Bench) -> None:
    history = network(12, 12)
    bench.put(*history.told)
    before, index_names = all_rows(bench, "projection_1"), indexes(bench, "projection_1")
    rebuilt = rebuild(bench, workers=2)
    assert (rebuilt.name, rebuilt.replaced, rebuilt.evidence) == ("projection_2", 1, None)
    assert rebuilt.compared is not None
    assert rebuilt.compared.equal
    assert rebuilt.compared.up_to == rebuilt.position == rebuilt.events == len(history.told)
    assert rebuilt.totals == rebuilt.compared.live
    assert rebuilt.totals.sales == {"CHF": (144, sum([row.amount for row in sales(history)]))}
    assert all_rows(bench, "projection_2") == before
    assert indexes(bench, "projection_2") == index_names
    assert len(index_names) == len(index_statements()) + 7  # those that a build has from its beginning
    assert schemas(bench) == {"projection_2"}
    assert rebuild(bench).name == "projection_3"


def sales(history: History) -> list[SaleRecorded]:
    decoded = [a.decode_value(each.value) for each in history.told]
    return [event for event in decoded if isinstance(event, SaleRecorded)]


def test_projectors_and_readers_go_on_while_builds_are_switched(bench: Bench) -> None:
    """No answer fails or goes back, no event is lost or doubled, although the live build is replaced again and again."""
    history = network(20, 40)
    real.hold(bench.endpoints, history.told)
    stop, failed, seen = threading.Event(), list[BaseException](), list[int]()

    def read() -> None:
        models = PostgresReadModels(bench.endpoints.read_database_url)
        try:
            while not stop.is_set():
                seen.append(models.standing().applied)
                models.partners(a.day("2013-01-01"))
                models.totals("scheme", None, None)
        except BaseException as error:
            failed.append(error)
        finally:
            models.close()

    def project() -> None:
        try:
            bench.projector.run(stop)
        except BaseException as error:
            failed.append(error)

    def produce() -> None:
        for start in range(0, len(history.told), 100):
            records = real.keyed(history.told[start : start + 100])
            real.produce(bench.endpoints.bootstrap_servers, bench.topic, records)
            time.sleep(0.1)

    threads = [threading.Thread(target=each) for each in (read, read, project, produce)]
    for thread in threads:
        thread.start()
    eventually(lambda: max(seen, default=0) > 0)
    outcomes = [rebuild(bench, *projections) for projections in ((), ("sales",), ())]
    threads[3].join()
    eventually(lambda: seen[-1] == len(history.told), 60)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert all(outcome.compared is not None and outcome.compared.equal for outcome in outcomes)
    assert schemas(bench) == {"projection_4"}
    rows = all_rows(bench, "projection_4")
    assert rebuild(bench).compared is not None
    assert all_rows(bench, "projection_5") == rows


DAMAGE = {
    "an amount": ("sale", "UPDATE sale SET amount = amount + 1 WHERE position = 51"),
    "a line": ("bonus_line", "DELETE FROM bonus_line WHERE position = 52 AND n = 2"),
    "a tier": ("tier", "UPDATE tier SET tier = 'gold' WHERE position = 3"),
    "a balance": ("balance", "UPDATE balance SET paid = paid + 1 WHERE partner = 'CH-0002'"),
    "an event": ("audit", "DELETE FROM audit WHERE position = 60"),
    "an invention": ("membership", "INSERT INTO membership VALUES (70, 'CH-0001', 'ended', '2012-05-01')"),
}


def test_each_difference_is_named_and_what_was_live_is_kept_as_evidence(bench: Bench) -> None:
    history = network(8, 8)
    bench.put(*history.told)
    genuine = all_rows(bench, "projection_1")
    for _, statement in DAMAGE.values():
        damage(bench, statement)
    rebuilt = rebuild(bench)
    compared = rebuilt.compared
    assert compared is not None
    assert not compared.equal
    assert set(compared.differing) == {table for table, _ in DAMAGE.values()}
    found = {each.table: each for each in compared.differences}
    assert (found["sale"].projection, found["sale"].position) == ("sales", 51)
    assert "1234.50" in str(found["sale"].new)
    assert "1235.50" in str(found["sale"].live)
    assert (found["bonus_line"].position, found["bonus_line"].live) == (52, None)
    assert (found["membership"].position, found["membership"].new) == (70, None)
    assert "CH-0002" in str(found["balance"].new)
    assert rebuilt.evidence == "evidence_1"
    assert schemas(bench) == {"evidence_1", "projection_2"}
    assert all_rows(bench, "projection_2") == genuine
    assert rebuild(bench).name == "projection_3", "no number is given twice"
    assert schemas(bench) == {"evidence_1", "projection_3"}


def test_what_differs_after_the_first_comparison_is_found_at_the_switch(bench: Bench) -> None:
    history = network(4, 4)
    bench.put(*history.told[:-1])

    def then() -> None:
        bench.put(history.told[-1])
        damage(bench, "UPDATE audit SET actor = 'nobody' WHERE position = (SELECT max(position) FROM audit)")

    rebuilt = rebuild(bench, at={"Switching": then})
    assert rebuilt.compared is not None
    assert [(each.table, each.position) for each in rebuilt.compared.differences] == [("audit", len(history.told))]


def test_a_forged_record_that_was_dropped_is_passed_over_and_one_that_was_not_parks_again(bench: Bench) -> None:
    one, other = told(A, "CH-A", 3), told(B, "CH-B", 2, start=100)
    real.hold(bench.endpoints, [*one, *other])
    forged = make_value(A, 3, 3, a.sale("D-CH-A-1", "2012-02-01", "99999.00"))
    bench.put(*one[:2], other[0])
    bench.put_raw((A.encode(), forged), *real.keyed([one[2], one[3]]))
    first = rebuild(bench)
    assert (first.parked, first.events) == (3, 3)
    assert first.compared is not None
    assert first.compared.equal
    damaged = all_rows(bench, "projection_2")["parked"]
    assert len(damaged) == 3
    drop(Bench(bench.endpoints, bench.topic, bench.projector, bench.said), schema="projection_2")
    second = rebuild(bench)
    assert (second.parked, second.events) == (0, 6)
    assert second.compared is not None
    assert second.compared.equal


def test_what_only_an_index_can_tell_parks_as_it_does_in_the_live_build(bench: Bench) -> None:
    """A partner enrolled twice is refused by a key, which a rebuild makes at its end: then it begins again with the keys there."""
    history = network(3, 3).tell(partner_stream("CH-0001"), a.enrolled("CH-0001", "2012-06-01"))
    history.tell(partner_stream("CH-0001"), a.sale("D-late", "2012-06-02", "10.00"))
    bench.put(*history.told)
    but_why = ("parked_at", "retries", "reason")
    before = all_rows(bench, "projection_1", but_why)
    assert len(before["parked"]) == 2
    with one_rebuild(bench, Plan(ALL, 2, whole=True)) as (each, telling):
        rebuilt = each.run()
    assert any(stage.startswith("Beginning again") for stage in telling.stages)
    assert (rebuilt.parked, rebuilt.compared and rebuilt.compared.equal) == (2, True)
    assert all_rows(bench, "projection_2", but_why) == before
    assert len(indexes(bench, "projection_2")) == len(index_statements()) + 7


def test_parked_events_that_can_be_applied_now_are_told_and_are_no_difference(bench: Bench) -> None:
    """As after an update of the software; here the live build was made to believe in a hole."""
    one = told(A, "CH-A", 3)
    real.hold(bench.endpoints, one)
    bench.put(one[0])
    damage(bench, f"UPDATE stream_version SET version = 0 WHERE stream = '{A}'")
    bench.projector.close()
    again = real.projector(bench.endpoints, bench.topic, group=f"again-{bench.topic}")
    bench = replace(bench, projector=again)
    bench.put(*one[1:])
    assert len(all_rows(bench, "projection_1")["parked"]) == 3
    rebuilt = rebuild(bench)
    assert rebuilt.compared is not None
    assert (rebuilt.compared.equal, rebuilt.compared.applied_anew, rebuilt.parked) == (True, 3, 0)
    again.close()


def test_one_projection_is_made_anew_and_the_others_move_with_their_views(bench: Bench) -> None:
    history = network(8, 8)
    bench.put(*history.told)
    genuine, index_names = all_rows(bench, "projection_1"), indexes(bench, "projection_1")
    damage(bench, DAMAGE["an amount"][1])
    damage(bench, DAMAGE["a tier"][1])
    rebuilt = rebuild(bench, "sales")
    assert rebuilt.compared is not None
    assert set(rebuilt.compared.differing) == {"sale"}
    assert rebuilt.totals.rows.keys() == {"sale", "reversal"}
    rows = all_rows(bench, "projection_2")
    assert [table for table in rows if rows[table] != genuine[table]] == ["tier"], "the others are as they were"
    assert indexes(bench, "projection_2") == index_names
    evidence = execute(bench.endpoints.read_database_url, "SELECT amount FROM evidence_1.sale WHERE position = 51")
    assert [str(amount) for (amount,) in evidence] == ["1235.50"]
    bench.put(*History(list(history.told)).tell(A, a.enrolled("CH-A", "2012-01-01")).told[-1:])
    for name in ALL:
        assert rebuild(bench, name).compared is not None
    later = rebuild(bench).compared
    assert later is not None
    assert later.equal, "the damaged tier was made anew with its projection"


def test_one_projection_alone_is_refused_where_the_others_would_not_fit(bench: Bench) -> None:
    bench.put(*network(3, 3).told)
    damage(bench, "DELETE FROM stream_version WHERE stream = 'partner:CH-0001'")
    before = all_rows(bench, "projection_1")
    with pytest.raises(Refused, match="sales cannot be rebuilt alone"):
        rebuild(bench, "sales")
    assert schemas(bench) == {"projection_1"}
    assert all_rows(bench, "projection_1") == before
    execute(bench.endpoints.admin_database_url, "UPDATE projection.live SET tables_version = 2")
    with pytest.raises(Refused, match="tables of version 2"):
        rebuild(bench, "sales")
    rebuilt = rebuild(bench)
    assert rebuilt.compared is None
    assert "version 2" in str(rebuilt.not_compared)
    assert schemas(bench) == {"projection_2"}


def test_a_past_state_is_what_a_projector_had_at_that_position(bench: Bench) -> None:
    """A forged record that claims a later position does not end it, and what came later is not in it."""
    history = network(6, 6)
    position = 70
    early, late = history.told[:position], history.told[position:]
    forged = (A.encode(), make_value(A, 1, 5000, a.enrolled("CH-A", "2012-01-01")))
    other = Bench(fresh_database(), real.fresh_topic(bench.endpoints.bootstrap_servers), bench.projector, [])
    other = replace(other, projector=real.projector(other.endpoints, other.topic))
    other.put(*early[:35]).put_raw(forged)
    other.put(*early[35:])
    bench.put(*early[:35]).put_raw(forged)
    bench.put(*early[35:], *late)
    before = all_rows(bench, "projection_1")
    rebuilt = rebuild(bench, until=position, workers=2)
    assert (rebuilt.name, rebuilt.position, rebuilt.events, rebuilt.parked) == ("past_70", 70, 70, 1)
    past = all_rows(bench, "past_70", PLACES)
    expected = all_rows(other, "projection_1", PLACES)
    for table in past:
        without = [row.replace(bench.topic, "") for row in past[table]]
        assert without == [row.replace(other.topic, "") for row in expected[table]], table
    assert schemas(bench) == {"past_70", "projection_1"}
    assert all_rows(bench, "projection_1") == before
    builds = PostgresBuilds(bench.endpoints.projector_database_url)
    assert [(each.name, each.kind, each.position) for each in builds.all()] == [
        ("projection_1", "live", len(history.told)),
        ("past_70", "past state", 70),
    ]
    for name, why in (("projection_1", "is the live build"), ("past_71", "no build"), ("ledger", "no build")):
        with pytest.raises(Refused, match=why):
            builds.drop(name)
    rebuild(bench)
    assert schemas(bench) == {"past_70", "projection_2"}, "a rebuild leaves past states alone"
    builds.drop("past_70")
    assert schemas(bench) == {"projection_2"}
    builds.close()
    other.projector.close()


def test_a_topic_made_anew_is_read_and_the_projector_can_go_on(bench: Bench) -> None:
    history = network(4, 4)
    bench.put(*history.told)
    bench.projector.close()
    real.delete_topic(bench.endpoints.bootstrap_servers, bench.topic)
    bootstrap = bench.endpoints.bootstrap_servers
    eventually(lambda: topic_id(bootstrap, bench.topic) is None)
    real.ensure_topic(bootstrap, bench.topic)
    real.produce(bootstrap, bench.topic, [(None, b"no JSON"), *real.keyed(history.told)], a_transaction=7)
    eventually(
        lambda: committed(bench) == len(history.told) + 1
    )  # a commit is answered before all can read what it has
    rebuilt = rebuild(bench)
    assert rebuilt.compared is not None
    assert (rebuilt.compared.equal, rebuilt.compared.up_to, rebuilt.parked) == (True, len(history.told), 1)
    again = replace(bench, projector=real.projector(bench.endpoints, bench.topic, group=f"again-{bench.topic}"))
    more = History(list(history.told)).tell(A, a.enrolled("CH-A", "2012-01-01")).told[-1:]
    again.put(*more)
    assert execute(
        bench.endpoints.read_database_url, "SELECT sum(applied)::int FROM projection_2.partition_progress"
    ) == [(len(history.told) + 1,)]
    again.projector.close()


def committed(bench: Bench) -> int:
    """Count what whoever reads from the beginning is given."""
    bootstrap, read = bench.endpoints.bootstrap_servers, 0
    ends = end_offsets(bootstrap, bench.topic)
    source = KafkaEventSource(bootstrap, bench.topic, ends=ends, max_records=500)
    source.poll()
    source.seek(dict.fromkeys(ends, 0))
    while not source.at_end():
        read += sum(len(records) for records in source.poll().values())
    source.close()
    return read


def test_an_empty_topic_and_no_live_build_are_rebuilt_to_an_empty_one(bench: Bench) -> None:
    rebuilt = rebuild(bench, workers=6)
    assert (rebuilt.name, rebuilt.position, rebuilt.events, rebuilt.replaced) == ("projection_1", 0, 0, None)
    bench.put(*network(2, 2).told)
    assert rebuild(bench).compared is not None


def test_a_live_build_that_is_behind_is_compared_as_far_as_it_is_and_then_replaced(bench: Bench) -> None:
    history = network(5, 5)
    half = len(history.told) // 2
    bench.put(*history.told[:half])
    real.tell(bench.endpoints, bench.topic, history.told[half:])
    rebuilt = rebuild(bench)
    assert rebuilt.compared is not None
    assert rebuilt.compared.equal
    assert 0 < rebuilt.compared.up_to <= half
    assert rebuilt.events == len(history.told)
    damage_again = rebuild(bench, "sales")
    assert damage_again.events == len(history.told)


def test_one_rebuild_at_a_time_and_what_a_dead_one_left_is_cleared(bench: Bench) -> None:
    bench.put(*network(3, 3).told)
    execute(
        bench.endpoints.projector_database_url, "CREATE SCHEMA projection_7; CREATE TABLE projection_7.audit (x int)"
    )

    def another() -> None:
        with pytest.raises(Refused, match="Another rebuild is at work"):
            rebuild(bench)

    assert rebuild(bench, at={"Switching": another}).name == "projection_2"
    assert schemas(bench) == {"projection_2"}


def test_a_reader_that_does_not_end_is_named_and_the_live_build_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg2

    from infra.postgres.projections import switching

    bench.put(*network(2, 2).told)
    monkeypatch.setattr(switching, "READERS_WITHIN_S", 1.0)
    reader = psycopg2.connect(bench.endpoints.read_database_url)
    with reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM projection_1.sale")
        with pytest.raises(Refused, match=f"pid {reader.info.backend_pid}"):
            rebuild(bench)
        cursor.execute("SELECT count(*) FROM projection_1.sale")
    reader.close()
    assert schemas(bench) == {"projection_1"}
    assert rebuild(bench).name == "projection_2"


def test_partitions_are_divided_evenly_and_none_twice() -> None:
    ends = {0: 100, 1: 10, 2: 50, 3: 60, 4: 0, 5: 0}
    for workers in range(1, 9):
        parts = divided(ends, workers)
        assert len(parts) == min(workers, 6)
        assert sorted(number for part in parts for number in part) == [0, 1, 2, 3, 4, 5]
    assert sorted(sum(part.values()) for part in divided(ends, 2)) == [110, 110]
