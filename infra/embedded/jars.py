"""Kafka's jars: which ones, with which digests, and where they are kept.

`kafka-jars.lock` beside this module has one line for each jar, `SHA-256  group:artifact:version`. Jars that are missing are
fetched from Maven Central by jgo's Python interface (no Java and no mvn needed) into a cache that all homes of a user share.
Every start verifies every digest: a jar that is not the one in the lock file is refused by name and never put on the class path.

    python -m infra.embedded.jars             verify the cache against the lock file, fetching what is missing
    python -m infra.embedded.jars --write     resolve anew and write the lock file; review the difference before committing it
"""

import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import IntegrityFault, ServiceUnreachable
from infra.embedded.locks import exclusive

KAFKA_VERSION = "4.3.1"
# Kafka's own artifact logs through slf4j 1.7 and brings no binding for it: without the second one it would log nothing.
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")
LOCK_FILE = Path(__file__).with_name("kafka-jars.lock")
DOWNLOAD_TIMEOUT_S = 600.0
REQUEST_TIMEOUT_S = 60
ATTEMPTS = 3
PARALLEL_DOWNLOADS = 6


@dataclass(frozen=True, order=True)
class Jar:
    """One line of the lock file."""

    coordinate: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name as Maven gives it: artifact-version.jar."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def cache_folder() -> Path:
    """Name the folder in the user's cache that all homes share."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "partner-ledger" / f"kafka-{KAFKA_VERSION}"


def locked_jars(lock_file: Path = LOCK_FILE) -> list[Jar]:
    """Read the jars as pinned, in the order of the class path."""
    lines = (line.split() for line in lock_file.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(coordinate, sha256) for sha256, coordinate in lines]


def class_path(folder: Path, jars: Iterable[Jar], say: Callable[[str], None]) -> list[Path]:
    """Give the jars as files in `folder`, each verified; missing ones are fetched first.

    Raises IntegrityFault naming the jar whose digest is another, and ServiceUnreachable if one cannot be fetched.
    """
    jars = list(jars)
    if any(not (folder / jar.file_name).exists() for jar in jars):
        waiting = "Another process is downloading Kafka's jars; waiting for it."
        with exclusive(folder / ".lock", DOWNLOAD_TIMEOUT_S, lambda: say(waiting)):
            _fetch([jar for jar in jars if not (folder / jar.file_name).exists()], folder, say)
    for jar in jars:
        _verify(folder / jar.file_name, jar)
    return [folder / jar.file_name for jar in jars]


def _fetch(missing: list[Jar], folder: Path, say: Callable[[str], None]) -> None:
    if not missing:
        return
    say(f"Downloading {len(missing)} jars of Apache Kafka {KAFKA_VERSION} to {folder} (once for this user).")
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:

        def fetch(jar: Jar) -> None:
            # Verified before it gets its name, and named in one step: the cache never holds half a jar.
            file = _download(jar, Path(temporary))
            _verify(file, jar)
            file.replace(folder / jar.file_name)

        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            list(pool.map(fetch, missing))


def _download(jar: Jar, repository: Path) -> Path:
    group, artifact, version = jar.coordinate.split(":")
    context = _maven(repository)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return Path(context.project(group, artifact).at_version(version).artifact().resolve())
        except (OSError, RuntimeError) as error:  # the HTTP library's errors are OSErrors
            if attempt == ATTEMPTS:
                raise ServiceUnreachable(
                    f"{jar.coordinate} could not be downloaded ({error}); check the connection to Maven Central and start again."
                ) from error
            half = repository / group.replace(".", "/") / artifact / version / jar.file_name
            half.unlink(missing_ok=True)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _verify(file: Path, jar: Jar) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != jar.sha256:
        raise IntegrityFault(
            f"{file.name} is not the jar that was pinned: its SHA-256 is {found}, not {jar.sha256}; delete {file} and start again."
        )


def _maven(repository: Path) -> Any:
    # Imported here: it brings an HTTP library, which an `up` with a filled cache does not need.
    from jgo.maven import MavenContext

    logging.getLogger("jgo").setLevel(logging.ERROR)
    return MavenContext(repo_cache=repository, timeout=REQUEST_TIMEOUT_S)


def _resolve(repository: Path) -> list[Jar]:
    """Resolve the roots with their run-time dependencies, one root after the other, and digest each jar.

    Not in one go: jgo takes roots given together for each other's bills of materials, and the logging binding's would set
    other versions of Kafka's own dependencies.
    """
    from jgo.parse import Coordinate

    context = _maven(repository)
    found: dict[tuple[str, str], Jar] = {}
    for root in ROOTS:
        group, artifact, version = root.split(":")
        dependency = context.create_dependency(Coordinate(group, artifact, version, scope="compile"))
        inputs, transitive = context.resolver.resolve([dependency])
        for each in [*inputs, *transitive]:
            if each.scope in ("compile", "runtime") and (each.groupId, each.artifactId) not in found:
                digest = hashlib.sha256(Path(each.artifact.resolve()).read_bytes()).hexdigest()
                jar = Jar(f"{each.groupId}:{each.artifactId}:{each.version}", digest)
                found[each.groupId, each.artifactId] = jar
    return sorted(found.values())


def main(arguments: list[str]) -> int:
    """Verify the cache, or write the lock file anew."""
    if arguments == ["--write"]:
        with tempfile.TemporaryDirectory() as temporary:
            jars = _resolve(Path(temporary))
        LOCK_FILE.write_text("".join(f"{jar.sha256}  {jar.coordinate}\n" for jar in jars))
        print(f"{LOCK_FILE}: {len(jars)} jars written.")
        return 0
    if arguments:
        print(__doc__)
        return 2
    folder = cache_folder() / "jars"
    print(f"{len(class_path(folder, locked_jars(), print))} jars in {folder} have the digests of {LOCK_FILE.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
