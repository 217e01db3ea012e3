"""Where a command's input comes from, by one rule for all: arguments, else a pipe, else the working folder."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from unsegcli import console
from unsegcli.errors import ConfigError, DataError

IMAGE_FOLDERS = ("data", "images")


def resolve_inputs(
    arguments: Sequence[str] | None, command: str, kinds: Sequence[str] = (), images: bool = False
) -> list[str]:
    """The inputs of a command.

    Args:
        arguments: positional arguments; they win.
        command: named in errors.
        kinds: kinds of artifact that will do, best first.
        images: whether a folder of images will do.
    """
    if arguments:
        if "" in arguments:
            raise DataError(f"an input of `{command}` is empty: is a variable of your shell not set?")
        return list(arguments)
    piped = _lines_from_pipe()
    if piped is not None:
        if not piped:
            raise DataError(
                "nothing came through the pipe: the command before this one failed, or printed no path; "
                "run it alone to see why"
            )
        return piped
    return _from_working_folder(command, kinds, images)


def _lines_from_pipe() -> list[str] | None:
    """Paths on standard input, if it is a pipe; None if it is a terminal, a file or closed."""
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):  # no standard input, or one that is no file
        return None
    if not is_pipe:
        return None
    return [line for line in (line.strip() for line in sys.stdin) if line]


def _from_working_folder(command: str, kinds: Sequence[str], images: bool) -> list[str]:
    found = _artifacts_here(kinds)
    for kind in kinds:
        paths = found[kind]
        if len(paths) > 1:
            listed = ", ".join(str(path) for path in paths)
            raise ConfigError(
                f"several files of kind {kind} are here ({listed}): say which, as in `{command} {paths[0]}`"
            )
        if paths:
            console.note(f"taking {paths[0]} ({kind})")
            return [str(paths[0])]
    for folder in IMAGE_FOLDERS if images else ():
        if Path(folder).is_dir():
            console.note(f"taking the images in {folder}/")
            return [folder]
    if not kinds and not images:
        raise DataError(f"no input is given: name a file after `{command}`")
    wanted = [f"a file of kind {kind}" for kind in kinds] + [f"a folder {f}/" for f in IMAGE_FOLDERS if images]
    here = _images_here() if images else 0
    if here:
        raise DataError(f"no input is given, but {console.count_images(here)} lie here: say `{command} .` to take them")
    raise DataError(
        f"no input is given, and the working folder has none of: {', '.join(wanted)}; name it after `{command}`"
    )


def _images_here() -> int:
    """How many image files lie in the working folder itself."""
    from unsegcli.images.find import SUFFIXES

    return sum(path.suffix.lower() in SUFFIXES and path.is_file() for path in Path().iterdir())


def _artifacts_here(kinds: Sequence[str]) -> dict[str, list[Path]]:
    """Artifacts in the working folder by kind, newest first."""
    found: dict[str, list[Path]] = {kind: [] for kind in kinds}
    paths = sorted(Path().glob("*.h5"), key=lambda path: -path.stat().st_mtime) if kinds else []
    if paths:
        from unsegcli.store import kind_of

        for path in paths:
            kind = kind_of(path)
            if kind in found and not _is_proposal(path, kind):
                found[kind].append(path)
    return found


def _is_proposal(path: Path, kind: str) -> bool:
    """Proposals are a means to an end: they are shown and scored when they are named, never by themselves."""
    if kind != "segmentation":
        return False
    from unsegcli.store import open_artifact

    with open_artifact(path) as artifact:
        return bool(artifact.attributes["role"] == "proposal")
