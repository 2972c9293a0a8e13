"""Programme files: YAML 1.2 to a version, or every fault at once, each with its line."""

import datetime as dt
from pathlib import Path

import pytest

from domain.errors import FaultyFile, InvalidInput
from producers.programme_files import read_programme, read_programme_file

RIGHT = """\
programme: small-2012
title: Small numbers
effective_from: 2012-01-01
base_currency: EUR
exchange_rates: {EUR: "1", CHF: "0.8200"}
window_months: 12
tiers:
  - {code: bronze, name: Bronze, requires: {}}
  - {code: silver, name: Silver, requires: {revenue: "1000.00"}}
  - {code: gold, name: Gold, requires: {revenue: "2000.00", specialisations: 1}}
  - {code: platinum, name: Platinum, awarded: true, seats: {CH: 1, NO: 1}, requires: {revenue: "3000.00"}}
review: {date: 06-30, grace: 0, protect_months: 3}
families: [saas, cloud]
specialisations:
  - {code: cloud, name: Cloud, courses: [CL-101, CL-102], people: 1, valid_months: 12}
bonuses:
  - {code: deal, kind: instant, families: all, rate_bp: {bronze: 155, silver: 333}}
  - {code: loyalty, kind: instant, families: [saas], loyalty_bp: {1: 15, 2: 35}}
  - {code: volume, kind: kickback, families: [cloud], minimum: "500.00", rate_bp: {bronze: 50}}
"""


def faults(text: str) -> list[str]:
    """The faults of a file: each `line N: …`."""
    with pytest.raises(InvalidInput) as error:
        read_programme(text, "small.yaml")
    assert isinstance(error.value, FaultyFile)
    told = [f"line {fault.line}: {fault.key}: {fault.what}" for fault in error.value.faults]
    assert all(f"  {each}." in str(error.value).splitlines() for each in told)
    return told


def changed(before: str, after: str) -> str:
    assert before in RIGHT
    return RIGHT.replace(before, after, 1)


def test_a_right_file_is_read() -> None:
    """Dates are dates, `NO` is Norway, amounts stay what was written."""
    programme = read_programme(RIGHT, "small.yaml")
    assert programme.effective_from == dt.date(2012, 1, 1)
    assert programme.tiers[3].seats == {"CH": 1, "NO": 1}
    assert programme.exchange_rates == {"EUR": "1", "CHF": "0.8200"}
    assert programme.review.date == "06-30"
    assert type(programme.tiers[3].seats["NO"]) is int
    assert {type(code) for code in programme.families} == {str}


@pytest.mark.parametrize("key", ["NO", '"NO"', "'NO'"])
def test_no_is_norway_however_it_is_written(key: str) -> None:
    """Quoted or not."""
    assert "NO" in read_programme(changed("NO: 1", f"{key}: 1"), "small.yaml").tiers[3].seats


@pytest.mark.parametrize(
    ("before", "after", "line", "what"),
    [
        ("title: Small numbers", "title: Small numbers\nbonus_cap: 5", 3, "bonus_cap: is not a key of a programme file"),
        ("requires: {}", "requires: {}, required: {}", 8, "tiers[0].required: is not a key"),
        ("protect_months: 3", "protect: 3", 12, "review.protect: is not a key"),
        ("protect_months: 3", "protect: 3", 12, "review.protect_months: is missing"),
        ("title: Small numbers\n", "", 1, "title: is missing"),
        ("silver: 333", "diamond: 333", 17, "bonuses[0].rate_bp.diamond: there is no tier 'diamond'"),
        ("CH: 1", "XX: 1", 11, "'XX' is not an ISO 3166-1 country"),
        ("2012-01-01", "2012-02-01", 3, "effective_from: 2012-02-01 is not the first day of a calendar quarter"),
        ("2012-01-01", "2012-01-02", 3, "not the first day of a calendar quarter"),
        ("2012-01-01", '"2012-01-01"', 3, "effective_from"),
        ("2012-01-01", "2012-01-01 10:00:00", 3, "effective_from"),
        ("[CL-101, CL-102]", "[CL-101, CL-101]", 15, "the course 'CL-101' is listed twice"),
        ("06-30", "02-29", 12, "review.date: 02-29 is not a day of every year"),
        ("06-30", '"02-30"', 12, "'02-30' is not a day of the year"),
        (
            '"1000.00"}}',
            '"1000.00"}, succeeds: bronze}\n  - {code: x, name: X, requires: {revenue: "1500.00"}, succeeds: bronze}',
            10,
            "both succeed 'bronze'",
        ),
        ('"2000.00", specialisations: 1', '"999.99", specialisations: 1', 10, "'gold' requires less than 'silver' below it"),
        ("specialisations: 1}", "specialisations: 2}", 10, "requires 2 specialisations, but the programme has 1"),
        ("NO: 1", "false: 1", 11, "tiers[3].seats"),
        ('"1000.00"', "1000.00", 9, "tiers[1].requires.revenue: 1000.0"),
        ('"1000.00"', "1000", 9, "tiers[1].requires.revenue: 1000"),
        ('"0.8200"', "0.82", 5, "exchange_rates.CHF: 0.82"),
        ('"500.00"', "500", 19, "bonuses[2].minimum: 500"),
        ('"500.00"', '"500.001"', 19, "bonuses[2].minimum"),
        ('"500.00"', '"-500.00"', 19, "bonuses[2].minimum"),
        ('"500.00"', '"5e2"', 19, "bonuses[2].minimum"),
        ("bronze: 155", "bronze: 1.55", 17, "bonuses[0].rate_bp.bronze"),
        ('bronze: 155', 'bronze: "155"', 17, "bonuses[0].rate_bp.bronze"),
        ("bronze: 155", "bronze: 10001", 17, "bonuses[0].rate_bp.bronze"),
        ("awarded: true", "awarded: yes", 11, "tiers[3].awarded"),
        ("kind: kickback", "kind: cashback", 19, "bonuses[2]"),
        ("minimum:", "specialisation: cloud, minimum:", 19, "bonuses[2].specialisation: is not a key"),
        ("families: [saas], loyalty", "families: [hardware], loyalty", 18, "there is no family 'hardware'"),
        ("loyalty_bp: {1: 15, 2: 35}", "families_bp: {}", 18, "bonuses[1]"),
        ("code: loyalty", "code: deal", 18, "the bonus scheme 'deal' is listed twice"),
        ("base_currency: EUR", "base_currency: CHF", 5, 'the base currency CHF needs the rate "1"'),
        ("base_currency: EUR", "base_currency: EUX", 4, "'EUX' is not an ISO 4217 currency"),
        ("code: silver", "code: Silver", 9, "tiers[1].code"),
        ("window_months: 12", "window_months: twelve", 6, "window_months"),
    ],
)  # fmt: skip
def test_a_fault_is_said_with_its_line_and_place(before: str, after: str, line: int, what: str) -> None:
    """Unknown keys, rates without a tier, countries, mid-quarter, courses twice, 29 February, successors, amounts, …"""
    found = faults(changed(before, after))
    assert any(fault.startswith(f"line {line}: ") and what in fault for fault in found), found


def test_all_faults_of_the_shape_are_said_at_once() -> None:
    """In the order of lines."""
    text = changed('"1000.00"', "1000").replace("CH: 1", "XX: 1").replace("06-30", "02-29").replace('"500.00"', "500")
    found = faults(text.replace("title: Small numbers", "titel: Small numbers"))
    assert [fault.split(":")[0] for fault in found] == ["line 1", "line 2", "line 9", "line 11", "line 12", "line 19"]


def test_all_faults_between_parts_are_said_at_once() -> None:
    """In the order of lines."""
    text = changed("2012-01-01", "2012-02-01").replace("silver: 333", "diamond: 333").replace("CL-102", "CL-101")
    assert [fault.split(":")[0] for fault in faults(text)] == ["line 3", "line 15", "line 17"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("programme: [", "line 1"),
        ("programme: a\nprogramme: b\n", "line 2"),
        ("- a\n- b\n", "line 1: a programme is a mapping"),
        ("", "line 1: a programme is a mapping"),
        ("just text", "line 1: a programme is a mapping"),
        ("programme: a\n\tx: 1\n", "line 2"),
        ("a: &x [*x]\n", "line 1"),
    ],
    ids=["cut off", "a key twice", "a list", "empty", "text", "a tab", "an alias of itself"],
)
def test_what_is_no_mapping_of_yaml_is_refused_by_line(text: str, what: str) -> None:
    """Whatever the parser says, with the file's name."""
    with pytest.raises(InvalidInput, match=r"small\.yaml") as error:
        read_programme(text, "small.yaml")
    assert what in str(error.value)


def test_a_tag_makes_no_object() -> None:
    """YAML is read as data."""
    with pytest.raises(InvalidInput):
        read_programme(changed("Small numbers", "!!python/object/apply:os.getcwd []"), "small.yaml")


def test_a_file_that_is_not_utf_8_or_not_there_is_refused(tmp_path: Path) -> None:
    """With its name."""
    path = tmp_path / "small.yaml"
    path.write_bytes(RIGHT.replace("Small", "Zürich").encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"small\.yaml is not UTF-8"):
        read_programme_file(path)
    with pytest.raises(InvalidInput, match=r"missing\.yaml cannot be read"):
        read_programme_file(tmp_path / "missing.yaml")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_bom_and_crlf_are_accepted(tmp_path: Path, newline: str, bom: bytes) -> None:
    """As editors write them."""
    path = tmp_path / "small.yaml"
    path.write_bytes(bom + RIGHT.replace("\n", newline).encode())
    assert read_programme_file(path) == read_programme(RIGHT, "small.yaml")


def test_faults_of_shape_and_between_parts_are_reported_together() -> None:
    """A mistyped key hides neither a first day in mid-quarter nor a rate for a tier that does not exist."""
    text = changed("2012-01-01", "2012-02-01").replace("title: Small numbers", "titel: Small numbers")
    text = text.replace("silver: 333", "diamond: 333")
    assert [fault.split(":")[0] for fault in faults(text)] == ["line 1", "line 2", "line 3", "line 17"]


def test_a_bare_number_is_told_to_be_put_in_quotes() -> None:
    """The sentence says what to do."""
    assert any(
        fault.startswith("line 9: ") and "in quotes" in fault for fault in faults(changed('"1000.00"', "1000.00"))
    )


def test_an_absurd_number_of_months_is_refused() -> None:
    """A published version is never edited, so it must not lead to dates that no calendar has."""
    assert faults(changed("window_months: 12", "window_months: 99999"))


def test_a_tier_of_the_same_code_and_an_explicit_successor_are_two_successors() -> None:
    """Left out, `succeeds` names the tier of the same code."""
    assert any(
        "both succeed 'silver'" in f
        for f in faults(changed("name: Gold, requires", "name: Gold, succeeds: silver, requires"))
    )


def test_an_alias_is_not_taken() -> None:
    """A few lines of aliases can stand for more than a memory holds."""
    bomb = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*{'a' if n == 0 else f'b{n - 1}'}]\n" for n in range(3))
    with pytest.raises(InvalidInput, match=r"line 2: .*alias"):
        read_programme(bomb, "bomb.yaml")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("title: !!bool abc\n", "line 1: a tag"),
        ("a: 1\nb: !!set x\n", "line 2: a tag"),
        ("<<: {a: 1}\n", "line 1: .*merge key"),
    ],
)
def test_tags_and_merge_keys_are_not_taken(text: str, what: str) -> None:
    """What they make of a value is no programme's business, and the parser's own errors are no sentences."""
    with pytest.raises(InvalidInput, match=what):
        read_programme(text, "tagged.yaml")


@pytest.mark.parametrize("character", ["\\x1b[2J", "\\0", "\\u202e"])
def test_texts_that_would_do_things_to_a_terminal_are_refused(character: str) -> None:
    """In the title as in a name; they reach every table and page."""
    with pytest.raises(InvalidInput, match=r"title: .* has a control character"):
        read_programme(changed("title: Small numbers", f'title: "x{character}y"'), "small.yaml")


def test_deep_nesting_is_one_sentence() -> None:
    """Twenty thousand brackets are refused, not followed."""
    with pytest.raises(InvalidInput):
        read_programme("[" * 20_000, "deep.yaml")
