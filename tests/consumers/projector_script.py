"""A projector in a process of its own, to be killed by a test: `python -m tests.consumers.projector_script SPEC`."""

import json
import logging
import signal
import sys
import threading
from types import FrameType

from infra.embedded.servers import Endpoints
from infra.projector_process import run_projector
from infra.settings import Settings


def main(spec: str) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    logging.getLogger("kafka").setLevel(logging.ERROR)
    given = json.loads(spec)
    stop = threading.Event()

    def on_term(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_term)
    settings = Settings(
        projector_batch_events=given["batch"],
        session_timeout_ms=given["session_timeout_ms"],
        topic_prefix=given["topic"].removesuffix(".events"),
    )
    run_projector(settings, Endpoints(**given["endpoints"]), stop)


if __name__ == "__main__":
    main(sys.argv[1])
