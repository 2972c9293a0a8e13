"""The demo's network, run through the decision function in memory: what the rules make of it is the story."""

import csv
import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import pytest

from domain import events as e
from domain.aggregates import PartnerAggregate, RosterAggregate
from domain.batch import Batch, Telling, roster_of
from domain.deal import Deal
from domain.facts import FACT_TYPES
from domain.programme import programme_from_content
from domain.recording import Head, Identity, LookUp
from domain.streams import partner_id_of, partner_stream
from domain.terms import Programmes
from infra.demo.network import NetworkSummary, write_network
from producers.feeds import FeedFolder
from projections.what_if_result import fold_here
from projections.what_if_rules import Rules, ledgers_own
from projections.what_if_tally import Tally
from tests.projections.recorded_facts import HeldFacts, answer

SHA_256 = "092b9d8345917ce6b5f3a9223b3f66662297db5d50bff64654d31d19bedf3754"
"""Of the feeds of the default seed. It changes when the story is changed on purpose, and never by itself."""
CHANGE = dt.date(2011, 10, 1)
REWARDED_AT_ONCE = dt.date(2012, 1, 1)
LAST_DAY = dt.date(2013, 12, 31)

E = TypeVar("E", bound=e.Event)


class EmptyShelf:
    """A store that holds nothing: all that the batch needs was told to it before."""

    def partner(self, partner_id: str) -> PartnerAggregate | None:
        return None

    def roster(self, country: str) -> RosterAggregate:
        return roster_of(country)

    def deal(self, deal_id: str) -> Deal:
        raise LookupError(deal_id)

    def recorded_fact(self, identity: Identity) -> e.Event:
        raise LookupError(identity)

    def is_known_pseudonym(self, pseudonym: str) -> bool:
        return False


@dataclass
class History:
    """What the ledger makes of the network: its events, and the rows that it refuses."""

    summary: NetworkSummary
    folder: Path
    events: list[tuple[str, e.Event]]
    refused: list[tuple[str, int, str]]

    def of(self, kind: type[E], partner_id: str | None = None) -> list[E]:
        """Give the events of a type, of one partner or all."""
        stream = None if partner_id is None else partner_stream(partner_id)
        return [event for at, event in self.events if isinstance(event, kind) and stream in (None, at)]

    def changes(self, partner_id: str) -> list[tuple[str, str, str]]:
        """Give a partner's tier changes as (reason, from, to)."""
        return [(c.reason, c.from_tier, c.to_tier) for c in self.of(e.TierChanged, partner_id)]

    def holders(self, on: dt.date) -> dict[str, str]:
        """Give the tier that each partner holds at the end of a day; an ended one holds none."""
        held: dict[str, str] = {}
        for stream, event in self.events:
            if event.business_date <= on:
                if isinstance(event, e.PartnerEnrolled):
                    held[stream] = event.tier
                elif isinstance(event, e.TierChanged):
                    held[stream] = event.to_tier
                elif isinstance(event, e.MembershipEnded):
                    del held[stream]
        return held

    def lines(self, partner_id: str) -> list[tuple[dt.date, e.Line]]:
        """Give a partner's instant lines with the date of their deal."""
        return [(a.closed_on, line) for a in self.of(e.BonusAccrued, partner_id) for line in a.lines]


def _import(folder: Path, summary: NetworkSummary) -> History:
    """Import the folder as the ledger does, and advance it to the last day, which is also today."""
    rows = sorted(FeedFolder(folder).rows(), key=lambda row: (row.phase, row.date or dt.date.max, row.rank))
    programmes = Programmes([programme_from_content(json.loads(r.content)) for r in rows if r.kind == "programme"])
    now = dt.datetime(2013, 12, 31, 12, tzinfo=dt.UTC)
    head = Head(0, now, "test", 3, None, None, LAST_DAY)
    pseudonyms = (f"person-{n}" for n in range(10_000))
    batch = Batch(EmptyShelf(), programmes, LookUp(head, {}, {}), lambda: next(pseudonyms))
    refused = []
    for row in rows:
        if row.kind == "programme":
            continue
        assert row.reason is None, row
        outcome = batch.tell(Telling(FACT_TYPES[row.kind].model_validate_json(row.content), "import"))
        if outcome.kind != "recorded":
            refused.append((row.file, row.line, outcome.reason))
    for aggregate in batch.touched:
        if isinstance(aggregate, PartnerAggregate):
            batch.decide_due(aggregate, LAST_DAY, "advance")
    return History(summary, folder, [(event.originator_id, event.event) for event in batch.events], refused)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("network") / "feeds"
    return _import(folder, write_network(folder))


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.csv")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _total(lines: Sequence[e.Line]) -> Decimal:
    return sum((line.amount for line in lines), Decimal(0))


# --- the feeds --------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_on_every_machine(history: History, tmp_path: Path) -> None:
    """The feeds of the default seed are known by their digest; written over an older network they are the same."""
    write_network(tmp_path, seed=7)
    assert _digest(tmp_path) != SHA_256
    assert write_network(tmp_path) == history.summary
    assert _digest(tmp_path) == _digest(history.folder) == SHA_256


def test_the_network_has_the_size_that_the_summary_says(history: History) -> None:
    """600 partners, 8,000 to 10,000 deals, about 900 trainings, each of them recorded."""
    summary = history.summary
    recorded = [len(history.of(kind)) for kind in (e.PartnerEnrolled, e.SaleRecorded, e.TrainingCompleted)]
    assert recorded == [summary.partners, summary.deals, summary.trainings]
    assert summary.partners == 600
    assert 8_000 <= summary.deals <= 10_000
    assert 850 <= summary.trainings <= 950


def test_partners_are_swiss_with_names_of_their_own(history: History) -> None:
    """Enrolled in the five years of Affinity, most of them early, nearly all into its lowest tier."""
    partners = _rows(history.folder, "partners")
    assert {(p["country"], p["currency"]) for p in partners} == {("CH", "CHF")}
    assert len({p["name"] for p in partners}) == len(partners)
    enrolled = Counter(p["enrolled_on"][:4] for p in partners)
    assert min(p["enrolled_on"] for p in partners) >= "2006-10-01"
    assert max(p["enrolled_on"] for p in partners) <= "2011-09-30"
    assert enrolled["2007"] > enrolled["2008"] > enrolled["2009"] > enrolled["2010"] > enrolled["2011"] > 0
    assert sum(1 for p in partners if p["tier"]) <= 3


def test_deals_are_mostly_in_francs_and_peak_at_year_end(history: History) -> None:
    """Sizes are log-normal: the mean lies well above the median; all end by the last day."""
    sales = _rows(history.folder, "sales")
    assert max(sale["closed_on"] for sale in sales) <= "2013-12-31"
    by_currency = Counter(sale["currency"] for sale in sales)
    assert set(by_currency) == {"CHF", "EUR"}
    assert 0.03 < by_currency["EUR"] / len(sales) < 0.15
    by_month = Counter(sale["closed_on"][5:7] for sale in sales)
    assert by_month.most_common(1)[0][0] == "12"
    assert by_month["12"] > 1.3 * len(sales) / 12
    amounts = sorted(Decimal(sale["amount"]) for sale in sales)
    assert 2 * sum(amounts) > 3 * len(amounts) * amounts[len(amounts) // 2]


# --- the rules decide -------------------------------------------------------------------------------------------------


def test_the_change_finds_14_gold_25_silver_and_561_bronze(history: History) -> None:
    """On 2011-10-01 Affinity has become the new programme, by migration and by promotion on that day."""
    assert Counter(history.holders(CHANGE).values()) == {"gold": 14, "silver": 25, "bronze": 561}
    on_the_day = Counter(c.reason for c in history.of(e.TierChanged) if c.effective_on == CHANGE)
    assert on_the_day == {"migration": 600, "promotion": 6}
    before = Counter(history.holders(CHANGE - dt.timedelta(days=1)).values())
    assert before == {"affinity-one": 12, "affinity-plus": 23, "affinity": 565}


def test_only_the_sixth_platinum_award_is_refused(history: History) -> None:
    """All else is accepted; the reason is the seat, and names who holds the five."""
    awards = _rows(history.folder, "awards")
    assert len(awards) == 6
    assert awards[5]["partner_id"] == history.summary.refused_award
    [(file, line, reason)] = history.refused
    assert (file, line) == ("awards.csv", 7)
    assert reason.startswith("No seat is free for platinum in CH on 2012-11-22: 5 in all")
    assert all(holder in reason for holder in history.summary.platinum)


def test_five_partners_hold_platinum_from_2012_on(history: History) -> None:
    """The board's awards succeed for five, and all of them hold it to the end."""
    awards = [(c.effective_on.year, c.from_tier) for c in history.of(e.TierChanged) if c.reason == "award"]
    assert awards == [(2012, "gold")] * 5
    platinum = {partner_stream(partner) for partner in history.summary.platinum}
    assert len(platinum) == len(history.of(e.SeatTaken)) == 5
    assert {p for p, tier in history.holders(LAST_DAY).items() if tier == "platinum"} == platinum
    assert history.of(e.SeatFreed) == []


def test_the_sixth_candidate_meets_what_platinum_requires(history: History) -> None:
    """Its deals of the twelve months before, and its specialisations, are enough, so the seat alone is the reason."""
    who, on = history.summary.refused_award, dt.date(2012, 11, 22)
    sales = history.of(e.SaleRecorded, who)
    assert history.of(e.SaleReversed, who) == []
    revenue = sum(s.qualifying for s in sales if dt.date(2011, 11, 22) < s.closed_on <= on)
    assert revenue >= 750_000
    held = {s.specialisation for s in history.of(e.SpecialisationAwarded, who) if s.effective_on <= on}
    lapsed = {s.specialisation for s in history.of(e.SpecialisationLapsed, who)}
    assert len(held - lapsed) >= 2
    assert history.holders(LAST_DAY)[partner_stream(who)] == "gold"


def test_kickback_gives_way_to_deals_rewarded_at_once(history: History) -> None:
    """Quarters are settled up to 2011; from 2012-01-01 bonuses are accrued as a deal closes."""
    settled = [k.quarter for k in history.of(e.KickbackSettled)]
    assert min(settled).year <= 2007
    assert max(settled) == CHANGE
    accrued = [accrual.closed_on for accrual in history.of(e.BonusAccrued)]
    assert REWARDED_AT_ONCE < min(accrued) <= dt.date(2012, 1, 6)


def test_the_protagonist_sees_nearly_everything(history: History) -> None:
    """From Affinity to Platinum by its own deals, with bonuses of each kind and clawbacks."""
    who = history.summary.protagonist
    assert history.changes(who) == [
        ("promotion", "affinity", "affinity-plus"),
        ("promotion", "affinity-plus", "affinity-one"),
        ("migration", "affinity-one", "gold"),
        ("award", "gold", "platinum"),
    ]
    kickbacks = history.of(e.KickbackSettled, who)
    assert {k.cause for k in kickbacks} == {"time", "reversal"}
    assert all(_total(k.lines) < 0 for k in kickbacks if k.cause == "reversal")
    assert {line.tier for k in kickbacks for line in k.lines} == {"affinity", "affinity-plus", "affinity-one", "gold"}
    lines = history.lines(who)
    assert {(line.scheme, line.tier) for _, line in lines} == {
        (scheme, tier) for scheme in ("deal", "virtualisation", "loyalty") for tier in ("gold", "platinum")
    }
    [partial] = [r for r in history.of(e.SaleReversed, who) if r.reversed_on.year == 2013]
    assert not partial.whole
    assert partial.net > 0
    assert [_total(c.lines) < 0 for c in history.of(e.BonusClawedBack, who)] == [True, True]


def test_loyalty_pays_more_after_five_years_than_after_three(history: History) -> None:
    """The protagonist's fifth year is complete on 2012-09-03."""
    who = history.summary.protagonist
    rates = {(on >= dt.date(2012, 9, 3), line.rate_bp) for on, line in history.lines(who) if line.scheme == "loyalty"}
    assert rates == {(False, 25), (True, 50)}


def test_a_lapsed_certificate_takes_a_specialisation_and_its_bonus_with_it(history: History) -> None:
    """One of two people does not renew; virtualisation deals earn the line before, and none after."""
    who = history.summary.lapsed_specialisation
    [lapse] = history.of(e.SpecialisationLapsed, who)
    assert (lapse.specialisation, lapse.by_fact) == ("virtualisation", False)
    assert min(len(course.completions) for course in lapse.evidence) == 1
    rewarded = [on for on, line in history.lines(who) if line.scheme == "virtualisation"]
    assert rewarded
    assert max(rewarded) < lapse.effective_on
    families = {s.family for s in history.of(e.SaleRecorded, who) if s.closed_on >= lapse.effective_on}
    assert families & {"virtualisation", "cloud"}


def test_a_renewed_certificate_keeps_the_specialisation(history: History) -> None:
    """The protagonist's first certificates expire in March 2013, and virtualisation is held to the end."""
    who = history.summary.protagonist
    assert history.of(e.SpecialisationLapsed, who) == []
    [virtualisation] = [s for s in history.of(e.SpecialisationAwarded, who) if s.specialisation == "virtualisation"]
    trainings = [t for t in history.of(e.TrainingCompleted, who) if t.course == "VS-101"]
    first_round = {t.person for t in trainings if t.completed_on <= virtualisation.effective_on}
    second_round = {t.person for t in trainings if t.completed_on.year == 2013}
    assert first_round == second_round
    assert len(first_round) == 3


def test_a_reversal_withdraws_a_promotion(history: History) -> None:
    """A deal booked twice brought Silver; taken back, it takes Silver back with it."""
    who = history.summary.withdrawn_promotion
    promotion, withdrawal = history.of(e.TierChanged, who)[-2:]
    assert (promotion.reason, promotion.to_tier) == ("promotion", "silver")
    assert (withdrawal.reason, withdrawal.to_tier, withdrawal.withdrawn) == ("withdrawal", "bronze", 1)
    [reversal] = history.of(e.SaleReversed, who)
    assert reversal.whole
    assert reversal.reversed_on == withdrawal.effective_on


def test_a_second_missed_review_demotes(history: History) -> None:
    """Gold is missed in 2012, which is forgiven, and again in 2013, which is not."""
    who = history.summary.demoted
    missed = [(m.reviewed_on, m.missed) for m in history.of(e.ReviewMissed, who)]
    assert missed == [(dt.date(2012, 3, 31), 1), (dt.date(2013, 3, 31), 2)]
    demotion = history.of(e.TierChanged, who)[-1]
    assert (demotion.reason, demotion.from_tier, demotion.effective_on) == ("demotion", "gold", missed[1][0])


def test_a_suspension_earns_nothing_until_resumed(history: History) -> None:
    """A deal closed meanwhile is recorded and does not earn; those after the resumption do."""
    who = history.summary.suspended
    [suspended], [resumed] = history.of(e.MembershipSuspended, who), history.of(e.MembershipResumed, who)
    earning = {
        (suspended.effective_on <= s.closed_on < resumed.effective_on, s.earning)
        for s in history.of(e.SaleRecorded, who)
    }
    assert earning == {(True, False), (False, True)}
    assert max(on for on, _ in history.lines(who)) > resumed.effective_on


def test_a_membership_ends_and_a_later_reversal_still_counts(history: History) -> None:
    """After the end no deals are told, and a reversal claws back."""
    who = history.summary.ended
    [end] = history.of(e.MembershipEnded, who)
    assert end.effective_on > CHANGE
    assert all(s.closed_on < end.effective_on for s in history.of(e.SaleRecorded, who))
    assert [c.posting_date > end.effective_on for c in history.of(e.BonusClawedBack, who)] == [True]
    assert partner_stream(who) not in history.holders(LAST_DAY)


def test_a_revocation_takes_a_specialisation(history: History) -> None:
    """A certificate is revoked, and on that day the specialisation that needed it lapses by this fact."""
    who = history.summary.revoked_certificate
    [revoked] = history.of(e.CertificateRevoked, who)
    lapse = history.of(e.SpecialisationLapsed, who)[0]
    assert (lapse.specialisation, lapse.by_fact, lapse.effective_on) == ("endpoint", True, revoked.revoked_on)


def test_decided_anew_under_the_same_programmes_the_network_is_what_it_was(history: History) -> None:
    """A what-if of nothing refuses no fact, and each partner comes to what its recorded events add up to."""
    rows = [row for row in FeedFolder(history.folder).rows() if row.kind == "programme"]
    versions = tuple(programme_from_content(json.loads(row.content)) for row in rows)
    own = [
        e.ProgrammePublished(programme=v.programme, effective_from=v.effective_from, content=v.content())
        for v in versions
    ]
    events = [*(("programmes", each) for each in own), *history.events, ("ledger", e.LedgerAdvanced(to=LAST_DAY))]
    facts = HeldFacts(
        (at, stream, type(each).__name__, 1, e.encode(each)) for at, (stream, each) in enumerate(events, 1)
    )
    rules = Rules(ledgers_own(facts.ledgers_own()), versions, LAST_DAY)
    (result,) = fold_here(facts, [rules]).results()
    assert result.refused == []
    recorded: dict[str, Tally] = {}
    for at, (stream, event) in enumerate(events, 1):
        partner = partner_id_of(stream)
        if partner is not None:
            recorded.setdefault(partner, Tally(partner, rules)).take(at, [event])
    assert len(recorded) == len(result.outcomes)
    for partner, tally in recorded.items():
        was, is_ = tally.outcome(), result.outcomes[partner]
        assert was.standing is not None
        assert is_.standing is not None
        assert (answer(was.standing), was.bonuses, was.evidence) == (answer(is_.standing), is_.bonuses, is_.evidence)
