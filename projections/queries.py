"""What can be asked of the projections, and what the answers look like. Adapter: `infra.postgres.projections.read_models`.

Two times, together if wanted: `as_of` is a business date (what was in force at its end), `up_to_position` is what the
ledger knew then, as recorded-at never runs against position. Left out, an answer is as of the ledger's date or, where it
is later, the latest business date of any partner's event, and knows all that has been applied. Every answer names both.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

from projections.audit_trail import AuditRow
from projections.bonus_journal import BonusLine
from projections.loyalty import MembershipRow
from projections.tier_status import PartnerRow, TierRow


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the live projections are. Nothing is missing below `position` while `applied + waiting == position`.

    `parked` counts records that are kept for a retry; `waiting` the ledger's own events among them, each once.
    """

    build: int
    position: int
    applied: int
    parked: int
    waiting: int
    ledger_date: dt.date | None
    latest_business_date: dt.date | None

    @property
    def default_as_of(self) -> dt.date | None:
        """The later of the ledger's date and the latest business date; None for a ledger without either."""
        return max((date for date in (self.ledger_date, self.latest_business_date) if date is not None), default=None)


@dataclass(frozen=True, slots=True)
class Balance:
    """One partner's balance in one currency; amounts carry exactly the currency's digits (rules.md, Balances)."""

    currency: str
    accrued: Decimal
    clawed_back: Decimal
    paid: Decimal

    @property
    def payable(self) -> Decimal:
        """What is owed: accrued + clawed back − paid."""
        return self.accrued + self.clawed_back - self.paid


@dataclass(frozen=True, slots=True)
class PartnerStanding:
    """One partner on a date: `specialisations` are those held, sorted; `lines` counts its bonus lines up to then."""

    partner: PartnerRow
    tier_history: tuple[TierRow, ...]
    specialisations: tuple[str, ...]
    memberships: tuple[MembershipRow, ...]
    ended_on: dt.date | None
    loyalty_days: int
    balances: tuple[Balance, ...]
    lines: int

    @property
    def tier(self) -> str:
        """The tier held; an ended partner keeps its last one on record."""
        return self.tier_history[-1].tier

    @property
    def held_tier(self) -> str | None:
        """The tier held; None for an ended partner, who is no holder."""
        return None if self.ended_on is not None else self.tier


@dataclass(frozen=True, slots=True)
class PartnersAnswer:
    """The partners enrolled by a date, in order of their ids. `as_of` is None for a ledger without any event."""

    as_of: dt.date | None
    position: int
    partners: tuple[PartnerStanding, ...]


@dataclass(frozen=True, slots=True)
class Holders:
    """How many partners hold a tier in a country; ended ones are no holders."""

    country: str
    tier: str
    holders: int


@dataclass(frozen=True, slots=True)
class TiersAnswer:
    """Holders by country and tier, in order of these; a tier without holders is not named."""

    as_of: dt.date | None
    position: int
    holders: tuple[Holders, ...]


@dataclass(frozen=True, slots=True)
class LinesAnswer:
    """Bonus lines in the order recorded."""

    as_of: dt.date | None
    position: int
    lines: tuple[BonusLine, ...]


TotalsBy = Literal["scheme", "tier", "quarter", "country", "family"]
"""What bonus totals can be summed by; a quarter is that of the posting date. What is paid on a quarter and not on a deal has
no family: it is the group `(kickbacks)`."""


class SchemeBonus(NamedTuple):
    """One partner's bonus lines of a scheme in a currency, added up."""

    scheme: str
    currency: str
    amount: Decimal
    lines: int


@dataclass(frozen=True, slots=True)
class Total:
    """The bonus lines of one group and currency."""

    group: str
    currency: str
    accrued: Decimal
    clawed_back: Decimal
    lines: int

    @property
    def total(self) -> Decimal:
        """What the lines sum to."""
        return self.accrued + self.clawed_back


@dataclass(frozen=True, slots=True)
class TotalsAnswer:
    """Bonus totals by group and currency, in order of these, of the lines with a posting date in a range."""

    position: int
    totals: tuple[Total, ...]

    @property
    def sums(self) -> tuple[Total, ...]:
        """All groups together, one for each currency; the group is named `all`."""
        sums: dict[str, Total] = {}
        for each in self.totals:
            before = sums.get(each.currency, Total("all", each.currency, Decimal(0), Decimal(0), 0))
            sums[each.currency] = Total(
                "all",
                each.currency,
                before.accrued + each.accrued,
                before.clawed_back + each.clawed_back,
                before.lines + each.lines,
            )
        return tuple(sums[currency] for currency in sorted(sums))


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """What the bonus lines of one currency sum to."""

    currency: str
    lines: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class BonusJournal:
    """The journal of all partners at one position. What can be long is read in pages as it is asked for, each part once.

    `schemes` and `totals`, in order of their names, are of the lines that `lines` will give; a scheme comes with the date of its
    first line. `partners` and `balances` are in order of the partners' ids, `lines` in order of position.
    """

    as_of: dt.date | None
    position: int
    schemes: tuple[tuple[str, dt.date], ...]
    totals: tuple[CurrencyTotal, ...]
    partners: Iterator[PartnerRow]
    lines: Iterator[BonusLine]
    balances: Iterator[tuple[str, Sequence[Balance]]]


class ReadModels(Protocol):
    """The queries. None holds a snapshot for long: what can be large is read in pages by key, at one position."""

    def standing(self) -> Standing:
        """Tell how far the live projections are; cheap."""
        ...

    def position_at(self, known_at: dt.datetime) -> int:
        """Give the last position recorded at or before a moment: what the ledger knew then; 0 before the first."""
        ...

    def partners(
        self, as_of: dt.date | None = None, *, up_to_position: int | None = None, country: str | None = None
    ) -> PartnersAnswer:
        """Give every partner enrolled by the date, of one country (ISO 3166-1) if wanted."""
        ...

    def partner(
        self, partner_id: str, as_of: dt.date | None = None, *, up_to_position: int | None = None
    ) -> PartnersAnswer:
        """Give one partner; the answer is empty if it was not enrolled by the date."""
        ...

    def tiers(
        self, as_of: dt.date | None = None, *, up_to_position: int | None = None, country: str | None = None
    ) -> TiersAnswer:
        """Count the holders of each tier by country."""
        ...

    def lines(self, partner_id: str, as_of: dt.date | None = None, *, up_to_position: int | None = None) -> LinesAnswer:
        """Give one partner's bonus lines with a posting date up to the date."""
        ...

    def scheme_bonuses(
        self, as_of: dt.date, *, up_to_position: int | None = None
    ) -> Mapping[str, Sequence[SchemeBonus]]:
        """Sum each partner's bonus lines with a posting date up to a date, by scheme and currency, in order of these."""
        ...

    def journal(self, as_of: dt.date | None = None, *, up_to_position: int | None = None) -> BonusJournal:
        """Give the bonus lines of all partners with a posting date up to the date, and the balances they must come to."""
        ...

    def audit(self, *, first_position: int = 1, last_position: int | None = None) -> Iterator[AuditRow]:
        """Give the audit trail in order of position, read in pages."""
        ...

    def line(self, position: int, n: int) -> BonusLine | None:
        """Give one bonus line, None where there is none."""
        ...

    def totals(
        self, by: TotalsBy, first: dt.date | None, last: dt.date | None, *, up_to_position: int | None = None
    ) -> TotalsAnswer:
        """Sum the bonus lines with a posting date from the first to the last day, both counted."""
        ...

    def each_totals(self, last: dt.date, *, up_to_position: int | None = None) -> Mapping[TotalsBy, tuple[Total, ...]]:
        """Sum the bonus lines with a posting date up to a day, by each kind of group, as `totals` does for one."""
        ...

    def sales_totals(self, *, up_to_position: int | None = None) -> Mapping[str, Decimal]:
        """Sum the amounts of all sales as recorded, by currency, to be compared with the store and with Kafka."""
        ...

    def parked(self, stream: str | None = None) -> Sequence["ParkedRecord"]:
        """List the records that are parked, of one stream if wanted: by stream, then in the order in which they came."""
        ...


@dataclass(frozen=True, slots=True)
class ParkedRecord:
    """A record set aside, and why. `position`: where the event store holds it; None, and it may be dropped."""

    stream: str
    topic: str
    partition: int
    offset: int
    position: int | None
    key: bytes | None
    value: bytes | None
    leaf_hash: bytes | None
    reason: str
    parked_at: dt.datetime

    @property
    def place(self) -> str:
        """Its place on the topic, as commands take it: `partition:offset`."""
        return f"{self.partition}:{self.offset}"
