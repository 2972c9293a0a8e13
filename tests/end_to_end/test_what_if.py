"""`replay what-if` and `replay diff` as a manager has them: on a real ledger, against a real import, and wrong input."""

import csv
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from domain import events as e
from domain.facts import EnrolPartner, Fact
from domain.retold import retold
from domain.streams import partner_id_of
from infra.replay.what_if_page import REFUSED_SHOWN
from infra.tape.reading import RecordedTape
from projections.what_if_rules import ledgers_own
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.conftest import shared
from tests.end_to_end.whole_ledger import one_sentence
from tests.servers import fresh_ledger

CASE = "case-101"
AS_OF = "2015-01-31"
FILES = {
    "partner": "partners.csv",
    "membership": "memberships.csv",
    "training": "trainings.csv",
    "revocation": "revocations.csv",
    "deal": "sales.csv",
    "reversal": "reversals.csv",
    "award": "awards.csv",
}


@dataclass(frozen=True)
class Rehearsed:
    """A ledger that has the golden case, its tape, and the published programme files."""

    command_line: CommandLine
    programmes: Path
    partners: dict[str, Any]

    def what_if(self, *candidates: Path, more: Collection[str] = ()) -> Any:
        named = [word for file in candidates for word in ("--programme", str(file))]
        return self.command_line.done("replay", "what-if", *named, *more)


@pytest.fixture(scope="module")
def ledger() -> Iterator[Rehearsed]:
    command_line = CommandLine(fresh_ledger())
    folder = shared("golden", CASE)
    command_line.run("import", folder)  # some of its rows are refused, as they should be
    command_line.done("advance", "--to", AS_OF)
    command_line.done("replay", "tape")
    yield Rehearsed(command_line, folder / "programmes", command_line.done("partners"))
    command_line.down()


@pytest.fixture(scope="module")
def candidate(ledger: Rehearsed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version of 2012 with other thresholds and rates, without seats and without a family."""
    text = (ledger.programmes / "partner-2012.yaml").read_text("utf-8")
    for before, after in (
        ("programme: partner-2012", "programme: partner-2012-rehearsed"),
        ('revenue: "50000.00"', 'revenue: "35000.00"'),
        ("seats: {CH: 5}", "seats: {CH: 0}"),
        ("virtualisation, cloud, saas]", "virtualisation, cloud]"),
        ("silver: 300", "silver: 345"),
    ):
        assert before in text
        text = text.replace(before, after)
    file = tmp_path_factory.mktemp("candidate") / "candidate.yaml"
    file.write_text(text, "utf-8")
    return file


def test_unchanged_programmes_differ_in_nothing(ledger: Rehearsed) -> None:
    """All published versions as candidates: both sides are what `partners --json` says, and nothing is refused."""
    told = ledger.what_if(*sorted(ledger.programmes.iterdir()))
    assert {partner: each["actual"] for partner, each in told["partners"].items()} == ledger.partners["partners"]
    assert all(each["actual"] == each["candidate"] for each in told["partners"].values())
    assert (told["refused"], told["largest"], told["totals"]["differing"]) == ([], [], 0)
    tape = ledger.command_line.done("replay", "tape")
    assert [told[key] for key in ("ledger", "root", "position")] == [
        tape[key] for key in ("ledger", "root", "position")
    ]
    assert (told["as_of"], told["position"]) == (ledger.partners["as_of"], ledger.partners["position"])
    for by in ("scheme", "tier", "country", "family", "quarter"):
        groups = told["totals"]["money"][by]
        assert groups
        assert all(
            (each["actual"], each["lines_actual"]) == (each["candidate"], each["lines_candidate"]) for each in groups
        )
        summed = ledger.command_line.done("bonus", "totals", "--by", by)["totals"]
        assert [(each["group"], each["currency"], each["total"], each["lines"]) for each in summed] == [
            (each["group"], each["currency"], each["actual"], each["lines_actual"]) for each in groups
        ]


def test_a_candidate_equals_importing_the_accepted_facts_into_a_fresh_ledger(
    ledger: Rehearsed, candidate: Path, new_ledger: Callable[[], CommandLine], tmp_path: Path
) -> None:
    """The facts of the tape but for those refused, told in the same order under the changed programmes, partner by partner."""
    told = ledger.what_if(candidate, more=["--csv", str(tmp_path / "partners.csv")])
    reasons = " ".join(fact["reason"] for fact in told["refused"])
    for told_why in ("No seat is free", "Family 'saas' is not in programme", "was refused"):
        assert told_why in reasons
    assert told["totals"]["differing"] > 0
    feed = tmp_path / "feed"
    shutil.copytree(ledger.programmes, feed / "programmes")
    shutil.copy(candidate, feed / "programmes" / "partner-2012.yaml")
    write_feed(
        feed, RecordedTape.open(ledger.command_line.settings.home / "tape"), {f["position"] for f in told["refused"]}
    )
    fresh = new_ledger()
    imported = fresh.done("import", feed)
    assert imported["refused"] == []
    fresh.done("advance", "--to", AS_OF)
    wanted = fresh.done("partners", "--as-of", told["as_of"])["partners"]
    assert {partner: each["candidate"] for partner, each in told["partners"].items()} == wanted
    check_table(tmp_path / "partners.csv", told)
    check_sums(told)


def check_table(file: Path, told: Any) -> None:
    """The table for a spreadsheet says what the document says."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["partner"] for row in rows} == set(told["partners"])
    for row in rows:
        partner = told["partners"][row["partner"]]
        if row["currency"]:
            balance = partner["candidate"]["balances"].get(row["currency"])
            assert row["bonus_candidate"] == (balance["payable"] if balance else "0.00")


def check_sums(told: Any) -> None:
    """Sums by each kind of group come to the balances of all partners."""
    for side, sums in (("actual", "actual"), ("candidate", "candidate")):
        payable: dict[str, int] = {}
        for partner in told["partners"].values():
            for currency, balance in partner[side]["balances"].items():
                payable[currency] = payable.get(currency, 0) + round(float(balance["payable"]) * 100)
        for groups in told["totals"]["money"].values():
            found: dict[str, int] = {}
            for group in groups:
                found[group["currency"]] = found.get(group["currency"], 0) + round(float(group[sums]) * 100)
            assert found == payable


def write_feed(folder: Path, tape: RecordedTape, refused: Collection[int]) -> None:
    """Write the facts of a tape as a feed, in the order recorded, without those refused."""
    lowest = ledgers_own(tape.ledgers_own()).lowest_tiers
    facts: list[tuple[int, Fact]] = []
    for piece in tape.pieces():
        for position, stream, name, version, data in zip(*tape.facts(piece), strict=True):
            event = e.decode(name, version, data)
            fact = retold(partner_id_of(stream) or "", event).fact
            if isinstance(event, e.PartnerEnrolled) and event.tier == lowest[event.programme]:
                assert isinstance(fact, EnrolPartner)
                fact = EnrolPartner(**{**fact.__dict__, "tier": None})
            facts.append((position, fact))
    for kind, name in FILES.items():
        rows = [
            fact.__dict__
            for position, fact in sorted(facts, key=lambda each: each[0])
            if kind == fact.KIND and position not in refused
        ]
        if rows:
            with (folder / name).open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys())
                writer.writeheader()
                writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)


def test_the_digest_does_not_depend_on_the_number_of_processes(ledger: Rehearsed, candidate: Path) -> None:
    """One, two or three processes: the same document and digest."""
    documents = [ledger.what_if(candidate, more=["--workers", str(count)]) for count in (1, 2, 3)]
    for document in documents:
        del document["seconds"], document["workers"]
    assert documents[0] == documents[1] == documents[2]
    assert len(documents[0]["digest"]) == 64


def test_a_person_gets_tables_and_two_candidates_can_be_compared(
    ledger: Rehearsed, candidate: Path, tmp_path: Path
) -> None:
    """Holders, money, who gains; `replay diff` of two results names the partners between them, and none for the same twice."""
    said = ledger.command_line.run("replay", "what-if", "--programme", candidate)
    assert said.code == 0, said.err
    for title in ("Holders by tier", "Bonuses by scheme", "Who would gain most", "would be refused", "Digest: "):
        assert title in said.out
    assert "Family 'saas' is not in programme" in said.out
    own = ledger.programmes / "partner-2012.yaml"
    for name, file in (("a", own), ("b", candidate)):
        (tmp_path / f"{name}.json").write_text(json.dumps(ledger.what_if(file)), "utf-8")
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    compared = ledger.command_line.done("replay", "diff", a, b)
    told = json.loads(b.read_text("utf-8"))
    moved = {p for p, each in told["partners"].items() if each["actual"]["tier"] != each["candidate"]["tier"]}
    assert moved
    assert moved <= set(compared["partners"])
    assert ledger.command_line.done("replay", "diff", b, b)["partners"] == {}
    (tmp_path / "altered.json").write_text(
        b.read_text("utf-8").replace('"candidate": "', '"candidate": "9', 1), "utf-8"
    )
    altered = ledger.command_line.run("replay", "diff", tmp_path / "altered.json", b)
    assert (altered.code, "was altered since" in altered.err) == (1, True), altered.err
    (tmp_path / "empty.json").touch()
    empty = ledger.command_line.run("replay", "diff", tmp_path / "empty.json", b)
    assert (empty.code, "empty.json is empty" in empty.err) == (1, True)
    assert "Partners that differ" in ledger.command_line.run("replay", "diff", a, b).out


def test_wrong_candidates_are_refused_with_all_their_faults(ledger: Rehearsed, candidate: Path, tmp_path: Path) -> None:
    """A quarter's second month, a tier that nobody has: by line; a succession that does not hold: by name; nothing else happens."""
    text = candidate.read_text("utf-8")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        text.replace("effective_from: 2012-01-01", "effective_from: 2012-02-01").replace("silver: 345", "sylver: 345")
    )
    said = ledger.command_line.run("replay", "what-if", "--programme", wrong, "--json")
    assert said.code == 1
    assert "nothing was rehearsed" in said.err
    assert "effective_from" in said.err
    assert "sylver" in said.err
    assert {fault["key"].split("[")[0] for fault in said.json["faults"]} == {"effective_from", "bonuses"}
    wrong.write_text(text.replace("succeeds: silver", "succeeds: pewter"))
    said = ledger.command_line.run("replay", "what-if", "--programme", wrong)
    assert (said.code, "pewter" in said.err) == (1, True)
    assert one_sentence(said.err)


def test_before_the_first_fact_there_is_nothing_to_rehearse(ledger: Rehearsed, candidate: Path) -> None:
    """A date before any enrolment is answered by a sentence."""
    said = ledger.command_line.run("replay", "what-if", "--programme", candidate, "--as-of", "2001-01-01")
    assert said.code == 1
    assert "begins on 2012-01-01, after 2001-01-01" in said.err
    first = sorted(ledger.programmes.iterdir())[0]
    on = next(line for line in first.read_text("utf-8").splitlines() if line.startswith("effective_from")).split()[1]
    said = ledger.command_line.run("replay", "what-if", "--programme", first, "--as-of", on)
    assert said.code == 1
    assert f"No partner was enrolled by {on}" in said.err
    said = ledger.command_line.run("replay", "what-if", "--programme", candidate, "--as-of", "9999-12-31")
    assert (said.code, "9999-12-31 is in the future" in said.err) == (2, True)


def test_a_candidate_that_begins_after_the_date_is_refused(ledger: Rehearsed, candidate: Path, tmp_path: Path) -> None:
    """Next year's programme has no effect on this year's facts: it has to be rehearsed from an earlier day."""
    later = tmp_path / "later.yaml"
    later.write_text(candidate.read_text("utf-8").replace("effective_from: 2012-01-01", "effective_from: 2016-01-01"))
    said = ledger.command_line.run("replay", "what-if", "--programme", later)
    assert said.code == 1
    assert f"begins on 2016-01-01, after {ledger.partners['as_of']}, up to which facts are rehearsed" in said.err
    assert one_sentence(said.err)


def test_a_tape_that_is_missing_or_altered_stops_it(ledger: Rehearsed, candidate: Path, tmp_path: Path) -> None:
    """It says which, and what to do."""
    command = ("replay", "what-if", "--programme", candidate, "--tape")
    said = ledger.command_line.run(*command, tmp_path / "none", "--no-top-up")
    assert (said.code, "There is no tape" in said.err) == (1, True)
    shutil.copytree(ledger.command_line.settings.home / "tape", tmp_path / "altered")
    part = next((tmp_path / "altered").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-9] + b"different")
    for more in ((), ("--no-top-up",)):
        said = ledger.command_line.run(*command, tmp_path / "altered", *more)
        assert said.code == 1
        assert one_sentence(said.err)


def test_a_recorded_demotion_is_told_by_the_review_that_was_missed(ledger: Rehearsed, tmp_path: Path) -> None:
    """A candidate that forgives more: beside each demotion that would not be stands what the tier required, and was not met."""
    text = (ledger.programmes / "partner-2012.yaml").read_text("utf-8")
    assert "grace: 1" in text
    forgiving = tmp_path / "forgiving.yaml"
    forgiving.write_text(text.replace("grace: 1", "grace: 9").replace("partner-2012", "forgiving"), "utf-8")
    told = ledger.what_if(forgiving)
    evidence = {each["partner"]: each["evidence_actual"] for each in told["largest"]}
    demoted = {
        partner: first["actual"]
        for partner in evidence
        if (first := told["partners"][partner]["causes"]["first_tier"])
        and first["actual"]
        and first["actual"]["reason"] == "demotion"
    }
    assert demoted
    for partner, then in demoted.items():
        assert evidence[partner]["tier"] != then["tier"]
        assert not evidence[partner]["met"]


def test_what_was_recorded_since_is_added_to_the_tape_first(
    new_ledger: Callable[[], CommandLine], candidate: Path
) -> None:
    """Without a tape it is made; what is recorded later is decided too, unless the tape is wanted as it is."""
    fresh = new_ledger()
    fresh.run("import", shared("golden", CASE))
    command = ("replay", "what-if", "--programme", candidate)
    first = fresh.done(*command)
    assert first["position"] == fresh.done("replay", "tape")["position"]
    fresh.done("advance", "--to", AS_OF)
    assert fresh.done(*command, "--no-top-up")["position"] == first["position"]
    assert fresh.done(*command)["position"] == fresh.done("partners")["position"] > first["position"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_no_process_and_no_file(
    ledger: Rehearsed, candidate: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Interrupted while its processes work, or told to end, it ends with them."""
    table = tmp_path / "partners.csv"
    process = ledger.command_line.start("replay", "what-if", "--programme", candidate, "--workers", "2", "--csv", table)
    deadline = time.monotonic() + 60
    children: list[psutil.Process] = []
    while len(children) < 2 and process.poll() is None and time.monotonic() < deadline:
        children = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert "Traceback" not in err
    assert children
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert list(tmp_path.iterdir()) == [], "neither the table nor half of it"


def test_the_page_says_what_the_json_says(ledger: Rehearsed, candidate: Path, tmp_path: Path) -> None:
    """One command, both: the page has the digest, every country's name of a group, and the sums; it is not written over."""
    page = tmp_path / "candidate.html"
    told = ledger.what_if(candidate, more=["--html", str(page)])
    html = page.read_text("utf-8")
    assert told["digest"] in html
    for each in told["totals"]["money"]["scheme"]:
        assert f">{each['group']}, {each['currency']}<" in html
        assert f">{Decimal(each['candidate']):,}<" in html
    assert len(told["refused"]) > REFUSED_SHOWN
    for fact in told["refused"][:REFUSED_SHOWN]:
        assert f">{fact['position']:,}<" in html
    assert f"and {len(told['refused']) - REFUSED_SHOWN:,} more, in the JSON" in html
    assert len(told["largest"]) == html.count("<section>")
    again = ledger.command_line.run("replay", "what-if", "--programme", candidate, "--html", page)
    assert again.code == 1
    assert "is there already" in again.err
    assert page.read_text("utf-8") == html


def test_the_points_of_a_sweep_are_what_single_what_ifs_say(ledger: Rehearsed, tmp_path: Path) -> None:
    """Holders, money by scheme and refused facts of each point; the point that is the published version is what is."""
    page = tmp_path / "sweep.html"
    settings = ("--set", "silver.revenue=35000,50000", "--set", "platinum.seats.CH=2,5")
    swept = ledger.command_line.done("replay", "sweep", *settings, "--html", str(page))
    assert [tuple(point["values"].values()) for point in swept["points"]] == [
        ("35000", "2"),
        ("35000", "5"),
        ("50000", "2"),
        ("50000", "5"),
    ]
    text = (ledger.programmes / "partner-2012.yaml").read_text("utf-8")
    for point in swept["points"][::3]:  # every parameter on both of its values
        revenue, seats = point["values"].values()
        file = tmp_path / f"candidate-{revenue}-{seats}.yaml"
        changed = text.replace('revenue: "50000.00"', f'revenue: "{revenue}.00"')
        changed = changed.replace("seats: {CH: 5}", f"seats: {{CH: {seats}}}")
        file.write_text(changed.replace("programme: partner-2012", "programme: point"), "utf-8")
        told = ledger.what_if(file)
        assert point["holders"] == {each["tier"]: each["candidate"] for each in told["totals"]["holders"]}
        groups = told["totals"]["money"]["scheme"]
        by_scheme = {(each["scheme"], each["currency"]): each["total"] for each in point["by_scheme"]}
        assert by_scheme == {(each["group"], each["currency"]): each["candidate"] for each in groups}
        assert point["refused"] == len(told["refused"])
        assert point["change"] == told["totals"]["change"]
    actual = {key: swept["actual"][key] for key in ("holders", "money", "cost", "by_scheme")}
    assert actual == {key: swept["points"][-1][key] for key in actual}
    assert actual["money"] != swept["points"][0]["money"]
    html = page.read_text("utf-8")
    for point in swept["points"]:
        assert all(f">{Decimal(amount):,}<" in html for amount in point["money"].values())


def test_a_sweep_is_told_to_a_person_and_wrong_ones_are_refused(ledger: Rehearsed) -> None:
    """A row for each point and one for what is; an unknown path, an unknown programme, too many points: each a sentence."""
    said = ledger.command_line.run("replay", "sweep", "--set", "gold.revenue=40000,250000")
    assert said.code == 0, said.err
    assert "as it is" in said.out
    assert "Left out: gold.revenue=40000: tier 'gold' requires less than 'silver' below it" in said.out
    assert ": 40,000 revenue instead of 50,000.00 or more." in said.out
    for code, wanted, told in (
        (1, ("--set", "sylver.revenue=1"), "the nearest are silver.revenue"),
        (2, ("--set", "silver.revenue=1..9"), "has no step"),
        (1, ("--set", "silver.revenue=1", "--programme", "partner-2031"), "No programme 'partner-2031' is published"),
        (2, ("--set", "silver.revenue=1..999/1"), "999 points; 200 at most"),
    ):
        refused = ledger.command_line.run("replay", "sweep", *wanted)
        assert refused.code == code, told
        assert told in refused.err
        assert one_sentence(refused.err)
