"""Pairs of images and labels in folders of the user, for sets without a published layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unsegcli.datasets._archives import Files, Member
from unsegcli.errors import DataError
from unsegcli.images.find import SUFFIXES, natural_order

IMAGES, LABELS = ("images",), ("labels", "masks")  # folders
LABEL_SUFFIXES = (*SUFFIXES, ".mat")
SHOWN = 5  # names in an error


@dataclass(frozen=True)
class Pair:
    """An image and its label file."""

    name: str  # relative to its folder, without the suffix
    image: Member
    label: Member | None


def plain_pairs(files: Files, labels_folder: str | Path | None) -> list[Pair]:
    """Return all images with their label files, matched by relative path, or else by stem.

    Images are in a folder images/, else everywhere; labels in the folder given, else in labels/ or masks/.

    Args:
        files: all files of the sources.
        labels_folder: the folder or archive of labels that the user gave.
    """
    images = _below(files.members, IMAGES, SUFFIXES)
    if labels_folder is not None:
        others = Files([labels_folder], (), Path())
        labels = _below(others.members, LABELS, LABEL_SUFFIXES) or _by_name(others.members, LABEL_SUFFIXES)
        images = images or _by_name(files.members, SUFFIXES)
    else:
        labels = _below(files.members, LABELS, LABEL_SUFFIXES)
        images = images or _without(_by_name(files.members, SUFFIXES), labels)
    stems: dict[str, list[str]] = {}
    for name in labels:
        stems.setdefault(PurePosixPath(name).name, []).append(name)
    taken = [PurePosixPath(name).name for name in images]
    pairs = []
    for name in sorted(images, key=natural_order):
        stem = PurePosixPath(name).name
        alike = stems.get(stem, []) if taken.count(stem) == 1 else []
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


def _below(members: Sequence[Member], folders: Sequence[str], suffixes: Sequence[str]) -> dict[str, Member]:
    """Return the files in folders of some names, by their path there."""
    found = []
    for member in members:
        parts = PurePosixPath(member.name).parts
        places = [place for place, part in enumerate(parts[:-1]) if part in folders]
        if places:
            found.append(("/".join(parts[places[0] + 1 :]), member))
    return _named(found, suffixes)


def _by_name(members: Sequence[Member], suffixes: Sequence[str]) -> dict[str, Member]:
    return _named([(member.name, member) for member in members], suffixes)


def _without(images: dict[str, Member], labels: dict[str, Member]) -> dict[str, Member]:
    taken = {id(member) for member in labels.values()}
    return {name: member for name, member in images.items() if id(member) not in taken}


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
