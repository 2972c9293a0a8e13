"""What-if: facts a second from a tape, decided anew under other programmes, in one process and in as many as there are cores.

Partners with years of sales behind them and certificates, as `decide` has them, on a tape that is written for it. Reading the tape,
its JSON, deciding and adding up are all in the figures; starting processes is in the second one.
"""

import datetime as dt
import gc
import os
import resource
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path

from benchmarks.measuring import Bench, Clock, Spent
from benchmarks.network import deals, programmes
from domain import events as e
from domain.envelope import EventRow
from domain.programme import Programme, programme_from_content
from domain.streams import PROGRAMMES, partner_stream
from infra.kafka.ledger_topics import partition_of
from infra.replay.folding import fold_all
from infra.tape.manifest import TapeSource, blank
from infra.tape.reading import RecordedTape
from infra.tape.rows import tape_row
from infra.tape.writing import TapeWriter
from projections.what_if_result import fold_here
from projections.what_if_rules import Rules, ledgers_own, with_candidates

SALES_OF_A_PARTNER = 550
DAYS = 730
FIRST_SALE = dt.date(2012, 1, 1)
ENROLLED_ON = dt.date(2008, 3, 1)
TRAINED_ON = dt.date(2011, 11, 1)
RECORDED_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PARTITIONS = 12
PAGE = 20_000


def measure(bench: Bench) -> None:
    """Fold a tape of so many sales."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="plb-") as folder:
        _write(Path(folder), bench.events)
        tape = RecordedTape.open(Path(folder))
        own = ledgers_own(tape.ledgers_own())
        rules = Rules(own, with_candidates(own.published, [_candidate(own.published[-1])]), dt.date(2014, 1, 1))
        bench.rate("in one process", "facts/s", lambda: _fold(tape, rules))
        bench.rate(f"in {cores} processes", "facts/s", lambda: _fold_by_processes(tape, rules, cores))
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
        bench.values("resident memory of one of them, at most", "MB", [memory])


def _fold(tape: RecordedTape, rules: Rules) -> Spent:
    gc.disable()  # as the processes do
    try:
        clock = Clock()
        return clock.spent(fold_here(tape, [rules]).facts)
    finally:
        gc.enable()


def _fold_by_processes(tape: RecordedTape, rules: Rules, workers: int) -> Spent:
    clock = Clock()
    spent = clock.spent(fold_all(tape, [rules], workers, lambda _: None).facts)
    return Spent(spent.done, spent.seconds)


def _candidate(version: Programme) -> Programme:
    """Give a version with lower thresholds."""
    content = version.content()
    content["programme"] = f"{version.programme}-candidate"
    for tier in content["tiers"]:
        if "revenue" in tier["requires"]:
            tier["requires"]["revenue"] = str((Decimal(tier["requires"]["revenue"]) / 2).quantize(Decimal("0.01")))
    return programme_from_content(content)


def _write(folder: Path, sales: int) -> None:
    """Write a tape; its leaf hashes are none, as nothing here looks at them."""
    source = TapeSource("ledger", "cluster", "events", "topic", PARTITIONS)
    rows = enumerate(_events(sales), 1)
    with TapeWriter(folder, blank(source)) as writer:
        while page := list(islice(rows, PAGE)):
            by_partition: dict[int, list[EventRow]] = {}
            for position, (stream, event) in page:
                by_partition.setdefault(partition_of(stream.encode(), PARTITIONS), []).append(
                    _row(position, stream, event)
                )
            for partition, recorded in by_partition.items():
                writer.facts(partition, [tape_row(each) for each in recorded])
            writer.leaves([b"\x00" * 32] * len(page))
        writer.commit(dict.fromkeys(range(PARTITIONS), 0))


def _row(position: int, stream: str, event: e.Event) -> EventRow:
    return EventRow(
        position=position,
        stream=stream,
        version=1,
        type=type(event).__name__,
        schema_version=1,
        business_date=event.business_date,
        recorded_at=RECORDED_AT,
        actor="benchmark",
        command_id="benchmark",
        envelope_version=1,
        data=e.encode(event),
    )


def _events(sales: int) -> Iterator[tuple[str, e.Event]]:
    """Give the facts: programmes, then each partner with its certificates and its sales in order of date."""
    for terms in programmes().versions:
        version = terms.programme
        yield (
            PROGRAMMES,
            e.ProgrammePublished(
                programme=version.programme, effective_from=version.effective_from, content=version.content()
            ),
        )
    made = deals(sales)
    each = min(sales, SALES_OF_A_PARTNER)
    for partner in range(sales // each):
        stream = partner_stream(f"P{partner}")
        yield (
            stream,
            e.PartnerEnrolled(
                partner_id=f"P{partner}",
                name=f"Partner {partner}",
                country="CH",
                currency="CHF",
                enrolled_on=ENROLLED_ON,
                tier="affinity",
                programme="affinity-2006",
            ),
        )
        for course, person in (("VS-101", "a"), ("VS-101", "b"), ("VS-201", "a"), ("VS-201", "b")):
            yield (
                stream,
                e.TrainingCompleted(
                    completion_id=f"P{partner}-{course}-{person}",
                    person=person,
                    course=course,
                    completed_on=TRAINED_ON,
                    clock=TRAINED_ON,
                ),
            )
        for number, (family, amount) in enumerate(islice(made, each)):
            yield (
                stream,
                _sale(f"D{partner}-{number}", FIRST_SALE + dt.timedelta(number * DAYS // each), family, amount),
            )


def _sale(deal_id: str, closed_on: dt.date, family: str, amount: str) -> e.SaleRecorded:
    return e.SaleRecorded(
        deal_id=deal_id,
        closed_on=closed_on,
        family=family,
        amount=Decimal(amount),
        currency="CHF",
        earning=True,
        qualifying=Decimal(amount),
        base_currency="EUR",
        programme="partner-2012",
        clock=closed_on,
        source_ref=f"crm:{deal_id}",
    )
