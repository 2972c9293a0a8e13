"""The event-sourcing library's contract cases, on our recorders.

Not used: the tracking and process recorder cases and their two cases of the factory (we have neither; an ADR says why), and the
mapper's cases (ours is in `domain.aggregates`). Ids are texts: streams have names.
"""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import AggregateRecorder, InfrastructureFactoryError, ProcessRecorder, TrackingRecorder
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    InfrastructureFactoryTestCase,
    NonInterleavingNotificationIDsBaseCase,
)
from eventsourcing.utils import Environment

from infra.postgres.connections import ConnectionPool
from infra.postgres.factory import PostgresLedgerFactory
from infra.postgres.recorder import PostgresLedgerRecorder
from infra.postgres.snapshots import PostgresSnapshotRecorder
from tests.infra.postgres.conftest import PostgresUrls


class OnPostgres:
    """What the cases have in common: a ledger of their own, text ids."""

    @pytest.fixture(autouse=True)
    def _ledger(self, postgres_urls: PostgresUrls) -> Iterator[None]:
        self.url = postgres_urls.application
        self.pool = ConnectionPool(self.url)
        yield
        self.pool.close()

    def new_originator_id(self) -> UUID | str:
        return f"stream-{uuid4()}"


class TestApplicationRecorder(OnPostgres, ApplicationRecorderTestCase[PostgresLedgerRecorder]):
    def create_recorder(self) -> PostgresLedgerRecorder:
        return PostgresLedgerRecorder(self.pool, timezone="UTC")

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNonInterleavingNotificationIDs(OnPostgres, NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> PostgresLedgerRecorder:
        return PostgresLedgerRecorder(self.pool, timezone="UTC")


class TestSnapshotRecorder(OnPostgres, AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return PostgresSnapshotRecorder(self.pool)


class TestFactory(OnPostgres, InfrastructureFactoryTestCase[PostgresLedgerFactory]):
    @pytest.fixture(autouse=True)
    def _environment(self, _ledger: None) -> None:
        self.env = Environment(
            "Ledger", {"PERSISTENCE_MODULE": "infra.postgres.factory", "POSTGRES_LEDGER_URL": self.url}
        )

    def expected_factory_class(self) -> type[PostgresLedgerFactory]:
        return PostgresLedgerFactory

    def expected_application_recorder_class(self) -> type[PostgresLedgerRecorder]:
        return PostgresLedgerRecorder

    def expected_aggregate_recorder_class(self) -> type[PostgresSnapshotRecorder]:
        return PostgresSnapshotRecorder

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        raise NotImplementedError("there is none")

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        raise NotImplementedError("there is none")

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        raise NotImplementedError("there is none")

    def test_create_aggregate_recorder(self) -> None:
        """Only for snapshots: the library's own case asks for events, which would have no position then."""
        assert type(self.factory.aggregate_recorder("snapshots")) is PostgresSnapshotRecorder
        with pytest.raises(InfrastructureFactoryError, match="no aggregate recorder for 'events'"):
            self.factory.aggregate_recorder()

    def test_create_tracking_recorder(self) -> None:
        with pytest.raises(InfrastructureFactoryError, match="no tracking recorder"):
            self.factory.tracking_recorder()

    def test_create_process_recorder(self) -> None:
        with pytest.raises(InfrastructureFactoryError, match="no process recorder"):
            self.factory.process_recorder()

    def test_without_a_database_is_refused_by_name(self) -> None:
        with pytest.raises(InfrastructureFactoryError, match="POSTGRES_LEDGER_URL is not set"):
            PostgresLedgerFactory(Environment("Ledger", {}))
