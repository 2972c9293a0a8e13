"""Documents lead where they say, and nowhere that only one machine has."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_THIS_MACHINE = re.compile(r"/(?:work|root|home|Users)/|\.venv|/tmp/")
_REGISTRIES = re.compile(r"pypi\.org|pythonhosted|repo1?\.maven|maven\.org|mvnrepository|artifactory", re.IGNORECASE)


def _anchors(page: Path) -> set[str]:
    """Give the anchors that a page's headings get."""
    headings = _HEADING.findall(_CODE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Every link between documents leads to a file that is there, and to a heading that it has."""
    broken = []
    for target in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        to = page if not path else (page.parent / path).resolve()
        if not to.exists() or (anchor and anchor not in _anchors(to)):
            broken.append(target)
    assert broken == []


def test_every_document_can_be_reached() -> None:
    """From the README every page under docs is found by following links."""
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = (target.partition("#")[0] for target in _LINK.findall(page.read_text("utf-8")) if "://" not in target)
        ahead += [path for link in links if link and (path := (page.parent / link).resolve()).is_file()]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_path_of_one_machine_or_a_registry(page: Path) -> None:
    """Documents are true on every machine."""
    text = page.read_text("utf-8")
    assert _THIS_MACHINE.findall(text) == []
    assert _REGISTRIES.findall(text) == []
