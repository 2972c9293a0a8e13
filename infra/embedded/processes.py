"""Processes that go on in the background after the command that started them has ended.

Each has a name within a home: its record is `home/run/NAME.json`, its output is appended to `home/logs/NAME.log`. Kafka
and PostgreSQL run this way, and so do the relay and the projector.

A process is taken for ours only if its pid *and* the time of its creation are those of the record, so a pid that the system
has given to something else meanwhile is neither found nor ended. The record is written in two steps, before and after the
process is made, and the process carries the record's path in its environment: if the starting command is killed
between the two, the process is still found.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from domain.errors import ServiceUnreachable
from infra.embedded.locks import exclusive

# Not PARTNER_LEDGER_...: those names are settings, and unknown ones are refused.
MARK = "LEDGER_BACKGROUND_PROCESS"
LOCK_TIMEOUT_S = 60.0
CLEAR_TIMEOUT_S = 5.0
POLL_S = 0.02
# The system counts a process's creation from the boot, and the boot's time of day moves a little when the clock is set.
CREATED_TOLERANCE_S = 1.0

# Processes made by this very process: kept, so that one that ended is reaped instead of staying a zombie.
_children: dict[int, "subprocess.Popen[bytes]"] = {}


def start_background(
    home: Path,
    name: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    settle_s: float = 1.0,
    user: str | None = None,
    cwd: Path | None = None,
) -> int:
    """Start `argv` under `name` unless it runs already; the pid either way.

    `env` is the whole environment of the process. For `settle_s` seconds it is watched: if it exits within them,
    ServiceUnreachable is raised with the last lines of its log.
    """
    with exclusive(home / "run" / f"{name}.lock", LOCK_TIMEOUT_S):
        found = _find(home, name)
        if found is not None:
            return found.pid
        record = _record_path(home, name)
        _write(record, {"argv": list(argv)})
        log = log_path(home, name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**env, MARK: str(record)},
                start_new_session=True,  # a Ctrl-C meant for the command must not reach what it leaves behind
                cwd=cwd,
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )
        _children[child.pid] = child
        _write(record, {"argv": list(argv), "pid": child.pid, "created": psutil.Process(child.pid).create_time()})
    _watch(home, name, child, settle_s)
    return child.pid


def running(home: Path, name: str) -> int | None:
    """Give the pid of the process `name` of this home, None if it does not run."""
    found = _find(home, name)
    return None if found is None else found.pid


def stop(home: Path, name: str, timeout: float, ask_with: signal.Signals = signal.SIGTERM) -> bool:
    """End the process `name`: ask by the signal `ask_with`, kill after `timeout` seconds. False if it did not run."""
    if not _record_path(home, name).exists():
        return False
    with exclusive(home / "run" / f"{name}.lock", LOCK_TIMEOUT_S):
        found = _find(home, name)
        if found is not None:
            _end(found, timeout, ask_with)
        _record_path(home, name).unlink(missing_ok=True)
    return found is not None


def recorded(home: Path) -> list[str]:
    """List the names of the processes that were started under this home and not stopped; they may have ended by themselves."""
    return sorted(path.stem for path in (home / "run").glob("*.json"))


def clear_half_made(folders: Iterable[Path], program: Path) -> None:
    """Remove what a start that was cut off has left, and end the `program` that may still be at work in it.

    Whoever calls this holds the lock under which the folders are made, so none of them is in use by another start.
    """
    for folder in folders:
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
                if command[:1] == [str(program)] and any(str(folder) in argument for argument in command):
                    process.kill()
            except psutil.Error:  # gone meanwhile, or not ours to look into
                continue
        deadline = time.monotonic() + CLEAR_TIMEOUT_S
        while folder.exists() and time.monotonic() < deadline:  # its last writes may still be under way
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(POLL_S)


def log_path(home: Path, name: str) -> Path:
    """Where the output of the process `name` is."""
    return home / "logs" / f"{name}.log"


def last_lines(log: Path, lines: int = 12) -> str:
    """Give the end of a log, indented, for an error message."""
    try:
        text = log.read_bytes()[-16_384:].decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def _watch(home: Path, name: str, child: "subprocess.Popen[bytes]", settle_s: float) -> None:
    deadline = time.monotonic() + settle_s
    while time.monotonic() < deadline:
        if child.poll() is not None:
            log = log_path(home, name)
            raise ServiceUnreachable(
                f"{name} ended at once with exit code {child.returncode}; its log is {log}:\n{last_lines(log)}"
            )
        time.sleep(POLL_S)


def _end(process: psutil.Process, timeout: float, ask_with: signal.Signals) -> None:
    try:
        process.send_signal(ask_with)
        deadline = time.monotonic() + timeout
        while _alive(process) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if _alive(process):
            process.kill()
            while _alive(process):
                time.sleep(POLL_S)
    except psutil.NoSuchProcess:
        pass


def _find(home: Path, name: str) -> psutil.Process | None:
    record = _read(_record_path(home, name))
    if record is None:
        return None
    if "pid" in record:
        try:
            process = psutil.Process(record["pid"])
            if abs(process.create_time() - record["created"]) <= CREATED_TOLERANCE_S and _alive(process):
                return process
        except psutil.NoSuchProcess:
            pass
    return _find_by_mark(_record_path(home, name), record["argv"])


def _find_by_mark(record: Path, argv: list[str]) -> psutil.Process | None:
    """Find a process whose record was never finished (or whose machine's clock was set by hours since)."""
    for process in psutil.process_iter():
        try:
            if (
                process.cmdline() == argv  # a child of ours inherits the mark, but not the command line
                and process.environ().get(MARK) == str(record)
                and _alive(process)
            ):
                return process
        except (psutil.Error, OSError):  # gone meanwhile, or not ours to look into
            continue
    return None


def _alive(process: psutil.Process) -> bool:
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        del _children[process.pid]
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _record_path(home: Path, name: str) -> Path:
    return home / "run" / f"{name}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return record


def _write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Replaced as a whole: a reader never sees half a record, however this process ends.
    half = path.with_suffix(f".{os.getpid()}.half")
    half.write_text(json.dumps(record))
    half.replace(path)
