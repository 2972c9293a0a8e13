"""Recorded facts as replay under other rules takes them: whole streams, each in order of position."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Facts(NamedTuple):
    """Facts in columns, one list an event's field, ordered by stream and, within a stream, by position."""

    positions: Sequence[int]
    streams: Sequence[str]
    types: Sequence[str]
    schema_versions: Sequence[int]
    data: Sequence[bytes]
    """The events' own JSON, for `domain.events.decode`."""


class Source(NamedTuple):
    """Which facts these are: the ledger's id, and the root of the hash tree over its events up to the position, in hex."""

    ledger: str
    root: str


class RecordedFacts(Protocol):
    """The facts of a ledger up to a position, in pieces that share no stream. Adapter: the Parquet tape in `infra`."""

    @property
    def position(self) -> int:
        """The position up to which they were read, decisions counted; 0 for a ledger without events."""
        ...

    @property
    def source(self) -> Source:
        """Which facts these are."""
        ...

    def pieces(self) -> Sequence[str]:
        """Name the pieces of partners' facts: always the same streams in one, a few megabytes to some dozens each."""
        ...

    def facts(self, piece: str) -> Facts:
        """Read the partners' facts of a piece."""
        ...

    def ledgers_own(self) -> Facts:
        """Read publications, advances and drops, in order of position."""
        ...
