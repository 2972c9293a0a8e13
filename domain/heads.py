"""The tree head: what is signed and kept outside, so that nobody can rewrite the ledger behind it unseen.

It says how many events there are, the root of the hash tree over them (`domain.merkle`), the root over every stream with
its last version (`domain.stream_map`), and when that was so. Its text is a C2SP checkpoint (c2sp.org/tlog-checkpoint)
signed as a C2SP note (c2sp.org/signed-note), so that the tools of transparency logs read it:

    partner-ledger/6c9d1d2e-…            origin: the ledger's id
    1234                                 size
    Rcbz…=                               root, base64
    time 2012-05-31T12:00:00.000000Z     the database's clock
    streams q80t…=                       root over streams and last versions, base64
                                         (blank line)
    — partner-ledger/6c9d1d2e-… a8F…=    key name; base64 of 4 bytes of key hash and the 64 bytes of the Ed25519 signature

Every byte is accounted for: what parses gives the same bytes again. Signing and verifying are `infra.signing`'s.
"""

import base64
import binascii
import datetime as dt
import hashlib
import re
from typing import NamedTuple, NoReturn
from uuid import UUID

from domain.errors import InvalidInput
from domain.merkle import HASH_BYTES

ORIGIN = "partner-ledger/"
ED25519 = b"\x01"
"""The algorithm's byte in key hashes and verifier keys of signed notes."""

PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KEY_HASH_BYTES = 32, 64, 4
_MAX_BYTES = 4_096
_SIZE = re.compile(r"[1-9][0-9]{0,18}")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class TreeHead(NamedTuple):
    """What holds of a ledger at a size: the positions 1 to `size`. `time` is the database's, with an offset."""

    ledger_id: UUID
    size: int
    root: bytes
    time: dt.datetime
    streams_root: bytes

    @property
    def origin(self) -> str:
        """The ledger's name in heads and keys."""
        return origin_of(self.ledger_id)

    @property
    def text(self) -> str:
        """The exact text that is signed."""
        # Not strftime: it writes the year 800 with three digits.
        time = self.time.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        lines = (
            self.origin,
            str(self.size),
            _encoded(self.root),
            f"time {time}",
            f"streams {_encoded(self.streams_root)}",
        )
        return "".join(f"{line}\n" for line in lines)


class VerifierKey(NamedTuple):
    """A public key with the name it signs under, as whoever verifies is given it."""

    name: str
    public_key: bytes

    @property
    def key_hash(self) -> bytes:
        """The first four bytes of SHA-256 over name, newline, algorithm and key; tells keys apart, proves nothing."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:KEY_HASH_BYTES]

    @property
    def text(self) -> str:
        """The key as one line, to be handed on."""
        return f"{self.name}+{self.key_hash.hex()}+{_encoded(ED25519 + self.public_key)}"


class SignedHead(NamedTuple):
    """A head with the signature of the key of that name and hash. Whether the signature is right, is not said by parsing."""

    head: TreeHead
    key_name: str
    key_hash: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """The whole note, as it stands in a file and on the topic."""
        return f"{self.head.text}\n— {self.key_name} {_encoded(self.key_hash + self.signature)}\n"


def origin_of(ledger_id: UUID) -> str:
    """Give the origin of a ledger's heads, which is also the name of its key."""
    return f"{ORIGIN}{ledger_id}"


def parse_head(note: bytes, what: str = "The tree head") -> SignedHead:
    """Read a signed head, strictly.

    Raises:
        InvalidInput: a byte is not as it must be; says which line, and calls the head `what`.

    """
    lines = _lines(note, what)
    ledger_id = _ledger_id(lines[0], what)
    size = int(lines[1]) if _SIZE.fullmatch(lines[1]) else _refuse(what, 2, "no size")
    root = _decoded(lines[2], HASH_BYTES, what, 3)
    time = _time(_after("time ", lines[3], what, 4), what)
    streams_root = _decoded(_after("streams ", lines[4], what, 5), HASH_BYTES, what, 5)
    if lines[5]:
        _refuse(what, 6, "not the blank line before the signature")
    key_name, _, signed = _after("— ", lines[6], what, 7).partition(" ")
    if key_name != lines[0]:
        _refuse(what, 7, "signed under another name than the ledger's own")
    signature = _decoded(signed, KEY_HASH_BYTES + SIGNATURE_BYTES, what, 7)
    head = TreeHead(ledger_id, size, root, time, streams_root)
    parsed = SignedHead(head, key_name, signature[:KEY_HASH_BYTES], signature[KEY_HASH_BYTES:])
    if parsed.text.encode() != note:
        raise InvalidInput(f"{what} is not written as a tree head is: it was changed.")
    return parsed


def parse_verifier_key(text: str) -> VerifierKey:
    """Read a verifier key, strictly, but for white space around it.

    Raises:
        InvalidInput: it is none.

    """
    parts = text.strip().split("+", 2)
    if len(parts) == 3:
        try:
            key = base64.b64decode(parts[2], validate=True)
        except binascii.Error:
            key = b""
        if len(key) == 1 + PUBLIC_KEY_BYTES and key.startswith(ED25519):
            parsed = VerifierKey(parts[0], key[1:])
            if parsed.text == text.strip():
                return parsed
    raise InvalidInput(
        f"{text.strip()!r} is no verifier key: it reads <name>+<8 hex digits>+<base64>, as `partner-ledger audit key` prints it."
    )


def _lines(note: bytes, what: str) -> list[str]:
    if len(note) > _MAX_BYTES:
        raise InvalidInput(f"{what} has {len(note):,} bytes: it is no tree head.")
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what} is no UTF-8 text from byte {error.start + 1} on.") from None
    lines = text.split("\n")
    if len(lines) != 8 or lines[-1]:
        raise InvalidInput(f"{what} has {text.count(chr(10))} lines, not the 7 of a tree head: it was cut or added to.")
    return lines


def _ledger_id(line: str, what: str) -> UUID:
    text = _after(ORIGIN, line, what, 1)
    try:
        found = UUID(text)
    except ValueError:
        _refuse(what, 1, "no ledger's id")
    return found if str(found) == text else _refuse(what, 1, "no ledger's id")


def _time(text: str, what: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, _TIME).replace(tzinfo=dt.UTC)
    except ValueError:
        _refuse(what, 4, "no time in UTC")


def _after(prefix: str, line: str, what: str, number: int) -> str:
    if not line.startswith(prefix):
        _refuse(what, number, f"not what begins with {prefix!r}")
    return line[len(prefix) :]


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _decoded(text: str, length: int, what: str, number: int) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != length or _encoded(value) != text:
        _refuse(what, number, f"no base64 of {length} bytes")
    return value


def _refuse(what: str, line: int, problem: str) -> NoReturn:
    raise InvalidInput(f"{what} was changed or is none: line {line} is {problem}.")
