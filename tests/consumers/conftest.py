"""Fixtures on the real servers."""

from dataclasses import dataclass

import pytest

from consumers.projector import Projector
from infra.embedded.servers import Endpoints
from tests.consumers import real
from tests.projections.histories import Told


@dataclass
class Bench:
    """A database and a topic of a test's own, and a projector to step."""

    endpoints: Endpoints
    topic: str
    projector: Projector
    said: list[str]

    def put(self, *told: Told) -> "Bench":
        return self.put_raw(*real.keyed(told))

    def put_raw(self, *records: tuple[bytes | None, bytes | None]) -> "Bench":
        real.produce(self.topic, records)
        self.step(len(records))
        return self

    def step(self, records: int) -> None:
        while records > 0:
            records -= self.projector.step()

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        return real.rows(self.endpoints.read_database_url, statement)


@pytest.fixture
def bench(database: Endpoints) -> "Bench":
    """A topic of the test's own; what it wrote before is emptied, as if the build were new."""
    said: list[str] = []
    topic = real.fresh_topic()
    projector = real.projector(database, topic, said=said)
    return Bench(database, topic, projector, said)


@pytest.fixture
def database() -> Endpoints:
    """A database of the test's own."""
    return real.fresh_database()
