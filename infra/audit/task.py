"""What the processes of an audit are given and what they say, as lines of JSON."""

import sys
from collections.abc import Callable
from typing import Literal

import msgspec

from domain.findings import Check, Finding, Tally
from domain.recording import Head

PassName = Literal["store", "kafka"]
MOST_BEYOND = 10_000
"""So many positions between the last event and the head are looked at one by one."""


class OutsideHead(msgspec.Struct, frozen=True):
    """What a signed tree head that was kept outside says; that it is this ledger's, and signed, was seen already."""

    size: int
    root: bytes
    streams_root: bytes


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be verified: the ledger as it stood at the head row that was read first."""

    read_database_url: str
    bootstrap_servers: str
    timezone: str
    events_topic: str
    tier_changes_topic: str
    checkpoint_topic: str
    head: Head
    highest_position: int
    """The highest position that the store had at that moment."""
    outside: OutsideHead | None = None

    @property
    def last(self) -> int:
        """The position up to which everything is verified: the head's, unless it was moved far away from all events."""
        head = self.head.position
        return head if head <= self.highest_position + MOST_BEYOND else self.highest_position


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """So many events were looked at."""

    done: int


class Outcome(msgspec.Struct, frozen=True, tag="outcome"):
    """What a pass has come to."""

    checks: list[Check]
    findings: list[Finding]
    facts: dict[str, msgspec.Raw] = {}
    """What a report ends with: roots, row counts, control totals, versions."""
    peak_mb: float = 0.0
    """The most memory that was resident in the pass's process."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A pass that could not be finished; `unreachable`: a service is away, `sentence` says which."""

    sentence: str
    unreachable: bool


Message = Progress | Outcome | Failed
ENCODER = msgspec.json.Encoder()
MESSAGES: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
Report = Callable[[int], None]
"""Called with the number of events looked at so far."""


def say(message: Message) -> None:
    """Say something to the process that waits; where that is gone, this one ends."""
    sys.stdout.buffer.write(ENCODER.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def outcome(tally: Tally, **facts: object) -> Outcome:
    """Give what a tally and further facts come to."""
    return Outcome(
        tally.checks, tally.findings, {name: msgspec.Raw(ENCODER.encode(fact)) for name, fact in facts.items()}
    )
