"""The signing key's file: made once, and refused where it would be worth nothing."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from domain.errors import IntegrityFault, LedgerError
from infra.settings import Settings
from infra.signing import load_signing_key, verify_head
from tests.infra.audit.small_ledger import LEDGER_OF_ELEVEN, VERIFIER

NAME = "partner-ledger/x"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The ledger's folder; the key lies beside it."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_key_is_made_on_first_use_and_kept(home: Path, tmp_path: Path) -> None:
    """PKCS#8 PEM that only its owner reads; said once, in a line; nothing else is left in the folder."""
    said: list[str] = []
    path = tmp_path / "config" / "partner-ledger" / "signing-key.pem"
    first = load_signing_key(path, home, said.append).verifier_key(NAME)
    assert load_signing_key(path, home, said.append).verifier_key(NAME) == first
    assert len(said) == 1
    assert str(path) in said[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_first_uses_at_once_make_one_key(home: Path, tmp_path: Path) -> None:
    """Whoever is slower reads the key of whoever was faster, never half of it."""
    path = tmp_path / "keys" / "key.pem"
    program = (
        "import sys; from pathlib import Path; from infra.signing import load_signing_key;"
        f"print(load_signing_key(Path({str(path)!r}), Path({str(home)!r}), lambda _: None).verifier_key({NAME!r}).text)"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate(timeout=60)[0] for process in processes}) == 1
    assert [each.name for each in path.parent.iterdir()] == ["key.pem"]


def test_a_key_in_the_ledgers_folder_is_refused(home: Path, tmp_path: Path) -> None:
    """Also by way of a link; and none is made there."""
    (tmp_path / "link").symlink_to(home)
    for path in (home / "key.pem", home / "deep" / "key.pem", tmp_path / "link" / "key.pem"):
        with pytest.raises(LedgerError, match=r"lies in the ledger's folder .* SIGNING_KEY"):
            load_signing_key(path, home, lambda _: None)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(mode: int, home: Path, tmp_path: Path) -> None:
    """With what to do."""
    path = tmp_path / "key.pem"
    load_signing_key(path, home, lambda _: None)
    path.chmod(mode)
    with pytest.raises(LedgerError, match=f"mode {mode:04o}.*chmod 600"):
        load_signing_key(path, home, lambda _: None)


def test_what_is_no_ed25519_key_is_refused(home: Path, tmp_path: Path) -> None:
    """Damaged, empty, of another algorithm, with a password: one sentence, and the file stays as it is."""
    path = tmp_path / "key.pem"
    load_signing_key(path, home, lambda _: None)
    good = path.read_bytes()
    pkcs8 = (Encoding.PEM, PrivateFormat.PKCS8)
    other = generate_private_key(SECP256R1()).private_bytes(*pkcs8, NoEncryption())
    locked = load_pem_private_key(good, None).private_bytes(*pkcs8, BestAvailableEncryption(b"secret"))
    for content in (b"", good[:60], good.replace(b"M", b"N"), b"\xff" * 100, other, locked):
        path.write_bytes(content)
        with pytest.raises(LedgerError, match=r"is no Ed25519 key \(PKCS#8 PEM without a password\)"):
            load_signing_key(path, home, lambda _: None)
        assert path.read_bytes() == content


def test_the_key_lies_in_the_users_configuration_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG's, if that is absolute; the setting goes first."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert Settings().signing_key_path == tmp_path / "partner-ledger" / "signing-key.pem"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings().signing_key_path == tmp_path / ".config" / "partner-ledger" / "signing-key.pem"
    assert Settings(signing_key=Path("key.pem")).signing_key_path == Path.cwd() / "key.pem"


def test_a_signature_is_of_one_head_by_one_key(home: Path, tmp_path: Path) -> None:
    """Another head, another key, another name: each is refused."""
    signed = LEDGER_OF_ELEVEN.head(3)
    verify_head(signed, VERIFIER)
    with pytest.raises(IntegrityFault, match="does not have the signature of"):
        verify_head(signed._replace(head=signed.head._replace(size=4)), VERIFIER)
    other = load_signing_key(tmp_path / "key.pem", home, lambda _: None).verifier_key(VERIFIER.name)
    with pytest.raises(IntegrityFault, match="is signed by the key"):
        verify_head(signed, other)
    with pytest.raises(IntegrityFault, match="does not have the signature of"):
        verify_head(signed._replace(key_hash=other.key_hash), other)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_told_by_the_system(home: Path, tmp_path: Path) -> None:
    """The command line makes a sentence of it."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        load_signing_key(locked / "key.pem", home, lambda _: None)
