"""Write output folders atomically, recognise them by their `unseg.json`, and make safe file names.

Never removes a file that unseg did not write, and overwrites one only with `force`. Files are first written to a
partial folder, whose lock file contains our mark; a partial folder without the mark is never touched. A folder that
holds nothing else is put in place by one rename; otherwise files are moved one by one, while `unseg.json` says that the
folder is not complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from unsegcli import console
from unsegcli._version import __version__
from unsegcli.errors import ArtifactError
from unsegcli.images.find import MARKER
from unsegcli.recipe import Recipe, canonical, differences, parse_json
from unsegcli.store.durable import hold_lock, make_folders, naming_output, rename_durably, sync_file, sync_folder

FORMAT = "unseg-folder"
VERSION = 1
LOCK, FILES, BEFORE = "lock", "files", "before"  # in the partial folder
SYNC_THREADS = 16  # a disk or a server can synchronise many files at a time
MARK = b"unseg: a folder that is not finished; all of it is removed when unseg ends, or runs again\n"  # of the lock
LONGEST_PART = 200  # bytes of one part of a name; file systems allow 255
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
UNSAFE = re.compile(
    r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udc7f\udd00-\udfff]'
)  # other surrogates stand for undecodable bytes


class OutputFolder:
    """An output folder to be written by a stage."""

    def __init__(self, path: str | Path, kind: str, recipe: Recipe, *, force: bool = False) -> None:
        """Check that the folder can be made; write nothing yet.

        Args:
            path: the folder to make.
            kind: what it will hold.
            recipe: the recipe of the content; the same recipe means the same content.
            force: write into a folder that unseg did not make; its other files are kept.
        """
        self.path = Path(path)
        self.kind, self.recipe, self.force = kind, recipe, force
        self._place = Path(os.path.realpath(path))
        self._check_place()
        self.partial = self._place.with_name(self._place.name + ".partial")

    def _check_place(self) -> None:
        if not self._place.name:
            raise ArtifactError(f"{self.path}: is the root of the file system; choose a folder below it with -o")
        folder = self._place
        while not os.path.lexists(folder):
            folder = folder.parent
        if not folder.is_dir():
            raise ArtifactError(
                f"{folder}: is not a folder, so no folder can be made in it; choose another name with -o"
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ArtifactError(f"{self.path}: {folder} is not writable; choose another folder with -o")

    def finished(self) -> dict[str, Any] | None:
        """Return the content of `unseg.json` if the folder is complete and has this recipe, else None.

        Raises an error if the folder must not be written into.
        """
        if not self._place.is_dir() or not any(self._place.iterdir()):
            return None
        old = _described(self._place)
        if old is None:
            if not self.force:
                raise ArtifactError(
                    f"{self.path}: holds files that unseg did not make; choose another name with -o, or keep them and "
                    "write beside them with --force"
                )
            console.note(f"{self.path} holds files that unseg did not make; they are kept (--force)")
            return None
        if old["kind"] != self.kind:
            console.note(f"{self.path} holds {old['kind']} and will be replaced by {self.kind}")
        elif canonical(old["recipe"]) != canonical(self.recipe):
            console.note(f"{self.path} will be replaced: {differences(old['recipe'], self.recipe)}")
        elif old["complete"] and all((self._place / name).is_file() for name in old["files"]):
            console.note(f"{self.path} is up to date: nothing to do")
            self._remove_what_a_kill_left()
            return old
        else:
            console.note(f"{self.path} is incomplete and will be made again")
        return None

    def _remove_what_a_kill_left(self) -> None:
        """Remove the partial folder of a run that was killed after its last rename."""
        if self.partial.is_dir():
            with contextlib.suppress(OSError, ArtifactError), _held(self.partial, self._place, self.path):
                pass  # it is emptied and removed, unless it is not ours, or in use

    @contextmanager
    def writing(self) -> Iterator[FolderWriter]:
        """Write into a partial folder; its files are moved to the target if the block ends without an error."""
        make_folders(self.partial.parent)
        with naming_output(self.path), _held(self.partial, self._place, self.path):
            files = self.partial / FILES
            files.mkdir()
            writer = FolderWriter(files)
            yield writer
            self._put_in_place(writer)

    def _check_free(self, name: str, mine: set[str]) -> None:
        target = self._place / name
        if not Path(os.path.realpath(target.parent)).is_relative_to(self._place) or target.is_dir():
            raise ArtifactError(f"{target}: is a folder or a link where a file must be written; move it away")
        if any(os.path.lexists(above) and not above.is_dir() for above in self._between(target)):
            raise ArtifactError(f"{target.parent}: is a file where a folder must be made; move it away")
        if name not in mine and os.path.lexists(target) and not self.force:
            raise ArtifactError(f"{target}: was not made by unseg; move it away, or replace it with --force")

    def _between(self, target: Path) -> list[Path]:
        return [above for above in target.parents if above != self._place and above.is_relative_to(self._place)]

    def _put_in_place(self, writer: FolderWriter) -> None:
        old = _described(self._place) if self._place.is_dir() else None
        mine = set(old["files"]) if old else set()
        for name in writer.files:
            self._check_free(name, mine)
        about = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "made_by": f"unseg {__version__}",
            **writer.about,
            "recipe": self.recipe,
        }
        _leave_only(set(writer.files), self.partial / FILES)
        _sync_below(self.partial / FILES)
        if self._holds_only(mine):
            _write_marker(self.partial / FILES, {**about, "complete": True, "files": writer.files})
            self._put_as_a_whole()
        else:
            self._put_one_by_one(about, mine, writer.files)

    def _holds_only(self, mine: set[str]) -> bool:
        """Return whether the folder can be replaced: it has only files of ours, and nobody works in it."""
        if not self._place.exists():
            return True
        if Path.cwd().is_relative_to(self._place) or self._place.is_mount():
            return False
        folders = {str(above) for name in mine for above in PurePosixPath(name).parents}
        return all(
            relative in (folders if path.is_dir() and not path.is_symlink() else mine | {MARKER})
            for path in self._place.rglob("*")
            for relative in [path.relative_to(self._place).as_posix()]
        )

    def _put_as_a_whole(self) -> None:
        """Rename the folder into place; a folder that was there before is moved aside, and removed with the rest."""
        files = self.partial / FILES
        if self._place.exists():
            files.chmod(stat.S_IMODE(self._place.stat().st_mode))
            self._place.rename(self.partial / BEFORE)
        files.rename(self._place)
        sync_folder(self._place.parent)

    def _put_one_by_one(self, about: Mapping[str, Any], mine: set[str], files: Sequence[str]) -> None:
        """Move the files: others are kept, and a folder left by an interruption is still ours."""
        _write_marker(self._place, {**about, "complete": False, "files": sorted(mine | set(files))})
        for name in sorted(mine - set(files)):
            _remove(self._place, name)
        folders = {self._place}
        for name in files:
            target = self._place / name
            make_folders(target.parent)
            (self.partial / FILES / name).replace(target)
            folders.add(target.parent)
        for folder in sorted(folders):
            sync_folder(folder)
        _write_marker(self._place, {**about, "complete": True, "files": list(files)})


class FolderWriter:
    """Writes the files of an output folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: list[str] = []
        self.about: dict[str, Any] = {}  # further facts for unseg.json

    def path_of(self, name: str) -> Path:
        """Return where a file is while the folder is being written, so that it can be read again."""
        return self._folder / name

    def add(self, name: str, content: bytes) -> None:
        """Write a file; its name must come from `safe_names` or be fixed."""
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise ArtifactError(
                f"{path}: cannot be written ({error.strerror}), so nothing is kept; fix this, or choose another folder "
                "with -o"
            ) from error
        self.files.append(name)

    def take(self, name: str, source: Path) -> None:
        """Add a file of the user as it is: as a second link to it where that is possible, else as a copy."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), path)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, path)
        self.files.append(name)

    def keep(self, name: str) -> None:
        """Count a file that was written at its `path_of` as one of the folder."""
        self.files.append(name)


def safe_names(names: Sequence[str], suffix: str) -> list[str]:
    """Make file names for images: inside the folder, valid on every system, unique even if case is ignored.

    The suffix is replaced and subfolders are kept. If two names then collide, both keep their old suffix as well:
    `x.jpg` and `x.png` become `x.jpg.png` and `x.png.png`.

    Args:
        names: image names with / between the parts; any characters are allowed.
        suffix: suffix of the files to write, with its dot.
    """
    parts = [_safe_parts(name) for name in names]
    short = ["/".join([*folders, _limited(_stem(last), suffix)]) for *folders, last in parts]
    long = ["/".join([*folders, _limited(last, suffix)]) for *folders, last in parts]
    times: dict[str, int] = {}
    for name in short:
        times[_key(name)] = times.get(_key(name), 0) + 1
    folders = {_key("/".join(one[:end])) for one in parts for end in range(1, len(one))}
    taken: set[str] = set()
    found = []
    for number, name in enumerate(short):
        wanted = name if times[_key(name)] == 1 else long[number]
        found.append(_free(wanted, suffix, taken | folders if _key(wanted) in folders else taken))
        taken.add(_key(found[-1]))
    return found


def _free(wanted: str, suffix: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while _key(name) in taken:
        name = f"{wanted.removesuffix(suffix)}_{number}{suffix}"
        number += 1
    return name


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _safe_parts(name: str) -> list[str]:
    """Split a name into parts, drop empty parts, `.` and `..`, and make each part valid on every system."""
    kept = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return [_safe(part) for part in kept] or ["_"]


def _safe(part: str) -> str:
    part = UNSAFE.sub("_", part).rstrip(". ") or "_"
    part = f"_{part}" if RESERVED.fullmatch(part) else part
    return _limited(part, "")


def _stem(last: str) -> str:
    stem = PurePosixPath(last).stem
    return f"_{stem}" if RESERVED.fullmatch(stem) else stem.rstrip(". ") or "_"


def _limited(part: str, suffix: str) -> str:
    """Shorten a part that is too long to its beginning and a digest of the whole."""
    raw = os.fsencode(part)
    if len(raw) + len(suffix) > LONGEST_PART:
        digest = hashlib.sha256(raw).hexdigest()[:12]
        part = f"{raw[: LONGEST_PART - 20].decode(errors='ignore')}-{digest}"
    return part + suffix


def _described(folder: Path) -> dict[str, Any] | None:
    """Return the content of `unseg.json` if it is valid and ours, else None."""
    try:
        found = parse_json((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    wanted = {"kind": str, "recipe": dict, "files": list, "complete": bool}
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    if not all(isinstance(found.get(name), type_) for name, type_ in wanted.items()):
        return None
    # A forged file must not make us remove anything outside the folder.
    if not all(isinstance(name, str) and _is_inside(name) for name in found["files"]):
        return None
    return found


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _write_marker(folder: Path, about: Mapping[str, Any]) -> None:
    temporary = folder / f"{MARKER}.tmp"
    temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")  # ASCII, whatever is in the names
    rename_durably(temporary, folder / MARKER)


def _leave_only(names: set[str], folder: Path) -> None:
    """Remove what libraries and unfinished steps left in a folder of ours."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in names:
            path.unlink()


def _sync_below(folder: Path) -> None:
    """Wait until all files and folders below a folder are on the disk."""
    inner = list(folder.rglob("*"))
    with ThreadPoolExecutor(SYNC_THREADS) as threads:
        list(threads.map(sync_file, [path for path in inner if path.is_file()]))
        list(threads.map(sync_folder, [folder, *(path for path in inner if path.is_dir())]))


def _remove(folder: Path, name: str) -> None:
    """Remove a file, and its parent folders if they become empty."""
    path = folder / name
    if path.resolve().is_relative_to(folder.resolve()):
        path.unlink(missing_ok=True)
        for parent in PurePosixPath(name).parents[:-1]:
            with contextlib.suppress(OSError):
                (folder / parent).rmdir()


@contextmanager
def _held(partial: Path, place: Path, output: Path) -> Iterator[None]:
    """Create and lock a partial folder, emptied of earlier files, and remove it at the end."""
    with contextlib.ExitStack() as files:
        folder = None
        while folder is None:
            _make_marked(partial, output)
            folder = _locked(partial, output, files)
        _put_back(partial, place)
        _clear(folder)  # remove what a killed run left
        try:
            yield
        finally:
            _put_back(partial, place)
            with contextlib.suppress(OSError):
                _clear(folder)
                os.unlink(LOCK, dir_fd=folder)  # last, so that a folder left by a kill still carries our mark
                if os.path.samestat(partial.lstat(), os.fstat(folder)):
                    partial.rmdir()


def _put_back(partial: Path, place: Path) -> None:
    """Move a folder back that a killed run moved aside, unless the new one is in place."""
    if not os.path.lexists(place) and (partial / BEFORE).is_dir():
        (partial / BEFORE).rename(place)


def _make_marked(partial: Path, output: Path) -> None:
    """Create the folder and its mark atomically; only an empty folder is replaced."""
    try:
        new = Path(tempfile.mkdtemp(prefix=".unseg-", dir=partial.parent))
        try:
            (new / LOCK).write_bytes(MARK)
            _sync_below(new)  # a power cut must not leave a folder without its mark
            new.rename(partial)
        finally:
            shutil.rmtree(new, ignore_errors=True)  # does not exist if it was renamed
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise ArtifactError(
                f"{output}: is not writable ({error.strerror}); choose another folder with -o"
            ) from error


def _locked(partial: Path, output: Path, files: contextlib.ExitStack) -> int | None:
    """Open and lock the folder; None if an earlier run has just removed it. Refuses a folder without our mark."""
    try:
        folder = _open_folder(partial)
        files.callback(os.close, folder)
        lock = _open_lock(folder, partial)
        files.callback(os.close, lock)
        hold_lock(lock, output)
        here = os.stat(LOCK, dir_fd=folder, follow_symlinks=False)
        still = os.path.samestat(here, os.fstat(lock)) and os.path.samestat(partial.lstat(), os.fstat(folder))
    except FileNotFoundError:
        return None
    return folder if still else None


def _open_folder(partial: Path) -> int:
    """Open a folder without following links."""
    try:
        return os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise ArtifactError(
            f"{partial}: is a link or a file, but unfinished files are written there; move it away, or choose another "
            "name with -o"
        ) from error


def _open_lock(folder: int, partial: Path) -> int:
    """Open the lock file of a folder, which must contain our mark; FileNotFoundError if the folder is empty."""
    with contextlib.suppress(OSError):
        lock = os.open(LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        if stat.S_ISREG(os.fstat(lock).st_mode) and os.pread(lock, len(MARK) + 1, 0) == MARK:
            return lock
        os.close(lock)
    with os.scandir(folder) as entries:
        if not any(entries):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), LOCK)
    raise ArtifactError(
        f"{partial}: holds files of another program or of an older unseg; move them away, or choose another name "
        "with -o"
    )


def _clear(folder: int) -> None:
    """Remove everything but the lock from an open folder; links are removed, not followed."""
    with os.scandir(folder) as entries:
        left = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if entry.name != LOCK]
    for name, is_folder in left:
        if is_folder:
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
