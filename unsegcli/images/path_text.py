"""Paths as text: what `pathlib` answers, many times as fast, for folders of a hundred thousand files and more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def name_of(path: str) -> str:
    """Return the last part of a path."""
    return path[path.rfind("/") + 1 :]


def folder_of(path: str) -> str:
    """Return the folder of a path: with / at its end, or "" if the path is a name alone."""
    return path[: path.rfind("/") + 1]


def suffix_of(path: str) -> str:
    """Return the suffix of the name, such as ".png"; "" if it has none."""
    return path[_start_of_suffix(path) :]


def without_suffix(path: str) -> str:
    """Return a path without the suffix of its name."""
    return path[: _start_of_suffix(path)]


def _start_of_suffix(path: str) -> int:
    dot = path.rfind(".")
    return dot if path.rfind("/") + 1 < dot < len(path) - 1 else len(path)


def start_of(folder: Path) -> str:
    """Return the text that all paths in a folder start with, as `str(folder / name)` does."""
    return str(folder / "x")[:-1]


def is_link(path: str) -> bool:
    """Return whether a path is a symbolic link."""
    return os.path.islink(path)


def state_of(path: str) -> os.stat_result:
    """Return the status of a file."""
    return os.stat(path)


def in_folder(folder: str, path: str) -> str:
    """Return a path that is relative to a folder, or already absolute, as one that begins with the folder."""
    return os.path.join(folder, path)


def files_below(folder: str, below: str = "") -> Iterator[str]:
    """Yield the files below a folder, relative to it, without hidden ones; links to folders are not followed."""
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".")]
    except OSError:  # it may not be read
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(entry.path, f"{below}{entry.name}/")
        elif os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file():
            yield below + entry.name
