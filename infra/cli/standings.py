"""Commands that ask the projections: tiers, partners, partner show."""

import datetime as dt
from typing import Annotated, Any

import typer

from domain.errors import Refused
from domain.money import format_amount
from domain.outlook import Outlook, next_tier
from infra.bootstrap import Runtime
from infra.cli.console import amount, out, print_json, say, table
from infra.cli.facts import parse_date
from infra.cli.services import Json
from infra.settings import load_settings
from projections.bonus_journal import BonusLine
from projections.queries import PartnersAnswer, PartnerStanding, TiersAnswer

standings_commands = typer.Typer()
partner_commands = typer.Typer(
    help="One partner: its standing, history and bonus lines.", no_args_is_help=True, rich_markup_mode=None
)

AsOf = Annotated[
    dt.date | None,
    typer.Option(
        "--as-of",
        parser=parse_date,
        metavar="DATE",
        help="What was in force at the end of this date (default: the ledger's date or the latest business date).",
    ),
]
SHOWN_LINES = 30


@standings_commands.command("tiers")
def tiers(
    *,
    as_of: AsOf = None,
    country: Annotated[
        str | None, typer.Option("--country", metavar="CC", help="One country only (ISO 3166-1).")
    ] = None,
    json: Json = False,
) -> None:
    """Count the holders of each tier, by country. Ended partners hold none.

    Example: partner-ledger tiers --as-of 2011-10-01 --country CH
    """
    runtime = Runtime(load_settings(), say)
    answer = runtime.read_models.tiers(as_of, country=_country(country))
    if json:
        print_json(_tiers_document(answer, tier_order(runtime, answer)))
    else:
        print_tiers(answer, tier_order(runtime, answer))


def _country(code: str | None) -> str | None:
    if code is not None and (len(code) != 2 or not code.isalpha()):
        raise typer.BadParameter(f"{code!r} is not a country code of two letters")
    return None if code is None else code.upper()


def tier_order(runtime: Runtime, answer: TiersAnswer) -> list[str]:
    """Give the tiers of the programme in force, lowest first, so that one without holders is shown with 0."""
    terms = None if answer.as_of is None else runtime.ledger.programmes().in_force(answer.as_of)
    order = [tier.code for tier in terms.tiers] if terms else []
    return order + sorted({row.tier for row in answer.holders} - set(order))


def _tiers_document(answer: TiersAnswer, order: list[str]) -> dict[str, Any]:
    countries: dict[str, dict[str, int]] = {}
    totals = dict.fromkeys(order, 0)
    for row in answer.holders:
        countries.setdefault(row.country, dict.fromkeys(order, 0))[row.tier] = row.holders
        totals[row.tier] += row.holders
    return {"as_of": answer.as_of, "position": answer.position, "tiers": totals, "countries": countries}


def print_tiers(answer: TiersAnswer, order: list[str]) -> None:
    """Print holders by country, with totals."""
    document = _tiers_document(answer, order)
    if answer.as_of is None:
        out.print("The ledger is empty: import a feed first.")
        return
    view = table(
        f"Holders by tier as of {answer.as_of} (position {answer.position:,})", "country", *order, right=tuple(order)
    )
    for country, counts in sorted(document["countries"].items()):
        view.add_row(country, *(f"{counts[tier]:,}" for tier in order))
    if len(document["countries"]) > 1:
        view.add_section()
        view.add_row("all", *(f"{document['tiers'][tier]:,}" for tier in order))
    out.print(view)


@standings_commands.command("partners")
def partners(*, as_of: AsOf = None, json: Json = False) -> None:
    """List all partners with tier, specialisations, loyalty and balances.

    Example: partner-ledger partners --as-of 2015-01-31 --json
    """
    runtime = Runtime(load_settings(), say)
    answer = runtime.read_models.partners(as_of)
    if json:
        print_json(partners_document(answer))
        return
    if answer.as_of is None:
        out.print("The ledger is empty: import a feed first.")
        return
    view = table(
        f"Partners as of {answer.as_of} (position {answer.position:,})",
        *("partner", "name", "country", "tier", "since", "specialisations", "loyalty days", "payable"),
        right=("loyalty days", "payable"),
        fold=("name", "specialisations"),
    )
    for standing in answer.partners:
        last = standing.tier_history[-1]
        view.add_row(
            standing.partner.partner,
            standing.partner.name,
            standing.partner.country,
            standing.tier,
            f"{last.effective_on}",
            ", ".join(standing.specialisations),
            f"{standing.loyalty_days:,}",
            "\n".join(format_amount(balance.payable, balance.currency) for balance in standing.balances),
        )
    out.print(view)


def partners_document(answer: PartnersAnswer) -> dict[str, Any]:
    """Give the JSON of `partners` (feeds-and-commands.md)."""
    return {
        "as_of": answer.as_of,
        "position": answer.position,
        "partners": {s.partner.partner: _standing_document(s) for s in answer.partners},
    }


def _standing_document(standing: PartnerStanding) -> dict[str, Any]:
    return {
        "tier": standing.tier,
        "tier_history": [
            {"effective_on": row.effective_on, "tier": row.tier, "reason": row.reason} for row in standing.tier_history
        ],
        "specialisations": list(standing.specialisations),
        "loyalty_days": standing.loyalty_days,
        "balances": {
            balance.currency: {
                "accrued": balance.accrued,
                "clawed_back": balance.clawed_back,
                "paid": balance.paid,
                "payable": balance.payable,
            }
            for balance in standing.balances
        },
        "lines": standing.lines,
    }


@partner_commands.command("show")
def partner_show(
    partner_id: Annotated[str, typer.Argument(metavar="ID", help="The partner's id.")],
    *,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Show a partner's standing, history and lines, and what is missing for the next tier.

    Example: partner-ledger partner show CH-0001 --as-of 2012-12-31
    """
    runtime = Runtime(load_settings(), say)
    show_partner(runtime, partner_id, as_of, json=json)


def show_partner(runtime: Runtime, partner_id: str, as_of: dt.date | None, *, json: bool) -> None:
    """Print one partner."""
    answer = runtime.read_models.partner(partner_id, as_of)
    if not answer.partners:
        on = f" on {answer.as_of}" if answer.as_of else ""
        raise Refused(f"There is no partner {partner_id!r}{on}; `partner-ledger partners` lists them.")
    (standing,) = answer.partners
    lines = runtime.read_models.lines(partner_id, as_of).lines
    outlook = _outlook(runtime, partner_id, answer.as_of) if as_of is None else None
    if json:
        document = {
            "as_of": answer.as_of,
            "position": answer.position,
            "partner_id": partner_id,
            "name": standing.partner.name,
        }
        document |= _standing_document(standing)
        print_json(
            document | {"bonus_lines": [_line_document(line) for line in lines], "next_tier": outlook_document(outlook)}
        )
        return
    _print_standing(standing, answer)
    _print_outlook(outlook)
    _print_lines(lines)


def _outlook(runtime: Runtime, partner_id: str, on: dt.date | None) -> Outlook | None:
    ledger = runtime.ledger
    partner = ledger.partner(partner_id)
    return None if partner is None or on is None else next_tier(partner.standing, ledger.programmes(), on)


def _line_document(line: BonusLine) -> dict[str, Any]:
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


def outlook_document(outlook: Outlook | None) -> dict[str, Any] | None:
    """Give what is measured for the next tier, as JSON."""
    if outlook is None:
        return None
    evidence = outlook.evidence
    return {
        "tier": evidence.tier,
        "awarded": outlook.awarded,
        "met": evidence.met,
        "base_currency": evidence.base_currency,
        "required_revenue": evidence.required_revenue,
        "revenue": evidence.revenue,
        "window_first_day": evidence.window_first_day,
        "window_last_day": evidence.window_last_day,
        "required_specialisations": evidence.required_specialisations,
        "specialisations": list(evidence.specialisations),
    }


def _print_standing(standing: PartnerStanding, answer: PartnersAnswer) -> None:
    who = standing.partner
    out.print(f"{who.partner}  {who.name}  ({who.country})", style="bold", markup=False)
    ended = f"; the membership ended on {standing.ended_on}" if standing.ended_on else ""
    held = ", ".join(standing.specialisations) or "none"
    out.print(
        f"As of {answer.as_of}: {standing.tier}; specialisations: {held};"
        f" loyalty {standing.loyalty_days:,} days{ended}.  (position {answer.position:,})"
    )
    view = table("Tier history", "effective on", "tier", "reason", "programme", "position", right=("position",))
    for row in standing.tier_history:
        view.add_row(f"{row.effective_on}", row.tier, row.reason, row.programme, f"{row.position:,}")
    out.print(view)
    if standing.balances:
        view = table(
            "Balances",
            "currency",
            "accrued",
            "clawed back",
            "paid",
            "payable",
            right=("accrued", "clawed back", "paid", "payable"),
        )
        for b in standing.balances:
            view.add_row(b.currency, amount(b.accrued), amount(b.clawed_back), amount(b.paid), amount(b.payable))
        out.print(view)


def _print_outlook(outlook: Outlook | None) -> None:
    if outlook is None:
        return
    evidence = outlook.evidence
    out.print(f"Next tier: {evidence.tier}{', awarded by the board' if outlook.awarded else ''}.", style="bold")
    revenue = max(evidence.required_revenue - evidence.revenue, evidence.revenue * 0)
    state = "met" if revenue == 0 else f"{format_amount(revenue, evidence.base_currency)} more is needed"
    out.print(
        f"  Revenue {format_amount(evidence.revenue, evidence.base_currency)} of"
        f" {format_amount(evidence.required_revenue, evidence.base_currency)} from {evidence.window_first_day} to"
        f" {evidence.window_last_day}: {state}."
    )
    held, required = len(evidence.specialisations), evidence.required_specialisations
    if required:
        out.print(
            f"  Specialisations {held} of {required}: {'met' if held >= required else f'{required - held} short'}."
        )


def _print_lines(lines: tuple[BonusLine, ...]) -> None:
    if not lines:
        return
    shown = lines[-SHOWN_LINES:]
    title = f"Bonus lines (the last {len(shown)} of {len(lines):,})" if len(shown) < len(lines) else "Bonus lines"
    columns = ("line", "posted", "cause", "scheme", "tier", "", "basis", "rate", "amount")
    view = table(title, *columns, right=("basis", "rate", "amount"), fold=("cause", "scheme", "tier"))
    for line in shown:
        view.add_row(
            line.line_id,
            f"{line.posting_date}",
            line.cause or "quarter settled",
            line.scheme,
            line.tier,
            line.currency,
            amount(line.basis),
            f"{line.rate_bp / 100:.2f} %",
            amount(line.amount),
        )
    out.print(view)
