"""Faults on real processes: what is killed, stopped or interrupted while events flow, run again, ends as if undisturbed."""

import csv
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from psycopg2.extensions import parse_dsn

from infra.bootstrap import PROJECTOR, RELAY
from infra.embedded.servers import Servers
from infra.settings import Settings
from tests.end_to_end.command_line import CommandLine, Said, ended
from tests.end_to_end.conftest import shared
from tests.end_to_end.whole_ledger import (
    Outside,
    Position,
    check_as_if_undisturbed,
    check_every_event_once,
    one_sentence,
)
from tests.servers import fresh_ledger, superuser_url, temporary_home
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(600)

SMALL_STEPS = {"import_batch_facts": 20, "relay_batch_events": 100, "projector_batch_events": 100}
"""Many small transactions, so that a fault falls between two of them as well as into one."""

QUICK = {"session_timeout_ms": 1500}
"""A killed projector's partitions go to the next one soon."""

IMPORT = "import"
SLICE_ROWS = 1500
OUTCOME = ("recorded", "duplicates", "refused", "events", "position")


def small_steps(ledger: CommandLine) -> CommandLine:
    """The same ledger, worked on in small steps."""
    return CommandLine(ledger.settings.model_copy(update=SMALL_STEPS | QUICK))


def slice_of_sales(folder: Path, number: int, rows: int = SLICE_ROWS) -> Path:
    """Write a feed folder: all partners and programmes of AdventureWorks, and a slice of its sales."""
    source = shared("data", "adventure-works")
    folder.mkdir()
    (folder / "programmes").symlink_to(source / "programmes")
    (folder / "partners.csv").symlink_to(source / "partners.csv")
    with (source / "sales.csv").open(encoding="utf-8", newline="") as file:
        header, *sales = csv.reader(file)
    with (folder / "sales.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *sales[number * rows : (number + 1) * rows]])
    return folder


class Importing:
    """An import as a process of its own, to be disturbed."""

    def __init__(self, ledger: CommandLine, *folders: Path) -> None:
        self._ledger = ledger
        self._folders = folders
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        return self._ledger.start(IMPORT, *self._folders, "--json")

    def reach(self, position: int, of: Position) -> None:
        """Let it go on until the store stands at a position or later."""
        eventually(lambda: of.now() >= position or self.process.poll() is not None, pause_s=0.001)
        assert self.process.poll() is None, f"it ended before position {position}: {ended(self.process)}"

    def kill_and_start_again(self) -> None:
        """End it with SIGKILL and run it again."""
        self.process.kill()
        said = ended(self.process)
        assert said.code == -signal.SIGKILL, said
        assert said.out == ""
        self.process = self._start()

    def finish(self) -> Any:
        """Run it again and again until it is done; give its document."""
        for _ in range(5):
            said = ended(self.process, timeout_s=300)
            assert "Traceback" not in said.err, said.err
            if said.code in (0, 1):
                return said.json
            assert said.code == 3, said
            self.process = self._start()
        raise AssertionError(f"the import does not come to an end: {said}")


def outcome(document: Any) -> dict[str, Any]:
    return {name: document[name] for name in OUTCOME}


# --- processes killed ---


def test_relay_projector_and_import_killed_five_times_each(
    new_ledger: Callable[[], CommandLine], tmp_path: Path
) -> None:
    """Killed in random order while events flow, and run again: every event once everywhere, all as if undisturbed."""
    folder = slice_of_sales(tmp_path / "feed", 0, rows=5_000)
    undisturbed, given = new_ledger(), new_ledger()
    expected = undisturbed.done(IMPORT, folder)
    disturbed = small_steps(given)
    disturbed.done("up")
    position = Position(Outside(disturbed))
    chance = random.Random(20260301)
    kills = [RELAY, PROJECTOR, IMPORT] * 5
    chance.shuffle(kills)
    steps = sorted(chance.sample(range(expected["events"] * 9 // 10), len(kills)))

    importing = Importing(disturbed, folder)
    for target, step in zip(kills, steps, strict=True):
        importing.reach(step, position)
        time.sleep(chance.uniform(0, 0.03))
        if target == IMPORT:
            importing.kill_and_start_again()
            continue
        assert disturbed.kill(target), f"the {target} runs"
        importing.process.send_signal(signal.SIGSTOP)  # or it would be done before all have been killed
        disturbed.done("up")  # any command starts again what is not up
        assert disturbed.done("status")[target]["running"]
        importing.process.send_signal(signal.SIGCONT)
    imported = importing.finish()
    position.close()

    assert outcome(imported) == outcome(expected)
    check_as_if_undisturbed(disturbed, undisturbed)


@pytest.mark.parametrize("case", ["case-101", "case-105-seats"])
def test_an_import_killed_at_ten_random_moments_ends_as_if_undisturbed(
    case: str, new_ledger: Callable[[], CommandLine]
) -> None:
    """Ledger, balances and the final summary, refusals included, are those of an import that nobody killed."""
    folder = shared("golden", case)
    folders = [folder] if (folder / "sales.csv").exists() else [folder / "1", folder / "2"]
    undisturbed, given = new_ledger(), new_ledger()
    said = undisturbed.run(IMPORT, *folders, "--json")
    assert said.code == 1, said
    expected = said.json
    assert expected["refused"], "a case with rows that are refused"
    disturbed = small_steps(given)
    disturbed.done("up")
    position = Position(Outside(disturbed))
    chance = random.Random(case)
    moments = sorted(chance.sample(range(expected["events"]), 9))

    importing = Importing(disturbed, *folders)
    for moment in moments:
        importing.reach(moment, position)
        time.sleep(chance.uniform(0, 0.03))
        importing.kill_and_start_again()
    # The tenth time when all is decided and it waits for the projections: nothing has been told by then.
    disturbed.signal(PROJECTOR, signal.SIGSTOP)
    try:
        importing.reach(expected["events"], position)
        time.sleep(0.3)
        importing.kill_and_start_again()
    finally:
        disturbed.signal(PROJECTOR, signal.SIGCONT)
    imported = importing.finish()
    position.close()

    assert outcome(imported) == outcome(expected)
    check_as_if_undisturbed(disturbed, undisturbed)
    again = disturbed.run(IMPORT, *folders, "--json")
    assert again.json["duplicates"] >= expected["recorded"], "told to the end, it is told anew: duplicates"


@pytest.mark.parametrize("moment", ["while it reads", "while it decides", "while it waits for the projections"])
def test_ctrl_c_says_one_sentence_and_the_next_run_goes_on(
    moment: str, new_ledger: Callable[[], CommandLine], tmp_path: Path
) -> None:
    """Ctrl-C ends an import with 130 and one sentence; relay and projector stay up; run again it goes on."""
    rows = 6_000 if moment == "while it reads" else SLICE_ROWS
    folder = slice_of_sales(tmp_path / "feed", 0, rows)
    ledger = new_ledger() if moment == "while it reads" else small_steps(new_ledger())
    ledger.done("up")
    outside = Outside(ledger)
    position = Position(outside)
    process = ledger.start(IMPORT, folder, "--json")
    if moment == "while it reads":
        superuser = superuser_url(str(parse_dsn(outside.endpoints.database_url)["dbname"]))
        copying = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY staged %' AND datname = current_database()"
        eventually(lambda: outside.query(copying, url=superuser) != [])
        process.send_signal(signal.SIGINT)
        said = ended(process, timeout_s=30)
        assert position.now() == 0
    elif moment == "while it decides":
        eventually(lambda: position.now() >= 1_000)
        process.send_signal(signal.SIGINT)
        said = ended(process, timeout_s=30)
        assert position.now() > 0
    else:
        ledger.signal(PROJECTOR, signal.SIGSTOP)
        eventually(lambda: outside.query("SELECT 1 FROM ledger.import_progress WHERE done = 2203") != [])
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        said = ended(process, timeout_s=30)
        ledger.signal(PROJECTOR, signal.SIGCONT)
    check_interrupted(said)
    status = ledger.done("status")
    assert status[RELAY]["running"]
    assert status[PROJECTOR]["running"]

    again = ledger.done(IMPORT, folder)
    assert (again["recorded"], again["duplicates"], again["refused"]) == (701 + rows + 2, 0, [])
    assert again["position"] == again["events"]
    position.close()
    check_every_event_once(outside)


def check_interrupted(said: Said) -> None:
    assert said.code == 130, said
    assert "Traceback" not in said.err
    assert "Aborted" not in said.err
    assert said.err.count("Stopped.") == 1
    assert "again" in json.loads(said.out)["error"]


def test_the_next_command_starts_killed_processes_again(new_ledger: Callable[[], CommandLine], tmp_path: Path) -> None:
    """With relay and projector killed, `status` says so and starts nothing; the next question starts both again."""
    ledger = new_ledger()
    ledger.done(IMPORT, slice_of_sales(tmp_path / "feed", 0, rows=10))
    for name in (RELAY, PROJECTOR):
        assert ledger.kill(name)
    status = ledger.done("status")
    assert (status[RELAY]["running"], status[PROJECTOR]["running"]) == (False, False)
    advanced = ledger.done("advance", "--to", "2018-07-01")
    status = ledger.done("status")
    assert (status[RELAY]["running"], status[PROJECTOR]["running"]) == (True, True)
    assert (status["lag"], status["relayed"]) == (0, advanced["position"])
    check_every_event_once(Outside(ledger))


def test_an_import_that_waits_says_at_once_that_the_projector_is_gone(
    new_ledger: Callable[[], CommandLine], tmp_path: Path
) -> None:
    """Killed while an import waits for it, the projector is named with its log, exit code 3; run again all is there."""
    ledger = new_ledger()
    ledger.done("up")
    ledger.signal(PROJECTOR, signal.SIGSTOP)
    folder = slice_of_sales(tmp_path / "feed", 0, rows=100)
    process = ledger.start(IMPORT, folder, "--json")
    outside = Outside(ledger)
    eventually(lambda: outside.query("SELECT 1 FROM ledger.import_progress WHERE done = 803") != [], pause_s=0.05)
    ledger.kill(PROJECTOR)
    said = ended(process)
    assert said.code == 3, said
    one_sentence(said.err)
    for named in ("projector", "safe", "projector.log"):
        assert named in said.json["error"]
    again = ledger.done(IMPORT, folder)
    assert (again["recorded"], again["duplicates"]) == (803, 0)


# --- servers stopped ---


@pytest.fixture(scope="module")
def own() -> Iterator[CommandLine]:
    """A ledger on servers of its own, which may be stopped."""
    settings = Settings(home=temporary_home(), kafka_heap_mb=256, wait_timeout_s=120)
    ledger = small_steps(CommandLine(settings))
    ledger.done("up")
    yield ledger
    assert ledger.run("down").code == 0


@pytest.fixture(scope="module")
def beside() -> Iterator[CommandLine]:
    """A ledger that is told the same as `own`, undisturbed."""
    ledger = CommandLine(fresh_ledger())
    yield ledger
    ledger.down()


class Server:
    """One of a ledger's own servers: all of its processes."""

    def __init__(self, ledger: CommandLine, name: str) -> None:
        status = Servers(ledger.settings, say=lambda _: None).status()
        pid = (status.kafka if name == "kafka" else status.postgres).pid
        assert pid is not None
        self._main = psutil.Process(pid)

    def is_gone(self) -> None:
        """Wait until the system has forgotten the main process: until then PostgreSQL takes its lock file for another's."""
        eventually(lambda: not psutil.pid_exists(self._main.pid), within_s=30)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server: the main process first, so that it makes no others."""
        for process in [self._main, *self._main.children(recursive=True)]:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue


FAULTS = [(server, fault) for server in ("kafka", "postgres") for fault in ("stopped for 10 s", "killed")]


@pytest.mark.parametrize(("number", "server", "fault"), [(n, *fault) for n, fault in enumerate(FAULTS)])
def test_a_server_that_goes_away_during_an_import_loses_nothing(
    number: int, server: str, fault: str, own: CommandLine, beside: CommandLine, tmp_path: Path
) -> None:
    """The import waits or says so plainly, processes reconnect by themselves, and all is as if nothing had happened."""
    folder = slice_of_sales(tmp_path / "feed", number)
    expected = beside.done(IMPORT, folder)
    status = own.done("status")
    before = status["events"]
    position = Position(Outside(own))
    importing = Importing(own, folder)
    importing.reach(before + expected["events"] // 3, position)
    position.close()
    began = time.monotonic()

    victim = Server(own, server)
    if fault == "killed":
        victim.send(signal.SIGKILL)
        victim.is_gone()
        own.done("up")
    else:
        victim.send(signal.SIGSTOP)
        time.sleep(10)
        victim.send(signal.SIGCONT)
    imported = importing.finish()

    print(f"\n{server} {fault}: the import was done {time.monotonic() - began:.1f} s after it")
    assert outcome(imported) == outcome(expected)
    after = own.done("status")
    assert (after["lag"], after["relayed"], after["parked"]) == (0, after["events"], 0)
    assert after["events"] == before + expected["events"]
    check_as_if_undisturbed(own, beside)
