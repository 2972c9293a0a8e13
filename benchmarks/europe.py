"""The demo's network in up to thirty countries, every partner with thirty-five times as many deals: ten million facts and more.

All is the demo's own generator (`infra.demo`). A partner's deals are those of thirty-five seeds, each a thirty-fifth as large:
so its revenue, the ceilings and milestones of it, and with them its tiers are much like in the demo. Facts come in the order in
which an import takes them, the decisions among them are the ledger's own. `write_europe` writes the same as a feed folder:

    uv run --group bench python -m benchmarks.europe FOLDER [FACTS]
"""

import datetime as dt
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from domain import events as e
from domain.aggregates import LedgerEvent
from domain.deal import Deal as RecordedDeal
from domain.deal import deal_from
from domain.deciding import Deciding, InMemory
from domain.errors import Refused
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    Fact,
    RecordSale,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
    fact_of_values,
)
from domain.streams import LEDGER, PROGRAMMES
from domain.terms import Programmes
from infra.demo.crowd import all_partners
from infra.demo.deals import ROUNDING, Deal, partner_deals
from infra.demo.network import BOARD, CURRENCY, RANDOM_SEED, write_feeds
from infra.demo.partners import LAST_DAY, Partner, Reversal
from infra.demo.trainings import Training, partner_trainings

COUNTRIES = (
    *("CH", "DE", "AT", "FR", "IT", "ES", "PT", "NL", "BE", "LU", "GB", "IE", "DK", "SE", "NO"),
    *("FI", "IS", "PL", "CZ", "SK", "HU", "RO", "BG", "GR", "HR", "SI", "EE", "LV", "LT", "MT"),
)
SHARES = 35
"""So many deals a partner closes for each of the demo's, each of them so much smaller."""
FACTS_OF_A_COUNTRY = 333_180
"""Of the first one; where fewer are wanted, so many fewer partners are taken, from all ranks."""
SMALLEST = ROUNDING


class Network(NamedTuple):
    """The partners of a country and all that they do."""

    partners: Sequence[Partner]
    deals: Sequence[Deal]
    trainings: Sequence[Training]

    @property
    def facts(self) -> int:
        """How many facts these are; reversals, revocations, memberships and awards are few and not counted."""
        return len(self.partners) + len(self.deals) + len(self.trainings)


def networks(facts: int) -> Iterator[Network]:
    """Give countries one after the other until there are so many facts or no country is left, whole partners always."""
    for number, country in enumerate(COUNTRIES):
        if facts <= 0:
            return
        network = _network(country, RANDOM_SEED + number, facts)
        facts -= network.facts
        yield network


def _network(country: str, seed: int, facts: int) -> Network:
    partners: list[Partner] = []
    deals: list[Deal] = []
    trainings: list[Training] = []
    for number, partner in list(enumerate(all_partners(seed), 1))[:: max(1, FACTS_OF_A_COUNTRY // facts)]:
        one = replace(partner, country=country, partner_id=f"{country}-{number:04}")
        partners.append(one)
        for share in range(SHARES):
            deals += [_share(deal) for deal in partner_deals(one, seed + 1000 * share)]
        trainings += partner_trainings(one, seed)
        if len(partners) + len(deals) + len(trainings) >= facts:
            break
    deals.sort(key=lambda deal: (deal.closed_on, deal.partner_id))
    for number, deal in enumerate(deals, 1):
        deal.deal_id = f"D-{country}-{number:06}"
    for number, training in enumerate(trainings, 1):
        training.completion_id = f"T-{country}-{number:04}"
    return Network(partners, deals, trainings)


def _share(deal: Deal) -> Deal:
    deal.amount = _part(deal.amount)
    reversal = deal.reversal
    if reversal is not None and reversal.minor is not None:
        deal.reversal = Reversal(reversal.on, _part(reversal.minor), reversal.reason)
    return deal


def _part(minor: int) -> int:
    part = minor // SHARES
    return max(SMALLEST, part - part % ROUNDING)


# --- as a feed folder ---


def write_europe(folder: Path, facts: int) -> None:
    """Write so many facts as a feed folder, a country's after the other's."""
    made = list(networks(facts))
    write_feeds(
        folder,
        [partner for each in made for partner in each.partners],
        chain.from_iterable(each.deals for each in made),
        [training for each in made for training in each.trainings],
    )


# --- recorded ---


class _Told(NamedTuple):
    fact: Fact
    partner_id: str
    person: str = ""


def recorded(facts: int, programmes: Programmes) -> Iterator[tuple[str, e.Event]]:
    """Give all events of so many facts, stream and event in the order recorded: the programmes, the facts, and what they lead to.

    Raises:
        Refused: a fact that the rules refuse; here are none.

    """
    for terms in programmes.versions:
        version = terms.programme
        content = version.content()
        published = e.ProgrammePublished(
            programme=version.programme, effective_from=version.effective_from, content=content
        )
        yield PROGRAMMES, published
    days: defaultdict[dt.date, list[Deal]] = defaultdict(list)
    others: defaultdict[dt.date, list[_Told]] = defaultdict(list)
    enrolments: list[_Told] = []
    for network in networks(facts):
        _sort_in(network, days, others, enrolments)
    deciding = _Deciding(
        programmes, {deal.deal_id for deals in days.values() for deal in deals if deal.reversal is not None}
    )
    for told in sorted(enrolments, key=lambda each: each.fact.business_date):
        yield from deciding.decided(told)
    for day in sorted(days.keys() | others.keys()):
        before, after = _around_sales(others.pop(day, ()))
        for told in chain(before, map(_sale, days.pop(day, ())), after):
            yield from deciding.decided(told)
    yield LEDGER, e.LedgerAdvanced(to=LAST_DAY)
    yield from deciding.due(LAST_DAY)


_RANKS: dict[type[Fact], int] = {
    ChangeMembership: 0,
    RecordTraining: 1,
    RevokeCertificate: 2,
    RecordSale: 3,
    ReverseSale: 4,
    AwardTier: 5,
}
"""The order of the facts of a day, as an import has it."""


def _around_sales(others: Sequence[_Told]) -> tuple[list[_Told], list[_Told]]:
    ordered = sorted(others, key=lambda told: _RANKS[type(told.fact)])
    first = sum(_RANKS[type(told.fact)] < _RANKS[RecordSale] for told in ordered)
    return ordered[:first], ordered[first:]


def _sale(deal: Deal) -> _Told:
    values = {
        "deal_id": deal.deal_id,
        "partner_id": deal.partner_id,
        "closed_on": deal.closed_on,
        "family": deal.family,
        "amount": _amount(deal.amount),
        "currency": deal.currency,
        "source_ref": f"ERP {deal.deal_id}",
    }
    return _Told(fact_of_values(RecordSale, values), deal.partner_id)


def _amount(minor: int) -> Decimal:
    return Decimal(minor).scaleb(-2)


def _sort_in(
    network: Network,
    days: dict[dt.date, list[Deal]],
    others: dict[dt.date, list[_Told]],
    enrolments: list[_Told],
) -> None:
    """Sort a country's facts in by their dates: sales as they are, all others made."""

    def add(fact: Fact, partner_id: str, person: str = "") -> None:
        others[fact.business_date].append(_Told(fact, partner_id, person))

    for deal in network.deals:
        days[deal.closed_on].append(deal)
        back = deal.reversal
        if back is not None:
            amount = None if back.minor is None else _amount(back.minor)
            fact = ReverseSale(
                reversal_id=f"R-{deal.deal_id}",
                deal_id=deal.deal_id,
                reversed_on=back.on,
                amount=amount,
                reason=back.reason,
            )
            add(fact, deal.partner_id)
    for training in network.trainings:
        who, completion_id = training.partner_id, training.completion_id
        training_told = RecordTraining(
            completion_id=completion_id,
            partner_id=who,
            person_id=training.person_id,
            course=training.course,
            completed_on=training.completed_on,
        )
        add(training_told, who, training.person_id)
        revoked = training.revocation
        if revoked is not None:
            add(RevokeCertificate(completion_id=completion_id, revoked_on=revoked.on, reason=revoked.reason), who)
    for partner in network.partners:
        who = partner.partner_id
        enrolled = EnrolPartner(
            partner_id=who,
            name=partner.name,
            country=partner.country,
            currency=CURRENCY,
            enrolled_on=partner.enrolled_on,
            tier=partner.tier or None,
        )
        enrolments.append(_Told(enrolled, who))
        for each in partner.memberships:
            change = {"partner_id": who, "change": each.change, "on": each.on, "reason": each.reason}
            add(ChangeMembership.model_validate(change), who)
        award = partner.award
        if award is not None:
            told = {"partner_id": who, "tier": "platinum", "awarded_on": award.on, "awarded_by": BOARD}
            add(AwardTier.model_validate({**told, "reason": award.reason}), who)


class _Deciding(InMemory):
    """Decides one fact after the other, as recording does: port `domain.deciding.AtHand`."""

    def __init__(self, programmes: Programmes, reversed_deals: set[str]) -> None:
        super().__init__("There is no partner {}.")
        self._deciding = Deciding(self, programmes, None)
        self._reversed_deals = reversed_deals
        self._deals: dict[str, RecordedDeal] = {}

    def deal(self, deal_id: str) -> RecordedDeal:
        """Give a deal that is taken back."""
        return self._deals[deal_id]

    def note_sold(self, deal_id: str, events: Sequence[e.Event]) -> None:
        """Keep a deal that is taken back later."""
        if deal_id in self._reversed_deals:
            self._deals[deal_id] = deal_from(events)

    def decided(self, told: _Told) -> Iterator[tuple[str, e.Event]]:
        """Decide a fact; give the events."""
        try:
            self._deciding.decide(told.fact, told.partner_id, "benchmark", told.person)
        except Refused:
            if not isinstance(
                told.fact, AwardTier
            ):  # the sixth Platinum of the demo's story, for which no seat is free
                raise
        return self._taken()

    def due(self, through: dt.date) -> Iterator[tuple[str, e.Event]]:
        """Decide what is due by a date; give the events."""
        for partner in self.partners.values():
            self._deciding.decide_due(partner, through, "benchmark")
            yield from self._taken()

    def _taken(self) -> Iterator[tuple[str, e.Event]]:
        events: list[LedgerEvent] = self._deciding.events
        taken = [(each.originator_id, each.event) for each in events]
        events.clear()
        return iter(taken)


if __name__ == "__main__":
    write_europe(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000)
