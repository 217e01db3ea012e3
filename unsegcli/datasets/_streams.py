"""Bytes as files that are read and searched, without copies: a range of a file, and what is in memory."""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO


class _Positioned(io.RawIOBase):
    """Keeps the position in a given number of bytes."""

    def __init__(self, length: int) -> None:
        self._length, self._at = length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        return self._at


class FileRange(_Positioned):
    """A range of bytes of a file, which is closed with it."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        super().__init__(length)
        self._file, self._start = file, start

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        wanted = max(0, min(len(buffer), self._length - self._at))
        count: int = self._file.readinto(memoryview(buffer)[:wanted])  # type: ignore[attr-defined]
        self._at += count
        return count


class InMemory(_Positioned):
    """Bytes in memory, read in place; `BytesIO` would copy them, and readers keep their files beyond their use."""

    def __init__(self, content: bytearray) -> None:
        super().__init__(len(content))
        self._content = memoryview(content)

    def close(self) -> None:
        self._content = memoryview(b"")
        super().close()

    def readinto(self, buffer: Any) -> int:
        block = self._content[self._at : self._at + len(buffer)]
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)
