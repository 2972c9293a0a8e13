"""One event of each type, with every field told: what is pinned byte for byte in `envelopes/`. Add, never edit."""

import datetime as dt
from decimal import Decimal

from domain import events as e
from domain.envelope import EventRow
from domain.streams import LEDGER, PROGRAMMES, partner_stream, roster_stream
from tests.domain import programmes as p
from tests.domain.history import day

EVIDENCE = e.TierEvidence(
    tier="silver",
    required_revenue=Decimal("50000.00"),
    required_specialisations=1,
    revenue=Decimal("63700.00"),
    base_currency="EUR",
    window_first_day=day("2011-02-11"),
    window_last_day=day("2012-02-10"),
    specialisations=("cloud", "virtualisation"),
    met=True,
)
COURSES = (e.CourseEvidence(course="VS-101", required_people=2, completions=("C-1", "C-2")),)
LINE = e.Line(
    scheme="loyalty",
    amount=Decimal("175.00"),
    currency="CHF",
    basis=Decimal("70000.00"),
    rate_bp=25,
    before=Decimal("0.00"),
    tier="bronze",
    tier_since=day("2011-10-01"),
    specialisation="cloud",
    loyalty_years=3,
)

SAMPLES: tuple[e.Event, ...] = (
    e.ProgrammePublished(programme="small-2012", effective_from=day("2012-01-01"), content=p.small().content()),
    e.LedgerAdvanced(to=day("2012-03-31")),
    e.PartnerEnrolled(
        partner_id="CH-0001",
        name='Zwölf "Gipfel" AG\u2028',
        country="CH",
        currency="CHF",
        enrolled_on=day("2008-03-01"),
        tier="affinity",
        programme="affinity-2006",
    ),
    e.MembershipSuspended(on=day("2012-02-01"), effective_on=day("2012-02-03"), reason="unpaid"),
    e.MembershipResumed(on=day("2012-02-05"), effective_on=day("2012-02-05"), reason=None),
    e.MembershipEnded(
        on=day("2012-02-06"),
        effective_on=day("2012-02-06"),
        country="CH",
        tier="silver",
        programme="partner-2012",
        reason="merged",
    ),
    e.TrainingCompleted(
        completion_id="C-1",
        person="5b6f0a6e",
        course="VS-101",
        completed_on=day("2011-11-15"),
        clock=day("2012-01-01"),
    ),
    e.CertificateRevoked(completion_id="C-1", revoked_on=day("2012-01-02"), clock=day("2012-01-02"), reason="error"),
    e.SaleRecorded(
        deal_id="D2",
        closed_on=day("2012-02-10"),
        family="virtualisation",
        amount=Decimal("70000.00"),
        currency="CHF",
        earning=True,
        qualifying=Decimal("57400.00"),
        base_currency="EUR",
        programme="partner-2012",
        clock=day("2012-02-10"),
        source_ref="crm:2",
    ),
    e.SaleReversed(
        reversal_id="R1",
        deal_id="D2",
        reversed_on=day("2012-03-05"),
        amount=Decimal("10000.00"),
        whole=False,
        net=Decimal("60000.00"),
        currency="CHF",
        closed_on=day("2012-02-10"),
        family="virtualisation",
        earning=True,
        qualifying=Decimal("49200.00"),
        qualifying_change=Decimal("-8200.00"),
        base_currency="EUR",
        programme="partner-2012",
        clock=day("2012-03-05"),
        reason="some licences returned",
    ),
    e.TierAwarded(
        tier="platinum",
        awarded_on=day("2012-03-01"),
        effective_on=day("2012-03-05"),
        awarded_by="board",
        reason="merit",
    ),
    e.ProgrammeEntered(
        programme="partner-2012", previous="partner-2011", effective_on=day("2012-01-01"), awarded=False
    ),
    e.SpecialisationAwarded(
        specialisation="virtualisation",
        effective_on=day("2012-01-02"),
        by_fact=True,
        programme="partner-2012",
        evidence=COURSES,
    ),
    e.SpecialisationLapsed(
        specialisation="virtualisation",
        effective_on=day("2014-01-02"),
        by_fact=False,
        programme="partner-2012",
        evidence=(),
    ),
    e.TierChanged(
        country="CH",
        from_tier="gold",
        to_tier="silver",
        to_awarded=False,
        reason="withdrawal",
        effective_on=day("2012-04-20"),
        by_fact=True,
        programme="partner-2012",
        evidence=EVIDENCE,
        rests_on_evidence=True,
        withdrawn=2,
        counts_from=day("2012-04-02"),
        reached_tier="bronze",
    ),
    e.ReviewPassed(
        reviewed_on=day("2013-03-31"), tier="silver", programme="partner-2012", evidence=EVIDENCE, by_fact=False
    ),
    e.ReviewMissed(
        reviewed_on=day("2014-03-31"),
        tier="silver",
        missed=2,
        grace=1,
        programme="partner-2012",
        evidence=EVIDENCE,
        by_fact=True,
    ),
    e.BonusAccrued(
        deal_id="D2",
        closed_on=day("2012-02-10"),
        posting_date=day("2012-02-11"),
        programme="partner-2012",
        lines=(LINE,),
    ),
    e.BonusClawedBack(
        reversal_id="R1",
        deal_id="D2",
        reversed_on=day("2012-03-05"),
        posting_date=day("2012-03-05"),
        programme="partner-2012",
        lines=(
            e.Line(
                scheme="deal",
                amount=Decimal("-150.00"),
                currency="CHF",
                basis=Decimal("60000.00"),
                rate_bp=150,
                before=Decimal("1050.00"),
                tier="bronze",
            ),
        ),
    ),
    e.KickbackSettled(
        quarter=day("2011-07-01"),
        settled_on=day("2011-10-01"),
        posting_date=day("2011-10-01"),
        cause="reversal",
        cause_id="R1",
        programme="affinity-2006",
        base_currency="EUR",
        qualifying={"kickback": Decimal("6300.00")},
        minimum={"kickback": Decimal("2500.00")},
        lines=(LINE,),
    ),
    e.SeatTaken(partner_id="CH-0001", tier="platinum", effective_on=day("2012-03-05")),
    e.SeatFreed(partner_id="CH-0001", tier="platinum", effective_on=day("2012-06-01")),
    e.RecordDropped(
        topic="partner-ledger.events",
        partition=3,
        offset=17,
        leaf_hash="ab" * 32,
        reason="forged",
        dropped_on=day("2012-06-02"),
    ),
)


def stream_of(event: e.Event) -> str:
    if isinstance(event, e.ProgrammePublished):
        return PROGRAMMES
    if isinstance(event, e.LedgerAdvanced | e.RecordDropped):
        return LEDGER
    if isinstance(event, e.SeatTaken | e.SeatFreed):
        return roster_stream("CH")
    return partner_stream("CH-0001")


def rows(envelope_version: int) -> list[EventRow]:
    """The samples as the store would hold them, at positions from 1."""
    return [
        EventRow(
            position=position,
            stream=stream_of(event),
            version=position,
            type=type(event).__name__,
            schema_version=event.SCHEMA_VERSION,
            business_date=event.business_date,
            recorded_at=dt.datetime(2026, 1, 1, 12, 0, position, 5, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            actor="ledger_app",
            command_id=f"import:0123456789ab:sales.csv:{position}",
            envelope_version=envelope_version,
            data=e.encode(event),
        )
        for position, event in enumerate(SAMPLES, start=1)
    ]
