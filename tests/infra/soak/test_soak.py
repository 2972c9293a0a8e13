"""The soak's parts: feeds and plans are the seed's, and a comparison finds what is lost, doubled or changed.

The soak itself is run by CI after the tests.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner

from infra.cli.app import app
from infra.settings import Settings
from infra.soak.compare import ControlTotals, differences
from infra.soak.disk import SmallDisk, may_mount
from infra.soak.feeds import Network
from infra.soak.outside import Outside, Reading
from infra.soak.plan import VICTIMS, plan_round
from tests.end_to_end.command_line import CommandLine, ended
from tests.servers import fresh_ledger, servers


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_feeds_are_the_seeds(tmp_path: Path) -> None:
    """The same seed makes the same bytes, another one others; each round's rows are new."""
    made = {}
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        network = Network(seed, 1)
        for number in (1, 2):
            network.write_round(tmp_path / name / str(number), number, 600, 3)
        made[name] = digest(tmp_path / name)
    assert made["one"] == made["same"] != made["other"]
    deals = [row.split(",")[0] for row in (tmp_path / "one/2/01/sales.csv").read_text().splitlines()[1:]]
    told = (tmp_path / "one/1").glob("*/sales.csv")
    before = {line.split(",")[0] for path in told for line in path.read_text().splitlines()}
    assert len(set(deals) - before) > 200 > len(set(deals) & before) > 0, "new deals, and some told before"


def test_every_round_kills_all_five_and_stops_something() -> None:
    """The plan is the seed's; over some rounds all is met: every way to kill a database, full disks, two projectors."""
    plans = [plan_round(7, number, disk=True) for number in range(1, 41)]
    assert (
        plans
        == [plan_round(7, number, disk=True) for number in range(1, 41)]
        != [plan_round(8, number, disk=True) for number in range(1, 41)]
    )
    for plan in plans:
        assert sorted(fault.victim or "" for fault in plan.faults if fault.kind == "kill") == sorted(VICTIMS)
        assert any(fault.kind == "stop" and 1000 <= fault.hold_ms <= 3000 for fault in plan.faults)
        assert plan.folders > len(plan.faults)
    faults = [fault for plan in plans for fault in plan.faults]
    assert {fault.way for fault in faults if fault.name == "database"} == {"postmaster", "backend", "all"}
    assert {fault.victim for fault in faults if fault.kind == "stop"} == set(VICTIMS)
    assert 10 < Counter(fault.kind for fault in faults)["disk"] < 40
    assert {plan.two_projectors for plan in plans} == {True, False}
    assert not any(fault.kind == "disk" for fault in plan_round(7, 1, disk=False).faults)


@pytest.mark.skipif(not may_mount(), reason="this process may not mount a file system")
def test_a_full_disk_takes_nothing_more_and_is_gone_afterwards(tmp_path: Path) -> None:
    """Filled, then freed; released, what it held is kept only if that is wanted."""
    for keep in (True, False):
        folder = tmp_path / str(keep)
        disk = SmallDisk(folder, size_mb=4)
        try:
            (folder / "held").write_text("held")
            disk.fill()
            with pytest.raises(OSError, match="No space left"), (folder / "more").open("wb", buffering=0) as more:
                more.write(b"x" * 4096)
            disk.free()
            (folder / "more").write_bytes(b"x" * 4096)
        finally:
            disk.release(keep=keep)
        assert (folder / "held").exists() == keep
        assert str(folder) not in Path("/proc/mounts").read_text()


@pytest.mark.skipif(not may_mount(), reason="this process may not mount a file system")
def test_a_command_on_a_full_disk_says_one_sentence(tmp_path: Path) -> None:
    """No traceback and no half truth: what to do, and that nothing is lost."""
    disk = SmallDisk(tmp_path / "home", size_mb=4)
    try:
        disk.fill()
        url = servers()[2].database_url
        said = CommandLine(Settings(home=disk.folder, database_url=url)).run(
            "up", "--json"
        )  # starts a Kafka of its own
        assert said.code == 1
        assert "Traceback" not in said.err
        assert said.json["error"].startswith("No space is left on the disk. What was recorded is safe")
    finally:
        disk.release(keep=False)


@pytest.mark.parametrize("wrong", [("--rounds", "0"), ("--facts", "10"), ("--seed", "x")])
def test_wrong_usage_starts_nothing(wrong: tuple[str, str]) -> None:
    assert CliRunner().invoke(app, ["soak", *wrong]).exit_code == 2


# --- the comparison, on two ledgers that were told the same ---


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Settings, ControlTotals]]:
    """Two ledgers that were told the same small round, in different steps."""
    feed = Network(3, 1).write_round(tmp_path_factory.mktemp("soak") / "feed", 1, 500, 2)
    made = [CommandLine(fresh_ledger()) for _ in range(2)]
    made[0] = CommandLine(made[0].settings.model_copy(update={"import_batch_facts": 40, "projector_batch_events": 90}))
    try:
        imports = [ledger.start("import", *feed.folders, "--no-wait", "--json") for ledger in made]
        documents = [ended(each).json for each in imports]
        for ledger in made:
            ledger.done("advance", "--to", feed.last_day.isoformat())
        assert documents[0]["recorded"] >= 500
        assert documents[0]["refused"]
        totals = ControlTotals()
        totals.add(feed.folders, documents[0]["refused"])
        yield made[0].settings, made[1].settings, totals
    finally:
        for ledger in made:
            ledger.down()


def outside(settings: Settings) -> Outside:
    """Look at a ledger of the tests' shared servers."""
    endpoints = replace(
        servers()[2],
        admin_database_url=str(settings.admin_database_url),
        read_database_url=str(settings.read_database_url),
    )
    return Outside(settings, endpoints)


def compared(pair: tuple[Settings, Settings, ControlTotals]) -> list[str]:
    with ExitStack() as stack:
        one, other = (stack.enter_context(outside(settings).opened()) for settings in pair[:2])
        return differences(one, other, pair[2])


def test_the_same_told_in_other_steps_is_equal(pair: tuple[Settings, Settings, ControlTotals]) -> None:
    """Nothing differs; of pseudonyms and times it is not asked."""
    assert compared(pair) == []
    with outside(pair[0]).opened() as reading:
        tables = reading.tables()
        assert {"sale", "tier", "audit", "balance", "partition_progress"} <= tables.keys()
        assert len(tables["sale"].rows) >= 500


DAMAGES = [
    ("UPDATE sale SET amount = amount + 1 WHERE deal_id = 'D000007'", ("table sale", "D000007")),
    ("DELETE FROM tier WHERE position = (SELECT min(position) FROM tier)", ("table tier", "lacks")),
    ("UPDATE audit SET record_offset = record_offset + 1000 WHERE position = 9", ("audit trail", "(9,")),
]


@pytest.mark.parametrize(("damage", "named"), DAMAGES)
def test_a_damaged_projection_is_found(
    pair: tuple[Settings, Settings, ControlTotals], damage: str, named: tuple[str, str]
) -> None:
    """What was changed is named by table and row; undone, all is equal again."""
    connection = psycopg2.connect(str(pair[0].projector_database_url))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = projection_1; " + damage)
            assert cursor.rowcount == 1
            found = _differences_within(pair, connection)
        connection.rollback()
    finally:
        connection.close()
    assert all(part in "\n".join(found) for part in named), found
    assert compared(pair) == []


def _differences_within(pair: tuple[Settings, Settings, ControlTotals], damaged: object) -> list[str]:
    """Compare while the damage is seen by its own transaction only."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(outside(settings).opened()) for settings in pair[:2])
        one._projections = _Unfinished(damaged)
        return differences(one, other, pair[2])


class _Unfinished:
    """A connection whose transaction goes on when a reading is over."""

    def __init__(self, connection: object) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def __enter__(self) -> "_Unfinished":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_a_record_that_is_there_twice_and_a_sale_that_was_not_told_are_found(
    pair: tuple[Settings, Settings, ControlTotals], tmp_path: Path
) -> None:
    """The last comparison: the topic cannot be put right again."""
    (tmp_path / "sales.csv").write_text("deal_id,currency,amount\nD-lost,CHF,17.05\n")
    pair[2].add([tmp_path], [])
    settings = pair[0]
    with outside(settings).opened() as reading:
        again = next(record for record in reading.records(reading.events_topic) if record.key.startswith("partner:"))
        _send(reading, again.key, again.value, again.partition)
    found = compared(pair)
    assert any("is there 2 times" in sentence for sentence in found), found
    assert any("has version" in sentence and again.key in sentence for sentence in found), found
    assert sum("CHF, but" in sentence for sentence in found) == 2, found


def _send(reading: Reading, key: str, value: bytes, partition: int) -> None:
    producer = KafkaProducer(bootstrap_servers=servers()[2].bootstrap_servers)
    producer.send(reading.events_topic, value, key.encode(), partition=partition).get(timeout=30)
    producer.close()
