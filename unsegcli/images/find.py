"""Find the image files given by the user: folders, single files, patterns and lists of paths.

Works on names only: files are opened only to read a list of paths, to compute a digest, or to check that a file
still has its recorded digest.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import io
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple, TypeAlias

from unsegcli import console
from unsegcli.errors import CHANGED, ChangedError, DataError
from unsegcli.images.annotations import Annotations, find_annotations
from unsegcli.images.decode import referred
from unsegcli.images.path_text import folder_of, in_folder, is_link, name_of, start_of, state_of, suffix_of

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif"),
    *(".tif", ".tiff", ".btf", ".tf8", ".jp2", ".npy"),
)
IMAGES_FOLDER = "images"
MARKER = "unseg.json"  # in a folder of a page or of label maps that unseg wrote
LIST_SUFFIX = ".txt"
VIRTUAL_SUFFIX = ".vrt"
UNREADABLE = "unreadable"  # used as the digest of a file that cannot be read
BLOCK = 1 << 16
SHOWN = 5  # folders or patterns named in a note
NUMBER = re.compile(r"([0-9]+)")
SETTLED = 1_000_000_000  # nanoseconds after which another change of a file must change its timestamps


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that is expected to hold an image."""

    name: str  # unique in the list: relative to the folder given, with / between the parts
    location: str  # its path, as text: so small, and so quickly made, that a million of them are no burden

    @property
    def path(self) -> Path:
        """Its path."""
        return Path(self.location)


@dataclass(frozen=True, slots=True)
class DigestedFile(ImageFile):
    """An image file with the SHA-256 of its bytes."""

    digest: str  # hexadecimal, or "unreadable"
    bytes: int
    modified: int  # nanoseconds since 1970


def find_images(inputs: Sequence[str | Path], *, annotations: bool = False) -> list[ImageFile]:
    """List the image files in folders, files, patterns and lists, each file once, with unique names.

    Folders are searched recursively, in natural order (2 before 10), skipping hidden names. If a folder has a
    subfolder `images`, only that is searched. Folders in it that unseg wrote are skipped. What looks like annotations
    of other images is left out, and a note says so. A folder or file that is given itself is always taken.

    Args:
        inputs: folders, image files, patterns such as "data/*.png", or .txt files with one path per line
            (# starts a comment), relative to the folder of the list or else to the working folder.
        annotations: whether to take annotations as well.
    """
    found: list[ImageFile] = []
    for given in inputs:
        found.extend(_one_input(str(given), annotations))
    return _unique_names(_each_once(found))


def data_folder(images_folder: Path) -> Path:
    """Return the folder that contains `images/`, given that folder or `images/` itself."""
    folder = images_folder.resolve() if ".." in images_folder.parts else images_folder.absolute()
    return folder if (folder / IMAGES_FOLDER).is_dir() else folder.parent


def split_of(images_folder: Path) -> tuple[Path, str]:
    """Return the folder that contains `images/`, and the path below it, of a folder such as `images/val`.

    Of a folder that is not below `images/`, the path is empty.
    """
    folder = images_folder.resolve() if ".." in images_folder.parts else images_folder.absolute()
    for above in folder.parents:
        if above.name == IMAGES_FOLDER:
            return above.parent, folder.relative_to(above).as_posix()
    return data_folder(images_folder), ""


PartOrder: TypeAlias = tuple[str | int, ...]


def natural_order(name: str) -> tuple[tuple[PartOrder, ...], str]:
    """Return a sort key: numbers in names by value, letters ignoring case, folder by folder."""
    return (*_folder_order(folder_of(name)), _part_order(name_of(name))), name


@functools.lru_cache(maxsize=1024)
def _folder_order(folder: str) -> tuple[PartOrder, ...]:
    return tuple(map(_part_order, PurePath(folder).parts))


def _part_order(part: str) -> PartOrder:
    pieces: list[str | int] = [*NUMBER.split(part.casefold())]  # alternating text and numbers, text first
    pieces[1::2] = map(int, pieces[1::2])
    return tuple(pieces)


def digest_files(
    files: Sequence[ImageFile], known: Mapping[tuple[str, int, int], str], until: int | None = None
) -> list[DigestedFile]:
    """Add the SHA-256 of its bytes to each file; digests known for the same path, size and time are reused.

    Args:
        files: as found.
        known: digests by (absolute path, bytes, modified in nanoseconds).
        until: since when nothing is known: a file that was put there or changed since is digested anew, even if its
            size and time say nothing (nanoseconds since 1970).
    """
    here = _working_folder()
    return [_digested(file, here, known, until) for file in files]


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was removed: no relative path leads to a file
        return ""


def _digested(file: ImageFile, here: str, known: Mapping[tuple[str, int, int], str], until: int | None) -> DigestedFile:
    """Add the digest to one file; relative paths begin in the folder `here`."""
    name, location = file.name, file.location
    try:
        state = state_of(location)
        key = (in_folder(here, location), state.st_size, state.st_mtime_ns)
        usable = until is None or state.st_ctime_ns < until  # no program can set the ctime, not even by unpacking
        digest = (known.get(key) if usable else None) or file_digest(location)
    except (OSError, DataError):  # DataError: what a virtual raster refers to is not found
        return DigestedFile(name, location, UNREADABLE, 0, 0)
    return DigestedFile(name, location, digest, state.st_size, state.st_mtime_ns)


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of the bytes of a file, and of the files that a virtual raster refers to, in hexadecimal."""
    digest = hashlib.sha256()
    with io.FileIO(path) as stream:  # quicker to open for small files, of which there may be many
        while block := stream.read(BLOCK):
            digest.update(block)
    if suffix_of(str(path)).lower() == VIRTUAL_SUFFIX:
        for file in referred(Path(path)):
            digest.update(file_digest(file).encode())
    return digest.hexdigest()


@contextmanager
def as_digested(path: Path, digest: str) -> Iterator[None]:
    """Raise `ChangedError` if a file read in this context has, or had during the read, another digest than recorded.

    The digest is computed again after the read. Comparing the file status before and after also detects a change that
    was undone in between.
    """
    before = file_state(path)
    changed = ChangedError(f"{path}: {CHANGED}")
    try:
        yield
    except DataError as error:
        if before is not None and not _holds(path, before, digest):
            raise changed from error
        raise
    if before is None or not _holds(path, before, digest):
        raise changed


@contextmanager
def all_as_digested(files: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Raise `ChangedError` as `as_digested` does, for any of several files: their paths and digests."""
    with ExitStack() as stack:
        for path, digest in files:
            stack.enter_context(as_digested(Path(path), digest))
        yield


class FileState(NamedTuple):
    """The status of a file; any change of the content changes it."""

    device: int
    number: int
    bytes: int
    modified: int
    changed: int  # nanoseconds since 1970; unlike `modified`, no program can set it


def file_state(path: Path) -> FileState | None:
    """Return the status of a file; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _holds(path: Path, state: FileState, digest: str) -> bool:
    """Return whether a file has this digest and its status is unchanged."""
    settled = time.time_ns() - state.changed > SETTLED
    try:
        found = _remembered_digest(path, state) if settled else file_digest(path)
    except OSError:
        return False
    return found == digest and file_state(path) == state


@functools.lru_cache(maxsize=1024)
def _remembered_digest(path: Path, state: FileState) -> str:
    """Compute the digest once for a file of many pages (and its mask), not once per page."""
    return file_digest(path)


def _one_input(given: str, annotations: bool) -> list[ImageFile]:
    path = Path(given)
    if path.is_dir():
        return _in_folder(path, annotations)
    if path.is_file():
        return _in_list(path) if path.suffix.lower() == LIST_SUFFIX else [ImageFile(path.name, str(path))]
    if path.exists():
        raise DataError(f"{given}: is neither a file nor a folder")
    if "://" in given:
        raise DataError(f"{given}: only files are read: download it first")
    if glob.has_magic(given):
        return _by_pattern(given)
    raise DataError(f"{given}: no such file or folder: check the spelling")


def _in_folder(folder: Path, annotations: bool) -> list[ImageFile]:
    top = folder / IMAGES_FOLDER if (folder / IMAGES_FOLDER).is_dir() else folder
    names = sorted(names_below(top), key=natural_order)
    if not names:
        raise DataError(f"{top}: no images found in this folder: looked for {' '.join(SUFFIXES)}")
    if not annotations:
        found = find_annotations(names)
        _say_left_out(top, found)
        names = [name for name in names if name not in found.names]
    first = start_of(top)
    return [ImageFile(name, first + name) for name in names]


def _say_left_out(top: Path, found: Annotations) -> None:
    """Say which files are left out, or may be annotations after all, and how to decide otherwise."""
    if found.groups:
        count = sum(found.groups.values())
        files = "1 file looks like an annotation" if count == 1 else f"{count:,} files look like annotations"
        shown = ", ".join([*found.groups][:SHOWN]) + (", ..." if len(found.groups) > SHOWN else "")
        first = next(iter(found.groups))
        given = f"the folder {top / first}" if first.endswith("/") else f"the pattern '{top}/**/{first}'"
        console.note(f"{top}: {files} of other images, left out: {shown}; to read them too, add {given}")
    for folder in found.doubtful[:SHOWN]:
        console.note(f"{top / folder}/ is named like annotations, but read as images, since no others have these names")


def names_below(top: Path) -> Iterator[str]:
    """Yield the names of image files relative to `top`; links to folders are followed, each folder once."""
    seen: set[tuple[int, int]] = set()
    for at, folders, files in os.walk(top, followlinks=True):
        here = Path(at)
        state = here.stat()
        below = "" if here == top else f"{here.relative_to(top).as_posix()}/"
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        if here != top and MARKER in files:
            console.detail(f"{here}: skipped: unseg wrote this folder")
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and suffix_of(name).lower() in SUFFIXES:
                yield below + name


def _by_pattern(pattern: str) -> list[ImageFile]:
    top, rest = _fixed_part(pattern)
    try:
        matches = [path for path in top.glob(rest) if not _is_hidden(path, top)]
    except ValueError as error:
        raise DataError(f"{pattern}: is not a valid pattern: ** must stand alone between two /") from error
    files = [path for path in matches if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not files:
        seen = f", but {len(matches)} other files or folders do" if matches else ""
        raise DataError(f"{pattern}: no image matches this pattern{seen}: looked for {' '.join(SUFFIXES)}")
    found = [ImageFile(path.relative_to(top).as_posix(), str(path)) for path in files]
    return sorted(found, key=lambda file: natural_order(file.name))


def _fixed_part(pattern: str) -> tuple[Path, str]:
    """Split a pattern into the folder before the first wildcard and the rest."""
    parts = PurePath(pattern).parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    rest = "/".join(parts[first:])
    return Path(*parts[:first]), f"{rest}/*" if parts[-1] == "**" else rest


def _is_hidden(path: Path, top: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(top).parts)


def _in_list(path: Path) -> list[ImageFile]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not a list of paths: it cannot be read as UTF-8 text") from error
    entries = [
        (number, line.strip())
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.strip().startswith("#")
    ]
    if not entries:
        raise DataError(f"{path}: the list has no paths: give one image per line")
    return [_listed(path, number, entry) for number, entry in entries]


def _listed(path: Path, number: int, entry: str) -> ImageFile:
    for candidate in (path.parent / entry, Path(entry)):
        if candidate.is_file():
            return ImageFile(_name_in_list(entry), str(candidate))
    places = " or ".join(dict.fromkeys(str(place) for place in (path.parent.absolute(), Path.cwd())))
    raise DataError(f"{path}: line {number}: {entry}: no such file: looked in {places}")


def _name_in_list(entry: str) -> str:
    pure = PurePath(entry)
    return pure.name if pure.is_absolute() or ".." in pure.parts else pure.as_posix()


def _each_once(found: Sequence[ImageFile]) -> list[ImageFile]:
    """Keep each file once, even if it was found by several paths."""
    by_file: dict[str, ImageFile] = {}
    resolved = functools.cache(os.path.realpath)
    for file in found:
        location = file.location
        if is_link(location):
            place = os.path.realpath(location)
        else:
            place = in_folder(resolved(folder_of(location)), name_of(location))
        by_file.setdefault(place, file)
    return list(by_file.values())


def _unique_names(found: Sequence[ImageFile]) -> list[ImageFile]:
    """Make names unique by adding as many parent folders as needed."""
    names = [file.name for file in found]
    if len(set(names)) == len(names):
        return list(found)
    paths = [Path(os.path.realpath(file.path.parent), file.path.name) for file in found]
    depths = [len(PurePath(name).parts) for name in names]
    while shared := {name for name, count in Counter(names).items() if count > 1}:
        for index, name in enumerate(names):
            if name in shared:
                depths[index] += 1
                names[index] = "/".join(paths[index].parts[1:][-depths[index] :])
    return [ImageFile(name, file.location) for name, file in zip(names, found, strict=True)]
