"""Find the inputs of a command: its arguments, else a pipe, else the working folder."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from unsegcli import console
from unsegcli.errors import DataError

IMAGE_FOLDERS = ("data", "images")


def resolve_inputs(
    arguments: Sequence[str] | None, command: str, kinds: Sequence[str] = (), images: bool = False
) -> list[str]:
    """Return the input paths of a command.

    Args:
        arguments: positional arguments; used if there are any.
        command: name of the command, for error messages.
        kinds: accepted kinds of artifact, in order of preference.
        images: whether a folder of images is accepted.
    """
    if arguments:
        if "" in arguments:
            raise DataError(f"an input of `{command}` is an empty string: is a shell variable not set?")
        return list(arguments)
    piped = _lines_from_pipe()
    if piped is not None:
        if not piped:
            raise DataError(
                "the pipe is empty: the previous command failed or printed no path; run it alone to see why"
            )
        return piped
    return _from_working_folder(command, kinds, images)


def _lines_from_pipe() -> list[str] | None:
    """Read paths from standard input if it is a pipe; None if it is a terminal, a file or closed."""
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):  # no standard input, or one without a file descriptor
        return None
    if not is_pipe:
        return None
    return [line for line in (line.strip() for line in _of_text(sys.stdin)) if line]


def _of_text(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if "\0" in line:
            raise DataError("standard input has the content of a file, not paths, one a line: name the file instead")
        yield line


def _from_working_folder(command: str, kinds: Sequence[str], images: bool) -> list[str]:
    found = _artifacts_here(kinds)
    for kind in kinds:
        paths = found[kind]
        chain: list[Path] = []
        if len(paths) > 1 and kind == "segmentation":
            paths, chain = _without_earlier(paths)
        if len(paths) > 1:
            listed = ", ".join(str(path) for path in paths)
            raise DataError(
                f"the working folder has several {kind} files ({listed}): name one, as in `{command} {paths[0]}`"
            )
        if paths:
            why = f", the last of {' -> '.join(map(str, chain))}: each was made from the one before" if chain else ""
            console.note(f"using {paths[0]} ({kind}){why}")
            return [str(paths[0])]
    for folder in IMAGE_FOLDERS if images else ():
        if Path(folder).is_dir():
            console.note(f"using the images in {folder}/")
            return [folder]
    if not kinds and not images:
        raise DataError(f"no input given: name a file after `{command}`")
    wanted = [f"a {kind} file" for kind in kinds] + [f"a folder {f}/" for f in IMAGE_FOLDERS if images]
    here = _images_here() if images else 0
    if here:
        raise DataError(
            f"no input given; the working folder has {console.count_images(here)}: use `{command} .` to read them"
        )
    proposals = _proposals_here() if "segmentation" in kinds else []
    cure = f"as in `{command} {proposals[0]}`, since proposals must be named" if proposals else f"after `{command}`"
    raise DataError(f"no input given, and the working folder has none of: {', '.join(wanted)}; name the input {cure}")


def _without_earlier(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the segmentations that no other one was made from, and the chain that led to the first of them."""
    from unsegcli.store import open_artifact

    before: dict[str, str] = {}
    own: dict[Path, str] = {}
    for path in paths:
        with open_artifact(path) as artifact:
            own[path] = artifact.fingerprint
            before[artifact.fingerprint] = artifact.inputs.get("segmentation", {}).get("fingerprint", "")
    last = [path for path in paths if own[path] not in before.values()]
    by_fingerprint = {fingerprint: path for path, fingerprint in own.items()}
    chain, here = last[:1], before[own[last[0]]]
    while here in before:
        chain.insert(0, by_fingerprint[here])
        here = before[here]
    return last, chain


def _images_here() -> int:
    """Count the image files in the working folder, without subfolders."""
    from unsegcli.images.find import SUFFIXES

    return sum(path.suffix.lower() in SUFFIXES and path.is_file() for path in Path().iterdir())


def _artifacts_here(kinds: Sequence[str]) -> dict[str, list[Path]]:
    """Find the whole artifacts in the working folder, by kind, newest first."""
    found: dict[str, list[Path]] = {kind: [] for kind in kinds}
    paths = _newest_first() if kinds else []
    if paths:
        from unsegcli.store import kind_of

        for path in paths:
            kind = kind_of(path)
            if kind in found and not _is_proposal(path, kind) and not _is_shard(path):
                found[kind].append(path)
    return found


def _newest_first() -> list[Path]:
    """Return the HDF5 files in the working folder."""
    return sorted(Path().glob("*.h5"), key=lambda path: -path.stat().st_mtime)


def _proposals_here() -> list[Path]:
    from unsegcli.store import kind_of

    return [path for path in _newest_first() if _is_proposal(path, kind_of(path) or "")]


def _is_proposal(path: Path, kind: str) -> bool:
    """Whether a file holds proposals, which are intermediate results and must be named to be used."""
    if kind != "segmentation":
        return False
    from unsegcli.store import open_artifact

    with open_artifact(path) as artifact:
        return bool(artifact.attributes["role"] == "proposal")


def _is_shard(path: Path) -> bool:
    """Whether a file is a shard, which no command takes by itself."""
    from unsegcli.store import open_artifact

    with open_artifact(path) as artifact:
        return artifact.shard is not None
