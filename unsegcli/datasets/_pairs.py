"""Lists of names, and the images and label files that belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from unsegcli.datasets._archives import Files, Member
from unsegcli.datasets._contract import Task
from unsegcli.errors import DataError


def lines_of(member: Member) -> list[str]:
    """Return the lines of a text file that are not empty."""
    try:
        text = bytes(member.read()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{member.where} is not UTF-8 text") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def listed(files: Files, pattern: str) -> list[str] | None:
    """Return the lines of a published list; None if it is not there."""
    found = files.find(pattern)
    return lines_of(found[0]) if found else None


def by_end(members: Sequence[Member], parts: int) -> dict[str, Member]:
    """Return files by the last parts of their names, without the suffix."""
    found = {}
    for member in members:
        last = PurePosixPath(*PurePosixPath(member.name).parts[-parts:])
        found[last.with_suffix("").as_posix()] = member
    return found


def lacking(names: Sequence[str], found: Mapping[str, Member], archive: str, spelled: str) -> list[str]:
    """Return a line for each file that should be there; one line if none of them is.

    Args:
        names: of all files, as in `found`.
        found: what is there.
        archive: the file in which they are published.
        spelled: how a file is called, with {} for its name.
    """
    absent = [name for name in names if name not in found]
    if absent and len(absent) == len(names):
        return [f"{archive} with {len(names):,} files such as {spelled.format(names[0])}"]
    return [f"{spelled.format(name)} (of {archive})" for name in absent]


def taken(member: Member, folder: str, name: str) -> Task:
    """Take a file as it is, under a name without suffix in a folder such as images/train."""
    return Task((member,), (f"{folder}/{name}{PurePosixPath(member.name).suffix.lower()}",))
