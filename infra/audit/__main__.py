"""One process of an audit: `python -m infra.audit store|kafka`, its task on standard input, what it says on standard output.

Ctrl-C is for the process that has started this one, which ends it; where that one is gone, so is this one's output.
"""

import gc
import logging
import os
import signal
import sys
import warnings
from pathlib import Path

import msgspec

from domain.errors import LedgerError, ServiceUnreachable
from infra.audit.task import Failed, Progress, Task, say


def main(name: str) -> None:
    """Run a pass and say what it came to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    gc.disable()  # records, rows and events form no cycles, and are freed as they go
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    try:
        if name == "store":
            from infra.audit.store_pass import verify_store as verify
        else:
            from infra.audit.kafka_pass import verify_kafka as verify
        say(msgspec.structs.replace(verify(task, lambda done: say(Progress(done))), peak_mb=_peak_mb()))
    except LedgerError as error:
        say(Failed(str(error), isinstance(error, ServiceUnreachable)))


def _peak_mb() -> float:
    """Give this process's largest resident size since it began."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    return next(int(line.split()[1]) for line in status.read_text("ascii").splitlines() if "VmHWM" in line) * 1024 / 1e6


if __name__ == "__main__":
    try:
        main(sys.argv[1])
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(1)  # nobody waits for it any more
    os._exit(0)  # Kafka's client and the interpreter have nothing left to say
