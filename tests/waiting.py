"""Waiting for what other processes and threads bring about."""

import time
from collections.abc import Callable


def eventually(true: Callable[[], bool], within_s: float = 120.0, *, pause_s: float = 0.005) -> None:
    """Wait until something holds; fail if it does not in time."""
    give_up_at = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up_at, f"did not come true within {within_s:g} s"
        time.sleep(pause_s)
