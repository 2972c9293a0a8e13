"""Feeds: what is a row, what is none and why, and what no file of a feed may be."""

import json
import tracemalloc
from pathlib import Path

import pytest

from domain.errors import InvalidInput
from domain.facts import FACT_TYPES
from producers.feeds import ENROLMENTS, FEED_FILES, NO_FACT, OTHER_FACTS, PROGRAMMES, FeedFolder, FeedRow

SALES = "deal_id,partner_id,closed_on,family,amount,currency,source_ref\n"
PROGRAMME = """
programme: small
title: Small
effective_from: 2012-01-01
base_currency: EUR
exchange_rates: {EUR: "1"}
window_months: 12
tiers: [{code: bronze, name: Bronze, requires: {}}]
review: {date: "06-30", grace: 0, protect_months: 0}
families: [saas]
"""


def folder(path: Path, **files: str | bytes) -> FeedFolder:
    """A feed folder with files by name; an underscore before the suffix stands for the dot."""
    for name, content in files.items():
        target = path / ".".join(name.rsplit("_", 1))
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return FeedFolder(path)


def rows(path: Path, **files: str | bytes) -> list[FeedRow]:
    return list(folder(path, **files).rows())


def fault(path: Path, **files: str | bytes) -> str:
    with pytest.raises(InvalidInput) as error:
        rows(path, **files)
    return str(error.value)


def sale_of(row: FeedRow) -> dict[str, object]:
    document: dict[str, object] = json.loads(row.content)
    return document


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_each_file_gives_its_facts_with_phase_date_and_place(tmp_path: Path) -> None:
    """Programmes, then enrolments, then everything else; a row knows its file and line."""
    (tmp_path / "programmes").mkdir()
    (tmp_path / "programmes" / "small.yaml").write_text(PROGRAMME)
    found = rows(
        tmp_path,
        partners_csv="partner_id,name,country,currency,enrolled_on,tier\nP,P AG,CH,CHF,2012-01-05,\n",
        memberships_csv="partner_id,change,on,reason\nP,suspend,2012-02-01,\n",
        trainings_csv="completion_id,partner_id,person_id,course,completed_on\nC1,P,anna,CL-101,2012-02-02\n",
        revocations_csv="completion_id,revoked_on,reason\nC1,2012-02-03,error\n",
        sales_csv=SALES + "D1,P,2012-02-04,saas,1.50,EUR,crm:1\n",
        reversals_csv="reversal_id,deal_id,reversed_on,amount,reason\nR1,D1,2012-02-05,,\n",
        awards_csv="partner_id,tier,awarded_on,awarded_by,reason\nP,platinum,2012-02-06,board,\n",
    )
    assert [(row.phase, str(row.date), row.rank, row.kind, row.file, row.line) for row in found] == [
        (PROGRAMMES, "2012-01-01", 0, "programme", "programmes/small.yaml", 1),
        (ENROLMENTS, "2012-01-05", 0, "partner", "partners.csv", 2),
        (OTHER_FACTS, "2012-02-01", 1, "membership", "memberships.csv", 2),
        (OTHER_FACTS, "2012-02-02", 2, "training", "trainings.csv", 2),
        (OTHER_FACTS, "2012-02-03", 3, "revocation", "revocations.csv", 2),
        (OTHER_FACTS, "2012-02-04", 4, "deal", "sales.csv", 2),
        (OTHER_FACTS, "2012-02-05", 5, "reversal", "reversals.csv", 2),
        (OTHER_FACTS, "2012-02-06", 6, "award", "awards.csv", 2),
    ]
    assert all(row.reason is None for row in found)
    for row in found[1:]:
        FACT_TYPES[row.kind].model_validate_json(row.content)


def test_the_files_are_taken_in_the_order_of_the_table() -> None:
    """On one date, facts come in this order."""
    assert list(FEED_FILES) == ["partners", "memberships", "trainings", "revocations", "sales", "reversals", "awards"]


def test_columns_may_stand_in_any_order_and_optional_ones_be_missing(tmp_path: Path) -> None:
    """The header says which is which."""
    (row,) = rows(
        tmp_path, sales_csv="amount,currency,deal_id,family,closed_on,partner_id\n1.50,EUR,D1,saas,2012-02-04,P\n"
    )
    assert sale_of(row) == {
        "deal_id": "D1",
        "partner_id": "P",
        "closed_on": "2012-02-04",
        "family": "saas",
        "amount": "1.50",
        "currency": "EUR",
        "source_ref": None,
    }


def test_a_bom_and_crlf_are_accepted(tmp_path: Path) -> None:
    """As spreadsheets write them."""
    content = (SALES + "D1,P,2012-02-04,saas,1.50,EUR,\nD2,P,2012-02-04,saas,2.50,EUR,\n").replace("\n", "\r\n")
    found = rows(tmp_path, sales_csv=b"\xef\xbb\xbf" + content.encode())
    assert [(row.line, row.reason, sale_of(row)["deal_id"]) for row in found] == [(2, None, "D1"), (3, None, "D2")]


def test_a_quoted_value_may_hold_commas_quotes_and_newlines_and_lines_still_count(tmp_path: Path) -> None:
    """A row is at the line it begins on; what follows is at its own."""
    found = rows(
        tmp_path,
        sales_csv=SALES
        + 'D1,P,2012-02-04,saas,1.50,EUR,"a, ""b""\nsecond line\nthird"\nD2,P,2012-02-04,saas,2.50,EUR,\n',
    )
    assert [row.line for row in found] == [2, 5]
    assert sale_of(found[0])["source_ref"] == 'a, "b"\nsecond line\nthird'


def test_empty_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    """Also at the end, and a last line without a newline is a row."""
    found = rows(tmp_path, sales_csv=SALES + "\nD1,P,2012-02-04,saas,1.50,EUR,\n\n\nD2,P,2012-02-04,saas,2.50,EUR,")
    assert [row.line for row in found] == [3, 6]


def test_json_lines_with_the_same_names_are_accepted(tmp_path: Path) -> None:
    """Amounts as texts or as the number written, digit by digit; missing and null are empty."""
    lines = [
        '{"deal_id": "D1", "partner_id": "P", "closed_on": "2012-02-04", "family": "saas", "amount": "1.50", "currency": "EUR"}',
        "",
        '{"deal_id": "D2", "partner_id": "P", "closed_on": "2012-02-04", "family": "saas", "amount": 0.10, "currency": "EUR",'
        ' "source_ref": null}',
        '{"deal_id": "D3", "partner_id": 7, "closed_on": "2012-02-04", "family": "saas", "amount": 100, "currency": "JPY"}',
    ]
    found = rows(tmp_path, sales_jsonl="\n".join(lines))
    assert [(row.line, row.reason) for row in found] == [(1, None), (3, None), (4, None)]
    assert [(sale_of(row)["amount"], sale_of(row)["partner_id"]) for row in found] == [
        ("1.50", "P"),
        ("0.10", "P"),
        ("100", "7"),
    ]


def test_csv_and_json_lines_of_one_kind_may_stand_side_by_side(tmp_path: Path) -> None:
    """Both are read."""
    line = '{"deal_id": "D2", "partner_id": "P", "closed_on": "2012-02-04", "family": "saas", "amount": "1", "currency": "EUR"}'
    found = rows(tmp_path, sales_csv=SALES + "D1,P,2012-02-04,saas,1.50,EUR,\n", sales_jsonl=line)
    assert [(row.file, row.line) for row in found] == [("sales.csv", 2), ("sales.jsonl", 1)]


# --- rows that are no fact ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("D1,P,2012-02-04,saas,1.50", "5 values for 7 columns"),
        ("D1,P,2012-02-04,saas,1.50,EUR,x,y", "8 values for 7 columns"),
        ("D1", "1 values for 7 columns"),
        (",P,2012-02-04,saas,1.50,EUR,", "deal_id is empty"),
        ("D1,,2012-02-04,saas,1.50,EUR,", "partner_id is empty"),
        ("D1,P,,saas,1.50,EUR,", "closed_on is empty"),
        ("D1,P,2012-02-04,saas,,EUR,", "amount is empty"),
        ("D1,P,04.02.2012,saas,1.50,EUR,", "closed_on '04.02.2012' is not a date (YYYY-MM-DD)"),
        ("D1,P,2012-2-4,saas,1.50,EUR,", "closed_on '2012-2-4' is not a date"),
        ("D1,P,20120204,saas,1.50,EUR,", "closed_on '20120204' is not a date"),
        ("D1,P,2012-W05-1,saas,1.50,EUR,", "closed_on '2012-W05-1' is not a date"),
        ("D1,P,2012-02-04T00:00:00,saas,1.50,EUR,", "is not a date"),
        ("D1,P, 2012-02-04,saas,1.50,EUR,", "is not a date"),
        ("D1,P,2012-02-30,saas,1.50,EUR,", "closed_on '2012-02-30' is not a day"),
        ("D1,P,2013-02-29,saas,1.50,EUR,", "closed_on '2013-02-29' is not a day"),
        ("D1,P,0000-01-01,saas,1.50,EUR,", "closed_on '0000-01-01' is not a day"),
        ("D1,P,٢٠١٢-02-04,saas,1.50,EUR,", "is not a date"),
        ("D1,P,2012-02-04,saas,1.5e3,EUR,", "amount '1.5e3' is not a plain decimal"),
        ("D1,P,2012-02-04,saas,1E5,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas,NaN,EUR,", "amount 'NaN' is not a plain decimal"),
        ("D1,P,2012-02-04,saas,sNaN,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas,Infinity,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas,-inf,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas,١٢٣,EUR,", "amount '١٢٣' is not a plain decimal"),
        ("D1,P,2012-02-04,saas,１２３,EUR,", "is not a plain decimal"),
        ('D1,P,2012-02-04,saas,"1,500.00",EUR,', "amount '1,500.00' is not a plain decimal"),
        ("D1,P,2012-02-04,saas,1'500.00,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas,1_500.00,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas,.5,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas,5.,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas, 5.00,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas,0x10,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas,CHF 5,EUR,", "is not a plain decimal"),
        ("D1,P,2012-02-04,saas," + "9" * 19 + ",EUR,", "has more than 18 digits before the point"),
        ("D1,P,2012-02-04,saas,0." + "0" * 11 + ",EUR,", "or 10 after it"),
        ("D1,P,2012-02-04,saas," + "9" * 5000 + ",EUR,", "has more than 18 digits before the point"),
        ("D" * 201 + ",P,2012-02-04,saas,1.50,EUR,", "deal_id"),
        ("D\x07,P,2012-02-04,saas,1.50,EUR,", "deal_id"),
    ],
    ids=lambda text: str(text)[:40],
)
def test_a_row_that_is_no_fact_is_given_with_its_reason(tmp_path: Path, line: str, why: str) -> None:
    """It stops nothing: the rows around it are read."""
    good = "D0,P,2012-02-04,saas,1.50,EUR,\n"
    before, bad, after = rows(tmp_path, sales_csv=SALES + good + line + "\n" + good)
    assert before.reason is None
    assert after.reason is None
    assert (bad.phase, bad.date, bad.kind, bad.file, bad.line) == (NO_FACT, None, "deal", "sales.csv", 3)
    assert bad.reason is not None
    assert why in bad.reason


def test_all_that_is_wrong_with_a_row_is_said_at_once(tmp_path: Path) -> None:
    """In one sentence, by column."""
    (row,) = rows(tmp_path, sales_csv=SALES + ",P,soon,saas,much,EUR,\n")
    assert row.reason is not None
    assert [part.split()[0] for part in row.reason.split("; ")] == ["deal_id", "closed_on", "amount"]


def test_a_change_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    """As in case-104: pause is none of them."""
    (row,) = rows(tmp_path, memberships_csv="partner_id,change,on\nP,pause,2012-05-01\n")
    assert row.reason == "change 'pause' is none of 'suspend', 'resume' or 'end'."


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"),
        ('{"deal_id": ' + "[" * 100_000, "not JSON"),
        ("[" * 200_000, "has 131,072 characters or more"),
        ("null", "not a JSON object"),
        ("[1, 2]", "not a JSON object"),
        ('"D1"', "not a JSON object"),
        ("{}", "deal_id is missing"),
        ('{"deal_id": "D1", "amount": NaN}', "amount"),
        ('{"deal_id": "D1", "amount": 1e3}', "amount '1e3' is not a plain decimal"),
        ('{"deal_id": "D1", "amount": true}', "amount True is not a plain decimal"),
        ('{"deal_id": "D1", "amount": null}', "amount"),
        ('{"deal_id": ["D1"]}', "deal_id"),
        ('{"deal_id": true}', "deal_id"),
        ('{"deal_id": "D1", "value": "5.00"}', "value is not a column of this file"),
        ('{"deal_id": "\\ud800"}', "deal_id"),
        ('{"amount": ' + "9" * 6000 + "}", "amount"),
    ],
    ids=lambda text: str(text)[:40],
)
def test_a_line_of_json_that_is_no_fact_is_given_with_its_reason(tmp_path: Path, line: str, why: str) -> None:
    """Line by line, as for CSV."""
    (row,) = rows(tmp_path, sales_jsonl=line + "\n")
    assert (row.phase, row.line) == (NO_FACT, 1)
    assert row.reason is not None
    assert why in row.reason


# --- files that cannot be read at all ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("", "column deal_id is missing"),
        ("deal_id,partner_id,closed_on,family,amount\n", "column currency is missing"),
        (SALES.replace("amount", "amount_chf"), "column amount is missing; there is no column 'amount_chf'"),
        (SALES.replace("amount", "Amount"), "there is no column 'Amount'"),
        (SALES.replace("source_ref", "amount"), "column amount is there twice"),
        (SALES.replace(",", ";"), "column deal_id is missing"),
        ("D1,P,2012-02-04,saas,1.50,EUR,\n", "column deal_id is missing"),
    ],
    ids=["empty", "missing", "renamed", "case", "twice", "semicolons", "no header"],
)
def test_a_file_with_wrong_columns_is_refused_whole(tmp_path: Path, header: str, why: str) -> None:
    """By name and line, with the columns there are."""
    sentence = fault(tmp_path, sales_csv=header)
    assert sentence.startswith("sales.csv, line 1: ")
    assert why in sentence
    assert "The columns are deal_id, partner_id, closed_on, family, amount, currency, source_ref." in sentence


@pytest.mark.parametrize("content", [SALES.encode() + b"D1,P,2012-02-04,saas,1,EUR,\xff\n", SALES.encode("utf-16")])
def test_a_file_that_is_not_utf_8_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    """Latin-1 in the middle, or UTF-16; the line is named."""
    line = 1 if content.startswith(b"\xff") else 2
    assert fault(tmp_path, sales_csv=content).startswith(
        f"sales.csv is not UTF-8: line {line}, invalid start byte (b'\\xff')"
    )


def test_json_lines_that_are_not_utf_8_are_refused_whole(tmp_path: Path) -> None:
    """The same for the other format."""
    assert "sales.jsonl is not UTF-8" in fault(tmp_path, sales_jsonl='{"deal_id": "Zürich"}'.encode("latin-1"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sale_csv", "sales.csv"),
        ("Sales_csv", "sales.csv"),
        ("reversal_jsonl", "reversals.jsonl"),
        ("orders_2012_csv", "known are partners.csv"),
    ],
)
def test_a_file_of_another_name_is_refused_with_a_suggestion(tmp_path: Path, name: str, hint: str) -> None:
    """A mistyped file would be money left out quietly."""
    with pytest.raises(InvalidInput, match="is not a feed file") as error:
        folder(tmp_path, **{name: SALES, "partners_csv": "x"})
    assert hint in str(error.value).split("is not a feed file", 1)[1]


def test_files_that_are_no_feeds_may_stand_beside(tmp_path: Path) -> None:
    """A README or an expected.json."""
    assert rows(tmp_path, README_md="x", expected_json="{}", sales_csv=SALES) == []


def test_a_folder_without_feeds_and_what_is_no_folder_are_refused(tmp_path: Path) -> None:
    """With what is expected there."""
    with pytest.raises(InvalidInput, match=r"holds no feed: none of partners\.csv"):
        FeedFolder(tmp_path)
    (tmp_path / "sales.csv").write_text(SALES)
    with pytest.raises(InvalidInput, match="is not a folder"):
        FeedFolder(tmp_path / "sales.csv")
    with pytest.raises(InvalidInput, match="is not a folder"):
        FeedFolder(tmp_path / "missing")


def test_a_programme_that_is_wrong_stops_the_folder(tmp_path: Path) -> None:
    """Nothing is imported under terms that cannot be read."""
    (tmp_path / "programmes").mkdir()
    (tmp_path / "programmes" / "small.yaml").write_text(PROGRAMME.replace("2012-01-01", "2012-02-01"))
    assert "line 4" in fault(tmp_path, sales_csv=SALES)


# --- digest, memory -----------------------------------------------------------------------------------------------------------


def digest(path: Path, content: str) -> str:
    path.mkdir()
    feed = folder(path, sales_csv=content)
    list(feed.rows())
    return feed.digest


def test_the_same_folder_has_the_same_digest_and_another_content_another(tmp_path: Path) -> None:
    """An import is known again by it, wherever the folder lies."""
    row = "D1,P,2012-02-04,saas,1.50,EUR,\n"
    first = digest(tmp_path / "a", SALES + row)
    assert digest(tmp_path / "b", SALES + row) == first
    assert digest(tmp_path / "c", SALES + row.replace("1.50", "1.51")) != first
    assert digest(tmp_path / "d", SALES + row * 2) != first


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Fifty thousand rows take no more than two thousand (most of them too short, which is read faster)."""

    def peak(count: int) -> int:
        path = tmp_path / str(count)
        path.mkdir()
        with (path / "sales.csv").open("w", encoding="utf-8") as file:
            file.write(SALES)
            file.writelines(f"D{n},P,2012-02-04,saas,1.50,EUR{',' if n % 50 == 0 else ''}\n" for n in range(count))
        feed = FeedFolder(path)
        tracemalloc.start()
        try:
            assert sum(row.reason is None for row in feed.rows()) == count // 50
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(50_000) < peak(2_000) + 200_000


def test_a_suffix_in_capitals_is_not_left_out_quietly(tmp_path: Path) -> None:
    """`sales.CSV` beside `partners.csv` is refused with the name it should have."""
    (tmp_path / "partners.csv").write_text("partner_id,name,country,currency,enrolled_on,tier\n")
    (tmp_path / "sales.CSV").write_text("x")
    with pytest.raises(InvalidInput, match=r"sales\.csv"):
        FeedFolder(tmp_path)


@pytest.mark.parametrize("name", ["sales.csv", "programmes/p.yaml"])
def test_a_file_behind_a_broken_link_is_not_left_out_quietly(tmp_path: Path, name: str) -> None:
    """A mount that is away is noticed, whatever else is in the folder."""
    (tmp_path / "partners.csv").write_text("partner_id,name,country,currency,enrolled_on,tier\n")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="not a file"):
        FeedFolder(tmp_path)


def test_a_key_twice_in_a_json_row_is_refused(tmp_path: Path) -> None:
    """Neither of two amounts is taken."""
    row = '{"deal_id":"D1","partner_id":"P","closed_on":"2012-02-01","family":"saas","amount":"1","amount":"9","currency":"EUR"}'
    (tmp_path / "sales.jsonl").write_text(row + "\n")
    (told,) = FeedFolder(tmp_path).rows()
    assert "'amount' is there twice" in (told.reason or "")
