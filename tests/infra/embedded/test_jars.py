"""Kafka's jars: only those of the lock file, with its digests."""

import shutil
from pathlib import Path

import pytest

from domain.errors import IntegrityFault
from infra.embedded import jars


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the cache with two jars."""
    for file in jars.class_path(jars.cache_folder() / "jars", jars.locked_jars()[:2], print):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_jar_with_another_digest_is_refused_by_name(folder: Path) -> None:
    """A single changed byte keeps the jar off the class path, and the message says which jar it is."""
    _, jar = jars.locked_jars()[:2]
    with (folder / jar.file_name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(IntegrityFault, match=f"{jar.file_name} is not the jar that was pinned"):
        jars.class_path(folder, jars.locked_jars()[:2], print)


def test_downloaded_jar_with_another_digest_gets_no_place(folder: Path) -> None:
    """What is fetched is verified before it gets its name in the cache."""
    wrong = jars.Jar("org.jspecify:jspecify:1.0.0", "0" * 64)
    with pytest.raises(IntegrityFault, match=r"jspecify-1\.0\.0\.jar"):
        jars.class_path(folder, [wrong], print)
    assert not (folder / wrong.file_name).exists()
    assert not list(folder.glob(".download-*"))


def test_every_jar_is_pinned_to_kafkas_version() -> None:
    """The lock file has one line a jar, with a full digest, and Kafka's own jars are of the version that is named."""
    locked = jars.locked_jars()
    assert len({jar.coordinate.rpartition(":")[0] for jar in locked}) == len(locked) == 46
    assert all(len(jar.sha256) == 64 for jar in locked)
    ours = [jar for jar in locked if jar.coordinate.startswith("org.apache.kafka:")]
    assert {jar.coordinate.rpartition(":")[2] for jar in ours} == {jars.KAFKA_VERSION}
