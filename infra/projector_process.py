"""One process of the projector, wired: Kafka's events topic to the live build of the projections, until told to stop."""

import gc
import logging
import sys
import threading

from consumers.projector import Projector
from infra.embedded.servers import Endpoints
from infra.kafka.event_source import KafkaEventSource
from infra.postgres.projections.store import PostgresProjectionStore
from infra.settings import Settings
from producers.topics import layouts

GC_THRESHOLD = (200_000, 20, 20)
"""A batch's rows live until they are written, and form no cycles: looking for some as often as by default costs a third."""

SWITCH_INTERVAL_S = 0.0005
"""How long the thread that writes a batch waits for the one that folds the next: by default ten times as long, at each of its
twenty answers from PostgreSQL."""

log = logging.getLogger("partner_ledger.projector")


def run_projector(
    settings: Settings,
    endpoints: Endpoints,
    stop: threading.Event,
) -> None:
    """Project events until `stop` is set (SIGTERM); then the batch under way is finished and the group left.

    Raises:
        IntegrityFault: Kafka's topic is not the one that the projections were filled from, or has lost records.

    """
    topic = layouts(prefix=settings.topic_prefix).events.name
    gc.set_threshold(*GC_THRESHOLD)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    source = KafkaEventSource(
        endpoints.bootstrap_servers,
        topic,
        group_id=f"{settings.topic_prefix}.projector",
        max_records=settings.projector_batch_events,
        session_timeout_ms=settings.session_timeout_ms,
    )
    store = PostgresProjectionStore(endpoints.projector_database_url)
    log.info("Projector started: topic %s of %s.", topic, endpoints.bootstrap_servers)
    Projector(source, store, log.info).run(stop)
    log.info("Projector stopped.")
