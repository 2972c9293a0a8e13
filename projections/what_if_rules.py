"""Under which rules a what-if decides: the published versions with candidates in their places, and the dates begun.

Candidates are known from the start. As a version is published before anything it touches is decided (rules.md, Programmes),
that is the same as publishing each in its time.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from domain import events as e
from domain.errors import InvalidInput, Refused
from domain.programme import Programme, programme_from_content
from domain.terms import Programmes
from projections.facts_by_stream import Facts


@dataclass(frozen=True)
class LedgersOwn:
    """What the ledger was told about itself: the versions published, and the dates begun with their positions, both in order."""

    published: tuple[Programme, ...]
    advanced_at: tuple[int, ...]
    advanced_to: tuple[dt.date, ...]

    @property
    def lowest_tiers(self) -> Mapping[str, str]:
        """The lowest tier of each published version; who was enrolled into it was told no tier (rules.md, Identity)."""
        return {programme.programme: programme.tiers[0].code for programme in self.published}


def ledgers_own(facts: Facts) -> LedgersOwn:
    """Read what the ledger was told about itself."""
    published: list[Programme] = []
    advances: list[tuple[int, dt.date]] = []
    for position, name, schema_version, data in zip(
        facts.positions, facts.types, facts.schema_versions, facts.data, strict=True
    ):
        event = e.decode(name, schema_version, data)
        if isinstance(event, e.ProgrammePublished):
            published.append(programme_from_content(event.content))
        elif isinstance(event, e.LedgerAdvanced):
            advances.append((position, event.to))
    return LedgersOwn(tuple(published), tuple(at for at, _ in advances), tuple(to for _, to in advances))


def with_candidates(published: Sequence[Programme], candidates: Sequence[Programme]) -> tuple[Programme, ...]:
    """Give the versions of a what-if: a candidate takes the place of the version of the same first day, or is added.

    Raises:
        InvalidInput: a candidate could not be published among the others, be it in the past; all its faults.

    """
    own = {candidate.effective_from for candidate in candidates}
    if len(own) < len(candidates):
        names = ", ".join(f"{each.programme} from {each.effective_from}" for each in candidates)
        raise InvalidInput(
            f"Two candidates begin on the same day ({names}): rehearse each by itself, and compare them with `replay diff`."
        )
    versions = sorted(
        [*(each for each in published if each.effective_from not in own), *candidates],
        key=lambda each: each.effective_from,
    )
    faults: list[str] = []
    for number, version in enumerate(versions):
        before = versions[:number]
        if version in candidates or (before and before[-1] in candidates):
            try:
                if not Programmes(before).check_publication(version):
                    faults.append(
                        f"Programme {version.programme!r} is there twice; give the candidate a name of its own."
                    )
            except Refused as refusal:
                faults.append(str(refusal))
    if faults:
        raise InvalidInput("\n".join(dict.fromkeys(faults)))
    return tuple(versions)


@dataclass(frozen=True)
class Rules:
    """What facts are decided under, and the date as of which the result is wanted."""

    own: LedgersOwn
    versions: tuple[Programme, ...]
    as_of: dt.date

    @cached_property
    def programmes(self) -> Programmes:
        """The versions as decisions use them."""
        return Programmes(self.versions)

    @property
    def ledger_date(self) -> dt.date | None:
        """The ledger's date after all that was recorded."""
        return self.own.advanced_to[-1] if self.own.advanced_to else None

    @cached_property
    def time_seats(self) -> bool:
        """Whether time alone may give an awarded tier: one that continues a tier which is not awarded."""
        for before, after in zip(self.programmes.versions, self.programmes.versions[1:], strict=False):
            for tier in before.automatic:
                successor = after.successor_of(tier.code)
                if successor is not None and after.tier_by_code[successor].awarded:
                    return True
        return False
