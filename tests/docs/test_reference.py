"""The reference pages are those that the code makes, and leave nothing out."""

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import typer

from domain.events import EVENT_TYPES
from infra.reference import commands_page, events_page, feeds_page, programme_page
from infra.reference.__main__ import FOLDER, main, stale_pages, write_pages
from infra.reference.commands_page import all_commands
from infra.reference.examples import ENROLMENT, PROMOTION, stored
from infra.reference.markdown import Meanings, Undocumented
from infra.reference.pages import PAGES
from infra.reference.topics_page import tier_change_fields
from infra.settings import PREFIX, Settings
from producers.feeds import FEED_FILES
from producers.programme_files import read_programme
from producers.tier_changes import tier_change


def test_every_page_is_up_to_date() -> None:
    """What is in docs/reference is what the code makes now; `python -m infra.reference` says so."""
    assert stale_pages() == []
    assert main([]) == 0


def test_a_stale_a_missing_and_a_foreign_page_are_named(tmp_path: Path) -> None:
    """The check names each page that is wrong; writing puts them right."""
    write_pages(tmp_path)
    assert stale_pages(tmp_path) == []
    (tmp_path / "events.md").write_text("old")
    (tmp_path / "topics.md").unlink()
    (tmp_path / "tables.md").write_text("by hand")
    assert stale_pages(tmp_path) == ["events.md is stale", "topics.md is missing", "tables.md is made by nothing"]


def test_pages_come_out_the_same_every_time() -> None:
    """Nothing in a page depends on when or where it is made."""
    for make in PAGES.values():
        assert make() == make()


@pytest.mark.parametrize("name", [name for name, _ in all_commands()])
def test_every_command_is_documented(name: str) -> None:
    """A command has a section with an example."""
    section = (FOLDER / "commands.md").read_text("utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert f"partner-ledger {name}" in section.split("Example:")[1]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    """A setting has a row with its meaning."""
    assert f"| `{PREFIX}{name.upper()}` |" in (FOLDER / "settings.md").read_text("utf-8")


def test_every_event_and_feed_file_is_documented() -> None:
    """Each has a section."""
    events, feeds = ((FOLDER / name).read_text("utf-8") for name in ("events.md", "feeds.md"))
    assert [name for name in EVENT_TYPES if f"\n## {name}\n" not in events] == []
    assert [name for name in FEED_FILES if f"\n## {name}.csv\n" not in feeds] == []


def test_a_command_without_an_example_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding a command without its documentation makes the page fail."""
    app = typer.Typer()

    @app.command("first")
    def first() -> None:
        """Do something.

        Example: partner-ledger first
        """

    @app.command("second")
    def second() -> None:
        """Do something else."""

    monkeypatch.setattr(commands_page, "app", app)
    with pytest.raises(Undocumented, match="'second' needs a docstring"):
        commands_page.commands_page()


def test_a_field_without_a_meaning_is_not_accepted() -> None:
    """Adding a field to an event, a fact or the programme without saying what it means makes the page fail."""
    with pytest.raises(Undocumented, match=r"Sale\.tax has no meaning yet: say in here"):
        Meanings("here", {"amount": "how much"}).of("Sale", "tax")


def test_no_meaning_is_left_of_a_field_that_is_gone() -> None:
    """Every meaning is of a field that there is."""
    for make in PAGES.values():
        make()
    for meanings in (events_page.FIELDS, events_page.ATTRIBUTES, feeds_page.COLUMNS, programme_page.KEYS):
        assert meanings.unused() == []


def test_the_public_document_has_exactly_the_fields_documented() -> None:
    """The fields listed for subscribers are those of a real record."""
    documented = [name for name, _ in tier_change_fields()]
    for event in (ENROLMENT, PROMOTION):
        made = tier_change(stored(event))
        assert made is not None
        document = json.loads(made[1])
        data = document.pop("data")
        assert documented == [*document, *(f"data.{name}" for name in data)]


def test_the_schema_of_the_programme_file_accepts_the_demos_and_refuses_a_mistyped_key() -> None:
    """An editor says of a file what the ledger says of its shape."""
    schema = json.loads(PAGES["programme.schema.json"]())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for file in resources.files("infra.demo").joinpath("programmes").iterdir():
        content = read_programme(file.read_text("utf-8"), file.name).content()
        validator.validate(content)
        assert list(validator.iter_errors({**content, "titel": "mistyped"}))
        assert list(validator.iter_errors({**content, "window_months": "12"}))
