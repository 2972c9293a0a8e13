"""A lock between processes, on a file: whoever starts or stops something under a home takes turns.

The operating system frees the lock when its holder ends, however it ends, so a killed command never blocks the next one.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import ServiceUnreachable

POLL_S = 0.05


def _nothing() -> None:
    pass


@contextmanager
def exclusive(path: Path, timeout_s: float, on_wait: Callable[[], None] = _nothing) -> Iterator[None]:
    """Hold the lock file `path` alone; `on_wait` is called once if somebody else has it.

    Raises ServiceUnreachable when the other holder has not let go within `timeout_s` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    # The file stays when the lock is let go: deleting it would let two holders in, each with a file of the same name.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _taken(descriptor):
            on_wait()
            while not _taken(descriptor):
                if time.monotonic() > deadline:
                    raise ServiceUnreachable(
                        f"Another command has held {path} for {timeout_s:.0f} s; wait until it ends, or stop it."
                    )
                time.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
