"""What is to go wrong in a round, drawn from the seed: which faults, in which order, at which point of which folder.

Each round kills import, relay, projector, broker and database once, and stops some of them for seconds; most fill the
disk. The plan is the same for the same seed. The moments are not: they count from a process's start or from what has been
recorded, and both depend on the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from infra.demo.dice import Dice

Victim = Literal["import", "relay", "projector", "broker", "database"]
Kind = Literal["kill", "stop", "disk"]

VICTIMS: tuple[Victim, ...] = ("import", "relay", "projector", "broker", "database")
SPARE_FOLDERS = 2
"""Told after those that have a fault of their own, for faults that came when nothing flowed any more."""
LONGEST_WAIT_MS = 1_500
MOST_EVENTS = 500
"""A folder of a round of 5,000 facts brings more."""

DatabaseWay = Literal["postmaster", "backend", "all"]


@dataclass(frozen=True)
class Moment:
    """When a fault falls: so long after a command has started, or after so many events more have been recorded."""

    wait_ms: int
    after_events: int | None


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    kind: Kind
    victim: Victim | None
    """None for the disk."""
    moment: Moment
    hold_ms: int = 0
    """For how long a process stays stopped, or the disk full."""
    way: DatabaseWay = "postmaster"
    """What of the database is killed: its main process, one that serves a connection, or all at once."""
    hasty: bool = False
    """The next fault does not wait until this one was recovered from."""

    @property
    def name(self) -> str:
        """What the output counts it as."""
        return {"kill": str(self.victim), "stop": "stopped", "disk": "disk"}[self.kind]


@dataclass(frozen=True)
class RoundPlan:
    """A round's faults in their order; `batches` are the facts, or events, of a transaction of import, relay and projector."""

    faults: Sequence[Fault]
    two_projectors: bool
    batches: tuple[int, int, int]

    @property
    def folders(self) -> int:
        """How many folders the round's facts are told in."""
        return len(self.faults) + SPARE_FOLDERS


def plan_round(seed: int, number: int, *, disk: bool) -> RoundPlan:
    """Draw a round's plan; without `disk` it has no full disk."""
    dice = Dice(seed, "plan", str(number))
    faults = [_kill(dice, victim) for victim in VICTIMS]
    faults += [_stop(dice) for _ in range(dice.between(1, 2))]
    full = Fault("disk", None, _moment(dice), hold_ms=dice.between(1_000, 2_000))
    if dice.happens(600) and disk:
        faults.append(full)
    for place in range(len(faults) - 1, 0, -1):  # shuffled by what is the same in every Python
        other = dice.below(place + 1)
        faults[place], faults[other] = faults[other], faults[place]
    batches = (dice.pick((10, 25, 100)), dice.pick((50, 300, 2000)), dice.pick((50, 300, 5000)))
    return RoundPlan(faults, dice.happens(400), batches)


def _kill(dice: Dice, victim: Victim) -> Fault:
    way: DatabaseWay = dice.pick(("postmaster", "backend", "all"))
    return Fault("kill", victim, _moment(dice), way=way, hasty=dice.happens(500))


def _stop(dice: Dice) -> Fault:
    return Fault("stop", dice.pick(VICTIMS), _moment(dice), hold_ms=dice.between(1_000, 3_000))


def _moment(dice: Dice) -> Moment:
    if dice.happens(400):
        return Moment(dice.below(LONGEST_WAIT_MS), None)
    return Moment(dice.below(60), dice.below(MOST_EVENTS))
