"""Events told as sentences: what happened, and by which evidence, for an auditor, a partner or its manager."""

from decimal import Decimal

from domain import events as e
from domain.decisions.tiers import missing
from domain.money import format_amount
from domain.outlook import Outlook, SpecialisationOutlook

REASONS = {
    "promotion": "Promoted",
    "demotion": "Demoted",
    "migration": "Moved by the change of programme",
    "award": "Awarded",
}


def sentence(event: e.Event) -> str | None:
    """Tell one event of a partner's stream; None for a sale, which its bonuses tell of."""
    match event:
        case e.PartnerEnrolled():
            return f"Enrolled as {event.tier} under {event.programme}."
        case e.MembershipSuspended():
            return f"Suspended{_why(event.reason)}{_told(event.on, event.effective_on)}."
        case e.MembershipResumed():
            return f"Resumed{_why(event.reason)}{_told(event.on, event.effective_on)}."
        case e.MembershipEnded():
            return f"The membership ended{_why(event.reason)}{_told(event.on, event.effective_on)}; {event.tier} stays on record."
        case e.TrainingCompleted():
            late = f", told when the clock was {event.clock}" if event.clock > event.completed_on else ""
            return f"Completion {event.completion_id}: {event.course}{late}."
        case e.CertificateRevoked():
            return f"Completion {event.completion_id} was revoked{_why(event.reason)}."
        case e.TierAwarded():
            return f"The {event.awarded_by} awards {event.tier}{_why(event.reason)}."
        case e.ProgrammeEntered():
            return f"Came under programme {event.programme} (before: {event.previous})."
        case e.SpecialisationAwarded():
            return f"Specialisation {event.specialisation} awarded: {_courses(event.evidence)}."
        case e.SpecialisationLapsed():
            if not event.evidence:
                return f"Specialisation {event.specialisation} lapsed: programme {event.programme} does not have it."
            return f"Specialisation {event.specialisation} lapsed: {_courses(event.evidence)}."
        case e.TierChanged():
            return _tier_change(event)
        case e.ReviewPassed():
            return f"Review passed as {event.tier}: {measured(event.evidence)}."
        case e.ReviewMissed():
            forgiven = "forgiven" if event.missed <= event.grace else "once too often"
            return f"Review missed as {event.tier}, {_ordinal(event.missed)} time in a row ({forgiven}): {missing(event.evidence)}."
        case e.SaleReversed():
            return (
                f"{format_amount(event.amount, event.currency)} of deal {event.deal_id} taken back"
                f" (reversal {event.reversal_id}){_why(event.reason)}; {format_amount(event.net, event.currency)} is left of it."
            )
        case e.BonusAccrued():
            return f"Deal {event.deal_id} earned {_amounts(event.lines)} as it closed."
        case e.BonusClawedBack():
            return f"Reversal {event.reversal_id} took back {_amounts(event.lines)} of deal {event.deal_id}'s bonuses."
        case e.KickbackSettled():
            again = "" if event.cause == "time" else f", again for the {event.cause} {event.cause_id}"
            return f"Kickback of the quarter from {event.quarter} settled{again}: {_amounts(event.lines)}."
        case _:
            return None


def measured(evidence: e.TierEvidence) -> str:
    """Say what was measured against what a tier requires."""
    revenue = (
        f"revenue {format_amount(evidence.revenue, evidence.base_currency)} from {evidence.window_first_day}"
        f" to {evidence.window_last_day}"
    )
    if evidence.required_revenue > Decimal(0):
        revenue += f", {format_amount(evidence.required_revenue, evidence.base_currency)} required"
    if evidence.required_specialisations:
        held = ", ".join(evidence.specialisations) or "none"
        return f"{revenue}; specialisations held: {held}, {evidence.required_specialisations} required"
    return revenue


def outlook_sentences(outlook: Outlook) -> list[str]:
    """Say what is met and what is missing for the next tier."""
    evidence = outlook.evidence
    base = evidence.base_currency
    told = []
    if evidence.required_revenue > 0:
        has = (
            f"{format_amount(evidence.revenue, base)} of {format_amount(evidence.required_revenue, base)} revenue"
            f" from {evidence.window_first_day} to {evidence.window_last_day}"
        )
        if outlook.missing_revenue > 0:
            short = f"{format_amount(outlook.missing_revenue, base)} more revenue by {outlook.counts_until}"
            told.append(f"Missing: {short} (it has {has}).")
        else:
            told.append(f"Met: {has}.")
    required = evidence.required_specialisations
    if required:
        held = ", ".join(evidence.specialisations) or "none"
        lacking = required - len(evidence.specialisations)
        if lacking <= 0:
            told.append(f"Met: {counted(required, 'specialisation')} required, it holds {held}.")
        else:
            ways = "; or ".join(_way_to(s) for s in outlook.specialisations)
            told.append(f"Missing: {counted(lacking, 'specialisation')} short (it holds {held}): {ways}.")
    return told or ["Nothing is required."]


def _way_to(specialisation: SpecialisationOutlook) -> str:
    courses = " and ".join(
        f"{course} by {counted(people, 'more person', 'more people')}"
        for course, people in specialisation.missing_people.items()
    )
    return f"{specialisation.code} needs {courses}"


def counted(number: int, one: str, many: str = "") -> str:
    """Give a number of things in words: one specialisation, 12 people."""
    words = {1: "one", 2: "two", 3: "three"}
    return f"{words.get(number, number)} {one if number == 1 else many or one + 's'}"


def _tier_change(event: e.TierChanged) -> str:
    change = f"from {event.from_tier} to {event.to_tier}"
    if event.reason == "withdrawal":
        promotions = "promotion is" if event.withdrawn == 1 else f"{event.withdrawn} promotions are"
        told = f"The {promotions} withdrawn, {change}, for kickbacks from {event.counts_from}"
        if event.evidence is None:
            return f"{told}."
        if event.rests_on_evidence:
            return f"{told}: what is met now is {event.to_tier}, {measured(event.evidence)}."
        return f"{told}: it rested on revenue that was taken back; left is {measured(event.evidence)}."
    told = f"{REASONS[event.reason]} {change}"
    if event.evidence is None or event.reason == "migration":
        return f"{told}, under {event.programme}."
    if event.reason == "demotion":
        return f"{told}, the highest tier that is met: {measured(event.evidence)}."
    return f"{told}: {measured(event.evidence)}."


def _amounts(lines: tuple[e.Line, ...]) -> str:
    return ", ".join(f"{format_amount(line.amount, line.currency)} ({line.scheme})" for line in lines)


def _courses(evidence: tuple[e.CourseEvidence, ...]) -> str:
    return "; ".join(
        f"{c.course} by {len(c.completions)} of {c.required_people} people"
        + (f" ({', '.join(c.completions)})" if c.completions else "")
        for c in evidence
    )


def _why(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _told(on: object, effective_on: object) -> str:
    return "" if on == effective_on else f", told for {on}, in force from {effective_on}"


def _ordinal(number: int) -> str:
    return {1: "the first", 2: "the second", 3: "the third"}.get(number, f"the {number}th")
