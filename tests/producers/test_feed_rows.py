"""Rows of hostile files: whatever the bytes, each good row comes out, all else is refused in a sentence, and memory stays flat."""

import csv
import io
import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.facts import FACT_TYPES, RecordSale
from producers.feed_rows import MAX_CHARACTERS
from producers.feeds import FeedFolder, FeedRow
from producers.programme_files import read_programme

CORPUS = Path(__file__).parent / "corpus"
SALES = "deal_id,partner_id,closed_on,family,amount,currency,source_ref\n"
LONGEST_SENTENCE = 2500

fuzzed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_of(folder: Path, name: str, content: bytes) -> list[FeedRow]:
    """Read one file; check what holds of every row whatever the file."""
    (folder / name).write_bytes(content)
    rows = list(FeedFolder(folder).rows())
    lines = content.count(b"\n") + content.count(b"\r") + 1
    for row in rows:
        assert 1 <= row.line <= lines
        if row.reason is None:
            FACT_TYPES[row.kind].model_validate_json(row.content)
        else:
            one_sentence(row.reason)
    assert [row.line for row in rows] == sorted({row.line for row in rows}), "one row a line, in the file's order"
    return rows


def one_sentence(text: str) -> None:
    assert text.endswith(".")
    assert text.isprintable()
    assert len(text) < LONGEST_SENTENCE


def good_ids(rows: list[FeedRow]) -> list[str]:
    return [json.loads(row.content)["deal_id"] for row in rows if row.reason is None]


# --- any bytes ---

TORN = st.lists(
    st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\xc3", b'""', b"{", b"}", b"\\u", SALES.encode()])
    | st.binary(max_size=8)
).map(b"".join)


@pytest.mark.parametrize("name", ["sales.csv", "sales.jsonl"])
@given(content=TORN, header=st.booleans())
@fuzzed
def test_any_bytes_are_rows_or_refused_in_a_sentence(tmp_path: Path, name: str, content: bytes, header: bool) -> None:
    """Nothing but `InvalidInput` is raised, and its sentence is one line."""
    whole = SALES.encode() + content if header and name.endswith("csv") else content
    try:
        rows_of(tmp_path, name, whole)
    except InvalidInput as error:
        one_sentence(str(error))


@given(text=st.text(alphabet="ab:- \n\t[]{}&*!?|>%@`'\",#9.\0\x85", max_size=60))
@fuzzed
def test_any_text_is_a_programme_or_refused(text: str) -> None:
    """YAML of any shape: nothing but `InvalidInput`."""
    with pytest.raises(InvalidInput, match=r"^p\.yaml"):
        read_programme(text, "p.yaml")


# --- good rows amid hostile ones ---

NOTE = st.text(alphabet="ab \"',;\n\r\té\U0001f600", max_size=12)
HOSTILE = st.sampled_from(
    [
        "",
        '"',
        '""',
        '"""',
        'bad,"',
        'bad,"never closed',
        'bad,P,2012-02-04,saas,1.50,EUR,"never closed',
        'bad,P,2012-02-04,saas,1.50,EUR,"',
        'bad,P,2012-02-04,saas,1.50,EUR,"x"y',
        'bad,P,2012-02-04,saas,"1,000.00",EUR,',
        "bad,P,2012-02-04,saas,1e30,EUR,",
        "bad\0,P,2012-02-04,saas,1.50,EUR,",
        ",,,,,,",
        "bad,P,2012-02-04,saas,1.50,EUR," + "x" * 3000,
    ]
) | st.text(alphabet="ab,;\"' \té\0", max_size=20)


@given(items=st.lists(st.one_of(NOTE.map(lambda note: (True, note)), HOSTILE.map(lambda line: (False, line)))))
@example(
    [(True, "x"), (False, "y" * (2 * MAX_CHARACTERS)), (True, "z"), (False, '"' + "y" * MAX_CHARACTERS), (True, "")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@fuzzed
def test_every_good_row_of_csv_comes_out(tmp_path: Path, end: str, items: list[tuple[bool, str]]) -> None:
    """Whatever stands before, between and after the good rows, with quoted notes over several lines among them."""
    text = io.StringIO()
    expected: dict[str, str] = {}
    text.write(SALES.replace("\n", end))
    for number, (good, content) in enumerate(items):
        if good:
            note = content if content.strip() else ""
            note = note.replace("\r", "").replace("\n", "") if not number % 2 else note  # csv leaves some bare
            values = [f"good-{number}", "P", "2012-02-04", "saas", "1.50", "EUR", note]
            csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL if number % 2 else csv.QUOTE_MINIMAL).writerow(
                values
            )
            expected[f"good-{number}"] = note
        else:
            text.write(content + end)
    rows = rows_of(tmp_path, "sales.csv", text.getvalue().encode())
    read = [RecordSale.model_validate_json(row.content) for row in rows if row.reason is None]
    assert {sale.deal_id: sale.source_ref or "" for sale in read if sale.deal_id.startswith("good-")} == expected


@given(
    items=st.lists(
        st.one_of(
            NOTE.map(lambda note: (True, note)),
            st.text(alphabet='ab{}[]":,\\u0 \té\0', max_size=20).map(lambda line: (False, line)),
            st.just((False, "x" * (2 * MAX_CHARACTERS))),
        )
    )
)
@fuzzed
def test_every_good_row_of_json_lines_comes_out(tmp_path: Path, items: list[tuple[bool, str]]) -> None:
    """The same for the other format."""
    sale = {"partner_id": "P", "closed_on": "2012-02-04", "family": "saas", "amount": 1, "currency": "EUR"}
    lines = [
        json.dumps({"deal_id": f"good-{n}", **sale, "source_ref": c}) if g else c for n, (g, c) in enumerate(items)
    ]
    rows = rows_of(tmp_path, "sales.jsonl", "\n".join(lines).encode())
    assert good_ids(rows) == [f"good-{number}" for number, (good, _) in enumerate(items) if good]


@given(at=st.integers(0, 400), byte=st.text(st.characters(max_codepoint=127), min_size=1, max_size=3))
@fuzzed
def test_a_few_wrong_bytes_cost_no_more_than_the_rows_they_stand_in(tmp_path: Path, at: int, byte: str) -> None:
    """Of ten rows at least seven are read: the torn ones, and one that a line end of theirs went into."""
    content = SALES.encode() + b"".join(b'good-%d,P,2012-02-04,saas,1.50,EUR,"a ""b"" c"\n' % n for n in range(10))
    torn = content[: len(SALES) + at] + byte.encode() + content[len(SALES) + at + len(byte) :]
    rows = rows_of(tmp_path, "sales.csv", torn)
    assert len([deal for deal in good_ids(rows) if deal.startswith("good-")]) >= 7


# --- quotes that do not close ---


@pytest.mark.parametrize(
    ("lines", "read", "refused"),
    [
        (['"bad', "good-1"], [3], {2: "is not closed"}),
        (['bad,"', "good-1", "good-2"], [3, 4], {2: "is not closed"}),
        (['bad,P,2012-02-04,saas,1.50,EUR,"', "good-1", 'x,y"'], [3], {2: "takes in line 3", 4: "2 values for 7"}),
        (['bad,"P"x,2012-02-04,saas,1,EUR,', "good-1"], [3], {2: "out of place"}),
        (['bad,"two\nlines"', "good-1"], [4], {2: "2 values for 7", 3: "1 values for 7"}),
    ],
)
def test_a_quote_that_never_closes_costs_its_own_row(
    tmp_path: Path, lines: list[str], read: list[int], refused: dict[int, str]
) -> None:
    """It is refused at its line, and the rows that it would have swallowed are read."""
    written = [f"{line},P,2012-02-04,saas,1.50,EUR," if line.startswith("good") else line for line in lines]
    rows = rows_of(tmp_path, "sales.csv", (SALES + "\n".join(written) + "\n").encode())
    assert [row.line for row in rows if row.reason is None] == read
    reasons = {row.line: row.reason or "" for row in rows if row.reason is not None}
    assert reasons.keys() == refused.keys()
    assert all(refused[line] in reasons[line] for line in refused)


def peak_of(read: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_quote_that_never_closes_holds_no_more_than_a_row(tmp_path: Path) -> None:
    """Before 8,000 good rows: all of them are read, in the memory of a few rows of the greatest length."""
    good = "".join(
        f"good-{n},P,2012-02-04,saas,1.50,EUR,a note of some length so that it is much\n" for n in range(8_000)
    )
    (tmp_path / "sales.csv").write_text(SALES + 'bad,"never closed\n' + good)
    read: list[int] = []
    peak = peak_of(lambda: read.append(sum(row.reason is None for row in FeedFolder(tmp_path).rows())))
    assert read == [8_000]
    assert peak < 10 * MAX_CHARACTERS


@pytest.mark.parametrize("name", ["sales.csv", "sales.jsonl"])
def test_a_field_of_many_megabytes_is_not_held(tmp_path: Path, name: str) -> None:
    """It is refused in a short sentence; the row after it is read."""
    with (tmp_path / name).open("w") as file:
        file.write(SALES if name.endswith("csv") else "")
        file.writelines("x" * 1_000_000 for _ in range(20))
        file.write("\n" + ("good-1,P,2012-02-04,saas,1.50,EUR,\n" if name.endswith("csv") else "{}\n"))
    rows: list[FeedRow] = []
    assert peak_of(lambda: rows.extend(FeedFolder(tmp_path).rows())) < 20 * MAX_CHARACTERS
    refused, after = rows
    assert refused.reason == "The row has 131,072 characters or more, which no row needs."
    assert after.line == refused.line + 1


# --- the corpus ---


@pytest.mark.parametrize("path", sorted((CORPUS / "unreadable").iterdir()), ids=lambda path: path.name)
def test_an_unreadable_file_of_the_corpus_is_refused_whole(tmp_path: Path, path: Path) -> None:
    """In sentences that print, name the file, and are short."""
    name = path.name.split("-")[1]
    target = tmp_path / ("programmes/terms.yaml" if name.endswith("yaml") else name)
    target.parent.mkdir(exist_ok=True)
    shutil.copy(path, target)
    with pytest.raises(InvalidInput, match=target.name) as error:
        list(FeedFolder(tmp_path).rows())
    for line in str(error.value).splitlines():
        assert line.isprintable()
    assert len(str(error.value)) < LONGEST_SENTENCE


def test_a_programme_larger_than_any_is_refused_by_its_size(tmp_path: Path) -> None:
    """YAML is read slowly."""
    (tmp_path / "programmes").mkdir()
    (tmp_path / "programmes" / "big.yaml").write_text("x" * 200_001)
    with pytest.raises(InvalidInput, match="200,000 bytes"):
        list(FeedFolder(tmp_path).rows())
