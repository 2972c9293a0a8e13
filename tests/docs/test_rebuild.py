"""The how-to for rebuilding: its commands and its SQL do what it says."""

from infra.postgres.projections.tables import PROJECTIONS
from tests.docs.pages import DOCS, blocks, marked, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import execute, fresh_ledger

PAGE = DOCS / "how-to" / "rebuild.md"
PAST = marked(PAGE, "run by tests/docs/test_rebuild.py")


def test_the_commands_and_the_query_of_a_past_state_work_in_the_order_of_the_page() -> None:
    ledger = CommandLine(fresh_ledger())
    ledger.done("import", write_tutorial_feed(ledger.settings.home / "feed"))
    try:
        for block in blocks(PAGE):
            for line in block.text.splitlines() if block.language == "sh" else ():
                said = ledger.run(*line.removeprefix("uv run partner-ledger ").split())
                assert said.code == 0, f"{line}: {said.err}"
            if block == PAST:
                assert execute(str(ledger.settings.read_database_url), block.text) != []
    finally:
        ledger.down()


def test_the_tables_of_each_projection_are_those_of_the_code() -> None:
    page = PAGE.read_text("utf-8")
    for name, each in PROJECTIONS.items():
        views = ", ".join(f"`{view}`" for view in each.views)
        tables = ", ".join(f"`{table}`" for table in each.tables)
        noun = "the views" if len(each.views) > 1 else "the view"
        row = f"| `{name}` | {tables}; {noun} {views} |" if views else f"| `{name}` | {tables} |"
        assert row in page
