"""The errors of the ledger: one small tree, so that a broken rule, a lost connection and a bug of ours never look alike.

    LedgerError                    anything this product says no with; str() is one sentence for a person
    ├── Refused                    a fact that the rules refuse; it changes nothing and may be told again
    │   ├── Conflict               told before with another content; shows both
    │   └── UnknownReference       names a partner, deal, completion or programme that the ledger does not have (yet)
    ├── InvalidInput               a file, row or argument that cannot be read as what it should be
    │   └── FaultyFile             a programme file, with all its faults by line
    ├── SettingsError              a setting that is wrong or unknown (infra.settings)
    ├── ServiceUnreachable         Kafka or PostgreSQL does not answer; nothing was lost, the same call may go through later
    └── IntegrityFault             store, Kafka or a projection contradict each other; the part concerned stops
        └── UnknownEventType       an event of a type or schema version newer than this code

`StaleTerms` and `AppendConflict` are not errors for a person: they tell the application to look again and decide again.
"""

from collections.abc import Sequence
from typing import NamedTuple


class LedgerError(Exception):
    """Base of everything the ledger says no with. The message is one sentence: what, with which value, what to do."""


class Refused(LedgerError):
    """A fact that the rules refuse (rules.md). Nothing was recorded; the same fact may be told again later."""


class Conflict(Refused):
    """The same thing was told before with another content (rules.md, Identity). The message shows both."""


class UnknownReference(Refused):
    """The fact names something that the ledger does not have."""


class InvalidInput(LedgerError):
    """A file, a row or an argument that cannot be read as what it should be. Nothing was recorded."""


class FileFault(NamedTuple):
    """One fault of a file: its line (from 1), the key it is about, and what is wrong."""

    line: int
    key: str
    what: str


class FaultyFile(InvalidInput):
    """A file with faults that are known by line; the message has one on each line."""

    def __init__(
        self, name: str, faults: Sequence[FileFault], *, more: int = 0, consequence: str = "nothing was published"
    ) -> None:
        """Make the message; `more` faults are only counted."""
        self.name, self.faults, self.more = name, tuple(faults), more
        told = "\n".join(f"  line {fault.line}: {fault.key}: {fault.what}." for fault in faults)
        told += f"\n  and {more:,} more." if more else ""
        number = "one fault" if len(faults) + more == 1 else f"{len(faults) + more:,} faults"
        super().__init__(f"{name} has {number}; {consequence}:\n{told}")


class ServiceUnreachable(LedgerError):
    """Kafka or PostgreSQL cannot be reached. Nothing was lost; try again when it answers."""


class IntegrityFault(LedgerError):
    """Two places that must agree do not. The part concerned stops and names the position, stream or topic."""


class UnknownEventType(IntegrityFault):
    """An event of a type or schema version that this code does not know: it was written by a newer version."""


class StaleTerms(Exception):
    """The head row has other programmes or another ledger date than the decision was made under: decide again."""


class AppendConflict(Exception):
    """Another writer has appended to the same stream or recorded the same identity meanwhile: look again, decide again."""
