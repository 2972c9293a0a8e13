"""Enrolment: into an automatic tier of the programme in force (rules.md, Programmes and Loyalty)."""

import datetime as dt

from domain import events as e
from domain.decisions.time import decide_due
from domain.errors import InvalidInput, Refused
from domain.facts import (
    EnrolPartner,
)
from domain.money import currency_digits
from domain.programme import is_country
from domain.standing import Standing
from domain.terms import Programmes, Terms, TierTerms


def enrolment_tier(fact: EnrolPartner, programmes: Programmes) -> tuple[Terms, TierTerms]:
    """Give the programme and tier that a partner is enrolled into: without a tier, the lowest.

    Raises:
        Refused: no programme is in force, it has no such tier, or only the board gives it.

    """
    terms = programmes.required(fact.enrolled_on)
    if fact.tier is None:
        return terms, terms.lowest
    tier = terms.tier_by_code.get(fact.tier)
    if tier is None:
        raise Refused(
            f"Programme {terms.code!r}, in force on {fact.enrolled_on}, has no tier {fact.tier!r};"
            f" its tiers are {', '.join(terms.tier_by_code)}."
        )
    if tier.awarded:
        raise Refused(f"Nobody is enrolled into {fact.tier!r}: programme {terms.code!r} has it awarded by the board.")
    return terms, tier


def enrol(fact: EnrolPartner, programmes: Programmes, ledger_date: dt.date | None) -> tuple[Standing, list[e.Event]]:
    """Enrol a partner, and decide what time has done since, up to the ledger's date.

    Raises:
        Refused, InvalidInput: the country, currency, tier or date cannot be.

    """
    if not is_country(fact.country):
        raise InvalidInput(f"Country {fact.country!r} is not an ISO 3166-1 code of two letters.")
    currency_digits(fact.currency)
    terms, tier = enrolment_tier(fact, programmes)
    enrolled = e.PartnerEnrolled(
        partner_id=fact.partner_id,
        name=fact.name,
        country=fact.country,
        currency=fact.currency,
        enrolled_on=fact.enrolled_on,
        tier=tier.code,
        programme=terms.code,
    )
    standing = Standing(enrolled)
    due = decide_due(standing, programmes, ledger_date) if ledger_date and ledger_date > fact.enrolled_on else []
    return standing, [enrolled, *due]
