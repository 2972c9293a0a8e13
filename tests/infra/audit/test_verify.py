"""verify.py by itself: RFC vectors, and that no byte of a proof can be changed."""

import ast
import base64
import dataclasses
import datetime as dt
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.envelope import envelope, leaf_hash
from domain.events import EVENT_TYPES
from domain.streams import PARTNER_PREFIX
from infra.audit import proving, verify
from tests.domain.test_merkle import CONSISTENCY, LEAVES, PATHS, ROOTS
from tests.infra.audit.small_ledger import JULY, LEDGER_OF_ELEVEN, MAY, VERIFIER, SmallLedger, accrued, enrolled

KEY = verify.Key(VERIFIER.text)
PROGRAM = Path(verify.__file__)

RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]


@pytest.fixture(autouse=True)
def signatures_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same signature of the same head by the same key is judged once for thousands of changed proofs."""
    monkeypatch.setattr(verify, "is_signed", _JUDGED)


_JUDGED = lru_cache(maxsize=None)(verify.is_signed)


# --- Ed25519 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("public_key", "message", "signature"), RFC_8032)
def test_the_signatures_of_rfc_8032_are_right(public_key: str, message: str, signature: str) -> None:
    """Section 7.1; and each is wrong for another message, and with one bit changed anywhere."""
    key, text, signed = map(bytes.fromhex, (public_key, message, signature))
    assert verify.is_signed(key, text, signed)
    assert not verify.is_signed(key, text + b"\0", signed)
    for place in range(0, 64, 7):
        changed = bytearray(signed)
        changed[place] ^= 1 << place % 8
        assert not verify.is_signed(key, text, bytes(changed))


def test_a_signature_has_one_form() -> None:
    """S plus the group's order, a y of p or more, and x = 0 with its sign set are refused (RFC 8032, 5.1.3 and 5.1.7)."""
    key, text, signed = map(bytes.fromhex, RFC_8032[1])
    s = int.from_bytes(signed[32:], "little")
    assert not verify.is_signed(key, text, signed[:32] + (s + verify.ORDER).to_bytes(32, "little"))
    assert verify.point_from((1).to_bytes(32, "little")) is not None
    assert verify.point_from((verify.P + 1).to_bytes(32, "little")) is None
    assert verify.point_from((1 + 2**255).to_bytes(32, "little")) is None
    assert verify.point_from((2).to_bytes(32, "little")) is None  # no point has this y
    assert not verify.is_signed(key, text, signed[:63])
    neutral = (1).to_bytes(32, "little")
    assert not verify.is_signed(neutral, text, neutral + bytes(32))  # would be right for any message


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.integers(0, 511))
def test_it_agrees_with_the_library(secret: bytes, message: bytes, bit: int) -> None:
    """What `cryptography` signs is right; what it refuses once a bit is changed is refused."""
    private = Ed25519PrivateKey.from_private_bytes(secret)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verify.is_signed(public, message, signature)
    changed = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
    with pytest.raises(InvalidSignature):
        private.public_key().verify(changed, message)
    assert not verify.is_signed(public, message, changed)


# --- RFC 6962 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_inclusion_is_that_of_the_reference_tree(index: int, size: int) -> None:
    """Certificate Transparency's paths lead to its roots; with a hash less or more to none."""
    leaf = leaf_hash(bytes.fromhex(LEAVES[index]))
    path = [bytes.fromhex(each) for each in PATHS[index, size]]
    root = verify.root_of_path(index, size, leaf, path)
    assert root is not None
    assert root.hex() == ROOTS[size - 1]
    assert verify.root_of_path(index, size, leaf, [*path, root]) is None
    if path:
        assert verify.root_of_path(index, size, leaf, path[:-1]) is None


@pytest.mark.parametrize(("first", "second"), CONSISTENCY)
def test_consistency_is_that_of_the_reference_tree(first: int, second: int) -> None:
    """Both roots are led to; with a hash less or more none."""
    root = bytes.fromhex(ROOTS[first - 1])
    path = [bytes.fromhex(each) for each in CONSISTENCY[first, second]]
    roots = verify.roots_of_consistency(first, second, root, path)
    assert roots is not None
    assert [each.hex() for each in roots] == [ROOTS[first - 1], ROOTS[second - 1]]
    assert verify.roots_of_consistency(first, second, root, [*path, root]) is None
    if path:
        assert verify.roots_of_consistency(first, second, root, path[:-1]) is None


# --- Proofs ----------------------------------------------------------------------------------------------------------------


def partner_proof(ledger: SmallLedger, partner: str, size: int) -> bytes:
    return b"".join(proving.partner(ledger, ledger.head(size), partner, lambda done, of: None))


def proofs() -> dict[str, bytes]:
    ledger = LEDGER_OF_ELEVEN
    return {
        "inclusion": b"".join(proving.inclusion(ledger, ledger.head(11), 7)),
        "consistency": b"".join(proving.consistency(ledger, ledger.head(6), ledger.head(11))),
        "partner": partner_proof(ledger, "A", 11),
    }


PROOFS = proofs()


def checked(proof: bytes, **further: Any) -> dict[str, Any]:
    return verify.check(io.BytesIO(proof), KEY, **further)


def fails(proof: bytes, **further: Any) -> verify.Failed:
    with pytest.raises(verify.Failed) as failed:
        checked(proof, **further)
    assert failed.value.line is not None, failed.value
    return failed.value


def test_every_event_and_every_pair_of_sizes_can_be_proved() -> None:
    """Of a small ledger, at each of its sizes."""
    ledger = LEDGER_OF_ELEVEN
    for size in range(1, 12):
        head = ledger.head(size)
        for position in range(1, size + 1):
            shown = checked(b"".join(proving.inclusion(ledger, head, position)))
            assert shown["event"]["position"] == position
        for first in range(1, size + 1):
            shown = checked(b"".join(proving.consistency(ledger, ledger.head(first), head)))
            assert [each["size"] for each in shown["heads"]] == [first, size]


def test_a_partners_bonuses_are_summed_by_currency() -> None:
    """As written by hand in the small ledger; a settlement that a reversal caused is clawed back (rules.md, Balances)."""
    shown = checked(PROOFS["partner"])
    assert (shown["partner"], shown["events"], shown["lines"]) == ("A", 6, 6)
    assert shown["balances"] == {
        "CHF": {"accrued": "150.15", "clawed_back": "-21.05", "paid": "0", "payable": "129.10"},
        "JPY": {"accrued": "1000", "clawed_back": "0", "paid": "0", "payable": "1000"},
    }


def test_sums_can_be_had_as_of_a_date() -> None:
    """Lines with a later posting date do not count yet."""
    balances = checked(PROOFS["partner"], as_of=JULY - dt.timedelta(days=1))["balances"]
    assert balances["CHF"]["payable"] == "80.10"
    assert checked(PROOFS["partner"], as_of=JULY)["balances"]["CHF"]["payable"] == "129.10"
    assert checked(PROOFS["partner"], as_of=MAY - dt.timedelta(days=1))["balances"] == {}


@pytest.mark.parametrize("kind", PROOFS)
def test_any_byte_changed_fails_and_says_where(kind: str) -> None:
    """Each byte to several others; the line named is the changed one, or one that speaks of it: of a head its signature."""
    proof = PROOFS[kind]
    heads = 2 if kind == "consistency" else 1
    line = 1
    for place, byte in enumerate(proof):
        in_head = 2 <= line < 2 + 7 * heads
        few = in_head and (kind != "inclusion" or place % 2)  # a signature in pure Python takes milliseconds
        for value in ({byte ^ 1} if few else {byte ^ 1, byte ^ 0x20, 10, 48}) - {byte}:
            error = fails(proof[:place] + bytes([value]) + proof[place + 1 :])
            assert error.line is not None
            near = (line, line + 1) if value == 10 or byte == 10 else (line,)
            signature = 8 if line < 9 else 15
            assert error.line in near or (in_head and line <= error.line <= signature), (place, value, str(error))
        line += byte == 10


@pytest.mark.parametrize("kind", PROOFS)
def test_a_cut_or_lengthened_proof_fails(kind: str) -> None:
    """At whatever byte it ends, and whatever follows it."""
    proof = PROOFS[kind]
    for end in range(len(proof)):
        fails(proof[:end])
    for more in (b"\n", b" ", b"x", b"\0", proof[-60:], proof.splitlines(keepends=True)[-1], proof):
        fails(proof + more)


@pytest.mark.parametrize("kind", PROOFS)
def test_a_line_left_out_twice_or_elsewhere_fails(kind: str) -> None:
    """Every line, in every way."""
    all_lines = PROOFS[kind].splitlines(keepends=True)
    for number, line in enumerate(all_lines):
        fails(b"".join(all_lines[:number] + all_lines[number + 1 :]))
        fails(b"".join([*all_lines[:number], line, *all_lines[number:]]))
        if number and all_lines[number - 1] != line:
            swapped = [*all_lines[: number - 1], line, all_lines[number - 1], *all_lines[number + 1 :]]
            fails(b"".join(swapped))
    fails(PROOFS[kind].replace(b"\n", b"\r\n"))


def forged_lines(kind: str) -> Iterable[tuple[int, bytes]]:
    for number, line in enumerate(PROOFS[kind].splitlines(), 1):
        word, _, rest = line.partition(b" ")
        if word in (b"tree", b"map"):
            value = hashlib.sha256(rest).digest()
            yield number, word + b" " + base64.b64encode(value) + b" " + hashlib.sha256(value).hexdigest()[:8].encode()
        elif word == b"event":
            changed = rest.partition(b" ")[2].replace(b'"actor":"app"', b'"actor":"apq"')
            yield number, b"event " + base64.b64encode(leaf_hash(changed)) + b" " + changed


@pytest.mark.parametrize("kind", PROOFS)
def test_a_forger_who_makes_checks_fit_does_not_reach_the_root(kind: str) -> None:
    """The sentence names the root that it should lead to."""
    count = 0
    for number, line in forged_lines(kind):
        all_lines = PROOFS[kind].splitlines()
        all_lines[number - 1] = line
        assert "do not lead to the root" in str(
            error := fails(b"\n".join(all_lines) + b"\n")
        ) or "does not lead" in str(error)
        count += 1
    assert count == {"inclusion": 5, "consistency": 4, "partner": 14}[kind]


def test_a_shorter_history_of_a_partner_is_found() -> None:
    """Without its last event, with the hash in its place: the tree's root is right, the map of streams is not."""
    ledger = LEDGER_OF_ELEVEN

    class Shorter(SmallLedger):
        def of_stream(self, stream: str, size: int) -> Any:
            return [page for page in super().of_stream(stream, size) if page[0][0].version < 6]

    shorter = Shorter([])
    shorter.rows, shorter.leaves = ledger.rows, ledger.leaves
    proof = b"".join(
        proving._history(shorter, ledger.head(11), "partner:A", 5, lambda done, of: None)  # the operator's own program
    )
    begin = PROOFS["partner"].split(b"event ")[0].replace(b"stream 6 ", b"stream 5 ")
    error = fails(begin + proof)
    assert "last version of partner:A is 5 does not lead" in str(error)


def test_a_head_of_another_ledger_or_key_fails() -> None:
    """The verifier's key says whose head it must be."""
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    for name, sentence in ((VERIFIER.name, "by another key"), (VERIFIER.name[:-1] + "2", "it is another ledger's")):
        key = verify.Key(dataclasses.replace(_Key(name, other)).text)
        with pytest.raises(verify.Failed, match=sentence):
            verify.check(io.BytesIO(PROOFS["inclusion"]), key)


@dataclasses.dataclass
class _Key:
    name: str
    public_key: bytes

    @property
    def text(self) -> str:
        return VERIFIER._replace(name=self.name, public_key=self.public_key).text


def test_a_head_that_one_has_must_be_the_proofs() -> None:
    """So that nobody is shown a proof against a head made for him alone."""
    mine = LEDGER_OF_ELEVEN.head(11).text.encode()
    for proof in PROOFS.values():
        checked(proof, known_head=mine)
    other = LEDGER_OF_ELEVEN.head(10).text.encode()
    assert "not made against the tree head given" in str(fails(PROOFS["partner"], known_head=other))


def test_an_event_that_it_does_not_know_is_refused() -> None:
    """It might be about money. What it knows is every event of a partner, as the ledger has them today."""
    ledger = SmallLedger([("A", enrolled("A")), ("A", accrued("1.00"))])
    ledger.rows[1] = msgspec.structs.replace(ledger.rows[1], type="BonusPaid")
    ledger.leaves[1] = leaf_hash(envelope(ledger.rows[1]))
    error = fails(partner_proof(ledger, "A", 2))
    assert error.position == 2
    assert "'BonusPaid', schema version 1, are unknown here" in str(error)

    elsewhere = {"ProgrammePublished", "LedgerAdvanced", "RecordDropped", "SeatTaken", "SeatFreed"}
    assert set(EVENT_TYPES) - elsewhere == verify.NO_MONEY | verify.MONEY
    assert all(each.SCHEMA_VERSION == 1 for each in EVENT_TYPES.values())
    assert PARTNER_PREFIX == "partner:"


def test_an_event_with_an_amount_that_is_none_is_refused() -> None:
    """An infinity or a number with an exponent would make a sum that nobody can check."""
    for wrong in ("Infinity", "1E+5", "1_0", "\u0661", ""):
        ledger = SmallLedger([("A", accrued("123.45"))])
        data = ledger.rows[0].data.replace(b'"123.45"', json.dumps(wrong).encode())
        ledger.rows[0] = msgspec.structs.replace(ledger.rows[0], data=data)
        ledger.leaves[0] = leaf_hash(envelope(ledger.rows[0]))
        assert "its bonus lines cannot be read" in str(fails(partner_proof(ledger, "A", 1)))


@pytest.mark.parametrize(
    "proof",
    [
        b"",
        b"\n",
        b"{}\n",
        b"\xff\n",
        b"x" * 5000,
        b"partner-ledger proof of inclusion, format 2\n",
        PROOFS["inclusion"][44:],
    ],
)
def test_what_is_no_proof_fails(proof: bytes) -> None:
    """In one sentence."""
    assert "\n" not in str(fails(proof))


# --- The program -----------------------------------------------------------------------------------------------------------


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run verify.py alone in an empty folder, without site packages; `proof` is written there."""
    (tmp_path / "verify.py").write_bytes(PROGRAM.read_bytes())
    (tmp_path / "proof.txt").write_bytes(PROOFS["partner"])
    (tmp_path / "ledger.key").write_text(f"{VERIFIER.text}\n")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-I", "-S", "verify.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_the_program_tells_a_person_the_balances(run: Run) -> None:
    """With the key as text or in a file; exit code 0."""
    said = run("proof.txt", "--key", VERIFIER.text)
    assert said.returncode == 0, said
    assert said.stdout.startswith("OK: proof of a partner's events.")
    assert said.stdout.splitlines()[-2].split() == ["CHF", "150.15", "-21.05", "0", "129.10"]
    assert run("proof.txt", "--key", "ledger.key").stdout == said.stdout
    assert json.loads(run("proof.txt", "--key", "ledger.key", "--json").stdout)["balances"]["JPY"]["payable"] == "1000"


def test_the_program_says_what_fails_and_where(run: Run, tmp_path: Path) -> None:
    """One sentence on standard error, exit code 1; with --json a document too."""
    (tmp_path / "proof.txt").write_bytes(PROOFS["partner"].replace(b'"100.10"', b'"900.10"'))
    said = run("proof.txt", "--key", "ledger.key")
    assert said.returncode == 1
    assert said.stdout == ""
    assert said.stderr.startswith("FAILED: proof.txt, line ")
    assert "position 3: the event is not what its hash says" in said.stderr
    assert len(said.stderr.splitlines()) == 1
    document = json.loads(run("proof.txt", "--key", "ledger.key", "--json").stdout)
    assert (document["ok"], document["position"]) == (False, 3)
    for wrong, sentence in (
        (("nothing.txt", "--key", "ledger.key"), "nothing.txt cannot be read"),
        (("proof.txt", "--key", "x+y"), "'x+y' is no verifier key"),
        (("proof.txt", "--key", "ledger.key", "--head", "nothing.txt"), "nothing.txt cannot be read"),
    ):
        said = run(*wrong)
        assert (said.returncode, sentence in said.stderr) == (1, True), said
    assert run("proof.txt").returncode == 2
    assert run("proof.txt", "--key", "ledger.key", "--as-of", "soon").returncode == 2


def test_the_program_is_python_3_9_and_imports_the_standard_library_alone() -> None:
    """Read as that version's grammar has it; what it imports is part of Python."""
    tree = ast.parse(PROGRAM.read_text("utf-8"), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)
    named = {each.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for each in node.keywords}
    assert "strict" not in named  # of zip, from 3.10 on


def python_3_9_works() -> bool:
    try:
        said = subprocess.run(["python3.9", "--version"], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return False
    return said.stdout.startswith("Python 3.9.")  # a version manager's stand-in says that it is not there


@pytest.mark.skipif(not python_3_9_works(), reason="there is no python3.9 here")
@pytest.mark.parametrize("kind", PROOFS)
def test_the_program_runs_on_python_3_9(kind: str, run: Run, tmp_path: Path) -> None:
    """Where there is one."""
    (tmp_path / "proof.txt").write_bytes(PROOFS[kind])
    command = ["python3.9", "-I", "-S", "verify.py", "proof.txt", "--key", "ledger.key"]
    assert subprocess.run(command, cwd=tmp_path, timeout=60, check=False).returncode == 0
