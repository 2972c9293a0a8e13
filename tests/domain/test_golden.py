"""The golden cases through the pure decision function: what two people who never met must both compute."""

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Refused
from domain.facts import FACT_TYPES
from domain.programme import programme_from_content
from producers.feeds import PROGRAMME, FeedFolder
from tests.domain.history import History, day

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
AS_OF = dt.date(2015, 1, 31)
STEPS = {
    "case-106-advance": ["1", "2013-04-15", "2", "2014-04-05", "3"],
    "case-107-taken-back": ["1", "2014-08-01", "2"],
    "case-108-corners": ["1", "2012-04-10", "2"],
}
"""Folders to import, and dates to advance to between them; of the other cases the folders follow from the case itself."""

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden cases are not there: {GOLDEN}")
CASES = sorted(path.name for path in GOLDEN.glob("case-*"))


@dataclass
class Run:
    """A case's history, and what became of the rows of its feeds."""

    history: History = field(default_factory=History)
    recorded: int = 0
    duplicates: int = 0
    refused: list[tuple[str, int]] = field(default_factory=list)

    def take(self, folder: Path, prefix: str) -> dict[tuple[str, int], str]:
        """Import a folder; give what became of each row, by file and line."""
        rows = sorted(FeedFolder(folder).rows(), key=lambda r: (r.phase, r.date or dt.date.max, r.rank))
        kinds = {(prefix + row.file, row.line): self._kind(row.kind, row.content, row.reason) for row in rows}
        self.refused += [place for place, kind in kinds.items() if kind == "refused"]
        return kinds

    def _kind(self, kind: str, content: str, reason: str | None) -> str:
        if reason is not None:
            return "refused"
        if kind == PROGRAMME:
            return self._publish(content)
        outcome = self.history.tell(FACT_TYPES[kind].model_validate_json(content))
        self.recorded += outcome.kind == "recorded"
        self.duplicates += outcome.kind == "duplicate"
        return outcome.kind

    def _publish(self, content: str) -> str:
        try:
            published = self.history.publish(programme_from_content(json.loads(content)))
        except Refused:
            return "refused"
        self.recorded += published
        self.duplicates += not published
        return "recorded" if published else "duplicate"


def steps_of(case: str) -> list[str]:
    if case in STEPS:
        return STEPS[case]
    return ["1", "2"] if (GOLDEN / case / "1").is_dir() else [""]


def run(case: str) -> Run:
    result = Run()
    for step in steps_of(case):
        if len(step) > 1:
            result.history.advance(step)
        else:
            result.take(GOLDEN / case / step, f"{step}/" if step else "")
    return result


def expected(case: str) -> Any:
    return json.loads((GOLDEN / case / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_a_golden_case_gives_what_is_expected(case: str) -> None:
    """Partners, duplicates and refused rows are those of `expected.json`."""
    result, wanted = run(case), expected(case)
    history = result.history.advance(AS_OF)
    assert {partner: history.answer(partner, AS_OF) for partner in history.partner_ids()} == wanted["partners"]
    assert result.duplicates == wanted["duplicates"]
    assert sorted(result.refused) == sorted((row["file"], row["line"]) for row in wanted["refused"])


def test_every_golden_case_is_known() -> None:
    """A case that is added is run."""
    assert {"case-worked", "case-101", "case-104-edges", "case-108-corners"} <= set(CASES)
    assert day(str(expected("case-worked")["as_of"])) == AS_OF


@pytest.mark.parametrize("case", ["case-104-edges", "case-worked", "case-108-corners"])
def test_a_golden_case_imported_again_records_nothing_twice(case: str) -> None:
    """Each row recorded before is a duplicate when the same folder is imported a second time."""
    result = Run()
    for step in (step for step in steps_of(case) if len(step) < 2):
        first = result.take(GOLDEN / case / step, "")
        again = result.take(GOLDEN / case / step, "")
        told_before = {place for place, kind in first.items() if kind != "refused"}
        assert told_before
        assert {again[place] for place in told_before} == {"duplicate"}
