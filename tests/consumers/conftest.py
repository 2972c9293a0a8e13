"""Fixtures on the real servers."""

from dataclasses import dataclass

import pytest

from consumers.projector import Projector
from infra.embedded.servers import Endpoints
from tests.consumers import real
from tests.projections.histories import Told
from tests.servers import fresh_database


@dataclass
class Bench:
    """A database and a topic of a test's own, and a projector to step."""

    endpoints: Endpoints
    topic: str
    projector: Projector
    said: list[str]

    def put(self, *told: Told) -> "Bench":
        """What the ledger recorded and relayed."""
        real.hold(self.endpoints, told)
        return self.put_raw(*real.keyed(told))

    def put_raw(self, *records: tuple[bytes | None, bytes | None]) -> "Bench":
        """What is on the topic, whoever put it there."""
        real.produce(self.endpoints.bootstrap_servers, self.topic, records)
        self.step(len(records))
        return self

    def step(self, records: int) -> None:
        handled = self.projector.handled + records
        while self.projector.handled < handled:
            self.projector.step()
            self.projector.finish()

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        return real.rows(self.endpoints.read_database_url, statement)


@pytest.fixture
def bench() -> Bench:
    """A ledger of the test's own on the shared servers."""
    endpoints = fresh_database()
    said: list[str] = []
    topic = real.fresh_topic(endpoints.bootstrap_servers)
    return Bench(endpoints, topic, real.projector(endpoints, topic, said=said), said)
