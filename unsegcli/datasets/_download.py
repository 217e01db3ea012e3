"""Download what the publishers of a data set offer: each file whole, with the published digest, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from unsegcli import console
from unsegcli.datasets._contract import Download
from unsegcli.errors import DataError

TOOLS = "torchvision.datasets.utils"
PARTIAL = ".partial"  # suffix while a file is not whole


def to_download(downloads: Sequence[Download], folder: Path) -> list[Download]:
    """Return the files that are not in the folder as they were published."""
    check = import_module(TOOLS).check_integrity
    return [one for one in downloads if not check(folder / one.name, one.md5)]


def download(downloads: Sequence[Download], folder: Path) -> None:
    """Download those files that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    lacking = to_download(downloads, folder)
    for number, one in enumerate(lacking):
        console.note(f"downloading {one.url} to {folder}")
        try:
            _fetch(one, folder)
        except (OSError, RuntimeError, RecursionError) as error:
            later = "".join(f"; then {each.name} is missing too" for each in lacking[number + 1 :])
            raise DataError(
                f"{one.name} was not downloaded whole ({error}): run this again, or put the file from {one.url} into "
                f"{folder} yourself{later}"
            ) from error


def _fetch(one: Download, folder: Path) -> None:
    """Download a file under another name, and give it its own when it is whole."""
    partial = folder / (one.name + PARTIAL)
    try:
        import_module(TOOLS).download_url(one.url, folder, partial.name, one.md5)
        partial.replace(folder / one.name)
    finally:
        partial.unlink(missing_ok=True)
