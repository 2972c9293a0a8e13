"""How much memory an import takes: it runs in a process of its own, whose largest resident size is that of the import alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.filled import import_folder
from infra.bootstrap import environment_of
from infra.settings import Settings


def resident_mb(settings: Settings, folder: Path) -> tuple[int, float]:
    """Import a folder in a process of its own; give the facts it recorded and its peak resident size in MB."""
    command = [sys.executable, "-m", "benchmarks.resident", str(folder)]
    ran = subprocess.run(
        command, env=environment_of(settings), cwd=Path(__file__).parents[1], capture_output=True, check=False
    )
    if ran.returncode:
        raise RuntimeError(f"the import in a process of its own failed: {ran.stderr.decode()}")
    recorded, kilobytes = json.loads(ran.stdout)
    return recorded, kilobytes * 1024 / 1e6


def peak_kilobytes() -> int:
    """Give this process's largest resident size, as the system counts it since its program began.

    Not by `getrusage`, which also counts what the process that started it held.
    """
    status = Path(f"/proc/{os.getpid()}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    summary, _, _ = import_folder(Settings(), Path(sys.argv[1]))
    print(json.dumps([summary.recorded, peak_kilobytes()]))
