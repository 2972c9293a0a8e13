"""Feeds as nobody should send them: plain sentences, flat memory, and exactly the good rows are recorded."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from infra.bootstrap import environment_of
from tests.end_to_end.command_line import CommandLine, Said
from tests.end_to_end.whole_ledger import Outside, check_every_event_once

CORPUS = Path(__file__).parents[1] / "producers" / "corpus" / "hostile"
MOST_MB = 250
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""Runs a command and tells its greatest memory; started by the tests themselves, it would be counted from theirs."""
GOOD = re.compile(rb'(?:\A|[\r\n])(?:\{"deal_id":)?"?(good-\w+)')


def big_files(folder: Path) -> None:
    """Write what is too big to be kept: fields of 1 MB and of 60 MB, a quote that never closes, many bad rows."""
    with (folder / "trainings.csv").open("w") as file:
        file.write("completion_id,partner_id,person_id,course,completed_on\n")
        file.write(f"good-t1,good-p1,anna,CL-1,2012-02-01\nbad-1,{'x' * 1_000_000},anna,CL-1,2012-02-01\n")
        file.write(f'good-t2,good-p1,anna,CL-2,2012-02-01\nbad-2,"{"a line in quotes" * 10}\n')
        file.writelines(f"bad-{n},good-p1,{'x' * 201},CL-1,2012-02-01\n" for n in range(3000))
        file.writelines("x" * 1_000_000 for _ in range(60))
        file.write("\ngood-t3,good-p1,berta,CL-1,2012-02-01\n")
    with (folder / "awards.jsonl").open("w") as file:
        file.write('{"partner_id":"' + "y" * 5_000_000 + '"}\n{"partner_id":"' + "y" * 100_000 + '"}\n')
        file.write('{"' + "z" * 100_000 + '":1}\n{' + ",".join(f'"k{n}":1' for n in range(10_000)) + "}\n")


def test_of_hostile_feeds_exactly_the_good_rows_are_recorded(
    new_ledger: Callable[[], CommandLine], tmp_path: Path
) -> None:
    """In one import; each refusal is one short line that prints, and the process stays below 250 MB."""
    folder = tmp_path / "hostile"
    shutil.copytree(CORPUS, folder)
    big_files(folder)
    ledger = new_ledger()
    measured = subprocess.run(
        [sys.executable, "-c", MEASURED, sys.executable, "-m", "infra.cli.app", "import", str(folder), "--json"],
        env=environment_of(ledger.settings),
        cwd=ledger.settings.home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = Said(measured.returncode, measured.stdout, measured.stderr)
    most_kb = int(said.err.split()[-1])

    assert said.code == 1, said.err
    assert "Traceback" not in said.err
    good = {
        path.name: [name.decode() for name in GOOD.findall(path.read_bytes())]
        for path in folder.iterdir()
        if path.suffix in (".csv", ".jsonl")
    }
    assert said.json["recorded"] == 1 + sum(map(len, good.values())), "the programme and the good rows"
    for refusal in said.json["refused"]:
        assert refusal["reason"].endswith(".")
        assert refusal["reason"].isprintable(), refusal
        assert len(refusal["reason"]) < 1500, refusal
    assert len({(row["file"], row["line"]) for row in said.json["refused"]}) == len(said.json["refused"])
    assert most_kb / 1024 < MOST_MB, "megabytes, at their most"

    outside = Outside(ledger)
    deals = [str(deal) for (deal,) in outside.projected("SELECT deal_id FROM projection_1.sale ORDER BY 1")]
    assert deals == sorted([*good["sales.csv"], *good["sales.jsonl"]])
    partners = outside.projected("SELECT partner FROM projection_1.partner ORDER BY 1")
    assert [partner for (partner,) in partners] == sorted(good["partners.csv"])
    check_every_event_once(outside)
