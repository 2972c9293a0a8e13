"""Tree heads and proofs, from the command line to a machine with nothing of ours."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from domain.heads import parse_head
from domain.merkle import Frontier
from domain.stream_map import StreamMap
from infra.audit import verify
from infra.signing import load_signing_key
from tests.docs.pages import write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.whole_ledger import Outside, one_sentence
from tests.servers import execute, fresh_ledger, superuser_url

REVERSALS = "reversal_id,deal_id,reversed_on,amount\nR-1,D-2,2024-04-20,1000.00\nR-2,D-4,2024-04-21,\n"


class Proving:
    """A ledger with the tutorial's partners, two reversals and two settled quarters, its head and its key."""

    def __init__(self, ledger: CommandLine) -> None:
        self.ledger = ledger
        self.on_nothing = [ledger.run(*words, "--json") for words in (("audit", "head"), ("audit", "prove", "1"))]
        folder = write_tutorial_feed(ledger.settings.home / "feed")
        ledger.done("import", folder)
        self.first = ledger.done("audit", "head")
        (folder / "reversals.csv").write_text(REVERSALS)
        ledger.done("import", folder)
        ledger.done("advance", "--to", "2024-07-15")
        self.head = ledger.done("audit", "head")
        self.key = ledger.done("audit", "key")["key"]

    def prove(self, *words: str | Path) -> Path:
        """Make a proof; give its file."""
        return self.ledger.settings.home / str(self.ledger.done("audit", *words)["file"])

    def no(self, *words: str | Path, code: int = 1) -> str:
        """Run an audit command that must say no in one sentence, and leave no file behind; give the sentence."""
        home = self.ledger.settings.home
        before = sorted(home.iterdir())
        said = self.ledger.run("audit", *words, "--json")
        assert said.code == code, said
        (sentence,) = one_sentence(said.err)
        assert said.json == {"error": sentence}
        assert sorted(home.iterdir()) == before
        return sentence


@pytest.fixture(scope="module")
def proving() -> Iterator[Proving]:
    """A ledger that the tests leave as it is."""
    ledger = CommandLine(fresh_ledger())
    yield Proving(ledger)
    ledger.down()


def outside(folder: Path, proof: Path, key: str, *more: str) -> "subprocess.CompletedProcess[str]":
    """Check a proof as an outsider: Python alone, in a folder with the program and the proof."""
    folder.mkdir(exist_ok=True)
    (folder / "verify.py").write_bytes(Path(verify.__file__).read_bytes())
    (folder / "proof.txt").write_bytes(proof.read_bytes())
    command = [sys.executable, "-I", "-S", "verify.py", "proof.txt", "--key", key, "--json", *more]
    return subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, timeout=60, check=False)


def shown(folder: Path, proof: Path, key: str, *more: str) -> Any:
    said = outside(folder, proof, key, *more)
    assert said.returncode == 0, said
    return json.loads(said.stdout)


def records(ledger: CommandLine) -> list[bytes]:
    """Read the topic of tree heads."""
    consumer = KafkaConsumer(bootstrap_servers=ledger.settings.kafka, enable_auto_commit=False)
    try:
        partition = TopicPartition(f"{ledger.settings.topic_prefix}.tree-heads", 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        found: list[bytes] = []
        while consumer.position(partition) < end:
            found += [record.value for each in consumer.poll(timeout_ms=200).values() for record in each]
        return found
    finally:
        consumer.close()


def true_roots(ledger: CommandLine, size: int) -> tuple[str, str]:
    """Compute both roots from rows read by SQL."""
    query = Outside(ledger).query
    frontier = Frontier()
    frontier.extend(
        bytes(row[0]) for row in query(f"SELECT leaf_hash FROM ledger.event WHERE position <= {size} ORDER BY position")
    )
    last = query(f"SELECT stream, max(version) FROM ledger.event WHERE position <= {size} GROUP BY stream")
    return frontier.root().hex(), StreamMap(last).root().hex()


def test_a_ledger_without_events_has_no_head(proving: Proving) -> None:
    """A sentence, exit code 1."""
    assert [said.code for said in proving.on_nothing] == [1, 1]
    assert "The ledger has no events yet" in proving.on_nothing[0].json["error"]
    assert "There is no tree head of this ledger yet" in proving.on_nothing[1].json["error"]


def test_a_head_is_in_its_file_and_on_the_topic(proving: Proving) -> None:
    """The same bytes; its roots are those of all that was recorded; a copy of the key is beside neither."""
    ledger = proving.ledger
    on_topic = records(ledger)
    assert [parse_head(each).head.size for each in on_topic][:2] == [proving.first["size"], proving.head["size"]]
    for made, record in zip((proving.first, proving.head), on_topic, strict=False):
        assert Path(made["file"]).parent == ledger.settings.home / "heads"
        assert Path(made["file"]).read_bytes() == record
        assert (made["root"], made["streams_root"]) == true_roots(ledger, made["size"])
    ((events,),) = Outside(ledger).query("SELECT count(*) FROM ledger.event")
    assert proving.head["size"] == events
    assert proving.key == proving.head["key"]
    assert not [
        path for path in ledger.settings.home.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
    ]


def test_every_event_can_be_proved_to_an_outsider(proving: Proving, tmp_path: Path) -> None:
    """The envelope shown is the one on Kafka, byte for byte."""
    key = verify.Key(proving.key)
    on_kafka = {record.position: record for record in Outside(proving.ledger).records()}
    size = proving.head["size"]
    for position in (1, 2, size // 2, size):
        proof = proving.prove("prove", str(position), "--to", tmp_path / f"{position}.txt")
        with proof.open("rb") as file:
            event = verify.check(file, key)["event"]
        assert event == on_kafka[position].envelope
        line = proof.read_bytes().splitlines()[8]
        assert base64.b64decode(line.split(b" ")[1]).hex() == on_kafka[position].leaf_hash
    assert shown(tmp_path / "outside", proof, proving.key)["event"]["position"] == size
    assert shown(tmp_path / "outside", proof, proving.key, "--head", proving.head["file"])["ok"]


def test_a_partners_balance_is_that_of_the_ledger(proving: Proving, tmp_path: Path) -> None:
    """Summed by verify.py from the proof alone, for each partner and currency."""
    partners = proving.ledger.done("partners")["partners"]
    assert len(partners) == 3
    clawed_back = 0
    for partner_id, partner in partners.items():
        proof = proving.prove("prove", "--partner", partner_id)
        assert proof.name == f"proof-partner-{partner_id}.txt"
        found = shown(tmp_path, proof, proving.key)
        amounts = {
            currency: {name: Decimal(amount) for name, amount in sums.items()}
            for currency, sums in found["balances"].items()
        }
        expected = {
            currency: {name: Decimal(amount) for name, amount in sums.items()}
            for currency, sums in partner["balances"].items()
        }
        assert amounts == expected
        clawed_back += sum(sums["clawed_back"] != 0 for sums in amounts.values())
        proof.unlink()
    assert clawed_back == 2


def test_an_earlier_head_proves_what_was_so_then(proving: Proving, tmp_path: Path) -> None:
    """A partner's history up to it, though there is more by now."""
    proof = proving.prove("prove", "--partner", "P-1", "--head", proving.first["file"], "--to", tmp_path / "then.txt")
    then = shown(tmp_path / "outside", proof, proving.key)
    assert then["heads"][0]["size"] == proving.first["size"]
    assert Decimal(then["balances"]["CHF"]["clawed_back"]) == 0
    sentence = proving.no("prove", str(proving.head["size"]), "--head", proving.first["file"])
    assert "came later: make a new one with `partner-ledger audit head`" in sentence


def test_history_was_only_added_to(proving: Proving, tmp_path: Path) -> None:
    """Between any two heads; where there is none of a size, the sizes that there are are told."""
    first, second = proving.first["size"], proving.head["size"]
    proof = proving.prove("consistency", str(first), str(second), "--to", tmp_path)
    found = shown(tmp_path / "outside", proof, proving.key, "--head", proving.first["file"])
    assert [each["root"] for each in found["heads"]] == [proving.first["root"], proving.head["root"]]
    sentence = proving.no("consistency", str(first - 1), str(second))
    assert f"There is no tree head of {first - 1} events" in sentence
    assert f"heads of {first}, {second}" in sentence
    assert "cannot be larger" in proving.no("consistency", str(second), str(first), code=2)


def test_a_proof_changed_on_its_way_fails(proving: Proving, tmp_path: Path) -> None:
    """As a process, with the place named."""
    proof = proving.prove("prove", "--partner", "P-2", "--to", tmp_path / "P-2.txt")
    proof.write_bytes(proof.read_bytes().replace(b'"amount":"9500.50"', b'"amount":"9500.51"'))
    said = outside(tmp_path / "outside", proof, proving.key)
    assert said.returncode == 1
    assert "line " in said.stderr
    assert "position " in said.stderr
    assert json.loads(said.stdout)["ok"] is False


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("prove", "0"), 2, "Input should be greater than or equal to 1"),
        (("prove", "--", "-3"), 2, "Input should be greater than or equal to 1"),
        (("prove", "999999"), 1, "There is no event at position 999,999"),
        (("prove",), 2, "name either a POSITION or a --partner"),
        (("prove", "1", "--partner", "P-1"), 2, "name either a POSITION or a --partner"),
        (("prove", "--partner", "P-9"), 1, "has no partner 'P-9'"),
        (("prove", "1", "--to", "nowhere/proof.txt"), 1, "there is no folder nowhere"),
        (("prove", "1", "--to", "feed/sales.csv"), 1, "feed/sales.csv is there already"),
        (("prove", "1", "--to", "/proc/proof.txt"), 1, "/proc/proof.txt cannot be used"),
        (("prove", "1", "--head", "nothing.txt"), 1, "nothing.txt cannot be used: No such file"),
        (("prove", "1", "--head", "feed/sales.csv"), 1, "The tree head in feed/sales.csv has 6 lines"),
        (("head", "--to", "nowhere/head.txt"), 1, "there is no folder nowhere"),
        (("head", "--to", "feed/sales.csv"), 1, "feed/sales.csv is there already"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(
    proving: Proving, words: tuple[str, ...], code: int, sentence: str
) -> None:
    """And nothing is written, neither a file nor a record."""
    before = len(records(proving.ledger)) if words[0] == "head" else 0
    assert sentence in proving.no(*words, code=code)
    if words[0] == "head":
        assert len(records(proving.ledger)) == before


def test_a_head_that_is_not_genuine_is_refused(proving: Proving, tmp_path: Path) -> None:
    """Cut, altered, of another ledger, or signed for events that were never recorded."""
    note = Path(proving.head["file"]).read_bytes()
    signed = parse_head(note)
    settings = proving.ledger.settings
    key = load_signing_key(settings.signing_key_path, settings.home, print)
    other = key.sign(signed.head._replace(ledger_id=UUID(int=7)))
    forged = key.sign(signed.head._replace(root=hashlib.sha256(b"another history").digest()))
    beyond = key.sign(signed.head._replace(size=signed.head.size + 1))
    streams = key.sign(signed.head._replace(streams_root=bytes(32)))
    path = tmp_path / "a.head"
    for content, sentence in (
        (note[:-20], "has 6 lines, not the 7 of a tree head"),
        (note.replace(b"time 2", b"time 3"), "does not have the signature of"),
        (note + b"\n", "has 8 lines"),
        (other.text.encode(), f"is of another ledger ({UUID(int=7)})"),
        (forged.text.encode(), "are not those of its tree head of"),
        (beyond.text.encode(), "are not those of its tree head of"),
        (streams.text.encode(), "another map of streams"),
    ):
        path.write_bytes(content)
        assert sentence in proving.no("prove", "--partner", "P-1", "--head", path)


def test_records_of_others_on_the_topic_are_passed_over(proving: Proving) -> None:
    """Whoever writes junk to Kafka keeps nobody from making heads; it is told once."""
    ledger = proving.ledger
    good = records(ledger)[-1]
    producer = KafkaProducer(bootstrap_servers=ledger.settings.kafka)
    for value in (b"junk", good.replace(b"time 2", b"time 3")):
        producer.send(f"{ledger.settings.topic_prefix}.tree-heads", value).get(30)
    producer.close()
    said = ledger.run("audit", "head", "--json")
    assert said.code == 0
    assert said.json["root"] == proving.head["root"]
    assert "Passed over on the topic of tree heads, records that are not of this ledger: 2" in said.err


def test_nothing_is_signed_for_a_ledger_that_was_rewritten(new_ledger: Any) -> None:
    """The database's owner changes a hash, or takes the end away: no head any more, and no proof."""
    ledger = new_ledger()
    ledger.done("import", write_tutorial_feed(ledger.settings.home / "feed"))
    size = ledger.done("audit", "head")["size"]
    database = ledger.settings.database_url.split("@/")[1].split("?")[0]
    execute(superuser_url(database), "ALTER TABLE ledger.event DISABLE TRIGGER is_immutable")
    for change in (
        "UPDATE ledger.event SET leaf_hash = sha256(leaf_hash) WHERE position = 4",
        "UPDATE ledger.event SET leaf_hash = (SELECT leaf_hash FROM ledger.event WHERE position = 5) WHERE position = 4",
    ):
        execute(superuser_url(database), change)
        for words in (("audit", "head"), ("audit", "prove", "1")):
            said = ledger.run(*words, "--json")
            assert (said.code, f"first {size} events are not those of its tree head" in said.json["error"]) == (
                1,
                True,
            ), said
    assert len(records(ledger)) == 1
    assert len(list((ledger.settings.home / "heads").iterdir())) == 1


def test_heads_made_while_facts_are_recorded_are_each_of_one_moment(new_ledger: Any, tmp_path: Path) -> None:
    """Both roots are of exactly the size that was signed, and each head's ledger begins with the one before."""
    ledger = new_ledger()
    folder = write_tutorial_feed(ledger.settings.home / "feed")
    ledger.done("import", folder)
    rows = "".join(
        f"E-{n},P-{1 + n % 3},2024-03-15,software,{n % 90 + 10}.00,{'EUR' if n % 3 == 2 else 'CHF'}\n"
        for n in range(6_000)
    )
    more = tmp_path / "more"
    more.mkdir()
    (more / "sales.csv").write_text(f"deal_id,partner_id,closed_on,family,amount,currency\n{rows}")
    importing = ledger.start("import", more, "--json")
    heads = []
    while importing.poll() is None:
        heads.append(ledger.done("audit", "head"))
    assert importing.wait() == 0
    heads.append(ledger.done("audit", "head"))
    sizes = [each["size"] for each in heads]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    for each in heads:
        assert (each["root"], each["streams_root"]) == true_roots(ledger, each["size"])
    key = verify.Key(heads[-1]["key"])
    for name, words in (
        ("consistency", ("consistency", str(sizes[0]), str(sizes[-1]))),
        ("partner", ("prove", "--partner", "P-1", "--head", heads[0]["file"])),
        ("whole", ("prove", "--partner", "P-1")),
    ):
        proof = tmp_path / f"{name}.txt"
        ledger.done("audit", *words, "--to", proof)
        with proof.open("rb") as file:
            found = verify.check(file, key)
    partner = ledger.done("partners")["partners"]["P-1"]
    assert found["balances"]["CHF"]["payable"] == partner["balances"]["CHF"]["payable"]


def test_kafka_that_does_not_answer_is_told(proving: Proving) -> None:
    """Exit code 3, one sentence, no file."""
    away = CommandLine(proving.ledger.settings.model_copy(update={"kafka": "127.0.0.1:1", "wait_timeout_s": 3}))
    heads = sorted((away.settings.home / "heads").iterdir())
    said = away.run("audit", "head", "--json")
    assert said.code == 3, said
    assert "Kafka at 127.0.0.1:1 does not answer" in said.json["error"]
    assert sorted((away.settings.home / "heads").iterdir()) == heads


def test_the_verifier_is_written_out_as_it_is(proving: Proving, tmp_path: Path) -> None:
    """With its SHA-256, to be compared with the published one."""
    document = proving.ledger.done("audit", "verifier", "--to", tmp_path)
    content = (tmp_path / "verify.py").read_bytes()
    assert content == Path(verify.__file__).read_bytes()
    assert document["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_damaged_key_is_refused(proving: Proving) -> None:
    """In one sentence, and no other one is made in its place."""
    settings = proving.ledger.settings
    path = settings.home.parent / f"{settings.home.name}-damaged.pem"
    path.write_bytes(settings.signing_key_path.read_bytes()[:70])
    path.chmod(0o600)
    try:
        damaged = CommandLine(settings.model_copy(update={"signing_key": path}))
        for words in (("audit", "head"), ("audit", "key"), ("audit", "prove", "1")):
            said = damaged.run(*words, "--json")
            assert (said.code, "is no Ed25519 key" in said.json["error"]) == (1, True), said
    finally:
        path.unlink()
