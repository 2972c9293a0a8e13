"""The how-to of a programme change does what it says, on the tutorial's ledger, down to the pages that it ends with."""

from producers.programme_files import read_programme_file
from projections.parameters import parameters
from tests.docs.pages import DOCS, promises, run_shell, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger, temporary_home

PAGE = DOCS / "how-to" / "what-if.md"


def test_the_page_keeps_its_promises() -> None:
    """Every shell block, in one shell: candidate, table, data, comparison, sweep, and the pages to show."""
    folder = temporary_home()
    ledger = CommandLine(fresh_ledger())
    told = promises(PAGE)
    assert len(told) == 6
    try:
        ledger.done("import", write_tutorial_feed(folder / "tutorial" / "feed"))
        ledger.done("advance", "--to", "2024-04-01")
        results = run_shell([promise.shell for promise in told], ledger.settings, folder)
        for promise, (output, code) in zip(told, results, strict=True):
            assert promise.kept_by(output), f"line {promise.shell.line}, promised:\n{promise.output}\ngiven:\n{output}"
            assert code == 0, f"line {promise.shell.line} ended with {code}:\n{output}"
        page = (folder / "silver-60.html").read_text("utf-8")
        assert "Silver at 60,000 against My partner programme" in page
        assert "Ada Systems" in page
        assert "change of all bonuses, EUR" in (folder / "silver.html").read_text("utf-8")
    finally:
        ledger.down()


def test_every_kind_of_parameter_is_in_the_table() -> None:
    """Each path of the demo's programmes has the shape of one that the page names."""
    text = PAGE.read_text("utf-8")
    demo = DOCS.parent / "infra" / "demo" / "programmes"
    for file in sorted(demo.glob("*.yaml")):
        version = read_programme_file(file)
        codes = {tier.code: "TIER" for tier in version.tiers}
        for path in parameters(version):
            first, *rest = path.split(".")
            last = rest[-1] if rest else ""
            shapes = {
                path,
                f"TIER.{last}",
                f"SPECIALISATION.{last}",
                f"SCHEME.{last}",
                "TIER.seats.CC" if rest[:1] == ["seats"] else "",
                f"SCHEME.rate_bp.{codes.get(last)}" if rest[:1] == ["rate_bp"] else "",
                "SCHEME.loyalty_bp.YEARS" if rest[:1] == ["loyalty_bp"] else "",
                "exchange_rates.CUR" if first == "exchange_rates" else "",
            } - {""}
            assert any(f"`{shape}`" in text for shape in shapes), path
