"""Projectors that share the partitions, as processes that come, go and are killed while events flow."""

import datetime as dt
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest

from benchmarks.network import write_feeds
from domain.batch import Telling
from domain.facts import RecordSale
from infra.bootstrap import Runtime
from infra.embedded import processes
from tests.consumers import real
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.whole_ledger import Outside, check_every_event_once
from tests.servers import fresh_ledger
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)

PARTNERS = 40
DAY = dt.date(2014, 3, 3)


@contextmanager
def telling(runtime: Runtime) -> Iterator[dict[str, Decimal]]:
    """Tell sales, some dozens a second, until the block ends; gives what each partner has sold, to be read after it."""
    sold: dict[str, Decimal] = defaultdict(Decimal)
    stop, numbers = threading.Event(), count()

    def sale() -> RecordSale:
        number = next(numbers)
        partner_id, amount = f"P{number % PARTNERS:04}", Decimal(100 + number) / 10
        sold[partner_id] += amount
        return RecordSale(
            deal_id=f"flow-{number}",
            partner_id=partner_id,
            closed_on=DAY,
            family="cloud",
            amount=amount,
            currency="CHF",
        )

    def tell() -> None:
        while not stop.wait(0.05):
            outcomes = runtime.ledger.tell([Telling(sale(), "flow") for _ in range(4)])
            assert all(outcome.kind == "recorded" for outcome in outcomes)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        yield sold
    finally:
        stop.set()
        teller.join()


def test_projectors_that_join_leave_and_are_killed_lose_and_double_nothing(tmp_path: Path) -> None:
    """Up to four share the partitions; at the end all is as one process makes it, and sums are those of what was told."""
    quick = {"session_timeout_ms": 1500, "relay_batch_events": 100, "projector_batch_events": 50}
    command_line = CommandLine(fresh_ledger().model_copy(update=quick))
    runtime = Runtime(command_line.settings, lambda _: None)
    write_feeds(tmp_path / "feed", sales=PARTNERS, partners=PARTNERS)
    try:
        imported = command_line.done("import", tmp_path / "feed")
        outside = Outside(command_line)
        home = command_line.settings.home

        def sharing(wanted: int) -> None:
            """Wait until so many have partitions, and then until every partition has moved on."""
            eventually(lambda: connected(outside) == wanted, within_s=30)
            before = offsets(outside)
            eventually(lambda: all(now > before[each] for each, now in offsets(outside).items()), within_s=30)

        with telling(runtime) as sold:
            for wanted in (2, 3):
                runtime.up(wanted)
                sharing(wanted)
            document = command_line.done("up", "--projectors", "4")
            sharing(4)
            running = {each["name"]: each["pid"] for each in document["projectors"]}
            assert list(running) == ["projector", "projector-2", "projector-3", "projector-4"]
            assert running == {name: processes.running(home, name) for name in running}
            os.kill(running["projector-2"], signal.SIGKILL)
            sharing(3)
            os.kill(running["projector"], signal.SIGTERM)
            sharing(2)
            document = command_line.done("up")  # as many as there were
            sharing(4)
            again = {each["name"]: each["pid"] for each in document["projectors"]}
            assert {name for name in running if again[name] == running[name]} == {"projector-3", "projector-4"}
        runtime.wait_until_projected(lambda _reached, _target: None)
        document = command_line.done("up", "--projectors", "1")
        assert [each["name"] for each in document["projectors"] if each["running"]] == ["projector"]
        assert (document["lag"], document["parked"]) == (0, 0)

        records = check_every_event_once(outside)
        ends: dict[int, int] = defaultdict(int)
        for record in records:
            ends[record.partition] = max(ends[record.partition], record.offset + 1)
        assert offsets(outside) == ends
        flow = "SELECT partner, sum(amount) FROM projection_1.sale WHERE deal_id LIKE 'flow-%' GROUP BY 1"
        assert dict(outside.projected(flow)) == sold
        assert len(records) > imported["events"]
    finally:
        runtime.close()
        command_line.down()
    real.check_as_if_undisturbed(outside.endpoints, outside.topic, len(records))


def connected(outside: Outside) -> int:
    """Count the projectors that have a connection to the projections, as one has that was given partitions."""
    ((found,),) = outside.query(
        "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'partner-ledger projector'"
        " AND datname = current_database()",
        url=outside.endpoints.projector_database_url,
    )
    assert isinstance(found, int)
    return found


def offsets(outside: Outside) -> dict[int, int]:
    """Give the offset that each partition is read from next."""
    time.sleep(0.02)
    return dict(outside.projected("SELECT partition, next_offset FROM projection_1.partition_progress"))
