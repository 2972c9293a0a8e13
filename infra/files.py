"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from domain.errors import InvalidInput


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a new file beside its place, and put it there when the block ends; nothing is left behind where that fails.

    Raises:
        InvalidInput: there is such a file already, which is never written over, or no such folder.
        OSError: the folder is not writable, or the disk is full.

    """
    if not path.parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: there is no folder {path.parent}.")
    if path.exists():
        raise InvalidInput(f"{path} is there already; name another file.")
    half = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        file = half.open("wb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # the name that was wanted
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)  # not linked: a stick that an auditor brings may know no links
    finally:
        half.unlink(missing_ok=True)
