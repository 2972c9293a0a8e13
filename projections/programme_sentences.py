"""A programme version in words, and what differs between two of them."""

from decimal import Decimal

from domain.money import format_amount
from domain.programme import InstantScheme, KickbackScheme, Programme, Tier
from projections.explanation import rate
from projections.sentences import counted

_SUCCESSION = "succession"


def programme_changes(before: Programme, after: Programme) -> list[tuple[str | None, str | None]]:
    """Give what differs between two programmes: each as it is said of the one and of the other, None where it is not said."""
    old, new = programme_sentences(before), programme_sentences(after)
    old.pop(_SUCCESSION, None)  # it tells of a version before both
    changes = [(old.get(key), new.get(key)) for key in [*old, *(k for k in new if k not in old)]]
    return [(was, now) for was, now in changes if was != now]


def programme_sentences(version: Programme) -> dict[str, str]:
    """Give a programme as sentences, by what each is about, so that two programmes can be set side by side."""
    base = version.base_currency
    rates = ", ".join(f"{currency} {rate_}" for currency, rate_ in version.exchange_rates.items())
    facts = {
        "version": f"{version.title}, in force from {version.effective_from}.",
        "currencies": f"Revenue is counted in {base}; one unit is worth: {rates}.",
        "window": f"Revenue of the last {version.window_months} months counts.",
        "families": f"Families: {', '.join(version.families)}.",
    }
    for tier in version.tiers:
        facts[f"tier {tier.code}"] = _tier(tier, base)
    renamed = [tier for tier in version.tiers if tier.succeeds not in (None, tier.code)]
    continued = [f"{tier.code} continues {tier.succeeds}" for tier in renamed]
    if continued:
        facts[_SUCCESSION] = f"Of the version before: {', '.join(continued)}."
    review = version.review
    facts["review"] = (
        f"Review each {review.date} (month-day): {review.grace} missed in a row forgiven,"
        f" a new tier protected for {review.protect_months} months."
    )
    for s in version.specialisations:
        facts[f"specialisation {s.code}"] = (
            f"Specialisation {s.code} ({s.name}): {s.people} people for each of {', '.join(s.courses)},"
            f" valid for {s.valid_months} months."
        )
    for scheme in version.bonuses:
        facts[f"bonus {scheme.code}"] = _scheme(scheme, base)
    return facts


def _tier(tier: Tier, base: str) -> str:
    needs: list[str] = []
    if Decimal(tier.requires.revenue):
        needs.append(f"{format_amount(Decimal(tier.requires.revenue), base)} revenue")
    if tier.requires.specialisations:
        needs.append(counted(tier.requires.specialisations, "specialisation"))
    text = f"Tier {tier.code} ({tier.name}): {' and '.join(needs) or 'no requirement'}"
    if tier.awarded:
        text += ", awarded by the board"
    if tier.seats:
        text += f", seats: {', '.join(f'{country} {seats}' for country, seats in tier.seats.items())}"
    return f"{text}."


def _scheme(scheme: InstantScheme | KickbackScheme, base: str) -> str:
    families = "all families" if scheme.families == "all" else ", ".join(scheme.families)
    if isinstance(scheme, KickbackScheme):
        minimum = (
            f", from {format_amount(Decimal(scheme.minimum), base)} qualifying revenue"
            if Decimal(scheme.minimum)
            else ""
        )
        return f"Bonus {scheme.code} settled each quarter on {families}{minimum}: {_rates(scheme.rate_bp)}."
    needs = f", with specialisation {scheme.specialisation}" if scheme.specialisation else ""
    if scheme.rate_bp is not None:
        return f"Bonus {scheme.code} as the deal closes on {families}{needs}: {_rates(scheme.rate_bp)}."
    steps = ", ".join(f"{rate(bp)} from {years} full years" for years, bp in sorted((scheme.loyalty_bp or {}).items()))
    return f"Bonus {scheme.code} for loyalty on {families}{needs}: {steps}."


def _rates(rate_bp: dict[str, int]) -> str:
    return ", ".join(f"{tier} {rate(bp)}" for tier, bp in rate_bp.items())
