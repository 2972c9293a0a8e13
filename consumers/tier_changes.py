"""The public topic of tier changes, as a subscriber reads it (`producers.tier_changes` says what a record means)."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from domain.envelope import TIER_CHANGE
from domain.errors import IntegrityFault

Start = Literal["earliest", "latest"] | dt.datetime
"""From where to read: the beginning, what comes from now on, or what was recorded from a moment on."""


class Change(msgspec.Struct, frozen=True, rename={"before": "from", "after": "to"}):
    """Who holds which tier from when on; fields that are not known here are passed over."""

    partner: str
    country: str
    before: str | None
    after: str | None
    reason: str
    effective_date: dt.date
    programme: str
    position: int


class _Document(msgspec.Struct, frozen=True):
    type: str
    data: msgspec.Raw


class TierChange(NamedTuple):
    """A change, and the record it stood in, byte for byte."""

    change: Change
    record: bytes


class TierChanges(Protocol):
    """The topic. Adapter: `infra.kafka.tier_changes.KafkaTierChanges`."""

    def follow(self, start: Start, *, to_the_end: bool) -> Iterator[Sequence[bytes]]:
        """Give committed records as they come, a batch at a time; stop at what is there now if `to_the_end`."""
        ...


_DOCUMENTS = msgspec.json.Decoder(_Document)
_CHANGES = msgspec.json.Decoder(Change)


def read_tier_changes(records: Sequence[bytes], country: str | None) -> list[TierChange]:
    """Read records in order of their positions, those of one country if it is given; records of other types are passed over.

    Raises:
        IntegrityFault: a record is not what the relay puts on the topic.

    """
    changes = []
    for record in records:
        try:
            document = _DOCUMENTS.decode(record)
            if document.type != TIER_CHANGE:
                continue
            change = _CHANGES.decode(document.data)
        except msgspec.MsgspecError as error:
            raise IntegrityFault(
                f"A record of the tier changes cannot be read ({error}): {record[:200]!r}; the ledger did not write it."
            ) from error
        if country is None or change.country == country:
            changes.append(TierChange(change, record))
    return sorted(changes, key=lambda each: each.change.position)
