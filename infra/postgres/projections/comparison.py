"""Compares two builds row by row: what has a position in pages of positions, what has none as a whole.

Both follow from the same events, so all that both have applied must be equal, text for text. What one of them has not read yet
is no difference; nor is what the live build has parked and the new one could apply, which is counted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - psycopg2 names a class in lower case

from consumers.rebuild import Comparison, Difference, Plan, Totals
from infra.postgres.projections.tables import BOOKKEEPING, BY_FIELD, DROPPED, PROJECTIONS, projection_of

POSITIONS_A_PAGE = 20_000
SHOWN = 5
"""So many differing rows of a table are told; all are counted."""

_PAGE = """
WITH a AS (SELECT position, ROW({columns})::text AS content FROM {new}.{table} WHERE {within}),
b AS (SELECT position, ROW({columns})::text AS content FROM {live}.{table} WHERE {within}),
differing AS (
    (SELECT position, content, true AS is_new FROM (SELECT * FROM a EXCEPT ALL SELECT * FROM b) AS only_new)
    UNION ALL
    (SELECT position, content, false FROM (SELECT * FROM b EXCEPT ALL SELECT * FROM a) AS only_live)
)
SELECT position, content, is_new, count(*) OVER () FROM differing
WHERE NOT EXISTS (SELECT FROM {live}.parked WHERE parked.position = differing.position)
ORDER BY position, content LIMIT {shown}
"""

_WHOLE = """
WITH a AS (SELECT ROW({key})::text AS key, ROW({columns})::text AS content FROM {new}.{table} AS t WHERE {condition}),
b AS (SELECT ROW({key})::text AS key, ROW({columns})::text AS content FROM {live}.{table} AS t WHERE {condition}),
differing AS (
    (SELECT key, content, true AS is_new FROM (SELECT * FROM a EXCEPT ALL SELECT * FROM b) AS only_new)
    UNION ALL
    (SELECT key, content, false FROM (SELECT * FROM b EXCEPT ALL SELECT * FROM a) AS only_live)
)
SELECT key, content, is_new, count(*) OVER () FROM differing ORDER BY key, content LIMIT {shown}
"""

_FIRST_BEYOND = """
SELECT min(position) FROM {ahead}.audit JOIN unnest(%s::int[], %s::bigint[]) AS behind (partition, next_offset)
    USING (partition) WHERE record_offset >= next_offset
"""

_WITHOUT_POSITION: Mapping[str, tuple[str, str, str]] = {
    "balance": (
        "partner, currency, posting_month",
        "accrued, clawed_back, paid, lines",
        "EXISTS (SELECT FROM {new}.stream_version AS s WHERE s.stream = 'partner:' || t.partner"
        " AND s.partition = ANY (%(partitions)s)) AND 'partner:' || t.partner <> ALL (%(parked)s)",
    ),
    "stream_version": (
        "stream",
        "partition, version, leaf_hash",
        "t.partition = ANY (%(partitions)s) AND t.stream <> ALL (%(parked)s)",
    ),
    "parked": (
        "topic, partition, record_offset",
        "stream, leaf_hash, position",
        "t.partition = ANY (%(partitions)s) AND t.stream <> ALL (%(parked)s)",
    ),
    "partition_progress": (
        "topic, partition",
        "next_offset, applied, last_position, ledger_date, latest_business_date",
        "t.partition = ANY (%(partitions)s) AND t.partition <> ALL (%(parked_in)s)",
    ),
}
"""Key, further columns and rows that must be equal where both builds have read a partition up to the same offset."""


class Comparing:
    """Two builds of the same tables, by their schemas."""

    def __init__(self, new: str, live: str, plan: Plan) -> None:
        self._new = new
        self._live = live
        self._projections = plan.projections
        self._tables = {table for name in plan.projections for table in PROJECTIONS[name].tables}
        self._whole = plan.whole

    def up_to(self, cursor: Cursor, *, same_topic: bool) -> int:
        """Give the position up to which both builds have all events: none that one of them has is to come to the other."""
        if not same_topic:
            return min(_complete_up_to(cursor, self._new), _complete_up_to(cursor, self._live))
        here, there = _progress(cursor, self._new), _progress(cursor, self._live)
        last = max([position for _, position in (*here.values(), *there.values())], default=0)
        for ahead, behind, schema in ((here, there, self._new), (there, here, self._live)):
            offsets = {
                number: behind.get(number, (0, 0))[0]
                for number, (offset, _) in ahead.items()
                if offset > behind.get(number, (0, 0))[0]
            }
            if offsets:
                cursor.execute(
                    _FIRST_BEYOND.format(ahead=schema), (list(offsets), [offsets[number] for number in offsets])
                )
                ((first,),) = cursor.fetchall()
                last = last if first is None else min(last, first - 1)
        return last

    def pages(self, cursor: Cursor, first: int, last: int, note: Callable[[int, int], None]) -> "Found":
        """Compare all tables whose rows have positions, from behind the first one up to the last."""
        found = Found()
        for after in range(first, last, POSITIONS_A_PAGE):
            until = min(after + POSITIONS_A_PAGE, last)
            for table in BY_FIELD.values():
                if table.name in self._tables or (self._whole and table is DROPPED):
                    columns = ", ".join(name for name in table.names.split(", ") if name != "record_offset")
                    cursor.execute(
                        _PAGE.format(
                            columns=columns,
                            new=self._new,
                            live=self._live,
                            table=table.name,
                            within=f"position > {after} AND position <= {until}",
                            shown=SHOWN,
                        )
                    )
                    found.add(table.name, cursor.fetchall())
            note(until, last)
        return found

    def without_position(
        self, cursor: Cursor, partitions: Collection[int], tables: Collection[str] = (), *, parked_too: bool = False
    ) -> "Found":
        """Compare balances, streams and progress of partitions that both builds have read up to the same offset.

        Streams that are parked in the live build are left out, as the new one may have applied them, unless with `parked_too`.
        """
        found = Found()
        cursor.execute(f"SELECT DISTINCT stream, partition FROM {self._live}.parked")
        parked = cursor.fetchall()
        given = {
            "partitions": sorted(partitions),
            "parked": [] if parked_too else [stream for stream, _ in parked],
            "parked_in": [] if parked_too else [partition for _, partition in parked],
        }
        for table, (key, columns, condition) in _WITHOUT_POSITION.items():
            if table not in (tables or (*BOOKKEEPING, *self._tables)):
                continue
            statement = _WHOLE.format(
                key=key,
                columns=f"{key}, {columns}",
                new=self._new,
                live=self._live,
                table=table,
                condition=condition.format(new=self._new),
                shown=SHOWN,
            )
            cursor.execute(statement, given)
            found.add(table, cursor.fetchall())
        return found

    def applied_anew(self, cursor: Cursor) -> int:
        """Count the events that are parked in the live build and applied in the new one."""
        cursor.execute(
            f"SELECT count(*) FROM {self._live}.parked AS p JOIN {self._new}.stream_version AS s USING (stream)"
            " JOIN ledger.event AS e ON e.position = p.position WHERE e.version <= s.version"
        )
        ((count,),) = cursor.fetchall()
        return int(count)


class Found:
    """Differences as they are found."""

    def __init__(self) -> None:
        self.differing: dict[str, int] = {}
        self.differences: list[Difference] = []

    @classmethod
    def of(cls, comparison: Comparison | None) -> "Found":
        """Give what a comparison has found."""
        found = cls()
        if comparison is not None:
            found.differing, found.differences = dict(comparison.differing), list(comparison.differences)
        return found

    def add(self, table: str, rows: Sequence[tuple[int | str, str, bool, int]]) -> None:
        """Take in what a statement found in a table: position or key, content, of which build, how many in all."""
        if not rows:
            return
        shown = SHOWN - sum(each.table == table for each in self.differences)
        self.differing[table] = self.differing.get(table, 0) + rows[0][3]
        at: dict[int | str, dict[bool, str]] = {}
        for where, content, is_new, _ in rows:
            at.setdefault(where, {}).setdefault(is_new, content)
        for key, sides in list(at.items())[: max(0, shown)]:
            position = key if isinstance(key, int) else None
            self.differences.append(
                Difference(projection_of(table), table, position, sides.get(True), sides.get(False))
            )

    def together(self, other: "Found") -> "Found":
        """Give both."""
        both = Found()
        for each in (self, other):
            for table, count in each.differing.items():
                both.differing[table] = both.differing.get(table, 0) + count
        both.differences = [*self.differences, *other.differences]
        return both


def totals(cursor: Cursor, schema: str, projections: Sequence[str], up_to: int | None) -> Totals:
    """Give the control totals of a build, up to a position if wanted: only of tables that have positions then."""
    within = "" if up_to is None else f" WHERE position <= {up_to:d}"
    rows: dict[str, int] = {}
    for name in projections:
        for table in PROJECTIONS[name].tables:
            if up_to is None or table != "balance":
                cursor.execute(f"SELECT count(*) FROM {schema}.{table}{within}")
                ((rows[table],),) = cursor.fetchall()
    sums: dict[str, Mapping[str, tuple[int, Decimal]]] = {}
    for table in ("sale", "bonus_line"):
        sums[table] = {}
        if table in rows:
            cursor.execute(
                f"SELECT currency, count(*), sum(amount) FROM {schema}.{table}{within} GROUP BY currency ORDER BY currency"
            )
            sums[table] = {currency: (int(count), amount) for currency, count, amount in cursor.fetchall()}
    return Totals(rows, sums["sale"], sums["bonus_line"])


def comparison(up_to: int, found: Found, applied_anew: int, live: Totals, new: Totals) -> Comparison:
    """Put together what a comparison came to."""
    return Comparison(up_to, found.differing, found.differences, applied_anew, live, new)


def _complete_up_to(cursor: Cursor, schema: str) -> int:
    """Give the position up to which a build has all events, without a look at offsets, which another topic does not share."""
    cursor.execute(
        "SELECT coalesce(sum(applied), 0)::bigint, coalesce(max(last_position), 0), coalesce(min(last_position), 0)"
        f" FROM {schema}.partition_progress"
    )
    ((applied, last, least),) = cursor.fetchall()
    return int(last if applied == last else least)


def _progress(cursor: Cursor, schema: str) -> dict[int, tuple[int, int]]:
    cursor.execute(f"SELECT partition, next_offset, last_position FROM {schema}.partition_progress")
    return {partition: (offset, position) for partition, offset, position in cursor.fetchall()}
