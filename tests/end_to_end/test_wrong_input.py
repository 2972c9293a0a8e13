"""Wrong input, as a user meets it: what is refused, for which reason, with which exit code, and what is recorded all the same."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command_line import CommandLine, Said
from tests.end_to_end.conftest import shared
from tests.end_to_end.whole_ledger import Outside, check_every_event_once
from tests.servers import execute, fresh_ledger

PARTNERS = "partner_id,name,country,currency,enrolled_on,tier"
SALES = "deal_id,partner_id,closed_on,family,amount,currency,source_ref"
SALE = "D1,CH-1,2012-02-10,cloud,100.00,CHF,"


class Feed:
    """A feed folder that is written as a test goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def programmes(self) -> "Feed":
        """Take the three programmes of the worked case."""
        shutil.copytree(shared("golden", "case-worked") / "programmes", self.folder / "programmes")
        return self

    def write(self, name: str, *lines: str, encoding: str = "utf-8") -> "Feed":
        """Write a file's lines."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
        return self


def feed(tmp_path: Path, name: str = "feed") -> Feed:
    return Feed(tmp_path / name)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A ledger with one Swiss partner and one deal, which refused input leaves as it is."""
    ledger = CommandLine(fresh_ledger())
    given = Feed(tmp_path_factory.mktemp("given") / "feed").programmes()
    given.write("partners.csv", PARTNERS, "CH-1,Alpenblick,CH,CHF,2011-10-03,").write("sales.csv", SALES, SALE)
    assert ledger.done("import", given.folder)["recorded"] == 5
    ledger.done("advance", "--to", "2012-03-01")
    yield ledger
    ledger.down()


def one_error(said: Said, code: int) -> str:
    """Check that a command with --json said no in one sentence, in both places; give the sentence."""
    assert said.code == code, f"{said.code}: {said.err}{said.out}"
    assert "Traceback" not in said.err
    assert said.json.keys() in ({"error"}, {"error", "faults"})
    sentence = str(said.json["error"])
    assert sentence.endswith(".")
    assert sentence.replace("\n", " ") in said.err.replace("\n", " ")
    return sentence


def events_of(ledger: CommandLine) -> Any:
    return execute(str(ledger.settings.admin_database_url), "SELECT count(*) FROM ledger.event")


# --- rows, refused one by one ---

WRONG_SALES = {
    "S02,CH-1,2012-13-01,cloud,100.00,CHF,": ("closed_on", "2012-13-01"),
    "S03,CH-1,2012-02-30,cloud,100.00,CHF,": ("closed_on", "2012-02-30"),
    "S04,CH-1,10.02.2012,cloud,100.00,CHF,": ("closed_on", "10.02.2012"),
    "S05,CH-1,,cloud,100.00,CHF,": ("closed_on", "empty"),
    "S06,CH-1,2012-02-10,cloud,abc,CHF,": ("amount", "abc"),
    "S07,CH-1,2012-02-10,cloud,1e3,CHF,": ("amount", "1e3"),
    'S08,CH-1,2012-02-10,cloud,"1,000.00",CHF,': ("amount", "1,000.00"),
    "S09,CH-1,2012-02-10,cloud,NaN,CHF,": ("amount", "NaN"),
    "S10,CH-1,2012-02-10,cloud,,CHF,": ("amount", "empty"),
    "S11,CH-1,2012-02-10,cloud,-5.00,CHF,": ("-5.00",),
    "S12,CH-1,2012-02-10,cloud,0.00,CHF,": ("0.00",),
    "S13,CH-1,2012-02-10,cloud,100.005,CHF,": ("100.005", "finer"),
    "S14,CH-1,2012-02-10,cloud,99999999999999999,CHF,": ("99999999999999999",),
    "S15,CH-1,2012-02-10,cloud,100.00,XYZ,": ("XYZ",),
    "S16,CH-1,2012-02-10,cloud,100.00,USD,": ("USD", "EUR, CHF"),
    "S17,CH-1,2012-02-10,fax,100.00,CHF,": ("fax", "cloud"),
    "S18,CH-9,2012-02-10,cloud,100.00,CHF,": ("CH-9",),
    "S19,CH-1,2999-01-01,cloud,100.00,CHF,": ("2999-01-01", "future"),
    "S20,CH-1,2011-10-02,cloud,100.00,CHF,": ("2011-10-02", "2011-10-03"),
    "D1,CH-1,2012-02-10,cloud,200.00,CHF,": ("D1", "'100'", "'200'"),
    ",CH-1,2012-02-10,cloud,100.00,CHF,": ("deal_id", "empty"),
    "S23,CH-1,2012-02-10,cloud,100.00,CHF": ("6 values for 7 columns",),
    "S24,CH-1,2012-02-10,cloud,100.00,CHF,,": ("8 values for 7 columns",),
}
WRONG_PARTNERS = {
    "CH-2,Nobody,ZZ,CHF,2012-01-03,": ("ZZ",),
    "CH-3,Nobody,CH,XYZ,2012-01-03,": ("XYZ",),
    "CH-4,Nobody,CH,CHF,2012-01-03,diamond": ("diamond", "bronze"),
    "CH-5,Nobody,CH,CHF,2005-01-03,": ("2005-01-03",),
    "CH-6,,CH,CHF,2012-01-03,": ("name", "empty"),
    "CH-1,Another name,CH,CHF,2011-10-03,": ("CH-1", "Alpenblick", "Another name"),
}
WRONG_OTHERS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "reversals.csv": (
        "reversal_id,deal_id,reversed_on,amount,reason",
        {
            "R1,D9,2012-03-01,,": ("D9",),
            "R2,D1,2012-02-09,,": ("2012-02-09", "2012-02-10"),
            "R3,D1,2012-03-01,100.01,": ("100.01", "100.00"),
        },
    ),
    "memberships.csv": (
        "partner_id,change,on,reason",
        {"CH-1,pause,2012-03-01,": ("pause", "suspend"), "CH-1,resume,2012-03-01,": ("CH-1", "not suspended")},
    ),
    "revocations.csv": ("completion_id,revoked_on,reason", {"T9,2012-03-01,": ("T9",)}),
    "awards.csv": (
        "partner_id,tier,awarded_on,awarded_by,reason",
        {"CH-1,diamond,2012-03-01,board,": ("diamond",), "CH-1,platinum,2012-03-01,board,": ("platinum",)},
    ),
}


def test_wrong_rows_are_refused_one_by_one_and_the_good_ones_recorded(standing: CommandLine, tmp_path: Path) -> None:
    """Each wrong row is refused with file, line and a reason that names the value; the good rows beside them are recorded."""
    given = feed(tmp_path)
    files: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
        "sales.csv": (SALES, WRONG_SALES),
        "partners.csv": (PARTNERS, WRONG_PARTNERS),
        **WRONG_OTHERS,
    }
    expected: dict[tuple[str, int], tuple[str, ...]] = {}
    for name, (header, wrong) in files.items():
        lines = [header, *wrong]
        expected |= {(name, line): values for line, values in enumerate(wrong.values(), start=2)}
        if name == "sales.csv":  # a good row before, amid and after the wrong ones
            lines = [header, *list(wrong)[:9], "G1,CH-1,2012-02-11,cloud,10.00,CHF,", *list(wrong)[9:]]
            lines.append("G2,CH-7,2012-02-12,cloud,20.00,EUR,crm:7")
            expected = {(n, line + (n == name and line > 10)): values for (n, line), values in expected.items()}
        if name == "partners.csv":
            lines.append("CH-7,Good one,CH,CHF,2012-01-03,")
        given.write(name, *lines)

    said = standing.run("import", given.folder, "--json")

    assert said.code == 1, said.err
    assert "Traceback" not in said.err
    reasons = {(row["file"], row["line"]): row["reason"] for row in said.json["refused"]}
    assert reasons.keys() == expected.keys()
    unnamed = {
        place: (reasons[place], v) for place, values in expected.items() for v in values if v not in reasons[place]
    }
    assert not unnamed, "a reason names what was wrong"
    assert (said.json["recorded"], said.json["duplicates"]) == (3, 0)

    outside = Outside(standing)
    deals = outside.projected("SELECT deal_id, partner, amount::text, currency FROM projection_1.sale ORDER BY 1")
    assert deals == [
        ("D1", "CH-1", "100.00", "CHF"),
        ("G1", "CH-1", "10.00", "CHF"),
        ("G2", "CH-7", "20.00", "EUR"),
    ]
    with Path(said.json["rejects_file"]).open(encoding="utf-8", newline="") as file:
        rejects = list(csv.DictReader(file))
    assert [(row["file"], int(row["line"]), row["reason"]) for row in rejects] == [
        (row["file"], row["line"], row["reason"]) for row in said.json["refused"]
    ]
    assert {row["folder"] for row in rejects} == {str(given.folder)}
    check_every_event_once(outside)


def test_refused_rows_are_told_to_a_person_too(standing: CommandLine, tmp_path: Path) -> None:
    """Without --json the refused row is printed with file, line and reason, and where the rejects file is."""
    given = feed(tmp_path).write("sales.csv", SALES, "P1,CH-1,2012-02-10,fax,100.00,CHF,")
    said = standing.run("import", given.folder)
    assert said.code == 1
    assert "Traceback" not in said.err
    assert "0 facts recorded, 0 duplicates, 1 refused" in said.out
    for shown in ("sales.csv", "2", "'fax'", "rejects"):
        assert shown in said.out


def test_quiet_leaves_the_answer_alone(standing: CommandLine, tmp_path: Path) -> None:
    """Wherever it stands: what was recorded and refused is told, what happens and where to look on is not."""
    given = feed(tmp_path).write("sales.csv", SALES, "P2,CH-1,2012-02-10,fax,100.00,CHF,")
    for arguments in (("-q", "import", given.folder), ("import", given.folder, "--quiet")):
        said = standing.run(*arguments)
        assert (said.code, said.err) == (1, "")
        assert "1 refused" in said.out
        assert "'fax'" in said.out
        assert "caught up" not in said.out


# --- files, refused whole ---

UNREADABLE: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "a missing column": ("sales.csv", b"deal_id,partner_id\nW1,CH-1\n", ("sales.csv", "closed_on", "missing")),
    "a strange column": (
        "sales.csv",
        f"{SALES},colour\nW1,CH-1,2012-02-10,cloud,1.00,CHF,,red\n".encode(),
        ("sales.csv", "colour"),
    ),
    "a column twice": (
        "partners.csv",
        f"{PARTNERS},name\nCH-8,A,CH,CHF,2012-01-03,,A\n".encode(),
        ("partners.csv", "name", "twice"),
    ),
    "no line at all": ("sales.csv", b"", ("sales.csv", "missing")),
    "not UTF-8": (
        "sales.csv",
        f"{SALES}\nW1,CH-1,2012-02-10,cloud,1.00,CHF,\nW2,CH-1,2012-02-10,cloud,1.00,CHF,Z\xfcrich\n".encode("latin-1"),
        ("sales.csv", "UTF-8"),
    ),
    "UTF-16": ("sales.csv", f"{SALES}\n{SALE}\n".encode("utf-16"), ("sales.csv", "UTF-8")),
    "an unknown file": ("sale.csv", f"{SALES}\n{SALE}\n".encode(), ("sale.csv", "sales.csv")),
    "a programme that is no YAML": ("programmes/p.yaml", b"programme: [\n", ("p.yaml", "line 2")),
    "a programme with faults": (
        "programmes/p.yaml",
        b"programme: x\ntitle: X\neffective_from: 2012-02-01\n",
        ("p.yaml", "tiers", "missing"),
    ),
    "a programme not UTF-8": ("programmes/p.yaml", b"programme: Z\xfcrich\n", ("p.yaml", "UTF-8")),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_cannot_be_read_is_refused_whole(kind: str, standing: CommandLine, tmp_path: Path) -> None:
    """One sentence names the file and what is wrong; the good files beside it are not recorded either."""
    name, content, named = UNREADABLE[kind]
    given = feed(tmp_path).write("memberships.csv", "partner_id,change,on,reason", "CH-1,suspend,2012-03-01,")
    given.write("partners.csv", PARTNERS, "CH-8,Good one,CH,CHF,2012-01-03,")
    (given.folder / name).parent.mkdir(exist_ok=True)
    (given.folder / name).write_bytes(content)
    before = events_of(standing)

    sentence = one_error(standing.run("import", given.folder, "--json"), 1)

    assert [value for value in named if value not in sentence] == [], sentence
    assert events_of(standing) == before


def test_the_good_folder_of_two_is_not_imported_before_the_wrong_one_is_found(
    standing: CommandLine, tmp_path: Path
) -> None:
    """A folder that is none is found before anything of the folders before it is recorded."""
    good = feed(tmp_path, "good").write("sales.csv", SALES, "W9,CH-1,2012-02-10,cloud,1.00,CHF,")
    before = events_of(standing)
    sentence = one_error(standing.run("import", good.folder, tmp_path / "nowhere", "--json"), 2)
    assert "nowhere" in sentence
    assert events_of(standing) == before


def test_folders_without_a_feed_are_refused(standing: CommandLine, tmp_path: Path) -> None:
    """An empty folder is named in one sentence; a missing one and a file in its place are wrong usage."""
    empty = feed(tmp_path, "empty").folder
    file = tmp_path / "sales.csv"
    file.write_text(SALES)
    for folder, code in ((empty, 1), (tmp_path / "missing", 2), (file, 2)):
        assert str(folder) in one_error(standing.run("import", folder, "--json"), code)


# --- feeds that look unusual and are right ---


def test_json_lines_and_byte_order_marks_are_read(standing: CommandLine, tmp_path: Path) -> None:
    """A BOM in CSV and in JSON Lines, other line ends, blank lines and amounts as JSON numbers are read as they are meant."""
    given = feed(tmp_path)
    given.write("partners.csv", PARTNERS, 'CH-20,"Müller, Söhne",CH,CHF,2012-01-03,', encoding="utf-8-sig")
    row = {"deal_id": "J1", "partner_id": "CH-20", "closed_on": "2012-02-10", "family": "cloud", "currency": "CHF"}
    lines = [
        json.dumps(row | {"amount": "0.10"}),
        json.dumps(row | {"deal_id": "J2", "source_ref": "crm:ü"}, ensure_ascii=False)[:-1]
        + ', "amount": 12345678.90}',
        "",
        json.dumps(row | {"deal_id": "J3", "amount": 7}),
        json.dumps(row | {"deal_id": "J4"}),
        json.dumps(row | {"deal_id": "J5", "amount": "1.00", "colour": "red"}),
        '{"deal_id": "J6", ',
        '["J7"]',
        '{"deal_id": "J8", "amount": true}',
        "[" * 100_000,
    ]
    given.write("sales.jsonl", *lines, encoding="utf-8-sig")
    (given.folder / "memberships.csv").write_bytes(b"partner_id,change,on,reason\r\n\r\nCH-20,suspend,2012-03-01,\r\n")

    said = standing.run("import", given.folder, "--json")

    assert said.code == 1, said.err
    assert "Traceback" not in said.err
    assert said.json["recorded"] == 5
    refused = {row["line"]: row["reason"] for row in said.json["refused"]}
    assert refused.keys() == {5, 6, 7, 8, 9, 10}
    for line, named in {5: "amount", 6: "colour", 7: "JSON", 8: "JSON object", 9: "True", 10: "JSON"}.items():
        assert named in refused[line], refused[line]
    outside = Outside(standing)
    sales = outside.projected(
        "SELECT deal_id, amount::text, source_ref FROM projection_1.sale WHERE partner = 'CH-20' ORDER BY 1"
    )
    assert sales == [("J1", "0.10", None), ("J2", "12345678.90", "crm:ü"), ("J3", "7.00", None)]
    assert outside.projected("SELECT name FROM projection_1.partner WHERE partner = 'CH-20'") == [("Müller, Söhne",)]


def test_the_same_folder_twice_is_all_duplicates(standing: CommandLine, tmp_path: Path) -> None:
    """Told again, alone or in one command with itself, each row is a duplicate, and no event is added."""
    given = feed(tmp_path)
    given.write("partners.csv", PARTNERS, "CH-30,Twice,CH,CHF,2012-01-03,")
    given.write("sales.csv", SALES, "X1,CH-30,2012-02-10,cloud,100.00,CHF,", "X1,CH-30,2012-02-10,cloud,100,CHF,")
    first = standing.done("import", given.folder)
    assert (first["recorded"], first["duplicates"]) == (2, 1)
    before = events_of(standing)
    again = standing.done("import", given.folder)
    assert (again["recorded"], again["duplicates"], again["events"]) == (0, 3, 0)
    both = standing.done("import", given.folder, given.folder)
    assert (both["recorded"], both["duplicates"], both["events"]) == (0, 6, 0)
    assert events_of(standing) == before


def test_a_new_folder_told_twice_in_one_command_counts_once(standing: CommandLine, tmp_path: Path) -> None:
    """Of one folder named twice in a command, the second telling is duplicates."""
    given = feed(tmp_path).write("partners.csv", PARTNERS, "CH-31,Once,CH,CHF,2012-01-03,")
    both = standing.done("import", given.folder, given.folder)
    assert (both["recorded"], both["duplicates"], both["events"]) == (1, 1, 1)


# --- arguments and settings ---


def test_advance_goes_neither_back_nor_into_the_future(standing: CommandLine) -> None:
    """The date asked for and the one that forbids it are named; the same date again does nothing."""
    before = events_of(standing)
    assert "2999-01-01" in one_error(standing.run("advance", "--to", "2999-01-01", "--json"), 1)
    back = one_error(standing.run("advance", "--to", "2012-02-29", "--json"), 1)
    assert "2012-02-29" in back
    assert "2012-03-01" in back
    same = standing.done("advance", "--to", "2012-03-01")
    assert (same["advanced"], same["events"]) == (False, 0)
    assert events_of(standing) == before


USAGE: dict[str, tuple[list[str], str]] = {
    "import without a folder": (["import", "--json"], "FOLDER"),
    "advance to no date": (["advance", "--to", "tomorrow", "--json"], "tomorrow"),
    "advance to a day that is not": (["advance", "--to", "2012-02-30", "--json"], "2012-02-30"),
    "advance without a date": (["advance", "--json"], "--to"),
    "a country of three letters": (["tiers", "--country", "ZZZ", "--json"], "ZZZ"),
    "an unknown command": (["emport"], "emport"),
    "an unknown option": (["status", "--yaml"], "--yaml"),
}


@pytest.mark.parametrize("kind", USAGE)
def test_wrong_usage_ends_with_2(kind: str, standing: CommandLine) -> None:
    """Standard error names what was wrong; nothing that is not JSON stands on standard output."""
    arguments, named = USAGE[kind]
    said = standing.run(*arguments)
    assert said.code == 2, said
    assert named in said.err
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.rstrip().endswith("--help`.")
    if said.out:
        assert named in said.json["error"]


def test_unknown_partners_and_countries_are_answered(standing: CommandLine) -> None:
    """A partner that is not there is an error with its id; a country without partners has no holders."""
    assert "CH-99" in one_error(standing.run("partner", "show", "CH-99", "--json"), 1)
    assert standing.done("tiers", "--country", "SE")["countries"] == {}


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("PARTNER_LEDGER_KAKFA", "localhost:9092", "PARTNER_LEDGER_KAFKA"),
        ("PARTNER_LEDGER_IMPORT_BATCH_FACTS", "0", "PARTNER_LEDGER_IMPORT_BATCH_FACTS"),
    ],
)
def test_wrong_settings_are_refused_by_name(standing: CommandLine, variable: str, value: str, named: str) -> None:
    """A setting that is mistyped or out of range ends a command with 2 before anything is done."""
    sentence = one_error(standing.run("status", "--json", variables={variable: value}), 2)
    assert variable in sentence
    assert named in sentence


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("PARTNER_LEDGER_KAFKA", "127.0.0.1:1", "Kafka at 127.0.0.1:1"),
        ("PARTNER_LEDGER_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/x", "PostgreSQL at"),
    ],
)
def test_servers_that_cannot_be_reached_are_named(
    standing: CommandLine, tmp_path: Path, variable: str, value: str, named: str
) -> None:
    """After the time to wait the command ends with 3, names the server and no password, and has recorded nothing."""
    given = feed(tmp_path).write("sales.csv", SALES, "U1,CH-1,2012-02-10,cloud,1.00,CHF,")
    unreachable = {variable: value, "PARTNER_LEDGER_WAIT_TIMEOUT_S": "1"}
    said = standing.run("import", given.folder, "--json", variables=unreachable)
    sentence = one_error(said, 3)
    assert named in sentence
    assert "secret" not in said.err + said.out
    status = standing.done("status")
    assert status["kafka"]["running"]
    assert Outside(standing).query("SELECT count(*) FROM ledger.identity WHERE key = 'U1'") == [(0,)]


def test_a_ledger_without_events_has_empty_answers(new_ledger: Any, tmp_path: Path) -> None:
    """Before the first fact the answers are empty, and a sale finds no programme: nothing fails, nothing is recorded."""
    ledger = new_ledger()
    assert ledger.done("status")["events"] == 0
    assert ledger.done("partners")["partners"] == {}
    assert ledger.done("tiers")["tiers"] == {}
    given = feed(tmp_path).write("partners.csv", PARTNERS, "CH-1,Early,CH,CHF,2012-01-03,")
    said = ledger.run("import", given.folder, "--json")
    assert said.code == 1
    assert "2012-01-03" in said.json["refused"][0]["reason"]
    assert ledger.done("status")["events"] == 0
