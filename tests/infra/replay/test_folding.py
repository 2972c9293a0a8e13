"""Folding by processes: their number changes nothing, and none is left, whatever happens to one of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import msgspec
import psutil
import pytest

from domain.errors import IntegrityFault, LedgerError
from infra.replay.folding import _no_interrupt, fold_all
from infra.replay.rehearsing import check_all_read
from projections.facts_by_stream import Facts
from projections.what_if_result import Gathering, fold_here
from projections.what_if_rules import Rules, ledgers_own
from projections.what_if_tally import GROUPS
from tests.domain.history import History, award, enrol, sale, train
from tests.domain.networks import LAST_DAY, PROGRAMMES
from tests.projections import changed_programmes as change
from tests.projections.recorded_facts import HeldFacts, facts_of


def network() -> History:
    """Eight partners, of whom two of one country hold or want a seat."""
    history = History(*PROGRAMMES)
    for n in range(1, 9):
        history.given(
            enrol(f"P{n}", "2012-07-01", country="CH" if n % 2 else "DE"),
            sale(f"D{n}", f"P{n}", "2012-07-02", f"{n}00.00"),
            sale(f"E{n}", f"P{n}", "2012-08-02", "2000.00", "cloud"),
            train(f"C{n}", f"P{n}", f"person of P{n}", "CL-101", "2012-08-03"),
        )
    history.given(award("P1", "platinum", "2012-08-20"), award("P2", "platinum", "2012-08-20"))
    return history.advance(LAST_DAY)


def sets_of(facts: HeldFacts) -> list[Rules]:
    own = ledgers_own(facts.ledgers_own())
    versions = (tuple(PROGRAMMES), tuple(change.last_changed(PROGRAMMES, change.no_seats)))
    return [Rules(own, each, LAST_DAY) for each in versions]


def said(gathering: Gathering) -> list[object]:
    """Everything that results say."""
    return [
        (list(map(msgspec.to_builtins, each.outcomes.values())), [each.totals.by(by) for by in GROUPS])
        for each in gathering.results()
    ]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_processes_comes_to_the_same(workers: int) -> None:
    """Two sets of programmes at once, by one to three processes, as by this process alone."""
    facts = facts_of(network(), pieces=5)
    sets = sets_of(facts)
    counts: list[int] = []
    gathering = fold_all(facts, sets, workers, counts.append)
    assert said(gathering) == said(fold_here(facts, sets))
    assert counts == sorted(counts)
    assert counts[-1] == gathering.facts == 8 * 4 + 2
    assert {len(result.refused) for result in gathering.results()} == {0, 2}
    assert not children()


class FactsThatKill(HeldFacts):
    """Facts of which the reading kills the process, as when memory is short."""

    def facts(self, piece: str) -> Facts:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


class FactsThatAreDamaged(HeldFacts):
    """Facts that turn out to be damaged."""

    def facts(self, piece: str) -> Facts:
        raise IntegrityFault(f"{piece} was altered.")


@pytest.mark.parametrize(("kind", "told"), [(FactsThatKill, "SIGKILL"), (FactsThatAreDamaged, "was altered")])
def test_a_process_that_ends_ends_them_all_with_a_sentence(kind: type[HeldFacts], told: str) -> None:
    """It is said which way it ended; no process is left."""
    facts = kind([])
    with pytest.raises(LedgerError, match=told):
        fold_all(facts, sets_of(facts_of(network())), 2, lambda _: None)
    assert not children()


def leave(_pipe: object) -> None:
    """End at once, as a process does that is killed while it starts."""
    os._exit(3)


def test_a_process_that_ends_as_it_starts_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is given is more than a pipe holds: whoever writes it is told that nobody reads."""
    monkeypatch.setattr("infra.replay.folding.work", leave)
    facts = facts_of(network())
    with pytest.raises(LedgerError, match="exit code 3"):
        fold_all(facts, sets_of(facts) * 200, 2, lambda _: None)
    assert not children()


def test_facts_that_nobody_read_stop_a_replay() -> None:
    """A tape whose manifest names fewer row groups than there are would give figures of a smaller ledger."""
    facts = facts_of(network())
    own = len(facts.ledgers_own().positions)
    check_all_read(facts, 34, 34 + own)
    with pytest.raises(IntegrityFault, match=f"has {35 + own} facts by its manifest, and {34 + own} were read"):
        check_all_read(facts, 34, 35 + own)


def children() -> Sequence[psutil.Process]:
    """Give this process's children that fold: the servers of other tests may be its children as well."""
    alive = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
    return [each for each in alive if "spawn_main" in " ".join(each.cmdline())]


FIRST_PROCESS = """
import re, time
from multiprocessing import get_context
from pathlib import Path
from infra.replay.folding import _no_interrupt
if __name__ == "__main__":
    process = get_context("spawn").Process(target=time.sleep, args=(5,), daemon=True)
    with _no_interrupt():
        process.start()
    print(re.search(r"SigBlk:.*(.)$", Path(f"/proc/{process.pid}/status").read_text(), re.M)[1])
    process.kill()
"""


def test_already_the_first_process_starts_without_hearing_of_an_interrupt(tmp_path: Path) -> None:
    """A terminal's Ctrl-C goes to all processes; one that is still starting would end with a traceback. Bit 1 is SIGINT."""
    script = tmp_path / "script.py"
    script.write_text(FIRST_PROCESS, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ran = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert int(ran.stdout, 16) & 2, ran.stderr


def test_an_interrupt_waits_until_the_process_has_started() -> None:
    """Whichever thread takes the signal: the block is gone through, and then interrupted."""
    done: list[str] = []
    ended = Event()
    other = Thread(target=ended.wait)
    other.start()

    def start() -> None:
        with _no_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            done.append("started")

    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        ended.set()
        other.join()
    assert done == ["started"]
