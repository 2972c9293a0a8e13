"""Specialisations: awarded and lapsed by the certificates that are valid on the clock (rules.md, Specialisations)."""

import datetime as dt

from domain import events as e
from domain.calendar import add_months
from domain.decisions.desk import Desk
from domain.standing import Standing
from domain.terms import SpecialisationTerms, Terms


def look_at_specialisations(desk: Desk, terms: Terms, on: dt.date, *, by_fact: bool) -> None:
    """Award and lapse what the certificates valid on a date say: lapses first, each in order of code."""
    standing = desk.standing
    if standing.ended_on is not None:
        return
    evidence = {s.code: course_evidence(standing, s, on) for s in terms.specialisations}
    met = {code for code, courses in evidence.items() if all(len(c.completions) >= c.required_people for c in courses)}
    for code in sorted(set(standing.held) - met):
        desk.emit(
            e.SpecialisationLapsed(
                specialisation=code,
                effective_on=on,
                by_fact=by_fact,
                programme=terms.code,
                evidence=evidence.get(code, ()),
            )
        )
    for code in sorted(met - set(standing.held)):
        desk.emit(
            e.SpecialisationAwarded(
                specialisation=code, effective_on=on, by_fact=by_fact, programme=terms.code, evidence=evidence[code]
            )
        )


def course_evidence(standing: Standing, terms: SpecialisationTerms, on: dt.date) -> tuple[e.CourseEvidence, ...]:
    """Give the completions that count on a date for each course: one for each person, the one valid longest."""
    courses = []
    for course in terms.courses:
        best: dict[str, tuple[dt.date, str]] = {}
        for completion_id, completion in standing.completions.items():
            if completion.course == course and _valid(completion.completed_on, terms.valid_months, on):
                candidate = (completion.completed_on, completion_id)
                if candidate > best.get(completion.person, (dt.date.min, "")):
                    best[completion.person] = candidate
        completions = tuple(sorted(completion_id for _, completion_id in best.values()))
        courses.append(e.CourseEvidence(course=course, required_people=terms.people, completions=completions))
    return tuple(courses)


def _valid(completed_on: dt.date, valid_months: int, on: dt.date) -> bool:
    return completed_on <= on < add_months(completed_on, valid_months)


def next_expiry(standing: Standing, terms: Terms, after: dt.date) -> dt.date | None:
    """Give the next date after the given one on which a certificate stops to count under a programme."""
    expiries = (
        add_months(completion.completed_on, specialisation.valid_months)
        for completion in standing.completions.values()
        for specialisation in terms.specialisations
        if completion.course in specialisation.courses
    )
    return min((expiry for expiry in expiries if expiry > after), default=None)
