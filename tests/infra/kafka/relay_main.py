"""The relay as a process for the tests that kill it: run_relay on the topics of one test, stopped by SIGTERM."""

import logging
import signal
import sys
import threading

from infra.embedded.servers import Endpoints
from infra.relay_process import run_relay
from infra.settings import Settings

if __name__ == "__main__":
    bootstrap_servers, database_url, topic_prefix, batch_events = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    run_relay(
        Settings(relay_batch_events=int(batch_events), topic_prefix=topic_prefix),
        Endpoints(bootstrap_servers, database_url, database_url, database_url, database_url),
        stopped,
    )
