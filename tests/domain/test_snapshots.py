"""What a snapshot keeps is pinned: what an older program has kept must mean the same to a newer one, or be left unread."""

from pathlib import Path

from domain.aggregates import PartnerAggregate
from domain.snapshots import FORMAT, snapshot_of
from tests.domain import programmes as p
from tests.domain.history import History, enrol, resume, reverse, revoke, sale, suspend, train

PINNED = Path(__file__).with_name("snapshots") / f"{FORMAT.replace('/', '-')}.json"


def eventful() -> PartnerAggregate:
    """A partner to whom everything happens that a standing keeps."""
    small = p.small(
        bonuses=[
            p.instant("deal", rate_bp={"bronze": 100, "silver": 200, "gold": 300, "platinum": 400}),
            p.kickback("quarter", bronze=50, silver=60, gold=70, platinum=80),
        ]
    )
    history = History(small).given(
        enrol("A", "2012-01-02", currency="CHF"),
        train("T1", "A", "ann", "CL-101", "2012-01-10"),
        train("T2", "A", "bob", "VS-101", "2012-01-11"),
        train("T3", "A", "cy", "CL-101", "2012-01-12"),
        revoke("T3", "2012-02-01"),
        sale("D1", "A", "2012-02-02", "1500.00"),
        sale("D2", "A", "2012-02-03", "4100.00", "cloud", currency="CHF"),
        sale("D3", "A", "2012-02-03", "700.55", "virtualisation"),
        reverse("R1", "D1", "2012-03-01", "900.00"),
        suspend("A", "2012-03-02"),
        resume("A", "2012-03-20"),
        sale("D4", "A", "2012-05-02", "90000", currency="JPY"),
    )
    history.advance("2014-07-02")
    history.given(suspend("A", "2014-07-03"))
    aggregate = history.partner("A")
    assert aggregate is not None
    return aggregate


def test_a_snapshot_of_this_format_is_as_it_always_was() -> None:
    """If this fails, raise `FORMAT` and pin a new file: snapshots taken so far would be read as something else."""
    assert snapshot_of(eventful()).state == PINNED.read_bytes().rstrip(b"\n")
