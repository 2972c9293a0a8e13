"""The tape's files by themselves: what is written is read again, and whatever was cut or altered is found before a fact is read."""

import datetime as dt
import errno
import hashlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.envelope import EventRow, envelope, leaf_hash, open_envelope
from domain.errors import IntegrityFault, InvalidInput
from domain.merkle import joined_root
from infra.soak.disk import SmallDisk, may_mount
from infra.tape.manifest import NAME, Manifest, TapeSource, blank, clear, load, replace
from infra.tape.reading import RecordedTape
from infra.tape.rows import TapeRow, event_rows, record_batch, tape_row
from infra.tape.writing import TapeWriter
from projections.facts_by_stream import Facts, RecordedFacts
from tests.servers import temporary_home

SOURCE = TapeSource("ledger-1", "cluster", "events", "topic-1", 3)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
PARTITION = {"partner:A": 0, "partner:B": 1, "partner:C": 2, "partner:É": 0, "programmes": 1, "ledger": 2}


def row(position: int, stream: str, type_: str = "SaleRecorded", data: bytes = b"{}") -> EventRow:
    return EventRow(
        position=position,
        stream=stream,
        version=position,
        type=type_,
        schema_version=1,
        business_date=dt.date(2012, 1, 31),
        recorded_at=dt.datetime(2012, 2, 1, 8, 30, 0, 123456, tzinfo=dt.UTC),
        actor="ledger_app",
        command_id=f"import:{position}",
        envelope_version=1,
        data=data,
    )


def written(
    folder: Path, rows: Sequence[EventRow], before: Manifest | None = None, last: int | None = None
) -> Manifest:
    """Write rows as facts of a tape, with leaf hashes of all positions up to the last one."""
    before = before or blank(SOURCE)
    by_position = {each.position: leaf_hash(envelope(each)) for each in rows}
    last = last or max(by_position)
    with TapeWriter(folder, before) as writer:
        for partition in range(SOURCE.partitions):
            writer.facts(partition, [tape_row(each) for each in rows if PARTITION[each.stream] == partition])
        decision = hashlib.sha256(b"a decision").digest()
        writer.leaves([by_position.get(position, decision) for position in range(before.position + 1, last + 1)])
        return writer.commit(dict.fromkeys(range(SOURCE.partitions), last))


def all_facts(tape: RecordedFacts) -> list[tuple[str, int, str, int, bytes]]:
    """Every partner's fact of a tape, piece by piece."""
    return [each for piece in tape.pieces() for each in told(tape.facts(piece))]


def told(facts: Facts) -> list[tuple[str, int, str, int, bytes]]:
    return list(zip(facts.streams, facts.positions, facts.types, facts.schema_versions, facts.data, strict=True))


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="plt-") as made:
        yield Path(made)


ROWS = [
    row(2, "programmes", "ProgrammePublished", b'{"version":"1"}'),
    row(3, "partner:B", "PartnerEnrolled"),
    row(4, "partner:A", "PartnerEnrolled", b'{"name":"\xc3\x89"}'),
    row(6, "partner:B", data=b'{"n":6}'),
    row(7, "partner:A", data=b""),
    row(9, "ledger", "LedgerAdvanced", b'{"to":"2012-03-31"}'),
    row(11, "partner:B", data=b'{"n":11}'),
]


def test_facts_come_back_by_stream_and_position_and_the_ledgers_own_apart(folder: Path) -> None:
    """Whatever order the partitions have, and however many top-ups they came in."""
    first = written(folder, ROWS[:4], last=6)
    written(folder, ROWS[4:], load(folder), last=12)
    tape = RecordedTape.open(folder)
    assert (tape.position, tape.manifest.facts, first.position) == (12, 7, 6)
    facts = sorted(all_facts(tape))
    assert facts == [
        ("partner:A", 4, "PartnerEnrolled", 1, b'{"name":"\xc3\x89"}'),
        ("partner:A", 7, "SaleRecorded", 1, b""),
        ("partner:B", 3, "PartnerEnrolled", 1, b"{}"),
        ("partner:B", 6, "SaleRecorded", 1, b'{"n":6}'),
        ("partner:B", 11, "SaleRecorded", 1, b'{"n":11}'),
    ]
    assert told(tape.ledgers_own()) == [
        ("programmes", 2, "ProgrammePublished", 1, b'{"version":"1"}'),
        ("ledger", 9, "LedgerAdvanced", 1, b'{"to":"2012-03-31"}'),
    ]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["partner:A", "partner:B", "partner:C", "partner:É"]), st.binary(max_size=40))),
    st.integers(0, 60),
)
def test_any_facts_in_any_two_top_ups_come_back_each_once_and_in_order(
    told_of: list[tuple[str, bytes]], cut: int
) -> None:
    """Pieces share no stream; within one, facts stand by stream and then by position."""
    rows = [row(position, stream, data=data) for position, (stream, data) in enumerate(told_of, 1)]
    with tempfile.TemporaryDirectory(prefix="plt-") as made:
        for part in (rows[:cut], rows[cut:]):
            if part:
                written(Path(made), part, load(Path(made)), part[-1].position)
        if not rows:
            written(Path(made), rows, last=3)
        tape = RecordedTape.open(Path(made))
        pieces = [told(tape.facts(piece)) for piece in tape.pieces()]
    assert sorted(each for piece in pieces for each in piece) == sorted(
        (each.stream, each.position, each.type, each.schema_version, each.data) for each in rows
    )
    assert all(piece == sorted(piece, key=lambda fact: fact[:2]) for piece in pieces)
    streams = [{fact[0] for fact in piece} for piece in pieces]
    assert sum(map(len, streams)) == len(set().union(*streams))


@given(
    st.builds(
        EventRow,
        position=st.integers(1, 2**62),
        stream=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        version=st.integers(1, 2**31 - 1),
        type=st.sampled_from(["SaleRecorded", "TierAwarded"]),
        schema_version=st.integers(1, 9),
        business_date=st.none() | st.dates(),
        recorded_at=st.integers(0, 10**16).map(lambda microseconds: EPOCH + dt.timedelta(microseconds=microseconds)),
        actor=st.text(st.characters(exclude_categories=["Cs"])),
        command_id=st.text(st.characters(exclude_categories=["Cs"])),
        envelope_version=st.just(1),
        data=st.just(b'{"a":"\xc3\xa9 \\u0000"}'),
    )
)
def test_of_a_row_of_the_tape_the_leaf_hash_can_be_made_again(event: EventRow) -> None:
    """Each field of a stored event survives, whether it came by an envelope from Kafka or as a row."""
    value = envelope(event)
    from_kafka = msgspec.json.decode(value, type=TapeRow)
    for each in (from_kafka, tape_row(event)):
        [again] = event_rows(record_batch([each]))
        assert again == event
        assert envelope(again) == value
    assert open_envelope(value).position == event.position


def test_the_tree_over_the_leaf_hashes_grows_on_from_the_manifest(folder: Path) -> None:
    """Topped up in pieces, the root is that of all leaves at once."""
    leaves = [hashlib.sha256(bytes([n])).digest() for n in range(23)]
    for begin, end in ((0, 1), (1, 6), (6, 23)):
        with TapeWriter(folder, load(folder) or blank(SOURCE)) as writer:
            writer.leaves(leaves[begin:end])
            writer.commit({})
    assert load(folder).root == _root(leaves).hex()  # type: ignore[union-attr]


def _root(leaves: Sequence[bytes]) -> bytes:
    """The root as RFC 9162 defines it, by recursion."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return joined_root([_root(leaves[:split]), _root(leaves[split:])])


@pytest.mark.parametrize("what", ["cut", "altered", "longer", "gone"])
def test_a_file_that_was_cut_or_altered_is_named_before_anything_is_read(folder: Path, what: str) -> None:
    """Whichever file it is, one sentence says which, and what to do."""
    written(folder, ROWS, last=12)
    files = sorted(path for path in folder.iterdir() if path.name != NAME)
    assert {path.suffix for path in files} == {".parquet", ".bin"}
    for path in files:
        whole = path.read_bytes()
        if what == "gone":
            path.unlink()
        else:
            middle = len(whole) // 2
            other = bytes([whole[middle] ^ 1])
            changed = {
                "cut": whole[:-1],
                "altered": whole[:middle] + other + whole[middle + 1 :],
                "longer": whole + b"x",
            }
            path.write_bytes(changed[what])
        with pytest.raises(IntegrityFault, match=f"{path.name}.*replay tape --anew"):
            RecordedTape.open(folder)
        path.write_bytes(whole)
    assert RecordedTape.open(folder).position == 12


def test_an_altered_manifest_is_refused(folder: Path) -> None:
    """Also where its JSON is well-formed and names files that are there."""
    written(folder, ROWS, last=12)
    path = folder / NAME
    whole = path.read_text("utf-8")
    for changed in (
        whole.replace('"position": 12', '"position": 11'),
        whole.replace('"format": 1', '"format": 2'),
        whole[: len(whole) // 2],
        "",
        "[]",
    ):
        assert changed != whole
        path.write_text(changed, "utf-8")
        with pytest.raises(IntegrityFault, match=r"manifest\.json .*replay tape --anew"):
            RecordedTape.open(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"position": 10**12}, "and its leaf hashes up to"),
        ({"position": -1}, "and its leaf hashes up to"),
        ({"buckets": 0}, "in buckets that there are not"),
        ({"right_edge": ()}, "right edge is none of a tree"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused_whatever_its_digest(
    folder: Path, change: dict[str, Any], told: str
) -> None:
    """Before anything is made room for or read."""
    manifest = written(folder, ROWS, last=len(ROWS))
    replace(folder, msgspec.structs.replace(manifest, **change))
    with pytest.raises(IntegrityFault, match=told):
        load(folder)


def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    """A pipe in place of a file would never end."""
    written(folder, ROWS, last=len(ROWS))
    part = next(folder.glob("facts-*"))
    part.unlink()
    os.mkfifo(part)
    with pytest.raises(IntegrityFault, match="is no file"):
        RecordedTape.open(folder)
    (folder / NAME).unlink()
    os.mkfifo(folder / NAME)
    with pytest.raises(IntegrityFault, match="is no file"):
        load(folder)


def test_a_tape_of_another_ledger_is_refused(folder: Path) -> None:
    written(folder, ROWS)
    assert RecordedTape.open(folder, "ledger-1").position == 11
    with pytest.raises(InvalidInput, match="is the tape of the ledger ledger-1; this ledger is ledger-2"):
        RecordedTape.open(folder, "ledger-2")


def test_no_tape_is_said_so(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"There is no tape in .*`partner-ledger replay tape` makes it"):
        RecordedTape.open(folder / "nowhere")


def test_what_was_not_committed_is_taken_away(folder: Path) -> None:
    """An error in the middle leaves the tape that was there, and no file more."""
    written(folder, ROWS[:4], last=6)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        _interrupted(folder, len(before))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupt_in_the_last_step_leaves_a_whole_tape(
    folder: Path, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the new manifest counts, the old one; from then on the new one, with all files that it names."""
    written(folder, ROWS[:4], last=6)
    calls: list[Path] = []

    def interrupted(synced: Path) -> None:
        calls.append(synced)
        if len(calls) == call:
            raise KeyboardInterrupt

    monkeypatch.setattr("infra.tape.manifest.sync_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(folder, ROWS[4:], last=len(ROWS))
    assert RecordedTape.open(folder).position == (6 if call == 1 else len(ROWS))


def _interrupted(folder: Path, files: int) -> None:
    with TapeWriter(folder, load(folder) or blank(SOURCE)) as writer:
        writer.facts(0, [tape_row(each) for each in ROWS if each.stream == "partner:A"] * 600)
        writer._write(next(iter(writer._buckets)))
        writer.leaves([b"\0" * 32] * 6)
        assert len(list(folder.iterdir())) == files + 2
        raise KeyboardInterrupt


def test_files_that_no_manifest_names_are_cleared_away_and_others_files_stay(folder: Path) -> None:
    """A folder that somebody names may hold more than a tape."""
    manifest = written(folder, ROWS)
    left = ["facts-002-000000000007-0123abcd.parquet", "leaves-000000000012-0123abcd.bin", ".manifest.json-4711"]
    others = ["facts.parquet", "notes.txt", "facts-002-000000000007-0123abcd.parquet.bak", "leaves-1-0123abcd.bin"]
    for name in [*left, *others]:
        (folder / name).write_bytes(b"x")
    clear(folder, manifest)
    assert {path.name for path in folder.iterdir()} == {NAME, *others, *(part.file for part in manifest.parts)}


@pytest.mark.skipif(not may_mount(), reason="a small file system cannot be mounted here")
def test_a_full_disk_leaves_the_tape_that_was_there() -> None:
    """At whatever byte it is full: the facts' files, the leaf hashes or the manifest; with room again it goes on."""
    home = temporary_home() / "tape"
    disk = SmallDisk(home, 1)
    try:
        before = written(home, ROWS, last=12)
        disk.fill()
        with pytest.raises(OSError, match="No space left") as full:
            written(home, [row(13, "partner:A", data=os.urandom(50_000))], before)
        assert full.value.errno == errno.ENOSPC
        assert RecordedTape.open(home).position == 12
        disk.free()
        written(home, [row(13, "partner:A", data=os.urandom(50_000))], before)
        assert RecordedTape.open(home).position == 13
    finally:
        disk.release(keep=False)


def test_another_process_reads_the_same_facts_from_what_it_is_sent(folder: Path) -> None:
    """What is added meanwhile is not seen: all processes of a replay read up to one position."""
    written(folder, ROWS[:4], last=6)
    tape = RecordedTape.open(folder)
    written(folder, ROWS[4:], load(folder), last=12)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elsewhere = pool.apply(all_facts, (tape,))
    assert elsewhere == all_facts(tape)
    assert len(elsewhere) == 3


def test_without_pyarrow_a_sentence_says_what_to_install(folder: Path) -> None:
    """It is an extra; every other command does without it."""
    script = (
        "import sys; sys.modules['pyarrow'] = None; sys.argv[1:] = ['replay', 'tape', '--help'];"
        "from infra.tape.reading import RecordedTape\n"
        "try: RecordedTape.open('x')\n"
        "except Exception as error: print(error)\n"
        "from infra.cli.app import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pyarrow, which reads and writes them, is not installed: install partner-ledger[replay]." in ran.stdout
    assert "Example: partner-ledger replay tape" in ran.stdout


def test_no_command_imports_pyarrow_as_it_starts() -> None:
    """It takes a third of a second, which only replays are to pay."""
    script = "import sys, infra.cli.app; print([name for name in sys.modules if name.startswith('pyarrow')])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
