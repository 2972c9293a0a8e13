"""The relay as a process: the event store, Kafka and the loop wired together, until it is told to stop."""

import logging
import threading

from infra.embedded.servers import Endpoints
from infra.kafka.ledger_topics import KafkaLedgerTopics
from infra.postgres.event_log import PostgresEventLog
from infra.settings import Settings
from producers.relay import Relay

log = logging.getLogger(__name__)


def run_relay(settings: Settings, endpoints: Endpoints, stop: threading.Event) -> None:
    """Relay until `stop` is set. Logging is the caller's to configure.

    Raises:
        IntegrityFault: store and Kafka contradict each other, or another relay has taken over.

    """
    # Kafka's client logs every attempt to connect; what matters reaches us as an exception, and is said once.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    event_log = PostgresEventLog(endpoints.database_url)
    topics = KafkaLedgerTopics(
        endpoints.bootstrap_servers, settings.kafka_partitions, settings.kafka_replication_factor, settings.topic_prefix
    )
    log.info("The relay starts.")
    try:
        Relay(event_log, topics, settings.relay_batch_events, settings.poll_interval_ms).run(stop)
    finally:
        event_log.close()
    log.info("The relay has stopped.")
