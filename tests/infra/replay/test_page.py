"""The page of a what-if: its figures are those of the JSON, it loads nothing, runs nothing, and takes texts as texts."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from domain.errors import InvalidInput
from domain.programme import Programme
from infra.cli.what_if_document import what_if_document
from infra.replay import charts
from infra.replay.page import check_installed, figure, signed
from infra.replay.rehearsing import Explained, Rehearsal
from infra.replay.what_if_page import REFUSED_SHOWN, what_if_page
from projections.facts_by_stream import Source
from projections.what_if_board import key_figures
from projections.what_if_lines import line_differences, lines_under
from tests.domain.history import History, award, enrol, reverse, sale, train
from tests.domain.networks import LAST_DAY, PROGRAMMES
from tests.projections import changed_programmes as change
from tests.projections.recorded_facts import facts_of, rehearsed
from tests.projections.test_what_if_difference import compared, recorded_lines

HOSTILE = (
    """<script>alert("1")</script><img src=http://evil.example/x onerror=alert(2)>'"&amp; {{ 7 * 7 }} </svg></style>"""
)


@dataclass
class Page(HTMLParser):
    """A page as a browser reads it."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "every element ends where it should"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            return
        self.text.append(data)
        if self.rows and ({"td", "th"} & set(self.open)):
            self.rows[-1][-1] += data

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def read(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def history() -> History:
    """Partners whose names are markup; a seat, a reversal, deals in two currencies."""
    history = History(*PROGRAMMES)
    history.given(
        enrol("P1", "2012-07-01", name=HOSTILE),
        enrol("P2", "2012-07-01", country="DE"),
        enrol("P3", "2012-07-01", currency="CHF"),
    )
    history.given(
        sale("D1", "P1", "2012-07-02", "2000.00"),
        train("C1", "P1", "person", "CL-101", "2012-07-03"),
        award("P1", "platinum", "2012-07-20"),
        sale("D2", "P2", "2012-07-21", "600.00", "cloud"),
        sale("D3", "P2", "2012-07-22", "1000.00"),
        sale("D4", "P3", "2012-07-22", "10.00", currency="CHF"),
        sale("D5", "P2", "2012-11-23", "100.00"),
        reverse("R5", "D5", "2012-11-24", "40.00"),
    )
    return history.advance("2012-12-31")


def rehearsal(history: History, versions: Sequence[Programme]) -> Rehearsal:
    """Rehearse as `infra.replay.rehearsing` does, but in this process."""
    gathering, result = rehearsed(history, versions, LAST_DAY)
    found = compared(history, versions)
    partners = found.largest(10)
    now = lines_under(result.rules, [each.partner for each in partners], facts_of(history), gathering)
    largest = [
        Explained(each, None, line_differences(each, recorded_lines(history, each.partner), now[each.partner]))
        for each in partners
    ]
    candidates = tuple(each for each in versions if each not in PROGRAMMES)
    return Rehearsal(candidates, result, found, largest, gathering.facts, Source("a ledger in memory", ""))


def changed(content: dict[str, Any]) -> None:
    """Other rates, no seats, and a title that is markup."""
    change.rates(content)
    change.no_seats(content)
    content["title"] = f"Candidate {HOSTILE}"


@pytest.fixture(scope="module")
def made(history: History) -> tuple[Rehearsal, str]:
    """A rehearsal in which much differs, and its page."""
    told = rehearsal(history, change.last_changed(PROGRAMMES, changed))
    return told, what_if_page(told, what_if_document(told)["digest"])


def test_the_figures_are_those_of_the_json(made: tuple[Rehearsal, str]) -> None:
    """Digest, holders, money by scheme, gains and losses, every line of the largest, every refused fact."""
    told, html = made
    document = what_if_document(told)
    page = read(html)
    assert document["digest"] in page.words
    assert f"Position {document['position']:,}" in page.words
    for each in told.difference.holders_in_all:
        assert [each.tier, figure(each.then), figure(each.now), signed(each.now - each.then)] in page.rows
    for total in key_figures(told.difference).money:
        assert f"{figure(total.then)} → {figure(total.now)}" in page.words
    for side, verb in (("gaining", "gain"), ("losing", "lose")):
        assert f"{document['totals'][side]['partners']} {verb}" in page.words
    assert told.difference.gaining
    assert told.difference.refused
    lines = 0
    for explained in told.largest:
        assert f"{signed(explained.partner.change)} {told.difference.base_currency}" in page.words
        for line in explained.lines:
            head = [line.business_date, line.cause or "quarter settled", line.scheme, line.currency]
            sides = [figure(side.amount) if side else "–" for side in (line.then, line.now)]
            assert [*head, *sides, signed(line.change), line.why] in page.rows
            lines += 1
    assert lines > 5
    for fact in told.difference.refused[:REFUSED_SHOWN]:
        assert [figure(fact.position), fact.partner, fact.what, fact.reason] in page.rows
    controls = [row for row in page.rows if row[0] in ("scheme", "tier", "country", "family", "quarter", "partner")]
    assert len({tuple(row[1:4]) for row in controls}) == len({row[1] for row in controls}) == 2


def test_it_loads_nothing_and_runs_nothing(made: tuple[Rehearsal, str]) -> None:
    """No script, no reference to anything outside, nor a name of a place that a browser would ask; and it forbids all loading."""
    page = read(made[1])
    names = {tag for tag, _ in page.tags}
    assert not names & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "img",
        "image",
        "use",
        "base",
        "form",
        "audio",
        "video",
    }
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "href", "xlink:href", "srcset", "action", "data", "background"), (tag, name)
            assert "url(" not in (value or "").replace("url(#", "")
            assert "//" not in (value or ""), (tag, name, value)
    (css,) = re.findall(r"<style>(.*?)</style>", made[1], re.DOTALL)
    assert not re.search(r"url\(|@import|//", css)
    policy = [attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes and tag == "meta"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_names_are_texts_whatever_stands_in_them(made: tuple[Rehearsal, str]) -> None:
    """A partner's name and a title full of markup are read as written, and no element comes of them."""
    html = made[1]
    page = read(html)
    assert HOSTILE in page.words
    assert f"Candidate {HOSTILE}" in page.words
    assert "evil.example" not in re.sub(r"&lt;img src=http://evil\.example", "", html)


def test_it_is_well_formed_and_says_in_words_what_charts_show(made: tuple[Rehearsal, str]) -> None:
    """Also read as XML; each chart has a heading, a caption and bars that name what they stand for."""
    body = made[1].removeprefix("<!DOCTYPE html>")
    root = ElementTree.fromstring(body)
    figures = root.findall(".//figure")
    titles = [each.findtext("h3") for each in figures]
    assert titles == [
        "Holders of each tier",
        "Holders at the end of each quarter",
        "Bonuses by scheme",
        "Bonuses by quarter posted",
        "Difference by country",
        "Gains and losses",
    ]
    for each in figures:
        assert each.findtext("figcaption")
        (svg,) = each.findall("svg")
        assert svg.get("role") == "img"
        assert svg.get("aria-label") == each.findtext("h3")
        labels = [
            node.get("aria-label")
            for node in svg.iter()
            if node.get("aria-roledescription") in ("bar", "line mark container")
        ]
        assert labels
    assert root.find("head/title") is not None
    assert root.get("lang") == "en"


def test_bars_are_as_long_as_their_figures(made: tuple[Rehearsal, str]) -> None:
    """One bar for each tier and side, named after both, in proportion."""
    root = ElementTree.fromstring(made[1].removeprefix("<!DOCTYPE html>"))
    svg = root.findall(".//figure")[0].find("svg")
    assert svg is not None
    bars = [node for node in svg.iter() if node.get("aria-roledescription") == "bar"]
    lengths = {node.get("aria-label"): float(re.findall(r"h([\d.]+)", node.get("d") or "")[0]) for node in bars}
    wanted = {
        f"value: {value}; name: {each.tier}; side: {side}": value
        for each in made[0].difference.holders_in_all
        for side, value in ((charts.AS_IT_IS, each.then), (charts.AS_IT_WOULD_BE, each.now))
    }
    assert set(lengths) == set(wanted)
    unit = max(lengths.values()) / max(wanted.values())
    assert lengths == pytest.approx({label: value * unit for label, value in wanted.items()})


def test_the_same_what_if_makes_the_same_page(made: tuple[Rehearsal, str]) -> None:
    """No clock, no chance."""
    told, html = made
    assert what_if_page(told, what_if_document(told)["digest"]) == html


def test_where_nothing_would_differ_the_page_says_so(history: History) -> None:
    """The published version rehearsed: no gain, no loss, no refused fact, and the totals all the same."""
    unchanged = rehearsal(history, PROGRAMMES)
    told = replace(unchanged, candidates=PROGRAMMES[-1:])
    page = read(what_if_page(told, "digest"))
    assert "Nothing would differ for any of 3 partners." in page.words
    assert "Nothing differs for any partner." in page.words
    assert "None: the candidate takes every recorded fact." in page.words


@pytest.mark.parametrize("package", ["jinja2", "vl_convert"])
def test_without_the_extra_it_says_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is begun."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInput, match=r"install partner-ledger\[charts\]"):
        check_installed()
