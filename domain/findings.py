"""What an audit has come to: its checks, each with how much it has looked at, and what it has found, by position.

A check's name says where something was compared, a finding's kind in which way it is not as it must be; both are stable words
(docs/how-to/audit.md lists them). Findings are bounded: a ledger of which every event was changed is told by the first of
them and by their number.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

Kind = Literal["missing", "added", "changed", "forged", "repeated", "order", "unreadable", "parked", "decision"]
"""In which way something is not as it must be."""

MOST_A_CHECK = 200
"""So many findings of one check are kept; more are counted."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it must be: one sentence, with both values. `position` is None where it has none."""

    check: str
    kind: Kind
    position: int | None
    detail: str


class Check(msgspec.Struct):
    """One check: how many things it has looked at, for how many seconds, and how many of them were not as they must be."""

    name: str
    checked: int = 0
    seconds: float = 0.0
    found: int = 0

    @property
    def ok(self) -> bool:
        """Whether all is as it must be."""
        return not self.found


class Tally:
    """Checks and findings, as they come."""

    def __init__(self, checks: Iterable[str] = ()) -> None:
        self._checks = {name: Check(name) for name in checks}
        self._findings: list[Finding] = []

    @property
    def checks(self) -> list[Check]:
        """The checks, in the order in which they were named first."""
        return list(self._checks.values())

    @property
    def findings(self) -> list[Finding]:
        """The findings that were kept, by position; those without one come last."""
        return in_order(self._findings)

    def check(self, name: str) -> Check:
        """Give a check by its name; one that is named first here has looked at nothing yet."""
        found = self._checks.get(name)
        if found is None:
            found = self._checks[name] = Check(name)
        return found

    def count(self, name: str, checked: int, seconds: float = 0.0) -> None:
        """Note that a check has looked at so many things more."""
        check = self.check(name)
        check.checked += checked
        check.seconds += seconds

    def found(self, name: str, kind: Kind, position: int | None, detail: str) -> None:
        """Note a finding."""
        check = self.check(name)
        check.found += 1
        if check.found <= MOST_A_CHECK:
            self._findings.append(Finding(name, kind, position, detail))

    def found_each(self, name: str, kind: Kind, positions: range, detail: Callable[[int], str]) -> None:
        """Note a finding at each of many positions, in the time of those that are kept."""
        check = self.check(name)
        kept = positions[: max(0, MOST_A_CHECK - check.found)]
        for position in kept:
            self.found(name, kind, position, detail(position))
        check.found += len(positions) - len(kept)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by position; those without one come last."""
    return sorted(
        findings,
        key=lambda finding: (finding.position is None, finding.position or 0, finding.check, finding.kind),
    )
