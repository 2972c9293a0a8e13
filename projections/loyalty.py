"""How a membership went: enrolled, suspended, resumed, ended; loyalty on any date follows from these rows (rules.md, Loyalty)."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from domain.errors import IntegrityFault
from domain.events import MembershipEnded, MembershipResumed, MembershipSuspended, PartnerEnrolled
from domain.loyalty import Suspension, loyalty_days
from projections.row import Row

Change = Literal["enrolled", "suspended", "resumed", "ended"]


class MembershipRow(Row, frozen=True, array_like=True, gc=False):
    """One change of a membership, from the day on which it counts."""

    position: int
    partner: str
    change: Change
    effective_on: dt.date
    reason: str | None


def enrolment(position: int, partner: str, event: PartnerEnrolled) -> MembershipRow:
    """Give the first row of a membership."""
    return MembershipRow(position, partner, "enrolled", event.enrolled_on, None)


def membership_change(
    position: int, partner: str, event: MembershipSuspended | MembershipResumed | MembershipEnded
) -> MembershipRow:
    """Give the row of a suspension, a resumption or an end."""
    change: Change
    match event:
        case MembershipSuspended():
            change = "suspended"
        case MembershipResumed():
            change = "resumed"
        case MembershipEnded():
            change = "ended"
    return MembershipRow(position, partner, change, event.effective_on, event.reason)


@dataclass(frozen=True, slots=True)
class Membership:
    """A membership as of a date: its suspensions (first day, day of resumption or None) and its end."""

    enrolled_on: dt.date
    suspensions: tuple[Suspension, ...]
    ended_on: dt.date | None

    def loyalty_days(self, on: dt.date) -> int:
        """Give the loyalty duration on a date, in days."""
        return loyalty_days(self.enrolled_on, self.suspensions, self.ended_on, on)


def membership(changes: Iterable[tuple[Change, dt.date]]) -> Membership:
    """Read a membership from its changes, in the order recorded, up to the date asked about.

    Raises:
        IntegrityFault: the changes do not follow from one another; the projection must be rebuilt.

    """
    enrolled_on: dt.date | None = None
    ended_on: dt.date | None = None
    suspensions: list[Suspension] = []
    for change, on in changes:
        if change == "enrolled" and enrolled_on is None:
            enrolled_on = on
        elif change == "suspended":
            suspensions.append((on, None))
        elif change == "resumed" and suspensions and suspensions[-1][1] is None:
            suspensions[-1] = (suspensions[-1][0], on)
        elif change == "ended" and ended_on is None:
            ended_on = on
        else:
            raise IntegrityFault(
                f"A membership cannot be {change} on {on} after what was recorded: rebuild the projection."
            )
    if enrolled_on is None:
        raise IntegrityFault("A membership has no enrolment among its changes: rebuild the projection.")
    return Membership(enrolled_on, tuple(suspensions), ended_on)
