"""The soak test: two ledgers are told the same, one of them while its parts are killed, stopped and starved of disk.

A round tells the next facts to both and compares them at its end. `feeds` makes what is told and `plan` what is to go
wrong, both from a seed; `ledger` runs a ledger as its user does, by commands, and knows where its processes are; `disk` is
a small one that can be filled; `telling` tells a round while its faults happen; `outside` reads what became of it without the
project's own readers, and `compare` says what differs; `rounds` puts it together. Everything lies in a folder of its own,
which is removed at the end.
"""

from dataclasses import dataclass

RENEW_AFTER = 10
"""So many rounds on one pair of ledgers: what is compared grows with each of them."""


@dataclass(frozen=True)
class Soak:
    """What a soak is to do; without `disk` it fills none."""

    rounds: int
    seed: int
    facts: int
    keep: bool
    disk: bool
    renew_after: int = RENEW_AFTER
