"""The projections made again: the events folded as the projector folds them, and each table compared row by row."""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal

from consumers.in_order import RecordsInOrder
from domain.findings import Tally
from infra.audit.clock import timed
from infra.audit.task import Task
from infra.kafka.admin import cluster_id, topic_id
from infra.kafka.ledger_topics import partition_of
from infra.kafka.whole_topic import WholeTopic
from infra.postgres.projections.audited import PostgresAuditedProjections, ProgressRow
from infra.postgres.projections.copy_csv import csv_lines
from infra.postgres.projections.tables import BY_FIELD
from projections.comparing import deviations
from projections.fold import Rows, fold
from projections.progress import Progress
from projections.recorded import Recorded
from projections.row import Row

POSITIONS_A_CHUNK = 8_192
FOLDING, BALANCES, JOURNAL, STREAMS, PROGRESS, PARKED = (
    "folding",
    "balances",
    "journal",
    "projections:stream_version",
    "progress",
    "parked",
)
BY_TABLE = {table.name: f"projections:{table.name}" for table in BY_FIELD.values()}
PROJECTIONS = (*BY_TABLE.values(), STREAMS, PROGRESS, BALANCES, JOURNAL, PARKED)


class MadeAgain:
    """Takes events in order of position, compares the tables chunk by chunk, and at the end what is kept beside the rows."""

    def __init__(self, tally: Tally, projections: PostgresAuditedProjections, task: Task) -> None:
        self._tally = tally
        self._projections = projections
        self._task = task
        self._chunk: list[Recorded] = []
        self._compared = 0
        self._progress: dict[int, Progress] = {}
        self._sales: dict[str, Decimal] = {}
        self._posted: dict[str, Decimal] = {}
        self._sides: dict[str, int] = {}
        self._rows: dict[str, int] = dict.fromkeys(BY_TABLE, 0)

    def take(self, events: list[Recorded], up_to: int) -> None:
        """Take the next events, which are all there are up to a position."""
        self._chunk += events
        if up_to - self._compared >= POSITIONS_A_CHUNK or up_to == self._task.last:
            self._compare(up_to)

    def facts(self) -> dict[str, object]:
        """Give row counts and control totals."""
        return {
            "build": self._projections.build,
            "tables": self._rows,
            "sales": {currency: str(amount) for currency, amount in sorted(self._sales.items())},
            "debits": {currency: str(amount) for currency, amount in sorted(self._posted.items())},
            "credits": {currency: str(amount) for currency, amount in sorted(self._posted.items())},
        }

    # --- rows ---

    def _compare(self, up_to: int) -> None:
        events, self._chunk = self._chunk, []
        before, self._compared = self._compared, up_to
        if up_to == before:
            return
        with timed(self._tally, FOLDING):
            rows = self._folded(events)
            self._add_up(rows)
        after = before or None  # the first chunk: whatever stands before position 1, too
        for name, table in BY_FIELD.items():
            check = BY_TABLE[table.name]
            with timed(self._tally, check):
                made: list[Row] = getattr(rows, name)
                expected = csv_lines(made).getvalue() + b"\n" if made else b""
                self._tally.count(check, len(made))
                self._rows[table.name] += len(made)
                if self._projections.lines(table, after, up_to) != expected:
                    for each in deviations(table.name, made, self._projections.rows(table, after, up_to)):
                        self._tally.found(check, each.kind, each.position, each.detail)

    def _folded(self, events: list[Recorded]) -> Rows:
        """Fold events; one that cannot be folded is said and left out, as the projector parks it."""
        try:
            return fold(events)
        except Exception:  # whatever is wrong with an event: found again below, one by one
            foldable = []
            for at in events:
                try:
                    fold([at])
                    foldable.append(at)
                except Exception as error:  # said as what it is
                    position = at.envelope.position
                    detail = f"Position {position} cannot be projected: {type(error).__name__}: {error}"
                    self._tally.found(BY_TABLE["audit"], "unreadable", position, detail)
            return fold(foldable)

    def _add_up(self, rows: Rows) -> None:
        for (_, partition), added in rows.progress.items():
            sofar = self._progress.setdefault(partition, Progress())
            sofar.applied += added.applied
            sofar.last_position = max(sofar.last_position, added.last_position)
            sofar.ledger_date = _later(sofar.ledger_date, added.ledger_date)
            sofar.latest_business_date = _later(sofar.latest_business_date, added.latest_business_date)
        for currency, amount in ((sale.currency, sale.amount) for sale in rows.sales):
            self._sales[currency] = self._sales.get(currency, _ZERO) + amount
        for line in rows.lines:
            currency = line.currency
            self._posted[currency] = self._posted.get(currency, _ZERO) + abs(line.amount)
            self._sides[currency] = self._sides.get(currency, 0) + 2

    # --- what is kept beside the rows ---

    def finish(self, order: RecordsInOrder, topic: WholeTopic) -> None:
        """Compare what is not kept by position, when every event was taken.

        Raises:
            ServiceUnreachable: PostgreSQL or Kafka does not answer.

        """
        if self._projections.build is None:
            return  # nothing was ever projected: the ledger is empty
        self._check_beyond()
        with timed(self._tally, STREAMS):
            self._check_streams(order.versions, len(topic.ends))
        with timed(self._tally, PROGRESS):
            self._check_progress(order, topic)
        with timed(self._tally, BALANCES):
            self._check_balances()
        with timed(self._tally, JOURNAL):
            self._check_journal()
        with timed(self._tally, PARKED):
            self._check_parked()

    def _check_beyond(self) -> None:
        """Rows behind the last position belong to events recorded meanwhile, or to nothing."""
        for table in BY_FIELD.values():
            check = BY_TABLE[table.name]
            with timed(self._tally, check):
                for position in self._projections.beyond(table, self._task.last):
                    detail = f"Table {table.name} has a row at position {position}, where no event of the store was projected."
                    self._tally.found(check, "added", position, detail)

    def _check_streams(self, versions: dict[str, int], partitions: int) -> None:
        last, tally = self._task.last, self._tally
        seen = 0
        for row in self._projections.streams():
            tally.count(STREAMS, 1)
            stream, known = row.stream, versions.get(row.stream)
            seen += known is not None
            later = row.position is not None and row.position > last
            belongs = partition_of(stream.encode(), partitions)
            if known is None and not later:
                detail = f"Table stream_version has the stream {stream}, of which Kafka has nothing."
                tally.found(STREAMS, "added", row.position, detail)
            elif known is not None and row.version != known and not (later and row.version > known):
                detail = f"Table stream_version has {stream} at version {row.version}; Kafka has it at version {known}."
                tally.found(STREAMS, "changed", row.position, detail)
            elif row.partition != belongs:
                detail = f"Table stream_version has {stream} in partition {row.partition}; it belongs into {belongs}."
                tally.found(STREAMS, "changed", row.position, detail)
            elif not row.is_stored_hash:
                detail = (
                    f"Table stream_version has another leaf hash for version {row.version} of {stream} than the store."
                )
                tally.found(STREAMS, "changed", row.position, detail)
        if seen != len(versions):
            there = {row.stream for row in self._projections.streams()}
            for stream in sorted(versions.keys() - there):
                detail = f"Table stream_version does not have {stream}, which Kafka has at version {versions[stream]}."
                tally.found(STREAMS, "missing", None, detail)

    def _check_progress(self, order: RecordsInOrder, topic: WholeTopic) -> None:
        task, tally = self._task, self._tally
        identity = (
            task.events_topic,
            cluster_id(task.bootstrap_servers),
            topic_id(task.bootstrap_servers, task.events_topic),
        )
        rows = {row.partition: row for row in self._projections.progress(task.last) if row.topic == task.events_topic}
        for partition in topic.partitions:
            tally.count(PROGRESS, 1)
            expected = self._progress.get(partition, Progress())
            row = rows.get(partition)
            if row is None:
                detail = f"Table partition_progress has no row of partition {partition} of {task.events_topic}."
                tally.found(PROGRESS, "missing", expected.last_position or None, detail)
                continue
            for what, said, follows in _progress_pairs(row, expected, identity):
                if said != follows:
                    self._note_progress(partition, expected.last_position, what, said, follows)
            handled = max(order.handled.get(partition, -1), row.further_offset)
            if row.next_offset != handled + 1 and not self._is_handled(row, handled, order, topic):
                self._note_progress(partition, expected.last_position, "next offset", row.next_offset, handled + 1)

    def _note_progress(self, partition: int, position: int, what: str, said: object, follows: object) -> None:
        detail = f"Table partition_progress has the {what} {said} of partition {partition}; the records give {follows}."
        self._tally.found(PROGRESS, "changed", position or None, detail)

    @staticmethod
    def _is_handled(row: ProgressRow, handled: int, order: RecordsInOrder, topic: WholeTopic) -> bool:
        """Tell whether an offset stands behind a record that came after the last one applied: parked, a repeat, passed over."""
        last = row.next_offset - 1
        if last <= handled:
            return False
        return last in order.offsets_after[row.partition] or topic.has_record(row.partition, last)

    def _check_balances(self) -> None:
        for looked_at, faults in self._projections.balances():
            self._tally.count(BALANCES, looked_at)
            for each in faults:
                what = f"balance of {each.partner} in {each.currency} for {each.posting_month:%Y-%m}"
                if each.kept is None:
                    detail = f"There is no {what}; its lines add up to {_sums(each.summed)}."
                    self._tally.found(BALANCES, "missing", each.position, detail)
                elif each.summed is None:
                    detail = f"There is a {what}, {_sums(each.kept)}, but no line of it."
                    self._tally.found(BALANCES, "added", each.position, detail)
                else:
                    detail = f"The {what} is {_sums(each.kept)}; its lines add up to {_sums(each.summed)}."
                    self._tally.found(BALANCES, "changed", each.position, detail)

    def _check_journal(self) -> None:
        """Debits equal credits in every currency, and both equal what the events posted."""
        debits: dict[str, Decimal] = {}
        credits_: dict[str, Decimal] = {}
        sides: dict[str, int] = {}
        step = 32 * POSITIONS_A_CHUNK
        for after in range(0, self._task.last, step):
            page = self._projections.journal(after, min(after + step, self._task.last))
            for currency, debited, credited, count in page:
                debits[currency] = debits.get(currency, _ZERO) + (debited or _ZERO)
                credits_[currency] = credits_.get(currency, _ZERO) + (credited or _ZERO)
                sides[currency] = sides.get(currency, 0) + count
        for currency in sorted(debits.keys() | self._posted.keys()):
            posted = (
                self._posted.get(currency, _ZERO),
                self._posted.get(currency, _ZERO),
                self._sides.get(currency, 0),
            )
            found = (debits.get(currency, _ZERO), credits_.get(currency, _ZERO), sides.get(currency, 0))
            self._tally.count(JOURNAL, found[2])
            if found != posted:
                detail = (
                    f"The journal in {currency} has debits {found[0]:,}, credits {found[1]:,} on {found[2]:,} sides; the events"
                    f" post {posted[0]:,} on {posted[2]:,}."
                )
                self._tally.found(JOURNAL, "changed", None, detail)

    def _check_parked(self) -> None:
        count, rows = self._projections.parked()
        self._tally.count(PARKED, count)
        for row in rows:
            detail = (
                f"The record at partition {row.partition}, offset {row.offset} of {row.stream} is parked: {row.reason}"
            )
            self._tally.found(PARKED, "parked", row.position, detail)


_ZERO = Decimal(0)


def _progress_pairs(
    row: ProgressRow, expected: Progress, identity: tuple[str, str, str | None]
) -> Iterable[tuple[str, object, object]]:
    """Give what is kept of a partition beside what the events give: those up to the last position, and those recorded since."""
    return (
        ("cluster", row.cluster_id, identity[1]),
        ("topic id", row.topic_id, identity[2]),
        ("number of events applied", row.applied, expected.applied + row.further_events),
        ("last position", row.last_position, max(expected.last_position, row.further_position)),
        ("ledger's date", row.ledger_date, _later(expected.ledger_date, row.further_ledger_date)),
        (
            "latest business date",
            row.latest_business_date,
            _later(expected.latest_business_date, row.further_business_date),
        ),
    )


def _later(one: dt.date | None, other: dt.date | None) -> dt.date | None:
    dates = [date for date in (one, other) if date is not None]
    return max(dates, default=None)


def _sums(sums: tuple[Decimal, Decimal, Decimal, int] | None) -> str:
    assert sums is not None, "one side is there"
    accrued, clawed_back, paid, lines = sums
    return f"{accrued:,} accrued, {clawed_back:,} clawed back, {paid:,} paid in {lines:,} lines"
