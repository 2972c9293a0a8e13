"""The projections' query side on PostgreSQL, by the login that only reads: port `projections.queries.ReadModels`.

Each page of an answer is a short read-only transaction with one snapshot (a snapshot held for long slows appends down),
and all pages of an answer stand at the position of the first one.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from infra.postgres.projections.balances import balances_of, in_digits
from infra.postgres.projections.builds import live_build, schema
from infra.postgres.projections.connection import Reconnecting
from infra.postgres.projections.journal_pages import JournalPages, journal_groups
from infra.postgres.projections.tables import AUDIT, BONUS_LINE, MEMBERSHIP, PARTNER, TIER
from projections.audit_trail import AuditRow
from projections.bonus_journal import BonusLine
from projections.loyalty import MembershipRow, membership
from projections.queries import (
    BonusJournal,
    Holders,
    LinesAnswer,
    ParkedRecord,
    PartnersAnswer,
    PartnerStanding,
    SchemeBonus,
    Standing,
    TiersAnswer,
    Total,
    TotalsAnswer,
    TotalsBy,
)
from projections.row import in_hex
from projections.tier_status import PartnerRow, TierRow

PARTNERS_A_PAGE = 1000
EVENTS_A_PAGE = 5000

_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

_STANDING = """
SELECT coalesce(max(last_position), 0), coalesce(sum(applied), 0)::bigint, (SELECT count(*) FROM parked),
    (SELECT count(DISTINCT position) FROM parked p WHERE NOT EXISTS (SELECT FROM audit a WHERE a.position = p.position)),
    max(ledger_date), max(latest_business_date)
FROM partition_progress
"""

_AS_KNOWN_AT = """
SELECT max(business_date) FROM audit
WHERE position <= %s AND (type = 'LedgerAdvanced' OR stream LIKE 'partner:%%')
"""

_TIERS = """
WITH held AS (
    SELECT DISTINCT ON (partner) partner, tier FROM tier
    WHERE position <= %(position)s AND effective_on <= %(as_of)s ORDER BY partner, position DESC
)
SELECT country, tier, count(*) FROM held JOIN partner USING (partner)
WHERE (%(country)s IS NULL OR country = %(country)s) AND NOT EXISTS (
    SELECT FROM membership m WHERE m.partner = held.partner AND m.change = 'ended'
        AND m.position <= %(position)s AND m.effective_on <= %(as_of)s)
GROUP BY country, tier ORDER BY country, tier
"""

_SPECIALISATIONS = """
SELECT partner, specialisation FROM (
    SELECT DISTINCT ON (partner, specialisation) partner, specialisation, held FROM specialisation
    WHERE partner = ANY (%(ids)s) AND position <= %(position)s AND effective_on <= %(as_of)s
    ORDER BY partner, specialisation, position DESC
) AS latest WHERE held ORDER BY partner, specialisation COLLATE "C"
"""

_GROUPS: Mapping[TotalsBy, str] = {
    "scheme": "l.scheme",
    "tier": "l.tier",
    "quarter": "to_char(l.posting_date, 'YYYY\"-Q\"Q')",
    "country": "p.country",
    "family": "coalesce(s.family, taken.family, '(kickbacks)')",
}
_SCHEME_BONUSES = """
SELECT partner, scheme, currency, sum(amount), count(*) FROM bonus_line
WHERE partner = ANY (%(ids)s) AND position <= %(position)s AND posting_date <= %(as_of)s
GROUP BY partner, scheme, currency ORDER BY partner, scheme COLLATE "C", currency COLLATE "C"
"""
_OF_DEALS = """
LEFT JOIN sale s ON l.kind = 'BonusAccrued' AND s.deal_id = l.cause
LEFT JOIN reversal r ON l.kind = 'BonusClawedBack' AND r.reversal_id = l.cause
LEFT JOIN sale taken ON taken.deal_id = r.deal_id
"""
_TOTALS = """
SELECT {group}, l.currency,
       coalesce(sum(l.amount) FILTER (WHERE l.category = 'accrued'), 0),
       coalesce(sum(l.amount) FILTER (WHERE l.category = 'clawed_back'), 0), count(*)
  FROM bonus_line l JOIN partner p USING (partner) {deals}
 WHERE l.position <= %(position)s
   AND (%(first)s::date IS NULL OR l.posting_date >= %(first)s) AND (%(last)s::date IS NULL OR l.posting_date <= %(last)s)
 GROUP BY 1, 2 ORDER BY 1, 2
"""
_EACH_TOTALS = f"""
WITH cells AS (
    SELECT {", ".join(f"{_GROUPS[by]} AS {by}" for by in _GROUPS)}, l.currency,
           coalesce(sum(l.amount) FILTER (WHERE l.category = 'accrued'), 0) AS accrued,
           coalesce(sum(l.amount) FILTER (WHERE l.category = 'clawed_back'), 0) AS clawed_back, count(*) AS lines
      FROM bonus_line l JOIN partner p USING (partner) {_OF_DEALS}
     WHERE l.position <= %(position)s AND l.posting_date <= %(last)s
     GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT grouping({", ".join(_GROUPS)}), coalesce({", ".join(_GROUPS)}), currency, sum(accrued), sum(clawed_back), sum(lines)::bigint
  FROM cells GROUP BY GROUPING SETS ({", ".join(f"({by}, currency)" for by in _GROUPS)}) ORDER BY 1, 2, 3
"""
"""The lines are read once for all groups: with tens of millions of them, each reading takes seconds."""


@dataclass(frozen=True, slots=True)
class _At:
    """What an answer stands at: the date, and the position up to which the ledger is known."""

    as_of: dt.date | None
    position: int


class PostgresReadModels:
    """The queries on the live build."""

    def __init__(self, url: str) -> None:
        self._database = Reconnecting(url, "partner-ledger queries")

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def standing(self) -> Standing:
        """Tell how far the live projections are; cheap."""
        with self._snapshot() as (_, standing):
            return standing

    def position_at(self, known_at: dt.datetime) -> int:
        """Give the last position recorded at or before a moment."""
        with self._snapshot() as (cursor, standing):
            if not standing.build:
                return 0
            cursor.execute(
                "SELECT position FROM audit WHERE recorded_at <= %s ORDER BY position DESC LIMIT 1", (known_at,)
            )
            row = cursor.fetchone()
        return 0 if row is None else int(row[0])

    def partners(
        self, as_of: dt.date | None = None, *, up_to_position: int | None = None, country: str | None = None
    ) -> PartnersAnswer:
        """Give every partner enrolled by the date, of one country if wanted."""
        return self._partners(as_of, up_to_position, "(%(only)s IS NULL OR country = %(only)s)", country)

    def partner(
        self, partner_id: str, as_of: dt.date | None = None, *, up_to_position: int | None = None
    ) -> PartnersAnswer:
        """Give one partner; the answer is empty if it was not enrolled by the date."""
        return self._partners(as_of, up_to_position, "partner = %(only)s", partner_id)

    def tiers(
        self, as_of: dt.date | None = None, *, up_to_position: int | None = None, country: str | None = None
    ) -> TiersAnswer:
        """Count the holders of each tier by country."""
        with self._snapshot() as (cursor, standing):
            at = _resolve(cursor, standing, as_of, up_to_position)
            if at.as_of is None:
                return TiersAnswer(None, at.position, ())
            cursor.execute(_TIERS, {"position": at.position, "as_of": at.as_of, "country": country})
            return TiersAnswer(at.as_of, at.position, tuple(Holders(*row) for row in cursor.fetchall()))

    def lines(self, partner_id: str, as_of: dt.date | None = None, *, up_to_position: int | None = None) -> LinesAnswer:
        """Give one partner's bonus lines with a posting date up to the date, in the order recorded."""
        with self._snapshot() as (cursor, standing):
            at = _resolve(cursor, standing, as_of, up_to_position)
            if at.as_of is None:
                return LinesAnswer(None, at.position, ())
            cursor.execute(
                f"SELECT {BONUS_LINE.names} FROM bonus_line WHERE partner = %s AND position <= %s AND posting_date <= %s"
                " ORDER BY position, n",
                (partner_id, at.position, at.as_of),
            )
            return LinesAnswer(at.as_of, at.position, tuple(BonusLine(*row) for row in cursor.fetchall()))

    def scheme_bonuses(
        self, as_of: dt.date, *, up_to_position: int | None = None
    ) -> Mapping[str, Sequence[SchemeBonus]]:
        """Sum each partner's bonus lines with a posting date up to a date, by scheme and currency, in order of these."""
        bonuses: dict[str, list[SchemeBonus]] = {}
        after = ""
        while True:
            with self._snapshot() as (cursor, standing):
                if not standing.build:
                    return {}
                cursor.execute(
                    f"SELECT partner FROM partner WHERE partner > %s ORDER BY partner LIMIT {PARTNERS_A_PAGE}", (after,)
                )
                ids = [partner for (partner,) in cursor.fetchall()]
                position = standing.position if up_to_position is None else up_to_position
                cursor.execute(_SCHEME_BONUSES, {"ids": ids, "position": position, "as_of": as_of})
                for partner, scheme, currency, amount, lines in cursor.fetchall():
                    bonus = SchemeBonus(scheme, currency, in_digits(amount, currency), lines)
                    bonuses.setdefault(partner, []).append(bonus)
            if len(ids) < PARTNERS_A_PAGE:
                return bonuses
            after = ids[-1]

    def journal(self, as_of: dt.date | None = None, *, up_to_position: int | None = None) -> BonusJournal:
        """Give the bonus lines of all partners with a posting date up to the date, and the balances they must come to."""
        with self._snapshot() as (cursor, standing):
            at = _resolve(cursor, standing, as_of, up_to_position)
            if at.as_of is None:
                return BonusJournal(None, at.position, (), (), iter(()), iter(()), iter(()))
            schemes, totals = journal_groups(cursor, at.as_of, at.position)
        pages = JournalPages(self._snapshot, at.as_of, at.position)
        return BonusJournal(at.as_of, at.position, schemes, totals, pages.partners(), pages.lines(), pages.balances())

    def audit(self, *, first_position: int = 1, last_position: int | None = None) -> Iterator[AuditRow]:
        """Give the audit trail in order of position, read in pages."""
        last = self.standing().position if last_position is None else last_position
        statement = (
            f"SELECT {AUDIT.names} FROM audit WHERE position BETWEEN %(first)s AND %(last)s"
            f" ORDER BY position LIMIT {EVENTS_A_PAGE}"
        )
        first = first_position
        while first <= last:
            with self._snapshot() as (cursor, standing):
                if not standing.build:
                    return
                cursor.execute(statement, {"first": first, "last": last})
                rows = cursor.fetchall()
            for row in rows:
                *fields, leaf_hash, programme = row
                yield AuditRow(*[*fields, in_hex(bytes(leaf_hash)), programme])
            if len(rows) < EVENTS_A_PAGE:
                return
            first = rows[-1][0] + 1

    def line(self, position: int, n: int) -> BonusLine | None:
        """Give one bonus line, None where there is none."""
        with self._snapshot() as (cursor, standing):
            if not standing.build:
                return None
            cursor.execute(f"SELECT {BONUS_LINE.names} FROM bonus_line WHERE position = %s AND n = %s", (position, n))
            row = cursor.fetchone()
        return None if row is None else BonusLine(*row)

    def totals(
        self, by: TotalsBy, first: dt.date | None, last: dt.date | None, *, up_to_position: int | None = None
    ) -> TotalsAnswer:
        """Sum the bonus lines with a posting date from the first to the last day, both counted."""
        with self._snapshot() as (cursor, standing):
            position = standing.position if up_to_position is None else min(up_to_position, standing.position)
            if not standing.build:
                return TotalsAnswer(position, ())
            statement = _TOTALS.format(group=_GROUPS[by], deals=_OF_DEALS if by == "family" else "")
            cursor.execute(statement, {"first": first, "last": last, "position": position})
            totals = [
                Total(group, currency, in_digits(accrued, currency), in_digits(clawed_back, currency), lines)
                for group, currency, accrued, clawed_back, lines in cursor.fetchall()
            ]
        return TotalsAnswer(position, tuple(totals))

    def each_totals(self, last: dt.date, *, up_to_position: int | None = None) -> Mapping[TotalsBy, tuple[Total, ...]]:
        """Sum the bonus lines with a posting date up to a day, by each kind of group."""
        found: dict[TotalsBy, list[Total]] = {by: [] for by in _GROUPS}
        with self._snapshot() as (cursor, standing):
            if standing.build:
                position = standing.position if up_to_position is None else min(up_to_position, standing.position)
                cursor.execute("SET LOCAL work_mem = '256MB'")  # of ten million deals by id: half the time
                cursor.execute(_EACH_TOTALS, {"last": last, "position": position})
                for left_out, group, currency, accrued, clawed_back, lines in cursor.fetchall():
                    by = list(_GROUPS)[
                        f"{left_out:0{len(_GROUPS)}b}".index("0")
                    ]  # a bit for each that is not grouped by
                    amounts = in_digits(accrued, currency), in_digits(clawed_back, currency)
                    found[by].append(Total(group, currency, *amounts, lines))
        return {by: tuple(totals) for by, totals in found.items()}

    def sales_totals(self, *, up_to_position: int | None = None) -> Mapping[str, Decimal]:
        """Sum the amounts of all sales as recorded, by currency."""
        with self._snapshot() as (cursor, standing):
            if not standing.build:
                return {}
            position = standing.position if up_to_position is None else up_to_position
            cursor.execute(
                "SELECT currency, sum(amount) FROM sale WHERE position <= %s GROUP BY currency ORDER BY currency",
                (position,),
            )
            return {currency: in_digits(amount, currency) for currency, amount in cursor.fetchall()}

    def parked(self, stream: str | None = None) -> Sequence[ParkedRecord]:
        """List the records that are parked, of one stream if wanted."""
        with self._snapshot() as (cursor, standing):
            if not standing.build:
                return ()
            cursor.execute(
                "SELECT stream, topic, partition, record_offset, position, record_key, value, leaf_hash, reason, parked_at"
                " FROM parked WHERE %(stream)s IS NULL OR stream = %(stream)s ORDER BY stream, partition, record_offset",
                {"stream": stream},
            )
            return tuple(ParkedRecord(*row[:5], *map(_bytes, row[5:8]), *row[8:]) for row in cursor.fetchall())

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[Cursor, Standing]]:
        with self._database.transaction(_SNAPSHOT) as cursor:
            build = live_build(cursor)
            if build is None:
                yield cursor, Standing(0, 0, 0, 0, 0, None, None)
                return
            cursor.execute(f"SET LOCAL search_path = {schema(build)}")
            cursor.execute(_STANDING)
            row = cursor.fetchone()
            assert row is not None, "an aggregate without GROUP BY gives a row"
            yield cursor, Standing(build, *row)

    def _partners(
        self, as_of: dt.date | None, up_to_position: int | None, condition: str, only: str | None
    ) -> PartnersAnswer:
        after = ""
        found: list[PartnerStanding] = []
        at: _At | None = None
        while True:
            with self._snapshot() as (cursor, standing):
                at = at or _resolve(cursor, standing, as_of, up_to_position)
                if at.as_of is None:
                    return PartnersAnswer(None, at.position, ())
                cursor.execute(
                    f"SELECT {PARTNER.names} FROM partner WHERE partner > %(after)s AND enrolled_on <= %(as_of)s"
                    f" AND position <= %(position)s AND {condition} ORDER BY partner LIMIT {PARTNERS_A_PAGE}",
                    {"after": after, "as_of": at.as_of, "position": at.position, "only": only},
                )
                page = [PartnerRow(*row) for row in cursor.fetchall()]
                found += _standings(cursor, page, at.as_of, at.position, now=at.position >= standing.position)
            if len(page) < PARTNERS_A_PAGE:
                return PartnersAnswer(at.as_of, at.position, tuple(found))
            after = page[-1].partner


def _resolve(cursor: Cursor, standing: Standing, as_of: dt.date | None, up_to_position: int | None) -> _At:
    """Say what an answer stands at: the dates and positions asked for, or the latest there are."""
    position = standing.position if up_to_position is None else min(up_to_position, standing.position)
    if not standing.build:
        return _At(None, 0)
    if as_of is not None or position == standing.position:
        return _At(as_of or standing.default_as_of, position)
    cursor.execute(_AS_KNOWN_AT, (position,))
    row = cursor.fetchone()
    return _At(None if row is None else row[0], position)


def _standings(
    cursor: Cursor, page: Sequence[PartnerRow], as_of: dt.date, position: int, *, now: bool
) -> list[PartnerStanding]:
    """Put together the partners of a page from their rows up to a date and a position."""
    given = {"ids": [row.partner for row in page], "as_of": as_of, "position": position}
    up_to = "WHERE partner = ANY (%(ids)s) AND position <= %(position)s AND effective_on <= %(as_of)s ORDER BY position"
    tiers = _by_partner(cursor, f"SELECT partner, {TIER.names} FROM tier {up_to}", given)
    memberships = _by_partner(cursor, f"SELECT partner, {MEMBERSHIP.names} FROM membership {up_to}", given)
    specialisations = _by_partner(cursor, _SPECIALISATIONS, given)
    balances = balances_of(cursor, [row.partner for row in page], as_of, position, now=now)
    standings = []
    for row in page:
        changes = tuple(MembershipRow(*change) for change in memberships[row.partner])
        so_far = membership((change.change, change.effective_on) for change in changes)
        standings.append(
            PartnerStanding(
                row,
                tuple(TierRow(*tier) for tier in tiers[row.partner]),
                tuple(name for (name,) in specialisations[row.partner]),
                changes,
                so_far.ended_on,
                so_far.loyalty_days(as_of),
                tuple(balance for balance, _ in balances[row.partner]),
                sum(lines for _, lines in balances[row.partner]),
            )
        )
    return standings


def _by_partner(cursor: Cursor, statement: str, given: Mapping[str, Any]) -> Mapping[str, list[tuple[Any, ...]]]:
    cursor.execute(statement, given)
    rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for partner, *rest in cursor.fetchall():
        rows[partner].append(tuple(rest))
    return rows


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
