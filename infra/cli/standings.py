"""Commands that ask the projections: tiers, partners, partner show."""

import datetime as dt
from typing import Annotated, Any

import typer
from rich.padding import Padding

from domain.errors import Refused
from domain.events import BonusAccrued, BonusClawedBack, KickbackSettled, TrainingCompleted
from domain.money import format_amount
from domain.outlook import Outlook, next_tier
from domain.streams import partner_stream
from infra.bootstrap import Runtime
from infra.cli.bonuses import line_document, print_lines
from infra.cli.console import amount, out, print_json, say, table, warn
from infra.cli.options import AsOf, Country, Json, KnownAt, known_position, note_parked
from infra.settings import load_settings
from projections.as_of import counts_from, standing, until
from projections.counted import counted
from projections.queries import PartnersAnswer, PartnerStanding, TiersAnswer
from projections.sentences import outlook_sentences, sentence

standings_commands = typer.Typer()
partner_commands = typer.Typer(
    help="One partner: its standing, history and bonus lines.\n\nExample: partner-ledger partner show CH-0001",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SHOWN_LINES = 30
LEFT_OUT = (TrainingCompleted, BonusAccrued, BonusClawedBack, KickbackSettled)
"""What a history for a person leaves out: the lines are listed below it, trainings show in the specialisations."""


@standings_commands.command("tiers")
def tiers(
    *,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    country: Country = None,
    json: Json = False,
) -> None:
    """Count the holders of each tier, by country. Ended partners hold none.

    Example: partner-ledger tiers --as-of 2011-10-01 --country CH
    """
    runtime = Runtime(load_settings(), say)
    position = known_position(runtime, known_at)
    answer = runtime.read_models.tiers(as_of, up_to_position=position, country=country)
    parked = note_parked(runtime)
    if json:
        print_json({**_tiers_document(answer, tier_order(runtime, answer)), "parked": parked})
    else:
        print_tiers(answer, tier_order(runtime, answer))


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
def partners(*, as_of: AsOf = None, known_at: KnownAt = None, json: Json = False) -> None:
    """List all partners with tier, specialisations, loyalty and balances.

    --as-of asks what was in force on a date, --known-at what the ledger knew at a moment; both together are meaningful.

    Example: partner-ledger partners --as-of 2015-01-31 --json
    """
    runtime = Runtime(load_settings(), say)
    answer = runtime.read_models.partners(as_of, up_to_position=known_position(runtime, known_at))
    parked = note_parked(runtime)
    if json:
        print_json({**partners_document(answer), "parked": parked})
        return
    if answer.as_of is None:
        out.print("Nothing was recorded by then." if known_at else "The ledger is empty: import a feed first.")
        return
    if not answer.partners:
        out.print(f"No partner was enrolled by {answer.as_of} (position {answer.position:,}).")
        return
    view = table(
        f"Partners as of {answer.as_of} (position {answer.position:,})",
        *("partner", "name", "country", "tier", "specialisations", "loyalty days", "payable"),
        right=("loyalty days", "payable"),
        fold=("name", "tier", "specialisations", "loyalty days"),
    )
    for shown in answer.partners:
        last = shown.tier_history[-1]
        view.add_row(
            shown.partner.partner,
            shown.partner.name,
            shown.partner.country,
            f"{shown.tier} since {last.effective_on}",
            ", ".join(shown.specialisations),
            f"{shown.loyalty_days:,}",
            "\n".join(format_amount(balance.payable, balance.currency) for balance in shown.balances),
        )
    out.print(view)


def partners_document(answer: PartnersAnswer) -> dict[str, Any]:
    """Give the JSON of `partners` (feeds-and-commands.md)."""
    return {
        "as_of": answer.as_of,
        "position": answer.position,
        "partners": {s.partner.partner: standing_document(s) for s in answer.partners},
    }


def standing_document(standing: PartnerStanding) -> dict[str, Any]:
    """Give what `partners --json` tells of one partner."""
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
    known_at: KnownAt = None,
    json: Json = False,
) -> None:
    """Show a partner's standing, its history in sentences, its lines, and what is missing for the next tier.

    Example: partner-ledger partner show CH-0001 --as-of 2012-12-31
    """
    runtime = Runtime(load_settings(), say)
    show_partner(runtime, partner_id, as_of, known_position(runtime, known_at), json=json)


def show_partner(
    runtime: Runtime, partner_id: str, as_of: dt.date | None, up_to_position: int | None = None, *, json: bool
) -> None:
    """Print one partner, as of a date and as known up to a position."""
    answer = runtime.read_models.partner(partner_id, as_of, up_to_position=up_to_position)
    if not answer.partners or answer.as_of is None:
        on = f" on {answer.as_of}" if answer.as_of else ""
        raise Refused(f"There is no partner {partner_id!r}{on}; `partner-ledger partners` lists them.")
    (shown,) = answer.partners
    parked = len(runtime.read_models.parked(partner_stream(partner_id)))
    if parked:
        warn(
            f"{counted(parked, 'record')} of {partner_id} parked: this answer lacks them. See `partner-ledger parked list`."
        )
    lines = runtime.read_models.lines(partner_id, as_of, up_to_position=answer.position).lines
    events = runtime.events.of_stream(partner_stream(partner_id), up_to_position=answer.position)
    history = list(until(events, answer.as_of))
    partner = standing(history)
    outlook = None if partner is None else next_tier(partner, runtime.ledger.programmes(), answer.as_of)
    told = [(cited, sentence(cited.event)) for cited in history]
    if json:
        document = {"as_of": answer.as_of, "position": answer.position, "partner_id": partner_id}
        document |= {"name": shown.partner.name} | standing_document(shown)
        document["history"] = [
            {"position": cited.position, "date": counts_from(cited.event), "sentence": text}
            for cited, text in told
            if text
        ]
        document["bonus_lines"] = [line_document(line) for line in lines]
        document["next_tier"] = outlook_document(outlook)
        document["parked"] = parked
        print_json(document)
        return
    _print_standing(shown, answer)
    view = table(
        "History", "date", "what happened, and why", "position", right=("position",), fold=("what happened, and why",)
    )
    for cited, text in told:
        if text and not isinstance(cited.event, LEFT_OUT):
            view.add_row(f"{counts_from(cited.event)}", text, f"{cited.position:,}")
    out.print(view)
    _print_outlook(outlook)
    _print_seats(runtime, outlook, shown.partner.country, answer)
    shown_lines = lines[-SHOWN_LINES:]
    title = (
        f"Bonus lines (the last {len(shown_lines):,} of {len(lines):,})"
        if len(shown_lines) < len(lines)
        else "Bonus lines"
    )
    print_lines(title, shown_lines)


def outlook_document(outlook: Outlook | None) -> dict[str, Any] | None:
    """Give what is measured for the next tier, and what is missing, as JSON."""
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
        "missing_revenue": outlook.missing_revenue,
        "revenue_counts_until": outlook.counts_until,
        "window_first_day": evidence.window_first_day,
        "window_last_day": evidence.window_last_day,
        "required_specialisations": evidence.required_specialisations,
        "specialisations": list(evidence.specialisations),
        "missing_people": [{"specialisation": s.code, "courses": s.missing_people} for s in outlook.specialisations],
        "sentences": outlook_sentences(outlook),
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


def _print_seats(runtime: Runtime, outlook: Outlook | None, country: str, answer: PartnersAnswer) -> None:
    """Say how many seats of an awarded tier are taken in the partner's country."""
    terms = None if answer.as_of is None else runtime.ledger.programmes().in_force(answer.as_of)
    if outlook is None or terms is None or not outlook.awarded:
        return
    tier = outlook.evidence.tier
    seats = terms.tier_by_code[tier].seats.get(country)
    holders = runtime.read_models.tiers(answer.as_of, up_to_position=answer.position, country=country).holders
    taken = sum(row.holders for row in holders if row.tier == tier)
    out.print(f"  Seats in {country}: {'unlimited' if seats is None else f'{taken} of {seats} taken'}.")


def _print_outlook(outlook: Outlook | None) -> None:
    if outlook is None:
        return
    awarded = ", awarded by the board" if outlook.awarded else ""
    out.print(f"Next tier: {outlook.evidence.tier}{awarded}.", style="bold", markup=False)
    for text in outlook_sentences(outlook):
        out.print(Padding.indent(text, 2))
