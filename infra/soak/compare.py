"""Says where a ledger that was disturbed differs from one that was not: store, topics, projections, totals.

Each difference is a sentence that names position, partner or row. None at all means that nothing was lost, nothing doubled
and nothing changed.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra.soak.outside import Reading, Row, Table

SHOWN = 3
"""So many of the rows that differ are shown, of each kind."""


class ControlTotals:
    """What must have been sold, by the feeds themselves: every sale once that was not refused, by currency."""

    def __init__(self) -> None:
        self._sold: dict[str, tuple[str, Decimal]] = {}

    def add(self, folders: Iterable[Path], refused: Iterable[Mapping[str, Any]]) -> None:
        """Take in the sales of folders but for the refused rows."""
        without = {(row["folder"], row["file"], row["line"]) for row in refused}
        for folder in folders:
            with (folder / "sales.csv").open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(file)
                for row in rows:
                    if (str(folder), "sales.csv", rows.line_num) not in without:
                        self._sold[row["deal_id"]] = row["currency"], Decimal(row["amount"])

    def by_currency(self) -> Mapping[str, Decimal]:
        """Give the totals."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for currency, amount in self._sold.values():
            totals[currency] += amount
        return totals


def differences(disturbed: Reading, undisturbed: Reading, totals: ControlTotals) -> list[str]:
    """Compare two ledgers that were told the same and are at rest."""
    return [
        *_rows("store: event", disturbed.events(), undisturbed.events()),
        *_rows("store: identity of", disturbed.identities(), undisturbed.identities()),
        *_rows("store: person", disturbed.persons(), undisturbed.persons()),
        *_rows("store: import", disturbed.imports(), undisturbed.imports()),
        *_topic(disturbed),
        *_rows("topic of tier changes: record", disturbed.tier_changes(), undisturbed.tier_changes()),
        *_tables(disturbed.tables(), undisturbed.tables()),
        *_parked(disturbed),
        *_totals(disturbed, totals),
    ]


def _rows(what: str, found: Sequence[Row], expected: Sequence[Row]) -> Iterator[str]:
    if len(found) != len(expected):
        yield f"{what}: {len(found):,} where the undisturbed run has {len(expected):,}"
    differing = [pair for pair in zip(found, expected, strict=False) if pair[0] != pair[1]]
    for one, other in differing[:SHOWN]:
        yield f"{what} {one} where the undisturbed run has {other}"
    if len(differing) > SHOWN:
        yield f"{what}: {len(differing) - SHOWN:,} more that differ"


def _topic(reading: Reading) -> Iterator[str]:
    """Compare the events topic with the store: each event once, byte for byte, in order per stream; and the audit trail with both."""
    stored = {row[0]: row[1:] for row in reading.hashes()}
    if sorted(stored) != list(range(1, len(stored) + 1)):
        yield f"store: the positions of {len(stored):,} events are not 1 to {len(stored):,} without a hole"
    times: Counter[int] = Counter()
    versions: dict[str, int] = defaultdict(int)
    last: dict[int, int] = defaultdict(int)
    homes: dict[str, int] = {}
    wrong: list[str] = []
    places: list[Row] = []
    for record in reading.records(reading.events_topic):
        envelope = json.loads(record.value)
        position, version, leaf_hash = envelope["position"], envelope["streamversion"], record.leaf_hash
        place = f"events topic: position {position} at {record.partition}/{record.offset} ({record.key})"
        times[position] += 1
        places.append((position, reading.events_topic, record.partition, record.offset, leaf_hash))
        if stored.get(position) != (record.key, version, leaf_hash) or envelope["subject"] != record.key:
            wrong.append(f"{place} is not the event that the store has there")
        if version != versions[record.key] + 1:
            wrong.append(f"{place} has version {version} after version {versions[record.key]}")
        if position <= last[record.partition]:
            wrong.append(f"{place} comes after position {last[record.partition]}")
        if homes.setdefault(record.key, record.partition) != record.partition:
            wrong.append(f"{place} is in another partition than its stream was before")
        versions[record.key], last[record.partition] = version, position
    wrong += [
        f"events topic: position {position} is there {count} times" for position, count in times.items() if count > 1
    ]
    wrong += [f"events topic: position {position} is missing" for position in stored if position not in times]
    yield from _first(wrong)
    yield from _rows("audit trail: row", reading.audited(), sorted(places))


def _tables(found: Mapping[str, Table], expected: Mapping[str, Table]) -> Iterator[str]:
    if found.keys() != expected.keys():
        yield f"projections: tables {sorted(found)} where the undisturbed run has {sorted(expected)}"
    for name in sorted(found.keys() & expected.keys()):
        one, other = Counter(found[name].rows), Counter(expected[name].rows)
        if one == other:
            continue
        columns = ", ".join(found[name].columns)
        yield f"projections: table {name} ({columns}) has {one.total():,} rows, in the undisturbed run {other.total():,}"
        yield from _first([f"projections: {name} has {_shown(row)}, too much" for row in (one - other)])
        yield from _first([f"projections: {name} lacks {_shown(row)}" for row in (other - one)])


def _parked(reading: Reading) -> Iterator[str]:
    if parked := reading.parked():
        yield f"projections: {parked:,} records are parked"


def _totals(reading: Reading, totals: ControlTotals) -> Iterator[str]:
    told = totals.by_currency()
    for where, sold in (("store", reading.sold()), ("projections", reading.sold_by_projection())):
        for currency in sorted(told.keys() | sold.keys()):
            if told.get(currency) != sold.get(currency):
                yield f"{where}: sales of {sold.get(currency)} {currency}, but {told.get(currency)} were told"
    bonuses = reading.bonuses()
    if len({tuple(sums) for sums in bonuses.values()}) > 1:
        yield f"projections: the sums of bonuses do not agree: {bonuses}"


def _first(sentences: Sequence[str]) -> Iterator[str]:
    yield from sentences[:SHOWN]
    if len(sentences) > SHOWN:
        yield f"… and {len(sentences) - SHOWN:,} more"


def _shown(row: str) -> str:
    return row.replace("\t", " | ")
