"""How long a check takes: measured around each page, not each event."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from domain.findings import Tally


@contextmanager
def timed(tally: Tally, name: str) -> Iterator[None]:
    """Add what the block takes to a check's seconds."""
    began = time.perf_counter()
    try:
        yield
    finally:
        tally.check(name).seconds += time.perf_counter() - began
