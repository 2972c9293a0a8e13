"""A small file system for a home, which can be filled: a tmpfs mounted on its folder, where this process may mount."""

import errno
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SIZE_MB = 1024
"""Ten rounds of 5,000 facts take about half of it; memory is used as it fills."""
MODE = "0755"
BALLAST = "ballast"
CHUNKS = (64 * 1024 * 1024, 1024 * 1024, 64 * 1024, 4096)


def may_mount() -> bool:
    """Try whether this process may mount a file system here."""
    with tempfile.TemporaryDirectory(prefix="partner-ledger-soak-") as folder:
        if not _mount(Path(folder), 1):
            return False
        _unmount(Path(folder))
        return True


class SmallDisk:
    """A file system of limited size on a folder."""

    def __init__(self, folder: Path, size_mb: int = SIZE_MB) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if not _mount(folder, size_mb):
            raise OSError(f"a file system could not be mounted on {folder}")
        self._mounted = True

    def fill(self) -> None:
        """Take all space that is left."""
        descriptor = os.open(self.folder / BALLAST, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            for chunk in CHUNKS:
                while True:
                    try:
                        os.posix_fallocate(descriptor, size, chunk)
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        break  # a smaller piece may still fit
                    size += chunk
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Give the space back."""
        (self.folder / BALLAST).unlink(missing_ok=True)

    def release(self, *, keep: bool) -> None:
        """Unmount it; with `keep` what it holds goes on lying in the folder, on the disk below."""
        if not self._mounted:
            return
        self.free()
        kept = self.folder.with_name(self.folder.name + ".kept")
        if keep:
            subprocess.run(["cp", "-a", str(self.folder), str(kept)], check=True)
        _unmount(self.folder)
        self._mounted = False
        if keep:
            shutil.rmtree(self.folder)
            kept.rename(self.folder)


def _mount(folder: Path, size_mb: int) -> bool:
    options = f"size={size_mb}m,mode={MODE}"
    command = ["mount", "-t", "tmpfs", "-o", options, "partner-ledger-soak", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:  # no such program here
        return False


def _unmount(folder: Path) -> None:
    """Unmount; a process that has not quite ended yet does not keep it mounted."""
    for options in ([], ["--lazy"]):
        if subprocess.run(["umount", *options, str(folder)], capture_output=True, check=False).returncode == 0:
            return
    raise OSError(f"{folder} could not be unmounted; unmount it by hand")
