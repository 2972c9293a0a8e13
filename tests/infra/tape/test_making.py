"""A tape made from a real Kafka: what is on it, whatever was done to the topic, and what stops it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from domain.envelope import EventRow, envelope, leaf_hash
from domain.errors import IntegrityFault, InvalidInput, ServiceUnreachable
from infra.kafka.ledger_topics import partition_of
from infra.tape import making
from infra.tape.checking import Checked, check
from infra.tape.manifest import NAME, blank, load
from infra.tape.manifest import replace as replace_manifest
from infra.tape.reading import RecordedTape
from infra.tape.rows import tape_row
from infra.tape.writing import TapeWriter
from producers.topics import Checkpoint
from tests.end_to_end.tampering import Copy, copy_of_original, instead, original, without
from tests.infra.tape.ledger import Relayed, with_own_topics
from tests.infra.tape.test_files import all_facts, told
from tests.waiting import eventually

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def copy() -> Copy:
    """A copy of a golden case's ledger, with every kind of fact; the store stays as it is."""
    return copy_of_original()


@pytest.fixture
def ledger(copy: Copy) -> Relayed:
    """That ledger, nothing of it relayed yet."""
    return with_own_topics(copy)


@pytest.fixture(scope="module")
def whole(copy: Copy) -> Relayed:
    """That ledger with all of its events on Kafka, to be read only."""
    ledger = with_own_topics(copy)
    ledger.relay(1, ledger.last())
    return ledger


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few positions, so that a small ledger has many."""
    monkeypatch.setattr(making, "WINDOW", 100)


def holds(ledger: Relayed, folder: Path, last: int) -> None:
    """See to it that a tape has exactly the store's facts up to a position."""
    tape = RecordedTape.open(folder, ledger.ledger_id())
    partners, own = ledger.facts(last)
    assert sorted(all_facts(tape)) == sorted(partners)
    assert told(tape.ledgers_own()) == own
    assert tape.position == last


def checked(ledger: Relayed, folder: Path) -> Checked:
    with closing(ledger.store()) as store:
        return check(folder, ledger.ledger_id(), store, lambda _done, _total: None)


def test_a_tape_has_the_facts_of_the_store_and_the_root_of_its_tree(whole: Relayed, tmp_path: Path) -> None:
    """Compared with what PostgreSQL says by SQL, and with the tree head that `audit head` signed."""
    made = whole.make(tmp_path)
    holds(whole, tmp_path, whole.last())
    _, head = original()
    assert made.manifest.root == head.root.hex()
    assert (made.events, made.manifest.position) == (head.size, whole.last())
    assert made.facts == made.manifest.facts == sum(map(len, whole.facts(whole.last())))
    again = checked(whole, tmp_path)
    assert again.ok, again.findings


def test_it_is_topped_up_from_where_it_ended(ledger: Relayed, tmp_path: Path) -> None:
    """In three steps it has the same facts and root as at once; what is there already is not written again."""
    last = ledger.last()
    kept: set[str] = set()
    for first, end in ((1, 150), (151, 151), (152, last)):
        ledger.relay(first, end)
        made = ledger.make(tmp_path)
        assert (made.events, made.manifest.position) == (end - first + 1, end)
        holds(ledger, tmp_path, end)
        files = {part.file for part in made.manifest.parts}
        assert kept < files
        kept = files
    before = (tmp_path / NAME).read_bytes()
    made = ledger.make(tmp_path)
    assert (made.events, made.facts) == (0, 0)
    assert (tmp_path / NAME).read_bytes() == before
    _, head = original()
    assert made.manifest.root == head.root.hex()
    assert checked(ledger, tmp_path).ok


def test_nothing_on_kafka_gives_a_tape_with_nothing(ledger: Relayed, tmp_path: Path) -> None:
    """A ledger that has just begun; it is topped up later like any other."""
    ledger.relay(1, 0)
    assert ledger.make(tmp_path).manifest.position == 0
    tape = RecordedTape.open(tmp_path)
    assert (tape.position, list(tape.pieces()), told(tape.ledgers_own())) == (0, [], [])
    assert checked(ledger, tmp_path).ok
    ledger.relay(1, 40)
    ledger.make(tmp_path)
    holds(ledger, tmp_path, 40)


def test_records_relayed_behind_the_checkpoint_are_left_to_the_next_top_up(ledger: Relayed, tmp_path: Path) -> None:
    """What the topic has by the time it is read may be more than what the tape is to reach: it is cut at one position."""
    ledger.relay(1, 200, lambda whole: replace(whole, checkpoint=_checkpoint(ledger, 120)))
    assert ledger.make(tmp_path).manifest.position == 120
    holds(ledger, tmp_path, 120)
    ledger.relay(201, 230)
    assert ledger.make(tmp_path).events == 110
    holds(ledger, tmp_path, 230)


def test_events_that_can_be_read_later_than_their_checkpoint_are_waited_for(ledger: Relayed, tmp_path: Path) -> None:
    """Kafka makes a transaction visible partition by partition; here the checkpoint's is seconds ahead of the events'."""
    ledger.relay(1, 150, lambda whole: replace(whole, checkpoint=_checkpoint(ledger, 200)))
    with ThreadPoolExecutor(1) as thread:
        making_it = thread.submit(ledger.make, tmp_path)
        eventually(lambda: any(tmp_path.glob("leaves-*")))
        ledger.relay(151, 220)
        assert making_it.result().manifest.position == 200
    holds(ledger, tmp_path, 200)


def _checkpoint(ledger: Relayed, position: int) -> Checkpoint:
    return Checkpoint(position, leaf_hash(envelope(ledger.copy.row(position))))


def test_a_repeat_is_passed_over(ledger: Relayed, tmp_path: Path) -> None:
    """The same bytes once more, in the same reading, later in it, and after the tape has come past them."""
    sale = ledger.copy.position("type = 'SaleRecorded'")
    row = ledger.copy.row(sale)
    once_more = (row.stream.encode(), envelope(row), 1)
    ledger.relay(1, sale)
    ledger.produce(once_more)
    ledger.relay(sale + 1, 200)
    ledger.produce(once_more)
    ledger.make(tmp_path)
    holds(ledger, tmp_path, 200)
    ledger.produce(once_more)
    ledger.relay(201, 220)
    ledger.make(tmp_path)
    holds(ledger, tmp_path, 220)
    assert checked(ledger, tmp_path).ok


def _forged(ledger: Relayed, like: int, **changes: object) -> tuple[bytes, bytes, int]:
    row = ledger.copy.row(like)
    values = {name: getattr(row, name) for name in row.__struct_fields__}
    return row.stream.encode(), envelope(EventRow(**{**values, **changes})), 1


@pytest.mark.parametrize(
    "forgery", ["another amount", "a position to come", "no JSON", "no value", "another's key", "after the tape"]
)
def test_a_forged_record_stops_it_and_is_named(ledger: Relayed, tmp_path: Path, forgery: str) -> None:
    """Where it stands is told, and the tape is as it was."""
    sale = ledger.copy.position("type = 'SaleRecorded'")
    key, value, _ = genuine = _forged(ledger, sale)
    record: tuple[bytes | None, bytes | None, int] = {
        "another amount": _forged(ledger, sale, data=b'{"amount":"1000000"}'),
        "a position to come": _forged(ledger, sale, position=10**12),
        "no JSON": (key, b"no JSON", 1),
        "no value": (key, None, 1),
        "another's key": (b"partner:other", value, 1),
        "after the tape": _forged(ledger, sale, command_id="forged"),
    }[forgery]
    assert record != genuine
    ledger.relay(1, 100)
    ledger.make(tmp_path)
    if forgery in ("another amount", "a position to come", "another's key"):
        ledger.produce(record)  # among events that are yet to be read
        ledger.relay(101, 200)
    else:
        ledger.relay(101, 200)
        if forgery == "after the tape":
            ledger.make(tmp_path)
        ledger.produce(record)  # behind the last one
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        IntegrityFault, match=r"The record at partition \d+, offset \d+ of topic .* is none of the ledger's"
    ):
        ledger.make(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("position", [1, 130, 200])
def test_a_missing_record_stops_it(
    ledger: Relayed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    """The position is named; the relay's checkpoint says that the topic should have it."""
    monkeypatch.setattr(making, "MARKERS_WITHIN_S", 0.5)
    ledger.relay(1, 200, without(position))
    with pytest.raises(IntegrityFault, match=f"has no record of position {position}, "):
        ledger.make(tmp_path)
    assert load(tmp_path) is None


def test_a_changed_record_stops_it(ledger: Relayed, tmp_path: Path) -> None:
    """In the place of the genuine one."""
    sale = ledger.copy.position("type = 'SaleRecorded'")
    ledger.relay(
        1, 200, instead(sale, lambda each: each._replace(value=each.value.replace(b'"amount":"', b'"amount":"9')))
    )
    with pytest.raises(IntegrityFault, match=f"claims position {sale}, where the store holds another event"):
        ledger.make(tmp_path)


def test_a_store_that_was_changed_later_is_found_by_the_check(copy: Copy, tmp_path: Path) -> None:
    """The tape keeps what was recorded; that the store says something else now is told by position."""
    ledger = with_own_topics(copy_of_original())
    ledger.relay(1, ledger.last())
    ledger.make(tmp_path)
    sale = ledger.copy.position("type = 'SaleRecorded'")
    ledger.copy.rewrite(sale, lambda data: data.replace(b'"amount":"', b'"amount":"9'))
    again = checked(ledger, tmp_path)
    assert [(each.position, "the store holds" in each.what) for each in again.findings] == [(sale, True)]


def test_a_tape_that_was_rewritten_with_a_manifest_that_fits_is_found_by_the_check(
    whole: Relayed, tmp_path: Path
) -> None:
    """Another amount, a fact left out, one of its own: digests fit, and a replay would read it."""
    last = whole.last()
    manifest = whole.make(tmp_path / "genuine").manifest
    store = whole.store()
    rows = {row.position: row for page in store.pages(last) for row in page.rows}
    store.close()
    facts = {position for _, position, *_ in [*whole.facts(last)[0], *whole.facts(last)[1]]}
    leaves = [leaf_hash(envelope(rows[position])) for position in range(1, last + 1)]
    sale = whole.copy.position("type = 'SaleRecorded'")
    genuine = [rows[position] for position in sorted(facts)]
    forged = msgspec.structs.replace(rows[sale], data=rows[sale].data.replace(b'"amount":"', b'"amount":"9'))

    def findings(name: str, rows: list[EventRow], leaves: list[bytes]) -> set[tuple[str, int | None]]:
        folder = tmp_path / name
        folder.mkdir()
        with TapeWriter(folder, blank(manifest.source)) as writer:
            for row in rows:
                writer.facts(partition_of(row.stream.encode(), manifest.source.partitions), [tape_row(row)])
            writer.leaves(leaves)
            writer.commit({})
        assert RecordedTape.open(folder, whole.ledger_id()).position == last
        return {(each.file.split("-")[0], each.position) for each in checked(whole, folder).findings}

    assert findings("as it was", genuine, leaves) == set()
    other = [forged if row.position == sale else row for row in genuine]
    assert findings("another amount", other, leaves) == {("facts", sale), ("leaves", None)}
    fitting = [*leaves[: sale - 1], leaf_hash(envelope(forged)), *leaves[sale:]]
    assert findings("with its hash", other, fitting) == {("leaves", sale)}
    assert findings("left out", [row for row in genuine if row.position != sale], leaves) == {("leaves", None)}
    twice = sorted([*genuine, rows[sale]], key=lambda row: row.position)
    assert findings("twice", twice, leaves) == {("facts", sale)}
    wrong_root = msgspec.structs.replace(manifest, root="00" * 32)
    replace_manifest(tmp_path / "genuine", wrong_root)
    assert {(each.file, each.position) for each in checked(whole, tmp_path / "genuine").findings} == {(NAME, last)}


def test_a_manifest_that_leaves_facts_unread_is_found(whole: Relayed, tmp_path: Path) -> None:
    """Row groups that it does not name, or under another bucket, are read by no replay, though every digest fits; the tree as well."""
    manifest = whole.make(tmp_path).manifest
    part = max((each for each in manifest.parts if each.kind == "facts"), key=lambda each: len(set(each.groups)))

    def found(**changes: object) -> set[tuple[str, str]]:
        parts = tuple(msgspec.structs.replace(each, **changes) if each is part else each for each in manifest.parts)
        replace_manifest(tmp_path, msgspec.structs.replace(manifest, parts=parts))
        return {(each.file, each.what.split(":")[0]) for each in checked(whole, tmp_path).findings}

    count = len(part.groups)
    fewer = f"has {count:,} row groups, and the manifest names {count - 1:,}"
    assert (part.file, fewer) in found(groups=part.groups[:-1])
    turned = found(groups=(*part.groups[1:], part.groups[0]))
    assert (part.file, "has a fact of a stream that belongs into another row group") in turned
    edge = tuple("00" * 32 for _ in manifest.right_edge)
    replace_manifest(tmp_path, msgspec.structs.replace(manifest, right_edge=edge))
    assert [each.what.split(",")[0] for each in checked(whole, tmp_path).findings] == [
        "has another right edge of the tree than these leaf hashes"
    ]


def test_an_altered_file_is_named_by_the_check_and_not_topped_up(whole: Relayed, tmp_path: Path) -> None:
    """A check gives all that is wrong; making it anew puts it right."""
    whole.make(tmp_path)
    altered = sorted(tmp_path.glob("*.parquet"))[:2]
    for path in altered:
        path.write_bytes(path.read_bytes()[:-7])
    again = checked(whole, tmp_path)
    assert {each.file for each in again.findings} == {path.name for path in altered}
    with pytest.raises(IntegrityFault, match=f"{altered[0].name} was cut"):
        whole.make(tmp_path)
    whole.make(tmp_path, anew=True)
    holds(whole, tmp_path, whole.last())
    assert not any(path.exists() for path in altered)
    (tmp_path / NAME).write_text("{", "utf-8")
    with pytest.raises(IntegrityFault, match=r"manifest\.json was cut or altered"):
        whole.make(tmp_path)
    whole.make(tmp_path, anew=True)
    holds(whole, tmp_path, whole.last())


def test_a_tape_of_another_topic_is_not_added_to(ledger: Relayed, whole: Relayed, tmp_path: Path) -> None:
    """Offsets of a topic mean nothing on another one, even if it has the same events."""
    ledger.relay(1, 50)
    ledger.make(tmp_path)
    with pytest.raises(InvalidInput, match=r"was made from topic .*, and Kafka has topic .* now: make the tape anew"):
        whole.make(tmp_path)
    holds(ledger, tmp_path, 50)
    whole.make(tmp_path, anew=True)
    holds(whole, tmp_path, whole.last())


def test_kafka_away_is_said_and_nothing_changed(whole: Relayed, tmp_path: Path) -> None:
    sources = whole.sources()._replace(bootstrap_servers="127.0.0.1:9")
    with pytest.raises(ServiceUnreachable, match="Kafka at 127"):
        making.make(tmp_path, sources, anew=False, wait_s=1, say=print, on_progress=lambda _done, _total: None)
    assert load(tmp_path) is None


def test_a_folder_that_cannot_be_one_is_said_by_its_name(whole: Relayed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file"):
        whole.make(tmp_path / "file" / "tape")


@contextmanager
def in_the_middle(ledger: Relayed, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that is topping a tape up and has written more than half of it."""
    sources = msgspec.json.encode(ledger.sources()).decode()
    script = "tests.infra.tape.making_script"
    process = subprocess.Popen(
        [sys.executable, "-m", script, str(folder), sources, "50"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "in the middle", process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_while_it_tops_up_the_tape_that_was_there_stays(
    ledger: Relayed, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C leaves nothing behind; what a killed process has left, the next one clears away and goes on. One at a time."""
    ledger.relay(1, 100)
    ledger.make(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ledger.relay(101, ledger.last())
    with in_the_middle(ledger, tmp_path) as process:
        assert len(list(tmp_path.iterdir())) > len(before)
        holds(ledger, tmp_path, 100)
        with pytest.raises(ServiceUnreachable, match=r"Another command has held .*\.lock"):
            ledger.make(tmp_path, wait_s=0.2)
        process.send_signal(number)
        process.wait(30)
    left = {path.name for path in tmp_path.iterdir()} - set(before)
    assert bool(left) == (number == signal.SIGKILL)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    ledger.make(tmp_path)
    holds(ledger, tmp_path, ledger.last())
    assert not {path.name for path in tmp_path.iterdir()} & left
    assert checked(ledger, tmp_path).ok
