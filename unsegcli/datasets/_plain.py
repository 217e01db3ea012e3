"""Pairs of images and labels in folders of the user, for sets without a published layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unsegcli.datasets._archives import SUFFIXES as ARCHIVES
from unsegcli.datasets._archives import Files, Member
from unsegcli.errors import DataError
from unsegcli.images.find import SUFFIXES, natural_order

IMAGES = "images"  # folder
LABEL_SUFFIXES = (*SUFFIXES, ".mat")
SHOWN = 5  # names in an error


@dataclass(frozen=True)
class Pair:
    """An image and its label file."""

    name: str  # relative to its folder, without the suffix
    image: Member
    label: Member | None


def plain_pairs(files: Files, given: str | Path | None, folders: Sequence[str]) -> list[Pair]:
    """Return all images with their label files, matched by relative path, or else by stem.

    Images are in a folder images/, else everywhere.

    Args:
        files: all files of the sources.
        given: the folder or archive of labels that the user gave; None = they are among the files.
        folders: names of folders of labels there; the first that has files counts.
    """
    if given is None:
        found = (_below(files.members, folder, LABEL_SUFFIXES) for folder in folders)
        labels = next((one for one in found if one), {})
    else:
        labels = _everywhere(Files([given], (), Path()).members, LABEL_SUFFIXES)
    images = _below(files.members, IMAGES, SUFFIXES) or _everywhere(_others(files.members, labels), SUFFIXES)
    stems = Counter(PurePosixPath(name).name for name in images)
    by_stem: dict[str, list[str]] = {}
    for name in labels:
        by_stem.setdefault(PurePosixPath(name).name, []).append(name)
    pairs = []
    for name in sorted(images, key=natural_order):
        stem = PurePosixPath(name).name
        alike = by_stem.get(stem, []) if stems[stem] == 1 else []
        label = labels.get(name) or (labels[alike[0]] if len(alike) == 1 else None)
        pairs.append(Pair(name, images[name], label))
    return pairs


def unlabelled(pairs: Sequence[Pair]) -> list[str]:
    """Return a line about images without a label; none if all have one."""
    names = [pair.image.where for pair in pairs if pair.label is None]
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"no label with the same stem for {', '.join(names[:SHOWN])}{more}"]


def _below(members: Sequence[Member], folder: str, suffixes: Sequence[str]) -> dict[str, Member]:
    """Return the files in folders of a name, by their path there."""
    found = []
    for member in members:
        parts = PurePosixPath(member.name).parts
        if folder in parts[:-1]:
            found.append(("/".join(parts[parts.index(folder) + 1 :]), member))
    return _named(found, suffixes)


def _everywhere(members: Sequence[Member], suffixes: Sequence[str]) -> dict[str, Member]:
    """Return all files by their path below the source, without the names of archives."""
    found = []
    for member in members:
        parts = PurePosixPath(member.name).parts
        kept = [part for part in parts if not part.lower().endswith(ARCHIVES)]
        found.append(("/".join(kept), member))
    return _named(found, suffixes)


def _others(members: Sequence[Member], labels: dict[str, Member]) -> list[Member]:
    taken = {id(member) for member in labels.values()}
    return [member for member in members if id(member) not in taken]


def _named(files: Sequence[tuple[str, Member]], suffixes: Sequence[str]) -> dict[str, Member]:
    """Return files by their names without suffix, which must differ."""
    found: dict[str, Member] = {}
    for name, member in files:
        if not name.lower().endswith(tuple(suffixes)) or PurePosixPath(name).name.startswith("."):
            continue
        bare = PurePosixPath(name).with_suffix("").as_posix()
        if bare in found:
            raise DataError(f"{found[bare].where} and {member.where} have the same name without suffix: keep one")
        found[bare] = member
    return found
