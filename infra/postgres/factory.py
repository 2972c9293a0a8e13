"""The event-sourcing library's way in: `PERSISTENCE_MODULE=infra.postgres.factory`.

Environment: `POSTGRES_LEDGER_URL` (the application's login) and `POSTGRES_LEDGER_TIMEZONE` (IANA name; in which "today" is
meant). The schema is the migrations' matter: nothing is created here, whatever `CREATE_TABLE` says.
"""

from eventsourcing.persistence import (
    InfrastructureFactory,
    InfrastructureFactoryError,
    ProcessRecorder,
    TrackingRecorder,
)

from infra.postgres.connections import ConnectionPool
from infra.postgres.recorder import PostgresLedgerRecorder
from infra.postgres.snapshots import PostgresSnapshotRecorder

URL = "POSTGRES_LEDGER_URL"
TIMEZONE = "POSTGRES_LEDGER_TIMEZONE"

_NO_TRACKING = "The ledger has no {} recorder: what follows from its events reads them from Kafka, and keeps its offsets with its rows."


class PostgresLedgerFactory(InfrastructureFactory[TrackingRecorder]):
    """Makes the recorders of one database; they share its connections, which `close` closes."""

    def __init__(self, env: object) -> None:
        super().__init__(env)  # type: ignore[arg-type]  # the library's own union, not exported
        url = self.env.get(URL)
        if not url:
            raise InfrastructureFactoryError(f"{URL} is not set: name the PostgreSQL database of the event store.")
        self._pool = ConnectionPool(url)
        self._timezone = self.env.get(TIMEZONE) or "UTC"

    def application_recorder(self) -> PostgresLedgerRecorder:
        """Make the recorder of events."""
        return PostgresLedgerRecorder(self._pool, timezone=self._timezone)

    def aggregate_recorder(self, purpose: str = "events") -> PostgresSnapshotRecorder:
        """Make the recorder of snapshots."""
        if purpose != "snapshots":
            raise InfrastructureFactoryError(
                f"The ledger has no aggregate recorder for {purpose!r}: events are recorded by its application recorder alone,"
                " where they get positions."
            )
        return PostgresSnapshotRecorder(self._pool)

    def tracking_recorder(self, tracking_recorder_class: type[TrackingRecorder] | None = None) -> TrackingRecorder:
        """Refuse: see the message."""
        raise InfrastructureFactoryError(_NO_TRACKING.format("tracking"))

    def process_recorder(self) -> ProcessRecorder:
        """Refuse: see the message."""
        raise InfrastructureFactoryError(_NO_TRACKING.format("process"))

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()
