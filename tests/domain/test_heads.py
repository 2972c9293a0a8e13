"""The tree head's exact text, and that nothing else is read as one."""

import base64
import datetime as dt
import hashlib
from contextlib import suppress
from uuid import UUID

import pytest

from domain.errors import InvalidInput
from domain.heads import SignedHead, TreeHead, VerifierKey, parse_head, parse_verifier_key

LEDGER = UUID("6c9d1d2e-0c55-4f0e-9a43-3b1f5a3c8a11")
HEAD = TreeHead(
    LEDGER,
    1234,
    bytes(range(32)),
    dt.datetime(2012, 5, 31, 14, 0, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    b"\xff" * 32,
)
TEXT = """partner-ledger/6c9d1d2e-0c55-4f0e-9a43-3b1f5a3c8a11
1234
AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
time 2012-05-31T12:00:00.000000Z
streams //////////////////////////////////////////8=
"""
KEY = VerifierKey(HEAD.origin, bytes(range(100, 132)))
SIGNED = SignedHead(HEAD, KEY.name, KEY.key_hash, bytes(range(64)))


def test_the_text_is_a_checkpoint() -> None:
    """C2SP tlog-checkpoint: origin, size, root, then lines of our own; the time in UTC."""
    assert HEAD.text == TEXT


def test_a_signed_head_is_a_note_that_is_read_back() -> None:
    """C2SP signed-note: a blank line, then the em dash, the key's name, and key hash and signature in base64."""
    signature = base64.b64encode(KEY.key_hash + bytes(range(64))).decode()
    assert SIGNED.text == f"{TEXT}\n— {HEAD.origin} {signature}\n"
    assert parse_head(SIGNED.text.encode()) == SIGNED


def test_the_example_of_the_specification_has_its_key_hash() -> None:
    """The vector of Go's sumdb/note, which the specification follows."""
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert parse_verifier_key(f" {text}\n").text == text


def test_a_verifier_key_names_the_ledger() -> None:
    """So the key of one ledger does not verify the head of another one."""
    expected = hashlib.sha256(f"{HEAD.origin}\n".encode() + b"\x01" + KEY.public_key).hexdigest()[:8]
    assert KEY.text.split("+", 2)[:2] == [HEAD.origin, expected]
    assert parse_verifier_key(KEY.text) == KEY


def test_a_changed_byte_is_another_head_or_none() -> None:
    """What still parses gives the changed bytes back: no byte is passed over."""
    note = SIGNED.text.encode()
    for position, byte in enumerate(note):
        for value in {byte ^ 1, byte ^ 0x20, 10, 32, 48} - {byte}:
            changed = note[:position] + bytes([value]) + note[position + 1 :]
            with suppress(InvalidInput):
                parsed = parse_head(changed)
                assert parsed != SIGNED
                assert parsed.text.encode() == changed


@pytest.mark.parametrize(
    "note",
    [
        b"",
        SIGNED.text.encode()[:-1],
        SIGNED.text.encode() + b"\n",
        SIGNED.text.encode() * 2,
        SIGNED.text.replace("\n", "\r\n").encode(),
        SIGNED.text.replace("1234", "01234").encode(),
        SIGNED.text.replace("1234", "1_234").encode(),
        SIGNED.text.replace("1234", "0").encode(),
        SIGNED.text.replace("1234", "\u0661\u0662").encode(),
        SIGNED.text.replace("000000Z", "0Z").encode(),
        SIGNED.text.replace("05-31", "02-31").encode(),
        SIGNED.text.replace(str(LEDGER), str(LEDGER).upper()).encode(),
        SIGNED.text.replace("Hh8=", "Hh9=").encode(),
        SIGNED.text.replace("— partner-ledger", "— other-ledger").encode(),
        b"\xff" + SIGNED.text.encode()[1:],
        b"x" * 100_000,
    ],
)
def test_what_is_no_head_is_refused_in_one_sentence(note: bytes) -> None:
    """Cut, added to, numbers and base64 in other forms, another time: the sentence says which head."""
    with pytest.raises(InvalidInput, match=r"^The head in x\.head [^\n]+\.$"):
        parse_head(note, "The head in x.head")


@pytest.mark.parametrize(
    "text", ["", "a+b", "a+00000000+AAAA", KEY.text[:-1], KEY.text.replace("+", "-", 1), f"x{KEY.text}"]
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    """Its parts must fit each other."""
    with pytest.raises(InvalidInput, match="is no verifier key"):
        parse_verifier_key(text)
