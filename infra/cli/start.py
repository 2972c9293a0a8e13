"""Where the command begins, before anything is imported that takes time: Ctrl-C and a closed standard output find nothing half done."""

import os
import signal
import sys


def main() -> None:
    """Import the command, then run it; see `infra.cli.app.main`."""
    if sys.stdout is None:  # closed by whoever started this
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for as long as the process lives
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from infra.cli.app import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
