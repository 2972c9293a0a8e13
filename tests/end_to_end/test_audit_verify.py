"""`audit verify` as a user has it: what it says of a ledger in use, of wrong input, and where a service is away."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.docs.pages import write_tutorial_feed
from tests.end_to_end.command_line import CommandLine, ended
from tests.end_to_end.conftest import shared
from tests.end_to_end.test_parked import forge
from tests.end_to_end.whole_ledger import one_sentence
from tests.projections import histories as a
from tests.projections.histories import make_value
from tests.servers import execute, fresh_ledger
from tests.waiting import eventually


@pytest.fixture(scope="module")
def told() -> Iterator[CommandLine]:
    """A ledger that was told a little."""
    made = CommandLine(fresh_ledger())
    made.done("import", write_tutorial_feed(made.settings.home / "feed"))
    yield made
    made.down()


def test_an_empty_ledger_is_clean(ledger: CommandLine) -> None:
    """There is nothing that could be otherwise."""
    document = ledger.done("audit", "verify")
    assert (document["ok"], document["events"], document["findings"]) == (True, 0, [])


def test_a_ledger_is_clean_and_the_report_says_of_what(told: CommandLine) -> None:
    """Each check with its count; positions, versions, parameters, row counts and control totals at the end; text for a person."""
    document = told.done("audit", "verify")
    status = told.done("status")
    assert (document["ok"], document["events"], document["found"]) == (True, status["events"], 0)
    checks = {check["name"]: check for check in document["checks"]}
    assert all(check["ok"] and check["seconds"] >= 0 for check in checks.values())
    for name in (
        "positions",
        "leaf-hashes",
        "identities",
        "decisions",
        "kafka",
        "tier-changes",
        "projections:audit",
        "journal",
    ):
        assert checks[name]["checked"] > 0, name
    [(lines,)] = execute(str(told.settings.read_database_url), "SELECT count(*) FROM projection_1.bonus_line")
    assert document["rows"]["bonus_line"] == lines
    assert document["totals"]["debits"] == document["totals"]["credits"] != {}
    assert len(document["root"]) == 64
    assert document["versions"]["build"] == 1
    said = told.run("audit", "verify", "--quiet")
    assert said.code == 0
    assert f"All is as it must be, up to position {status['events']}" in said.out
    assert "Debits:" in said.out


def test_a_head_kept_outside(told: CommandLine, tmp_path: Path, ledger: CommandLine) -> None:
    """It holds, also by a key given from outside; one that was altered, of another key or of another ledger is a plain sentence."""
    head = told.done("audit", "head", "--to", tmp_path / "head.txt")
    document = told.done("audit", "verify", "--head", tmp_path / "head.txt", "--key", head["key"])
    [check] = [check for check in document["checks"] if check["name"] == "tree-head"]
    assert (check["ok"], check["checked"]) == (True, head["size"])
    assert document["root"] == head["root"]

    note = (tmp_path / "head.txt").read_text("utf-8")
    (tmp_path / "altered.txt").write_text(note.replace(f"\n{head['size']}\n", f"\n{head['size'] - 1}\n"), "utf-8")
    said = told.run("audit", "verify", "--head", tmp_path / "altered.txt")
    assert said.code == 1
    [sentence] = one_sentence(said.err)
    assert "was changed or forged" in sentence

    other = ledger
    change = (
        "UPDATE ledger.ledger_id SET id = gen_random_uuid()"  # the tests' databases are copies of one, and so is the id
    )
    execute(str(other.settings.admin_database_url), f"ALTER TABLE ledger.ledger_id DISABLE TRIGGER USER; {change}")
    said = other.run("audit", "verify", "--head", tmp_path / "head.txt", "--key", head["key"])
    assert said.code == 1
    assert "is of another ledger" in said.err
    assert told.run("audit", "verify", "--key", head["key"]).code == 2
    assert told.run("audit", "verify", "--head", tmp_path / "none.txt").code == 1


def test_a_finding_is_exit_code_1(ledger: CommandLine) -> None:
    """A forged record is found while it is parked; once it is dropped the ledger is clean again, and says what it passed over."""
    ledger.done("import", write_tutorial_feed(ledger.settings.home / "feed"))
    events = ledger.done("status")["events"]
    stream = "partner:P-1"
    value = make_value(stream, 99, events + 50, a.sale("X", "2024-06-01", "999.00"))
    forge(ledger, (stream.encode(), value))
    eventually(lambda: ledger.done("status")["parked"] == 1)
    text = ledger.run("audit", "verify")
    assert text.code == 1
    assert "Not all is as it must be: 2 findings" in text.out
    said = ledger.run("audit", "verify", "--json")
    assert said.code == 1
    found = {(each["check"], each["kind"], each["position"]) for each in said.json["findings"]}
    assert found == {("kafka", "forged", events + 50), ("parked", "parked", None)}
    assert said.json["ok"] is False
    [stream_document] = ledger.done("parked", "list")["streams"]
    ledger.done("parked", "drop", stream_document["not_in_store"][0], "--reason", "a test")
    document = ledger.done("audit", "verify")
    assert (document["ok"], document["rows"]["dropped"]) == (True, 1)


def test_while_facts_are_recorded_it_states_the_position_it_read_up_to(ledger: CommandLine) -> None:
    """What comes meanwhile is no finding."""
    one_by_one = CommandLine(ledger.settings.model_copy(update={"import_batch_facts": 1}))
    process = one_by_one.start("import", shared("golden", "case-101"), "--json")
    eventually(lambda: (ledger.run("status", "--json").json.get("events") or 0) > 50 or process.poll() is not None)
    document = ledger.done("audit", "verify")
    assert process.poll() is None, "it was to be verified while facts are recorded"
    process.send_signal(signal.SIGINT)
    ended(process)
    assert (document["ok"], document["findings"]) == (True, [])
    afterwards = ledger.done("audit", "verify")
    assert 0 < document["events"] < afterwards["events"]
    assert afterwards["events"] == ledger.done("status")["events"]


def test_while_kafka_is_away_it_says_so(told: CommandLine) -> None:
    """Exit code 3 and one sentence."""
    away = CommandLine(told.settings.model_copy(update={"kafka": "127.0.0.1:9", "wait_timeout_s": 1}))
    said = away.run("audit", "verify", "--json")
    assert said.code == 3
    assert "127.0.0.1:9" in said.json["error"]
    assert "Traceback" not in said.err


def test_ctrl_c_leaves_nothing_behind(told: CommandLine) -> None:
    """Neither a process nor a connection."""
    process = told.start("audit", "verify")
    parent = psutil.Process(process.pid)
    eventually(lambda: len(parent.children(recursive=True)) >= 2 or process.poll() is not None, pause_s=0.01)
    children = parent.children(recursive=True)
    assert children, "it ended before it could be stopped"
    process.send_signal(signal.SIGINT)
    said = ended(process)
    assert said.code == 130
    assert "Stopped" in said.err
    gone, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert gone
    connections = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%audit%' AND datname = current_database()"
    )
    time.sleep(0.1)
    assert execute(str(told.settings.admin_database_url), connections) == [(0,)]
