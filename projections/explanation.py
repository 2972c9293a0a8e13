"""A bonus line explained: its amount as a calculation, with the source of each of its parts.

Everything is read from the events: the line, the fact that caused it, the deals it counts. No amount is worked out here
a second time; the calculation is shown with the figures that were recorded.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from domain import events as e
from domain.calendar import next_quarter, quarter_start
from domain.errors import IntegrityFault, InvalidInput
from domain.loyalty import suspended_days
from domain.money import currency_digits, format_amount
from domain.terms import Programmes
from projections.as_of import standing
from projections.bonus_journal import line_id
from projections.recorded import CitedEvent


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part of the calculation comes from: an event by its position, and what it says."""

    position: int
    what: str


@dataclass(frozen=True, slots=True)
class CountedDeal:
    """A deal that a quarter's kickback counts: what is left of it, and what that qualifies as in base currency."""

    position: int
    deal_id: str
    closed_on: dt.date
    net: Decimal
    currency: str
    qualifying: Decimal
    source_ref: str | None
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Explanation:
    """A line's amount as a calculation: `sentences` for a person, the figures and `sources` for a program."""

    line: str
    partner_id: str
    amount: Decimal
    currency: str
    business_date: dt.date
    posting_date: dt.date
    programme: str
    scheme: str
    tier: str
    tier_since: dt.date | None
    rate_bp: int
    basis: Decimal
    before: Decimal
    calculation: str
    rounding: str
    sentences: tuple[str, ...]
    sources: tuple[Source, ...]


def parse_line_id(text: str) -> tuple[int, int]:
    """Read a line's name, `L<position>-<n>`.

    Raises:
        InvalidInput: it is none.

    """
    matched = re.fullmatch(r"L([1-9][0-9]{0,17})-([1-9][0-9]{0,3})", text)
    if matched is None:
        raise InvalidInput(f"{text!r} is not a bonus line; lines are named like L1234-1 (`bonus lines ID` lists them).")
    return int(matched[1]), int(matched[2])


def explain(stream: Sequence[CitedEvent], position: int, n: int, programmes: Programmes) -> Explanation:
    """Explain line n of the event at a position, from its partner's stream up to that event.

    Raises:
        InvalidInput: the event has no such line.

    """
    cited = stream[-1]
    lines = getattr(cited.event, "lines", ())
    if cited.position != position or n > len(lines):
        raise InvalidInput(f"There is no bonus line {line_id(position, n)}.")
    line: e.Line = lines[n - 1]
    event = cited.event
    match event:
        case e.BonusAccrued():
            sentences, sources = _instant(stream, event, line)
        case e.BonusClawedBack():
            sentences, sources = _clawback(stream, event, line)
        case e.KickbackSettled():
            sentences, sources = _kickback(stream, event, line, programmes)
        case _:
            raise IntegrityFault(f"Event {position} has lines but is a {type(event).__name__}.")
    enrolled = stream[0].event
    assert isinstance(enrolled, e.PartnerEnrolled), "a partner's stream begins with its enrolment"
    return Explanation(
        line=line_id(position, n),
        partner_id=enrolled.partner_id,
        amount=line.amount,
        currency=line.currency,
        business_date=event.business_date,
        posting_date=event.posting_date,
        programme=event.programme,
        scheme=line.scheme,
        tier=line.tier,
        tier_since=line.tier_since,
        rate_bp=line.rate_bp,
        basis=line.basis,
        before=line.before,
        calculation=calculation(line),
        rounding=rounding(line),
        sentences=sentences,
        sources=(
            *sources,
            Source(position, f"{type(event).__name__}, recorded {cited.recorded_at:%Y-%m-%d %H:%M:%S} UTC"),
        ),
    )


Told = tuple[tuple[str, ...], tuple[Source, ...]]


def _sale(stream: Sequence[CitedEvent], deal_id: str) -> tuple[CitedEvent, e.SaleRecorded]:
    for cited in stream:
        if isinstance(cited.event, e.SaleRecorded) and cited.event.deal_id == deal_id:
            return cited, cited.event
    raise IntegrityFault(f"The stream has no SaleRecorded of deal {deal_id!r}, which its bonus lines name.")


def _source(cited: CitedEvent, what: str) -> Source:
    return Source(cited.position, f"{what} ({cited.command_id})")


def _instant(stream: Sequence[CitedEvent], event: e.BonusAccrued, line: e.Line) -> Told:
    cited, sale = _sale(stream, event.deal_id)
    partner = standing(stream)
    assert partner is not None, "the stream has events"
    days = suspended_days(partner.suspensions, sale.closed_on)
    sentences = instant_sentences(line, sale, event.programme, partner.enrolled_on, days)
    return sentences, (_source(cited, f"deal {sale.deal_id}"), *_tier_source(stream, line))


def _tier_source(stream: Sequence[CitedEvent], line: e.Line) -> tuple[Source, ...]:
    """Cite the event that gave the tier whose rate counts; for loyalty, the enrolment."""
    if line.loyalty_years is not None:
        return (Source(stream[0].position, f"enrolled on {stream[0].event.business_date}"),)
    for cited in reversed(stream):
        event = cited.event
        if isinstance(event, e.TierChanged) and (event.to_tier, event.effective_on) == (line.tier, line.tier_since):
            return (Source(cited.position, f"{line.tier} since {line.tier_since}: {event.reason}"),)
        if isinstance(event, e.PartnerEnrolled) and (event.tier, event.enrolled_on) == (line.tier, line.tier_since):
            return (Source(cited.position, f"{line.tier} since {line.tier_since}: enrolled"),)
    return ()


def _kickback_tier(stream: Sequence[CitedEvent], tier: str, last_day: dt.date) -> tuple[dt.date, Source]:
    """Cite the event that gave the tier of a quarter's last day; a withdrawal counts from the promotion it took back."""
    for cited in reversed(stream):
        event = cited.event
        if isinstance(event, e.TierChanged) and event.to_tier == tier:
            since = event.counts_from or event.effective_on
            if since <= last_day:
                return since, Source(cited.position, f"{tier} since {since}: {event.reason}")
    enrolled = stream[0].event.business_date
    return enrolled, Source(stream[0].position, f"{tier} since {enrolled}: enrolled")


def _clawback(stream: Sequence[CitedEvent], event: e.BonusClawedBack, line: e.Line) -> Told:
    cited_sale, sale = _sale(stream, event.deal_id)
    for cited in stream:
        reversal = cited.event
        if isinstance(reversal, e.SaleReversed) and reversal.reversal_id == event.reversal_id:
            sources = (_source(cited_sale, f"deal {sale.deal_id}"), _source(cited, f"reversal {event.reversal_id}"))
            return clawback_sentences(line, reversal, sale), (*sources, *_tier_source(stream, line))
    raise IntegrityFault(f"The stream has no SaleReversed {event.reversal_id!r}, which its clawback names.")


def _kickback(stream: Sequence[CitedEvent], event: e.KickbackSettled, line: e.Line, programmes: Programmes) -> Told:
    terms = programmes.by_code[event.programme]
    scheme = next(s for s in terms.kickback if s.code == line.scheme)
    deals: dict[str, CountedDeal] = {}
    for cited in stream:
        sale = cited.event
        if not isinstance(sale, e.SaleRecorded | e.SaleReversed) or quarter_start(sale.closed_on) != event.quarter:
            continue
        if not sale.earning or (scheme.families is not None and sale.family not in scheme.families):
            continue
        if isinstance(sale, e.SaleRecorded):
            deals[sale.deal_id] = CountedDeal(
                cited.position,
                sale.deal_id,
                sale.closed_on,
                sale.amount,
                sale.currency,
                sale.qualifying,
                sale.source_ref,
            )
        else:
            deals[sale.deal_id] = replace(deals[sale.deal_id], net=sale.net, qualifying=sale.qualifying, whole=False)
    counted = tuple(deal for deal in deals.values() if deal.net)
    last_day = next_quarter(event.quarter) - dt.timedelta(days=1)
    since, tier_source = _kickback_tier(stream, line.tier, last_day)
    sentences = kickback_sentences(line, event, counted, terms.programme.exchange_rates, since)
    return sentences, (*(Source(d.position, f"deal {d.deal_id}") for d in counted), tier_source)


def calculation(line: e.Line) -> str:
    """Give the amount as a calculation: basis × rate, less what was posted before."""
    money = f"{format_amount(line.basis, line.currency)} × {rate(line.rate_bp)}"
    if line.before == 0:
        return f"{money} = {format_amount(line.amount, line.currency)}"
    due = line.amount + line.before
    return (
        f"{money} = {format_amount(due, line.currency)}, less {format_amount(line.before, line.currency)} posted before"
        f" = {format_amount(line.amount, line.currency)}"
    )


def rate(rate_bp: int) -> str:
    """Give basis points as per cent: 150 is 1.5 %."""
    percent = Decimal(rate_bp) / 100
    return f"{percent.normalize():f} %" if percent else "0 %"


def rounding(line: e.Line) -> str:
    """Say what was rounded, and how."""
    exact = line.basis * line.rate_bp / 10_000
    due = line.amount + line.before
    digits = currency_digits(line.currency)
    if exact == due:
        return f"nothing to round: {line.currency} has {digits} digits"
    return f"{exact.normalize():f} rounded half up to {digits} digits is {due}"


def instant_sentences(
    line: e.Line, sale: e.SaleRecorded, programme: str, enrolled_on: dt.date, suspended_days: int
) -> tuple[str, ...]:
    """Tell an instant line: the deal, what was in force at the start of its day, the rate and the amount."""
    told = [
        f"Deal {sale.deal_id} ({_reference(sale.source_ref)}), closed on {sale.closed_on}:"
        f" {format_amount(sale.amount, sale.currency)}, family {sale.family}, under programme {programme}."
    ]
    if line.loyalty_years is not None:
        moved = f", moved forward by {suspended_days} days suspended" if suspended_days else ""
        years = "1 full year" if line.loyalty_years == 1 else f"{line.loyalty_years} full years"
        told.append(f"Enrolled on {enrolled_on}{moved}: {years} of loyalty completed on {sale.closed_on}.")
    else:
        told.append(f"The day began as {line.tier}, held since {line.tier_since}.")
    if line.specialisation is not None:
        told.append(f"The specialisation {line.specialisation} was held at the start of the day.")
    told.append(f"Scheme {line.scheme} gives {rate(line.rate_bp)}: {calculation(line)}.")
    return tuple(told)


def clawback_sentences(line: e.Line, reversal: e.SaleReversed, sale: e.SaleRecorded) -> tuple[str, ...]:
    """Tell what a reversal takes back of a line: the new net amount at the line's own original rate."""
    due = line.amount + line.before
    return (
        f"Reversal {reversal.reversal_id} of {reversal.reversed_on} takes {format_amount(reversal.amount, reversal.currency)}"
        f" of deal {sale.deal_id} ({_reference(sale.source_ref)}, closed on {sale.closed_on},"
        f" {format_amount(sale.amount, sale.currency)}); {format_amount(reversal.net, reversal.currency)} is left.",
        f"Scheme {line.scheme} of programme {sale.programme}, at its original rate of {rate(line.rate_bp)} ({_earned_by(line)}):"
        f" {format_amount(due, line.currency)}"
        f" remains due of {format_amount(line.before, line.currency)}, so {format_amount(line.amount, line.currency)} is posted.",
    )


def kickback_sentences(
    line: e.Line,
    settled: e.KickbackSettled,
    deals: Sequence[CountedDeal],
    exchange_rates: Mapping[str, str],
    tier_since: dt.date,
) -> tuple[str, ...]:
    """Tell a kickback: each deal of the quarter, what they qualify as against the minimum, the tier's rate, the amount."""
    base = settled.base_currency
    told = []
    for deal in deals:
        qualifies = f"{format_amount(deal.qualifying, base)}"
        if deal.currency != base:
            qualifies = f"{format_amount(deal.net, deal.currency)} × {exchange_rates[deal.currency]} = {qualifies}"
        told.append(
            f"Deal {deal.deal_id} ({_reference(deal.source_ref)}), closed on {deal.closed_on}:"
            f" {format_amount(deal.net, deal.currency)}{'' if deal.whole else ' left of it'}"
            f" under programme {settled.programme} qualifies as {qualifies}."
        )
    qualifying, minimum = settled.qualifying[line.scheme], settled.minimum[line.scheme]
    reached = "reaches" if qualifying >= minimum else "stays below"
    told.append(
        f"The quarter's qualifying revenue, {format_amount(qualifying, base)}, {reached} the minimum of"
        f" {format_amount(minimum, base)} of scheme {line.scheme}."
    )
    cause = {
        "time": f"settled on {settled.settled_on}, the first day of the next quarter",
        "sale": f"settled again at once for the late deal {settled.cause_id}",
        "reversal": f"settled again at once for the reversal {settled.cause_id}",
    }[settled.cause]
    told.append(
        f"The tier on the quarter's last day is {line.tier}, since {tier_since}, at {rate(line.rate_bp)}; {cause}:"
        f" {calculation(line)}."
    )
    return tuple(told)


def _earned_by(line: e.Line) -> str:
    if line.loyalty_years is None:
        return f"{line.tier}, held since {line.tier_since}"
    return f"{line.loyalty_years} full years of loyalty"


def _reference(source_ref: str | None) -> str:
    return f"source {source_ref}" if source_ref else "no source reference"
