"""Find the image files that the user means: folders, single files, patterns and lists of paths.

Looks at names only: no file is opened here but lists of paths, and those read for their digest, or for whether they
still hold what was digested.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from unsegcli import console
from unsegcli.errors import CHANGED, ChangedError, DataError

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif"),
    *(".tif", ".tiff", ".btf", ".tf8", ".npy"),
)
IMAGES_FOLDER = "images"
NOT_IMAGES = ("labels", "masks")  # subfolders of a plain folder that hold no images to segment
LIST_SUFFIX = ".txt"
UNREADABLE = "unreadable"  # stands for the digest of a file that cannot be read
BLOCK = 1 << 20
SETTLED = 1_000_000_000  # nanoseconds after which a further change of a file must show in its times


@dataclass(frozen=True)
class ImageFile:
    """A file that should hold an image."""

    name: str  # unique in the list: relative to the folder given, with / between the parts
    path: Path


@dataclass(frozen=True)
class DigestedFile:
    """An image file with the SHA-256 of its bytes."""

    name: str
    path: Path
    digest: str  # hexadecimal, or "unreadable"
    bytes: int
    modified: int  # nanoseconds since 1970


def find_images(inputs: Sequence[str | Path]) -> list[ImageFile]:
    """List the image files of folders, files, patterns and lists, each file once, under unique names.

    A folder is searched through all its subfolders, in natural order (2 before 10), without hidden names;
    if it has a subfolder `images`, only that is read, and otherwise `labels` and `masks` in it are not.

    Args:
        inputs: each a folder, an image file, a pattern such as "data/*.png", or a .txt file with one path
            a line (# starts a comment), relative to the list's folder or else to the working folder.
    """
    found: list[ImageFile] = []
    for given in inputs:
        found.extend(_one_input(str(given)))
    return _unique_names(_each_once(found))


def data_folder(images_folder: Path) -> Path:
    """The folder that holds `images/`, given that folder or `images/` itself."""
    folder = images_folder.resolve() if ".." in images_folder.parts else images_folder.absolute()
    return folder if (folder / "images").is_dir() else folder.parent


def natural_order(name: str) -> tuple[tuple[tuple[str | int, ...], ...], str]:
    """Sort key: numbers in names by value, letters without regard to case, folder by folder."""
    parts = []
    for part in PurePath(name).parts:
        pieces = re.split(r"([0-9]+)", part.casefold())  # text and numbers in turn, text first
        parts.append(tuple(int(piece) if index % 2 else piece for index, piece in enumerate(pieces)))
    return tuple(parts), name


def digest_files(files: Sequence[ImageFile], known: Mapping[tuple[str, int, int], str]) -> list[DigestedFile]:
    """Add the SHA-256 of its bytes to each file, unless it is known for this path, size and time.

    Args:
        files: as found.
        known: digests by (absolute path, bytes, modified in nanoseconds).
    """
    return [_digested(file, known) for file in files]


def _digested(file: ImageFile, known: Mapping[tuple[str, int, int], str]) -> DigestedFile:
    try:
        state = file.path.stat()
        key = (str(file.path.absolute()), state.st_size, state.st_mtime_ns)
        digest = known.get(key) or file_digest(file.path)
    except OSError:
        return DigestedFile(file.name, file.path, UNREADABLE, 0, 0)
    return DigestedFile(file.name, file.path, digest, state.st_size, state.st_mtime_ns)


def file_digest(path: Path) -> str:
    """The SHA-256 of the bytes of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def as_digested(path: Path, digest: str) -> Iterator[None]:
    """Around the reading of a file: refuse what was read, unless the file held all the time what was digested.

    It is digested once more after the reading. Its state, before and after both, tells of a change that was undone
    in between.
    """
    before = _state(path)
    changed = ChangedError(f"{path}: {CHANGED}")
    try:
        yield
    except DataError as error:
        if before is not None and not _holds(path, before, digest):
            raise changed from error
        raise
    if before is None or not _holds(path, before, digest):
        raise changed


class _State(NamedTuple):
    """What the system says of a file; no change of the content leaves it as it is."""

    device: int
    number: int
    bytes: int
    modified: int
    changed: int  # nanoseconds since 1970; unlike `modified`, no program can set it


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _holds(path: Path, state: _State, digest: str) -> bool:
    """Whether a file holds what was digested, and is in this state all the while."""
    settled = time.time_ns() - state.changed > SETTLED
    try:
        found = _remembered_digest(path, state) if settled else file_digest(path)
    except OSError:
        return False
    return found == digest and _state(path) == state


@functools.lru_cache(maxsize=2)
def _remembered_digest(path: Path, state: _State) -> str:
    """A file of many pages, and the mask of it, are digested once and not for each page."""
    return file_digest(path)


def _one_input(given: str) -> list[ImageFile]:
    path = Path(given)
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        return _in_list(path) if path.suffix.lower() == LIST_SUFFIX else [ImageFile(path.name, path)]
    if path.exists():
        raise DataError(f"{given}: neither a file nor a folder")
    if glob.has_magic(given):
        return _by_pattern(given)
    raise DataError(f"{given}: no such file or folder, and no pattern either: check the spelling")


def _in_folder(folder: Path) -> list[ImageFile]:
    top, left_out = folder, []
    if (folder / IMAGES_FOLDER).is_dir():
        top = folder / IMAGES_FOLDER
    else:
        left_out = [name for name in NOT_IMAGES if (folder / name).is_dir()]
    names = sorted(names_below(top, left_out), key=natural_order)
    if not names:
        aside = f" (left out: {', '.join(f'{name}/' for name in left_out)})" if left_out else ""
        raise DataError(f"{top}: no image in this folder{aside}: looked for {' '.join(SUFFIXES)}")
    if left_out:
        console.note(f"{folder}: {' and '.join(f'{name}/' for name in left_out)} left out: not images")
    return [ImageFile(name, top / name) for name in names]


def names_below(top: Path, left_out: Sequence[str] = ()) -> Iterator[str]:
    """Names of image files relative to `top`; links to folders are followed, but never in a circle."""
    seen: set[tuple[int, int]] = set()
    for at, folders, files in os.walk(top, followlinks=True):
        here = Path(at)
        state = here.stat()
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        kept = (name for name in folders if not name.startswith("."))
        folders[:] = sorted(name for name in kept if here != top or name not in left_out)
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield (here / name).relative_to(top).as_posix()


def _by_pattern(pattern: str) -> list[ImageFile]:
    top, rest = _fixed_part(pattern)
    try:
        matches = [path for path in top.glob(rest) if not _is_hidden(path, top)]
    except ValueError as error:
        raise DataError(f"{pattern}: not a pattern: ** stands for folders, alone between two /") from error
    files = [path for path in matches if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not files:
        seen = f"{len(matches)} other files or folders match" if matches else "nothing matches"
        raise DataError(f"{pattern}: {seen} this pattern: looked for {' '.join(SUFFIXES)}")
    found = [ImageFile(path.relative_to(top).as_posix(), path) for path in files]
    return sorted(found, key=lambda file: natural_order(file.name))


def _fixed_part(pattern: str) -> tuple[Path, str]:
    """The folder above the first part of a pattern that has a wildcard, and the rest of the pattern."""
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
        raise DataError(f"{path}: not a list of paths: it cannot be read as UTF-8 text") from error
    entries = [
        (number, line.strip())
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.strip().startswith("#")
    ]
    if not entries:
        raise DataError(f"{path}: a list without a path: give one image a line")
    return [_listed(path, number, entry) for number, entry in entries]


def _listed(path: Path, number: int, entry: str) -> ImageFile:
    for candidate in (path.parent / entry, Path(entry)):
        if candidate.is_file():
            return ImageFile(_name_in_list(entry), candidate)
    places = " or ".join(dict.fromkeys(str(place) for place in (path.parent.absolute(), Path.cwd())))
    raise DataError(f"{path}: line {number}: {entry}: no such file, looked in {places}")


def _name_in_list(entry: str) -> str:
    pure = PurePath(entry)
    return pure.name if pure.is_absolute() or ".." in pure.parts else pure.as_posix()


def _each_once(found: Sequence[ImageFile]) -> list[ImageFile]:
    """Leave out a file that was found before, by whatever path."""
    by_file: dict[str, ImageFile] = {}
    for file in found:
        by_file.setdefault(os.path.realpath(file.path), file)
    return list(by_file.values())


def _unique_names(found: Sequence[ImageFile]) -> list[ImageFile]:
    """Name files that share a name by as many of the folders above them as it takes."""
    names = [file.name for file in found]
    paths = [Path(os.path.realpath(file.path.parent), file.path.name) for file in found]
    depths = [len(PurePath(name).parts) for name in names]
    while shared := {name for name, count in Counter(names).items() if count > 1}:
        for index, name in enumerate(names):
            if name in shared:
                depths[index] += 1
                names[index] = "/".join(paths[index].parts[1:][-depths[index] :])
    return [ImageFile(name, file.path) for name, file in zip(names, found, strict=True)]
