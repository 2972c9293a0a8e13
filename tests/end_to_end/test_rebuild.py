"""`replay rebuild` as a user has it: what it prints, wrong input, and real signals at any moment."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg2
import pytest

from infra.embedded.servers import Servers
from infra.postgres.projections.tables import PROJECTIONS
from infra.settings import Settings
from infra.soak.disk import SmallDisk, may_mount
from tests.docs.pages import write_tutorial_feed
from tests.end_to_end.command_line import CommandLine, ended
from tests.servers import execute, fresh_ledger, temporary_home
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def ledger() -> Iterator[CommandLine]:
    ledger = CommandLine(fresh_ledger())
    ledger.done("import", write_tutorial_feed(ledger.settings.home / "feed"))
    yield ledger
    ledger.down()


def answers(ledger: CommandLine) -> Any:
    """Every partner with tier, membership and balances."""
    return ledger.done("partners")


def schemas(url: str | None) -> list[str]:
    found = execute(
        str(url), "SELECT nspname FROM pg_namespace WHERE nspname ~ '^(projection|past|evidence)_' ORDER BY 1"
    )
    return [str(name) for (name,) in found]


def test_rebuilt_as_a_person_and_as_a_program_see_it(ledger: CommandLine) -> None:
    """Totals of both builds, equal; every answer is as before; the projector that runs goes on with the new build."""
    before = answers(ledger)
    document = ledger.done("replay", "rebuild", "--workers", "2")
    events = ledger.done("status")["events"]
    assert (document["live"], document["equal"], document["replaced"]) == (True, True, 1)
    assert document["position"] == document["events"] == document["compared_up_to"] == events
    assert document["workers"] == 2
    assert document["rows"]["sale"] == {"new": 4, "live": 4} or document["rows"]["sale"]["new"] > 0
    for sums in (*document["totals"]["sales"].values(), *document["totals"]["bonus_lines"].values()):
        assert sums["new"] == sums["live"]
    assert answers(ledger) == before
    said = ledger.run("replay", "rebuild", "bonus-journal")
    assert said.code == 0, said.err
    assert "Compared row by row" in said.out
    assert "equal" in said.out
    assert answers(ledger) == before
    folder = ledger.settings.home / "more"
    folder.mkdir()
    (folder / "sales.csv").write_text(
        "deal_id,partner_id,closed_on,family,amount,currency,source_ref\nN-1,P-1,2024-06-03,software,1000.00,CHF,\n"
    )
    ledger.done("import", folder)
    assert answers(ledger) != before


def test_a_past_state_is_queried_by_the_reader_listed_and_dropped(ledger: CommandLine) -> None:
    document = ledger.done("replay", "rebuild", "--until", "5")
    assert (document["schema"], document["live"], document["position"]) == ("past_5", False, 5)
    url = str(ledger.settings.read_database_url)
    assert document["query"].startswith("psql ")
    assert "SET search_path = past_5" in document["query"]
    assert execute(url, "SELECT max(position), count(*) FROM past_5.audit") == [(5, 5)]
    said = ledger.run("replay", "rebuild", "--until", "5")
    assert said.code == 1
    assert "replay drop past_5" in said.err
    listed = ledger.done("replay", "builds")["builds"]
    assert [each["kind"] for each in listed] == ["live", "past state"]
    refused = ledger.run("replay", "drop", listed[0]["name"])
    assert refused.code == 1
    assert "is the live build" in refused.err
    assert ledger.done("replay", "drop", "past_5") == {"dropped": "past_5"}
    assert len(schemas(url)) == 1


WRONG = {
    "an unknown projection": (("balances",), 2, ", ".join(PROJECTIONS)),
    "no workers": (("--workers", "0"), 2, "--workers"),
    "position 0": (("--until", "0"), 2, "--until"),
    "a position to come": (("--until", "99999999"), 1, "last position is"),
}


@pytest.mark.parametrize(("arguments", "code", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_one_sentence_and_changes_nothing(
    ledger: CommandLine, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    before = schemas(ledger.settings.read_database_url)
    said = ledger.run("replay", "rebuild", *arguments)
    assert said.code == code, said.err
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert schemas(ledger.settings.read_database_url) == before


def test_more_workers_than_partitions_are_told_how_many_are_used(ledger: CommandLine) -> None:
    said = ledger.run("replay", "rebuild", "--workers", "50", "--json")
    assert said.code == 0, said.err
    assert "6 processes are used, not 50" in said.err
    assert said.json["workers"] == 6


def processes_of(rebuilding: "subprocess.Popen[str]") -> list[psutil.Process]:
    try:
        children = psutil.Process(rebuilding.pid).children(recursive=True)
        return [child for child in children if "infra.rebuild_process" in child.cmdline()]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def in_the_middle(
    ledger: CommandLine,
) -> Iterator[tuple["subprocess.Popen[str]", list[psutil.Process], Callable[[], None]]]:
    """A rebuild whose processes are at work and cannot come to their end: the events are locked from them, until released."""
    url = Servers(ledger.settings, say=lambda _: None).up().admin_database_url
    rebuilding = ledger.start("replay", "rebuild", "--workers", "2")
    lock = psycopg2.connect(url)
    try:
        eventually(lambda: len(processes_of(rebuilding)) == 2)
        with lock.cursor() as cursor:
            cursor.execute("SET lock_timeout = '20s'; LOCK TABLE ledger.event IN ACCESS EXCLUSIVE MODE")
        time.sleep(1)  # the processes have read Kafka and ask the store now
        workers = processes_of(rebuilding)
        assert len(workers) == 2
        yield rebuilding, workers, lock.close
    finally:
        lock.close()
        rebuilding.kill()
        rebuilding.wait()


def all_ended(workers: list[psutil.Process]) -> bool:
    return not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


@pytest.mark.parametrize("who", ["a process of it", "Ctrl-C", "the command"])
def test_killed_in_the_middle_the_live_build_stays_and_the_next_rebuild_is_whole(ledger: CommandLine, who: str) -> None:
    """Nothing is left of a rebuild but what a killed command could not clear away, which the next one does."""
    before, live = answers(ledger), schemas(ledger.settings.read_database_url)
    with in_the_middle(ledger) as (rebuilding, workers, _):
        assert len(schemas(ledger.settings.read_database_url)) == 2
        if who == "a process of it":
            workers[0].kill()
        else:
            rebuilding.send_signal(signal.SIGINT if who == "Ctrl-C" else signal.SIGKILL)
        said = ended(rebuilding)
        eventually(lambda: all_ended(workers), 20)
        left = schemas(ledger.settings.read_database_url)
    expected = {"a process of it": (1, "was ended (SIGKILL)"), "Ctrl-C": (130, "Stopped."), "the command": (-9, "")}[
        who
    ]
    assert (said.code, expected[1] in said.err, "Traceback" in said.err) == (expected[0], True, False), said.err
    assert len(left) == (2 if who == "the command" else 1)
    assert answers(ledger) == before
    document = ledger.done("replay", "rebuild")
    assert document["equal"]
    assert schemas(ledger.settings.read_database_url) == [document["schema"]] != live
    assert answers(ledger) == before


@pytest.fixture
def own() -> Iterator[tuple[CommandLine, SmallDisk | None]]:
    """A ledger with servers of its own, on a small disk where this process may mount one."""
    home = temporary_home() / "home"
    home.mkdir()
    disk = SmallDisk(home, 700) if may_mount() else None
    ledger = CommandLine(Settings(home=home, kafka_heap_mb=256, wait_timeout_s=60))
    yield ledger, disk
    if disk is not None:
        disk.free()
    ledger.down()
    if disk is not None:
        disk.release(keep=False)


def test_servers_killed_or_full_in_the_middle_leave_the_live_build_as_it_was(
    own: tuple[CommandLine, SmallDisk | None],
) -> None:
    ledger, disk = own
    ledger.done("import", write_tutorial_feed(ledger.settings.home / "feed"))
    before = answers(ledger)
    postgres_killed(ledger)
    assert answers(ledger) == before
    kafka_silent(ledger)
    assert answers(ledger) == before
    if disk is not None:
        disk_filled(ledger, disk)
        assert answers(ledger) == before
    assert ledger.done("replay", "rebuild")["equal"]
    assert answers(ledger) == before
    if disk is None:
        pytest.skip("the disk was not filled: this process may not mount a file system of its own for it (root may)")


def postgres_killed(ledger: CommandLine) -> None:
    with in_the_middle(ledger) as (rebuilding, workers, _):
        os.kill(pid(Servers(ledger.settings, say=lambda _: None).status().postgres.pid), signal.SIGKILL)
        said = ended(rebuilding)
        assert (said.code, "Traceback" in said.err) == (3, False), said.err
        assert all_ended(workers)
    ledger.done("up")
    assert len(schemas(reader_of(ledger))) == 2, "nobody could clear it away"


def kafka_silent(ledger: CommandLine) -> None:
    kafka = pid(Servers(ledger.settings, say=lambda _: None).status().kafka.pid)
    with in_the_middle(ledger) as (rebuilding, workers, release):
        os.kill(kafka, signal.SIGSTOP)
        try:
            release()
            said = ended(rebuilding)
        finally:
            os.kill(kafka, signal.SIGCONT)
        assert (said.code, "Kafka at" in said.err, "Traceback" in said.err) == (3, True, False), said.err
        assert all_ended(workers)
    assert len(schemas(reader_of(ledger))) == 1


def disk_filled(ledger: CommandLine, disk: SmallDisk) -> None:
    """Whatever of the servers ends with it."""
    with in_the_middle(ledger) as (rebuilding, workers, release):
        disk.fill()
        release()
        said = ended(rebuilding)
        disk.free()
        assert (said.code in (1, 3), "Traceback" in said.err) == (True, False), said.err
        assert all_ended(workers)
    ledger.done("up")


def reader_of(ledger: CommandLine) -> str:
    return Servers(ledger.settings, say=lambda _: None).up().read_database_url


def pid(given: int | None) -> int:
    assert given is not None
    return given
