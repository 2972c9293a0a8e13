"""Files that are there whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from domain.errors import InvalidInput


@contextmanager
def whole_file(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Write a file beside its place, and put it there when the block ends; nothing is left behind where that fails.

    Raises:
        InvalidInput: there is such a file, and it is not to be replaced.
        OSError: the folder is not there or not writable, or the disk is full.

    """
    if not path.parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: there is no folder {path.parent}.")
    if path.is_dir() or (path.exists() and not replace):
        raise InvalidInput(f"{path} is there already; name another file with --to.")
    descriptor, half = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        if replace:
            Path(half).replace(path)
        else:
            try:
                path.hardlink_to(half)  # another process may have been faster
            except FileExistsError:
                raise InvalidInput(f"{path} is there already; name another file with --to.") from None
    finally:
        Path(half).unlink(missing_ok=True)
