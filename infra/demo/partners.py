"""What a partner of the demo is made of: what it plans to sell, whom it trains, and what happens to it.

Nothing here says which tier a partner reaches; that is left to the rules. A plan and a few ceilings and milestones of
its revenue only make sure that the rules have something to decide.
"""

from dataclasses import dataclass, field
from datetime import date

FIRST_DAY = date(2006, 10, 1)
"""Affinity begins."""
CHANGE = date(2011, 10, 1)
"""Affinity has become the new programme."""
LAST_DAY = date(2013, 12, 31)
YEARS = range(FIRST_DAY.year, LAST_DAY.year + 1)

COURSES = {
    "endpoint": ("EP-101", "EP-201"),
    "virtualisation": ("VS-101", "VS-201"),
    "cloud": ("CL-101",),
}
"""The courses of each specialisation."""


def day(text: str) -> date:
    """Read a date of the tables."""
    return date.fromisoformat(text)


@dataclass(frozen=True)
class Ceiling:
    """From one day to another no deal takes the revenue of the last twelve months above so many euros."""

    euros: int
    until: date
    since: date = FIRST_DAY


@dataclass(frozen=True)
class Milestone:
    """On a day a deal makes up what is missing of so many euros of revenue in the twelve months up to `counted_on`."""

    on: date
    euros: int
    counted_on: date


@dataclass(frozen=True)
class Reversal:
    """A deal is taken back; `minor` is how much of it in its currency's minor units, None for the whole."""

    on: date
    minor: int | None
    reason: str


@dataclass(frozen=True)
class ScriptedDeal:
    """A deal that the story needs: in CHF, its amount in rappen."""

    on: date
    family: str
    rappen: int
    reversal: Reversal | None = None


@dataclass(frozen=True)
class Team:
    """People who take all courses of a specialisation, and repeat them before the certificates expire, or not.

    Of `people` the first `renewing` repeat the courses, every time (None: all of them; 0: nobody).
    """

    specialisation: str
    on: date
    people: int = 2
    renewing: int | None = None


@dataclass(frozen=True)
class Revocation:
    """A person's first certificate of a course does not count any more."""

    specialisation: str
    person: int
    course: str
    on: date
    reason: str


@dataclass(frozen=True)
class Membership:
    """A membership is suspended, resumed or ended."""

    change: str
    on: date
    reason: str


@dataclass(frozen=True)
class Award:
    """The board decides to give Platinum."""

    on: date
    reason: str


@dataclass(frozen=True)
class Partner:
    """A partner and all that it will do.

    `plan` is its revenue in thousand CHF for each year from 2006 to 2013; without one, `activity` says how many deals
    it closes in a thousand years.
    """

    name: str
    enrolled_on: date
    tier: str = ""
    plan: tuple[int, ...] = ()
    activity: int = 0
    ceilings: tuple[Ceiling, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    deals: tuple[ScriptedDeal, ...] = ()
    teams: tuple[Team, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    memberships: tuple[Membership, ...] = ()
    award: Award | None = None
    role: str = ""
    country: str = "CH"
    partner_id: str = field(default="", compare=False)

    @property
    def last_day(self) -> date:
        """The last day on which it does anything: the end of the story, or the day before its membership ends."""
        ends = [date.fromordinal(m.on.toordinal() - 1) for m in self.memberships if m.change == "end"]
        return min([LAST_DAY, *ends])
