"""What holds for every test."""

import signal

import pytest

from tests.servers import clear

# Started in the background by a shell, a process ignores Ctrl-C and hands that on to all that it starts; the commands that
# tests interrupt would never hear of it. With a handler here, they start as from a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST_FIRST = (
    "tests/end_to_end/test_faults.py",
    "tests/end_to_end/test_golden.py",
    "tests/infra/kafka/test_relay_faults.py",
    "tests/infra/embedded/test_servers.py",
    "tests/consumers/test_projector_processes.py",
    "tests/end_to_end/",
    "tests/docs/",
    "tests/test_",
)
"""A file that takes minutes and is begun last leaves one process at work and the others idle."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; within them, and after them, all stays in order."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, path in enumerate(LONGEST_FIRST) if item.nodeid.startswith(path)), len(LONGEST_FIRST))


def pytest_sessionfinish() -> None:
    """Stop the servers while the process is waited for: pytest-xdist kills one that takes 10 s to end after its last test."""
    clear()
