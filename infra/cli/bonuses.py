"""Commands for bonuses: their lines, totals, and how a line comes about."""

import datetime as dt
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from domain.errors import Refused
from domain.money import format_amount
from domain.streams import partner_stream
from infra.bootstrap import Runtime
from infra.cli.console import Quiet, amount, out, print_json, say, table
from infra.cli.options import AsOf, Json, KnownAt, known_position, note_parked, parse_date
from infra.settings import load_settings
from projections.bonus_journal import BonusLine
from projections.explanation import Explanation, explain, parse_line_id, rate
from projections.queries import Total

bonus_commands = typer.Typer(
    help="Bonus lines, their totals, and how each came about.\n\n"
    "Example: partner-ledger bonus totals --from 2012-01-01 --by quarter",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class By(StrEnum):
    """What totals are summed by."""

    SCHEME = "scheme"
    TIER = "tier"
    QUARTER = "quarter"
    COUNTRY = "country"
    FAMILY = "family"


@bonus_commands.command("lines")
def lines(
    partner_id: Annotated[str, typer.Argument(metavar="ID", help="The partner's id.")],
    *,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    json: Json = False,
) -> None:
    """List a partner's bonus lines with a posting date up to a date.

    Example: partner-ledger bonus lines CH-0001 --as-of 2012-12-31
    """
    runtime = Runtime(load_settings(), say)
    position = known_position(runtime, known_at)
    if not runtime.read_models.partner(partner_id, as_of, up_to_position=position).partners:
        raise Refused(f"There is no partner {partner_id!r} then; `partner-ledger partners` lists them.")
    answer = runtime.read_models.lines(partner_id, as_of, up_to_position=position)
    parked = note_parked(runtime)
    if json:
        document: dict[str, Any] = {"as_of": answer.as_of, "position": answer.position, "partner_id": partner_id}
        document["parked"] = parked
        print_json(document | {"lines": [line_document(line) for line in answer.lines]})
        return
    print_lines(f"Bonus lines of {partner_id} as of {answer.as_of} (position {answer.position:,})", answer.lines)


def line_document(line: BonusLine) -> dict[str, Any]:
    """Give a line as JSON."""
    return {
        "line": line.line_id,
        "scheme": line.scheme,
        "category": line.category,
        "cause": line.cause,
        "business_date": line.business_date,
        "posting_date": line.posting_date,
        "currency": line.currency,
        "amount": line.amount,
        "basis": line.basis,
        "rate_bp": line.rate_bp,
        "tier": line.tier,
        "programme": line.programme,
    }


def print_lines(title: str, bonus_lines: tuple[BonusLine, ...]) -> None:
    """Print lines as a table."""
    if not bonus_lines:
        out.print("No bonus lines.")
        return
    columns = ("line", "posted", "cause", "scheme", "tier", "", "basis", "rate", "amount")
    view = table(title, *columns, right=("basis", "rate", "amount"), fold=("cause", "scheme", "tier"))
    if not Quiet.wanted and any(line.kind != "BonusAccrued" for line in bonus_lines):
        view.caption = "Reversals and settled quarters post a difference: `bonus explain LINE` shows the calculation."
    for line in bonus_lines:
        view.add_row(
            line.line_id,
            f"{line.posting_date}",
            line.cause or "quarter settled",
            line.scheme,
            line.tier,
            line.currency,
            amount(line.basis),
            rate(line.rate_bp),
            amount(line.amount),
        )
    out.print(view)


@bonus_commands.command("totals")
def totals(
    *,
    first: Annotated[
        dt.date | None, typer.Option("--from", parser=parse_date, metavar="DATE", help="First posting date counted.")
    ] = None,
    last: Annotated[
        dt.date | None, typer.Option("--to", parser=parse_date, metavar="DATE", help="Last posting date counted.")
    ] = None,
    by: Annotated[By, typer.Option("--by", help="What to sum by; a quarter is that of the posting date.")] = By.SCHEME,
    known_at: KnownAt = None,
    json: Json = False,
) -> None:
    """Sum bonus lines by scheme, tier, quarter, country or family, per currency. What is paid on a quarter has no family.

    Example: partner-ledger bonus totals --from 2012-01-01 --to 2012-12-31 --by quarter
    """
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"{first} is after --to {last}", param_hint="--from")
    runtime = Runtime(load_settings(), say)
    answer = runtime.read_models.totals(by.value, first, last, up_to_position=known_position(runtime, known_at))
    parked = note_parked(runtime)
    if json:
        document = {"from": first, "to": last, "by": by.value, "position": answer.position, "parked": parked}
        rows, sums = (
            [asdict(total) | {"total": total.total} for total in each] for each in (answer.totals, answer.sums)
        )
        print_json(document | {"totals": rows, "sums": sums})
        return
    span = f"posted from {first or 'the beginning'} to {last or 'now'}"
    figures = ("lines", "accrued", "clawed back", "total")
    view = table(f"Bonuses {span} (position {answer.position:,})", by.value, "currency", *figures, right=figures)
    for total in answer.totals:
        view.add_row(*_total_cells(total))
    view.add_section()
    for total in answer.sums:
        view.add_row(*_total_cells(total), style="bold")
    out.print(view)


def _total_cells(total: Total) -> tuple[str, ...]:
    sums = (total.accrued, total.clawed_back, total.total)
    return total.group, total.currency, f"{total.lines:,}", *(amount(value) for value in sums)


@bonus_commands.command("explain")
def explain_line(
    line: Annotated[str, typer.Argument(metavar="LINE", help="The line, as `bonus lines` names it: L1234-1.")],
    *,
    json: Json = False,
) -> None:
    """Explain a bonus line: the calculation, and the source of each of its parts.

    Example: partner-ledger bonus explain L1234-1
    """
    position, n = parse_line_id(line)
    runtime = Runtime(load_settings(), say)
    explanation = _explanation(runtime, position, n)
    if json:
        print_json({**asdict(explanation), "position": position})
        return
    out.print(
        f"{explanation.line}  {explanation.partner_id}  {format_amount(explanation.amount, explanation.currency)},"
        f" posted {explanation.posting_date}",
        style="bold",
        markup=False,
    )
    for sentence in explanation.sentences:
        out.print(sentence, markup=False)
    out.print(f"Rounding: {explanation.rounding}.", markup=False)
    view = table("Sources", "position", "what", right=("position",), fold=("what",))
    for source in explanation.sources:
        view.add_row(f"{source.position:,}", source.what)
    out.print(view)


def _explanation(runtime: Runtime, position: int, n: int) -> Explanation:
    line = runtime.read_models.line(position, n)
    if line is None:
        raise Refused(f"There is no bonus line L{position}-{n}; `partner-ledger bonus lines ID` lists a partner's.")
    stream = list(runtime.events.of_stream(partner_stream(line.partner), up_to_position=position))
    return explain(stream, position, n, runtime.ledger.programmes())
