"""The key that signs tree heads: an Ed25519 key in a file of its own, outside the ledger's folder, made on first use.

It lies outside because whoever can rewrite the ledger must not be able to sign what he made of it; better still on another
machine or under another user than the ledger's. Python's `cryptography` is imported where it is used: few commands sign.
"""

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import IntegrityFault, LedgerError
from domain.heads import SignedHead, TreeHead, VerifierKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MAX_BYTES = 16_384


class SigningKey:
    """A private key. Its name in signatures and verifier keys is the ledger's, so one key may sign for several ledgers."""

    def __init__(self, private: "Ed25519PrivateKey") -> None:
        self._private = private

    def verifier_key(self, name: str) -> VerifierKey:
        """Give what whoever verifies must be given."""
        return VerifierKey(name, self._private.public_key().public_bytes_raw())

    def sign(self, head: TreeHead) -> SignedHead:
        """Sign a head."""
        key = self.verifier_key(head.origin)
        return SignedHead(head, key.name, key.key_hash, self._private.sign(head.text.encode()))


def verify_head(signed: SignedHead, key: VerifierKey, what: str = "The tree head") -> None:
    """Check that a key signed a head.

    Raises:
        IntegrityFault: it did not; the sentence calls the head `what`.

    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if (signed.key_name, signed.key_hash) != (key.name, key.key_hash):
        raise IntegrityFault(
            f"{what} is signed by the key {signed.key_name}+{signed.key_hash.hex()}, not by {key.name}+{key.key_hash.hex()}:"
            " it is of another ledger, or its key was changed."
        )
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signed.signature, signed.head.text.encode())
    except (InvalidSignature, ValueError):
        raise IntegrityFault(f"{what} does not have the signature of {key.text}: it was changed or forged.") from None


def load_signing_key(path: Path, home: Path, say: Callable[[str], None]) -> SigningKey:
    """Read the key, or make it on first use, which `say` is told in a line.

    Raises:
        LedgerError: it lies in the ledger's folder, others may read it, or it is no Ed25519 key; nothing was changed.
        OSError: the file cannot be read or made.

    """
    home = home.resolve()
    if home == path.resolve() or home in path.resolve().parents:
        raise LedgerError(
            f"The signing key {path} lies in the ledger's folder {home}, where whoever changes the ledger could sign it anew: move it"
            " elsewhere and name it in the setting SIGNING_KEY."
        )
    with suppress(FileNotFoundError):
        return _read(path)
    if _make(path):
        say(f"Made a key to sign tree heads with: {path}. Keep a copy where only you can read it.")
    return _read(path)


def _read(path: Path) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise LedgerError(
                f"Others than its owner may use the signing key {path} (mode {stat.S_IMODE(status.st_mode):04o}): make a new key if"
                f" one of them may have read it, otherwise chmod 600 {path}."
            )
        content = file.read(_MAX_BYTES)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError(
            f"The signing key {path} is no Ed25519 key (PKCS#8 PEM without a password): put the right file there, or name another"
            " one in the setting SIGNING_KEY; where none is, one is made."
        )
    return SigningKey(key)


def _make(path: Path) -> bool:
    """Make a key, whole or not at all; False if another process was faster, whose key it is then."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, half = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        Path(path).hardlink_to(half)  # not renamed: that would replace the key of whoever was faster
    except FileExistsError:
        return False
    finally:
        Path(half).unlink()
    return True
