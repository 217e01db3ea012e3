"""A shim over the operations that change files: it fails one of them, ends the process there, or cuts the power.

After a power cut, only what was synchronised is certain. `lost` keeps as little as the disk may have: names that were
not synchronised are as they were before. `kept` keeps all names. In both, files that were not synchronised are empty.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from unsegcli.store import writing

HOW = ("error", "kill", "lost", "kept")


class Ended(BaseException):
    """The process ends here: nothing that follows has an effect."""


class Shim:
    """Counts operations; the one with the number `at` does not happen."""

    def __init__(self, how: str = "", at: int = 0) -> None:
        self.how, self.at, self.count, self.dead = how, at, 0, False
        self.dirty: set[int] = set()  # inodes of files whose content may not be on the disk
        self.uncertain: list[tuple[Path, Callable[[Callable[[Path], Path]], None], int]] = []  # folder, undo, renames
        self.renames: list[tuple[Path, Path]] = []

    def step(self) -> None:
        """Count an operation that is about to happen."""
        self.count += 1
        if self.dead:
            raise Ended
        if self.count == self.at:
            if self.how == "error":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self.dead = True
            raise Ended

    def note(self, folder: Path, undo: Callable[[Callable[[Path], Path]], None]) -> None:
        """Note a change of names in a folder, which is certain when the folder has been synchronised."""
        self.uncertain.append((folder, undo, len(self.renames)))

    def synchronised(self, path: Path) -> None:
        if path.is_dir():
            self.uncertain = [one for one in self.uncertain if one[0] != path]
        else:
            self.dirty.discard(path.stat().st_ino)

    def cut_power(self, below: Path) -> None:
        """Leave what the disk has."""
        for _, undo, renames in reversed(self.uncertain) if self.how == "lost" else ():
            undo(lambda path, since=renames: self._now(path, since))  # type: ignore[misc]
        for path in below.rglob("*"):
            if path.is_file() and path.stat().st_ino in self.dirty:
                os.truncate(path, 0)

    def _now(self, path: Path, since: int) -> Path:
        for before, after in self.renames[since:]:
            if path == before or before in path.parents:
                path = after / path.relative_to(before)
        return path


@contextmanager
def shim(how: str = "", at: int = 0) -> Iterator[Shim]:
    """Put the shim in place."""
    state = Shim(how, at)
    with pytest.MonkeyPatch.context() as patch:
        _patch_names(patch, state)
        _patch_contents(patch, state)
        yield state


def _patch_names(patch: pytest.MonkeyPatch, state: Shim) -> None:
    real = {name: getattr(os, name) for name in ("rename", "replace", "unlink", "rmdir", "mkdir")}

    def move(name: str) -> Callable[[Any, Any], None]:
        def moved(source: Any, target: Any) -> None:
            state.step()
            before, after = Path(source).absolute(), Path(target).absolute()
            old = after.read_bytes() if after.is_file() else None
            real[name](source, target)
            state.renames.append((before, after))

            def undo(now: Callable[[Path], Path]) -> None:
                if now(after).exists() and before.parent.exists():
                    real["rename"](now(after), before)
                if old is not None:
                    after.write_bytes(old)

            state.note(after.parent, undo)

        return moved

    def unlink(path: Any, *, dir_fd: int | None = None) -> None:
        state.step()
        real["unlink"](path, dir_fd=dir_fd)

    def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
        state.step()
        real["rmdir"](path, dir_fd=dir_fd)

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        state.step()
        real["mkdir"](path, mode, dir_fd=dir_fd)
        made = Path(path).absolute()
        state.note(made.parent, lambda now: shutil.rmtree(now(made), ignore_errors=True))

    patch.setattr(os, "rename", move("rename"))
    patch.setattr(os, "replace", move("replace"))
    for function in (unlink, rmdir, mkdir):
        patch.setattr(os, function.__name__, function)


def _patch_contents(patch: pytest.MonkeyPatch, state: Shim) -> None:
    def fsync(descriptor: int) -> None:
        state.step()
        state.synchronised(Path(f"/proc/self/fd/{descriptor}").readlink())

    def writes(place: Any, name: str, path_of: Callable[..., Path]) -> None:
        real = getattr(place, name)

        def written(*args: Any, **kwargs: Any) -> Any:
            state.step()
            path = path_of(*args)
            new = not path.exists()
            found = real(*args, **kwargs)
            state.dirty.add(path.stat().st_ino)
            if new:
                state.note(path.absolute().parent, lambda now: now(path.absolute()).unlink(missing_ok=True))
            return found

        patch.setattr(place, name, written)

    patch.setattr(os, "fsync", fsync)
    for name in ("write_bytes", "write_text"):
        writes(Path, name, lambda path, *_: path)
    writes(writing, "_write_table", lambda file, *_: Path(file.filename))
    writes(writing.Writer, "_stamp", lambda _, file, *__: Path(file.filename))
