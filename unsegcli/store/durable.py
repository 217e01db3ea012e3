"""Renames that survive a power cut, and locks that end with their process."""

from __future__ import annotations

import errno
import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unsegcli.errors import ArtifactError

# Some network file systems cannot synchronise a folder; there is nothing more to be done on them.
CANNOT_SYNC_FOLDERS = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES}

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def naming_output(path: Path) -> Iterator[None]:
    """Name the output in an error of a full disk, which often names no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in NO_ROOM:
            error.filename = str(path)
        raise


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in CANNOT_SYNC_FOLDERS:
            raise


def make_folders(path: Path) -> None:
    """Make a folder and those above it, and wait until their names are on the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def rename_durably(temporary: Path, final: Path) -> None:
    """Rename a file so that a power cut leaves the old file or the complete new one; afterwards only the new one."""
    sync_file(temporary)
    temporary.replace(final)
    sync_folder(final.parent)


class PatientFile(io.RawIOBase):
    """A new file for HDF5, which crashes if it cannot write what it wants to when it closes a file.

    The first error is kept for `check`; after it, everything seems to be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._handle = path.open("w+b", buffering=0)
        self._path = path
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error of an earlier write."""
        if self._error is not None:
            raise OSError(self._error.errno, self._error.strerror, str(self._path)) from self._error

    def write(self, content: Any) -> int:
        left = memoryview(content).cast("B")
        try:
            while left and self._error is None:
                left = left[self._handle.write(left) :]
        except OSError as error:
            self._error = error
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._handle.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def readinto(self, room: Any) -> int:
        return int(self._handle.readinto(room) or 0)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        return self._handle.seek(place, whence)

    def close(self) -> None:
        self._handle.close()
        super().close()


def hold_lock(file: Any, output: Path) -> None:
    """Lock an open file for this process; the system releases the lock when the process ends.

    Args:
        file: open file or its descriptor.
        output: what is being written, for error messages.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if isinstance(error, BlockingIOError) or error.errno == errno.EACCES:  # over NFS
            raise ArtifactError(
                f"{output}: another unseg process is writing it; wait for it, or choose another name with -o"
            ) from None
        raise ArtifactError(
            f"{output}: its file system cannot lock files ({error.strerror}), so two runs could mix; choose a folder "
            "on another file system with -o, and copy the result"
        ) from error
