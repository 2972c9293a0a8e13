"""The reference pages under `docs/reference`, made from the code that they describe: nothing in them can be out of date.

`python -m infra.reference` says which page is stale; with `--write` it writes them. `PAGES` lists them all.
"""

from collections.abc import Callable, Mapping

from infra.reference.commands_page import commands_page
from infra.reference.events_page import events_page
from infra.reference.feeds_page import feeds_page
from infra.reference.programme_page import programme_page
from infra.reference.programme_schema import programme_schema
from infra.reference.settings_page import settings_page
from infra.reference.topics_page import topics_page

PAGES: Mapping[str, Callable[[], str]] = {
    "events.md": events_page,
    "commands.md": commands_page,
    "settings.md": settings_page,
    "feeds.md": feeds_page,
    "programme.md": programme_page,
    "programme.schema.json": programme_schema,
    "topics.md": topics_page,
}
"""Every page by its file name, and what makes its text."""
