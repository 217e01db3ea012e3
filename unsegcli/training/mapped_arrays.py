"""Arrays in one file that is mapped into memory, so that processes of one machine share them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class ArrayPlace(NamedTuple):
    """Where an array lies in a file."""

    offset: int
    dtype: str
    shape: tuple[int, ...]


class ArrayWriter:
    """Writes arrays to one file, which is created with the first of them and replaces an earlier one.

    The file is mapped once, not once for each array: the number of open files is limited.
    """

    def __init__(self, path: Path) -> None:
        """Remove an earlier file; create none yet."""
        self.path = path
        self.size = 0
        self._stream: IO[bytes] | None = None
        path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def append(self, content: bytes) -> int:
        """Write bytes and return their offset."""
        if self._stream is None:
            self._stream = self.path.open("wb")
        offset = self.size
        self._stream.write(content)
        self.size += len(content)
        return offset

    def add(self, array: NDArray[Any]) -> ArrayPlace:
        """Write an array, aligned to the size of its elements."""
        gap = -self.size % array.itemsize
        offset = self.append(bytes(gap) + np.ascontiguousarray(array).tobytes()) + gap
        return ArrayPlace(offset, array.dtype.str, array.shape)

    def flush(self) -> None:
        """Make what was written visible to others."""
        if self._stream is not None:
            self._stream.flush()

    def close(self) -> None:
        """Write what is buffered; nothing can be added afterwards."""
        if self._stream is not None:
            self._stream.close()

    def discard(self) -> None:
        """Close and remove the file; what is buffered may be lost, since the disk may be full."""
        with contextlib.suppress(OSError):
            self.close()
        self.path.unlink(missing_ok=True)


def mapped(path: Path) -> NDArray[np.uint8]:
    """Map a file into memory, read-only; it may be removed meanwhile."""
    return np.asarray(np.memmap(path, np.uint8, "r"))


def array_at(place: ArrayPlace, whole: NDArray[np.uint8]) -> NDArray[Any]:
    """Return an array of a mapped file, without a copy."""
    dtype = np.dtype(place.dtype)
    size = int(np.prod(place.shape, dtype=np.int64)) * dtype.itemsize
    return whole[place.offset : place.offset + size].view(dtype).reshape(place.shape)
