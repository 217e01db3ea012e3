"""Find and read files in folders, and in zip and tar archives, also in archives inside of them.

Nothing is unpacked, except what can only be read from its beginning: a compressed tar, or an archive compressed inside
another one, is written out once into a folder that the caller removes.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from pathlib import Path, PurePosixPath
from typing import IO, Any

from unsegcli.datasets._streams import FileRange
from unsegcli.errors import DataError
from unsegcli.images.find import MARKER

TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
SUFFIXES = (".zip", *TAR_SUFFIXES)
NUMBERS = re.compile(r"([0-9]+)")
BLOCK = 1 << 20
UNFINISHED, HDF5_SUFFIX = ".partial", ".h5"  # of what unseg writes
UNUSED = ("__MACOSX", ".DS_Store", "Thumbs.db")
MOST_OPEN = 8  # zip archives
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)

_open: dict[tuple[Any, ...], tuple[zipfile.ZipFile, IO[bytes]]] = {}  # zip archives, by what identifies them


@dataclass(frozen=True)
class Member:
    """A file: on disk by itself, a range of bytes of a file on disk, or a compressed part of a zip archive."""

    name: str  # path below the source, with / between the parts; inside an archive, below the archive's own path
    size: int
    path: Path  # the file on disk that holds it
    offset: int = -1  # where its bytes begin in that file; -1 = see `entry`, or the whole file
    entry: str = ""  # name in the zip archive whose bytes are those of the file on disk from `start` on
    start: int = 0
    length: int = 0  # of that zip archive

    @property
    def file_name(self) -> str:
        """The last part of the name."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def stem(self) -> str:
        """The last part of the name without its suffix."""
        return self.file_name.rsplit(".", 1)[0]

    @property
    def where(self) -> str:
        """What it is called in messages."""
        return str(self.path) if self.is_file else self.name

    @property
    def is_file(self) -> bool:
        """Whether it is a file of its own, which can be linked."""
        return self.offset < 0 and not self.entry

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Open it for reading; a broken archive is named."""
        try:
            if self.entry:
                with _zip_archive(self.path, self.start, self.length).open(self.entry) as stream:
                    yield stream
            else:
                with self.path.open("rb") as file:
                    yield file if self.offset < 0 else io.BufferedReader(FileRange(file, self.offset, self.size))
        except BROKEN as error:
            raise DataError(f"{self.where} is not whole ({error}): download it again") from error
        except OSError as error:
            raise DataError(f"{self.where} cannot be read: {error}") from error

    def read(self) -> bytearray:
        """Return its content; no second copy is made on the way."""
        content = bytearray(self.size)
        whole, at = memoryview(content), 0
        with self.opened() as stream:
            while at < self.size and (count := stream.readinto(whole[at : at + BLOCK])):
                at += count
        if at != self.size:
            raise DataError(f"{self.where} has {at:,} bytes, but should have {self.size:,}")
        return content


class ReadOnce:
    """A member that a task reads, and the digest of what it read."""

    def __init__(self, member: Member) -> None:
        self.member, self.digest = member, ""

    def read(self) -> bytearray:
        """Return the content."""
        content = self.member.read()
        self.digest = hashlib.sha256(content).hexdigest()
        return content


class Files:
    """All files below some sources."""

    def __init__(self, sources: Sequence[str | Path], archives: Sequence[str], unpacked: Path) -> None:
        """List the files; archives that are given themselves are opened, whatever their names.

        Args:
            sources: folders and archives.
            archives: patterns of the names of archives to open where they lie in a folder or in another archive.
            unpacked: folder for what cannot be read where it lies; made if it is needed.
        """
        self._archives, self._unpacked = archives, unpacked
        self.members: list[Member] = []
        for given in sources:
            path = Path(given)
            if path.is_dir():
                self._add(list(_in_folder(path)))
            elif path.is_file() and _is_archive(path.name):
                self._add(self._inside(Member(path.name, path.stat().st_size, path)))
            elif path.is_file():
                self._add([Member(path.name, path.stat().st_size, path)])
            else:
                raise DataError(f"{given}: no such file or folder: check the spelling")

    def find(self, pattern: str) -> list[Member]:
        """Return the files whose last parts match a pattern such as "images/*.jpg", in natural order of these parts.

        Of several files with the same last parts, one is returned: a file on disk rather than one in an archive.
        """
        parts, fits = pattern.count("/") + 1, re.compile(translate(pattern)).match
        found: dict[str, Member] = {}
        for alone in (True, False):
            for member in self.members:
                end = "/".join(member.name.rsplit("/", parts)[-parts:])
                if member.is_file is alone and fits(end):
                    found.setdefault(end, member)
        return [found[end] for end in sorted(found, key=_by_numbers)]

    def _add(self, members: Sequence[Member]) -> None:
        """Add files, and those in archives among them that are to be opened."""
        for member in members:
            if _is_archive(member.name) and any(fnmatchcase(member.file_name, one) for one in self._archives):
                self._add(self._inside(member))
            else:
                self.members.append(member)

    def _inside(self, archive: Member) -> list[Member]:
        """List the files in an archive."""
        try:
            if archive.name.lower().endswith(".zip"):
                return list(_in_zip(self._in_place(archive)))
            return list(_in_tar(self._in_place(archive)))
        except (*BROKEN, OSError) as error:
            raise DataError(
                f"{archive.where} is not a whole archive of {archive.size:,} bytes ({error}): download it again"
            ) from error

    def _in_place(self, archive: Member) -> Member:
        """Return an archive whose bytes lie in a file as they are; one that is compressed is written out first."""
        compressed = _compressed_tar(archive.name)
        if not archive.entry and not compressed:
            return archive
        self._unpacked.mkdir(parents=True, exist_ok=True)
        path = self._unpacked / f"{len(list(self._unpacked.iterdir()))}-{archive.file_name}"
        with archive.opened() as stream, path.open("wb") as out:
            try:
                shutil.copyfileobj(_decompressed(stream, compressed) if compressed else stream, out, BLOCK)
            except BROKEN as error:
                raise _not_whole(archive, error) from error
        return Member(archive.name, path.stat().st_size, path)


def _not_whole(archive: Member, error: Exception) -> DataError:
    return DataError(f"{archive.where} is not a whole archive of {archive.size:,} bytes ({error}): download it again")


def _by_numbers(end: str) -> list[str | int]:
    """Return a sort key for natural order; there may be some hundred thousand names."""
    return [int(part) if index % 2 else part for index, part in enumerate(NUMBERS.split(end))]


def _is_archive(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _compressed_tar(name: str) -> str:
    """Return how a tar archive is compressed, by its name: gz, bz2 or xz; empty = not, or it is no tar."""
    ending = name.lower().rsplit(".", 1)[-1]
    return {"tgz": "gz", "gz": "gz", "bz2": "bz2", "xz": "xz"}.get(ending, "")


def _decompressed(stream: IO[bytes], how: str) -> Any:
    if how == "gz":
        return gzip.GzipFile(fileobj=stream)
    return bz2.BZ2File(stream) if how == "bz2" else lzma.LZMAFile(stream)


def _in_folder(folder: Path) -> Iterator[Member]:
    for path, size, _ in files_below(folder):
        yield Member(path.relative_to(folder).as_posix(), size, path)


def files_below(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield path, size and time of the files in a folder, without what unseg wrote there.

    Links to folders are followed, each folder once.
    """
    seen: set[tuple[int, int]] = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        here = Path(at)
        state = here.stat()
        ours = here != folder and (MARKER in names or here.name.endswith(UNFINISHED))
        if ours or (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if name not in UNUSED)
        for name in sorted(name for name in names if name not in UNUSED and not name.endswith(HDF5_SUFFIX)):
            path = here / name
            if path.is_file():
                found = path.stat()
                yield path, found.st_size, found.st_mtime_ns


def _in_zip(archive: Member) -> Iterator[Member]:
    """Yield the files in a zip archive; those that are stored without compression as ranges of bytes."""
    start, length = max(0, archive.offset), archive.size
    opened = _zip_archive(archive.path, start, length)
    for info in opened.infolist():
        if info.is_dir() or any(part in UNUSED for part in PurePosixPath(info.filename).parts):
            continue
        name = _inside_name(archive, info.filename)
        if info.flag_bits & 1:
            raise DataError(f"{archive.where}: {info.filename} is encrypted: unpack it with its password first")
        if info.compress_type == zipfile.ZIP_STORED:
            begin = start + _begin_of(opened, info)
            yield Member(name, info.file_size, archive.path, offset=begin)
        else:
            yield Member(name, info.file_size, archive.path, entry=info.filename, start=start, length=length)


def _begin_of(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of a stored file begin: after its own header, whose length the directory does not say."""
    file = opened.fp
    assert file is not None
    file.seek(info.header_offset + 26)
    name, extra = file.read(2), file.read(2)
    return info.header_offset + 30 + int.from_bytes(name, "little") + int.from_bytes(extra, "little")


def _zip_archive(path: Path, start: int, length: int) -> zipfile.ZipFile:
    """Open a zip archive, or return it if it is still open: its directory may take longer to read than a file in it."""
    state = path.stat()
    key = (str(path), start, length, state.st_ino, state.st_size, state.st_mtime_ns)
    if key not in _open:
        if len(_open) >= MOST_OPEN:
            _close(next(iter(_open)))
        file = io.BufferedReader(FileRange(path.open("rb"), start, length))
        try:
            _open[key] = zipfile.ZipFile(file), file
        except BaseException:
            file.close()
            raise
    return _open[key][0]


def close_archives() -> None:
    """Close all archives that this process holds open."""
    for key in list(_open):
        _close(key)


def _close(key: tuple[Any, ...]) -> None:
    archive, file = _open.pop(key)
    archive.close()
    file.close()


def _in_tar(archive: Member) -> Iterator[Member]:
    """Yield the files in a tar archive; links and devices are left out."""
    start = max(0, archive.offset)
    with archive.path.open("rb") as file:
        ranged = io.BufferedReader(FileRange(file, start, archive.size))
        with tarfile.open(fileobj=ranged, mode="r:") as opened:
            for info in opened:
                if info.isfile() and not any(part in UNUSED for part in PurePosixPath(info.name).parts):
                    name = _inside_name(archive, info.name)
                    if info.offset_data + info.size > archive.size:
                        raise tarfile.ReadError(f"{info.name} ends after the end of the archive")
                    yield Member(name, info.size, archive.path, offset=start + info.offset_data)


def _inside_name(archive: Member, name: str) -> str:
    """Return the path of a file in an archive, which must not lead out of it."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise DataError(
            f"{archive.where}: holds the path {name!r}, which leads out of the archive: it is not to be trusted"
        )
    return f"{archive.name}/{path}"
