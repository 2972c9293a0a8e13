"""All partners that are no characters: a second rank that is Silver by the change, and the long tail."""

from datetime import date, timedelta

from infra.demo.cast import BEFORE_CHANGE, BELOW_GOLD, BELOW_SILVER, CHARACTERS
from infra.demo.dice import Dice
from infra.demo.names import company_name
from infra.demo.partners import (
    CHANGE,
    COURSES,
    FIRST_DAY,
    LAST_DAY,
    YEARS,
    Ceiling,
    Membership,
    Milestone,
    Partner,
    Team,
    day,
)

PARTNERS = 600
SECOND_RANK = 17
"""Affinity Plus by their deals, Silver by migration."""
LATE_RISERS = 4
"""Short of Affinity Plus, and Silver by promotion on the day of the change, when less is required."""
TRAINING_PER_MILLE = 185
"""How many of the long tail send people to courses."""
SUSPENDED_PER_MILLE = 6
ENDED_PER_MILLE = 22


def all_partners(seed: int) -> list[Partner]:
    """Give the characters and everybody else, without ids, in the order in which they get them."""
    partners = list(CHARACTERS)
    names = {partner.name for partner in partners}
    while len(partners) < PARTNERS:
        number = len(partners) - len(CHARACTERS)
        dice = Dice(seed, "partner", str(len(partners)))
        name = company_name(dice, names)
        names.add(name)
        if number < SECOND_RANK:
            partners.append(_second_rank(dice, name))
        elif number < SECOND_RANK + LATE_RISERS:
            partners.append(_late_riser(dice, name))
        else:
            partners.append(_long_tail(dice, name))
    return partners


def working_day(dice: Dice, first: date, last: date) -> date:
    """Give a day from first to last that is no Saturday or Sunday; the span must be a week or longer."""
    while (on := dice.day(first, last)).weekday() > 4:
        pass
    return on


def course_day(dice: Dice, first: date, last: date) -> date:
    """Give the Monday of a day from first to last: courses begin with the week."""
    on = dice.day(first, last)
    return on - timedelta(days=on.weekday())


def _second_rank(dice: Dice, name: str) -> Partner:
    enrolled = working_day(dice, day("2006-10-02"), day("2009-03-31"))
    first, last = dice.between(125, 160), dice.between(150, 230)
    plan = [_between(first, last, year) if year > enrolled.year else 0 for year in YEARS]
    plan[enrolled.year - YEARS[0]] = dice.between(10, 30)
    return Partner(name, enrolled, plan=tuple(plan), ceilings=(BELOW_GOLD,), teams=_second_rank_teams(dice))


def _second_rank_teams(dice: Dice) -> tuple[Team, ...]:
    specialisation = dice.pick(tuple(COURSES))
    on = course_day(dice, day("2010-01-04"), day("2011-12-16"))
    return (Team(specialisation, on, people=dice.between(1, 3)),)


def _late_riser(dice: Dice, name: str) -> Partner:
    enrolled = working_day(dice, day("2009-01-05"), day("2010-06-30"))
    plan = [dice.between(50, 75) if year > enrolled.year else 0 for year in YEARS]
    on = working_day(dice, day("2011-09-05"), day("2011-09-29"))
    return Partner(
        name,
        enrolled,
        plan=tuple(plan),
        ceilings=(Ceiling(57_000, BEFORE_CHANGE),),
        milestones=(Milestone(on, 54_000, counted_on=CHANGE),),
        teams=(Team("endpoint", course_day(dice, day("2011-06-01"), day("2011-08-31")), people=1),),
    )


def _between(first: int, last: int, year: int) -> int:
    return first + (last - first) * (year - YEARS[0]) // (len(YEARS) - 1)


def _long_tail(dice: Dice, name: str) -> Partner:
    enrolled = _enrolment(dice)
    teams = []
    if dice.happens(TRAINING_PER_MILLE):
        for specialisation in COURSES:
            if dice.happens(450):
                on = course_day(dice, max(enrolled, day("2009-01-05")) - timedelta(days=40), day("2013-11-29"))
                teams.append(Team(specialisation, on, people=dice.between(1, 2), renewing=dice.below(2)))
    return Partner(
        name,
        enrolled,
        activity=dice.lognormal(1450, "0.75"),
        ceilings=(BELOW_SILVER,),
        teams=tuple(teams),
        memberships=_memberships(dice),
    )


def _enrolment(dice: Dice) -> date:
    """Many join in the first year, and fewer each year after it."""
    span = (day("2011-09-16") - FIRST_DAY).days
    first = FIRST_DAY + timedelta(days=dice.below(dice.below(span) + 1))
    return working_day(dice, first, first + timedelta(days=7))


def _memberships(dice: Dice) -> tuple[Membership, ...]:
    if dice.happens(ENDED_PER_MILLE):
        return (Membership("end", working_day(dice, day("2011-11-01"), LAST_DAY), "left the programme"),)
    if dice.happens(SUSPENDED_PER_MILLE):
        since = working_day(dice, day("2012-01-09"), day("2013-08-30"))
        resumed = since + timedelta(days=dice.between(30, 100))
        return (
            Membership("suspend", since, "invoices overdue"),
            Membership("resume", resumed, "invoices paid"),
        )
    return ()
