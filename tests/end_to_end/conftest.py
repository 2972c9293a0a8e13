"""Fixtures of the tests that go from the command line to the answer."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.end_to_end.command_line import CommandLine
from tests.servers import fresh_ledger

SHARED = Path(__file__).parents[3] / "shared"
"""The golden cases and the AdventureWorks data lie beside the project; they are no part of it."""


@pytest.fixture
def new_ledger() -> Iterator[Callable[[], CommandLine]]:
    """Make ledgers without events; each is stopped when the test ends."""
    made: list[CommandLine] = []

    def make() -> CommandLine:
        made.append(CommandLine(fresh_ledger()))
        return made[-1]

    yield make
    for ledger in made:
        ledger.down()


@pytest.fixture
def ledger(new_ledger: Callable[[], CommandLine]) -> CommandLine:
    """A ledger without events."""
    return new_ledger()


@pytest.fixture
def unstarted(tmp_path: Path) -> CommandLine:
    """A ledger of which nothing is started by what a test does."""
    return CommandLine(Settings(home=tmp_path))


def shared(*parts: str) -> Path:
    """Give a path of the material beside the project; a test that needs it is skipped where it is not there."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is missing")
        pytest.skip(f"{path} is not beside this project")
    return path
