"""Makes a tape in a process of its own and stops in the middle, when some windows have been read: to be killed there."""

import sys
import time
from pathlib import Path

import msgspec

from infra.tape import making


def main(folder: str, sources: bytes, window: str) -> None:
    """Make the tape; say `in the middle` and wait there."""
    making.WINDOW = int(window)

    def wait(done: int, total: int) -> None:
        if done > total // 2:
            print("in the middle", flush=True)
            time.sleep(600)

    making.make(
        Path(folder),
        msgspec.json.decode(sources, type=making.Sources),
        anew=False,
        wait_s=1,
        say=print,
        on_progress=wait,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2].encode(), sys.argv[3])
