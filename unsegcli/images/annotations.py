"""Tell annotations from images by their names, so that labels are not read as images.

No file is opened. A name alone is not enough: there must also be the image that an annotation belongs to, since
`labels` may as well be a folder of photographs of labels.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from unsegcli.images.path_text import name_of, suffix_of, without_suffix

WORDS = {
    *("annot", "annots", "annotation", "annotations", "gt", "gts", "groundtruth", "groundtruths", "truth", "truths"),
    *("label", "labels", "labelids", "labelmap", "labelmaps", "mask", "masks", "trimap", "trimaps", "lc", "segmim"),
    *("seg", "segs", "segm", "segms", "segmap", "segmaps", "segmentation", "segmentations"),
}
IMAGE_WORDS = {"image", "images", "img", "imgs", "jpegimages", "leftimg8bit", "photo", "photos", "rgb", "sat"}
ASIDE = WORDS | IMAGE_WORDS | {"gtfine", "gtcoarse", "color"}  # words that do not tell one image from another
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of gtFine: gt and Fine
SEPARATORS = re.compile(r"[_\-. ]+")
ENDING = re.compile(rf"(.+?)([_\-. ]+(?:{'|'.join(sorted(WORDS))}))([_\-. ]?[0-9]+)?", re.IGNORECASE)  # a_mask_2
PHOTOGRAPHS = {".jpg", ".jpeg", ".jpe", ".jfif"}
ENOUGH = 0.5  # share of the files of a folder that must belong to images


class Annotations(NamedTuple):
    """What looks like annotations among the files of a folder."""

    names: frozenset[str]
    groups: dict[str, int]  # a folder, with / at its end, or a pattern: the number of its files
    doubtful: tuple[str, ...] = ()  # folders that are named like annotations, but whose files belong to no image


def find_annotations(names: Sequence[str]) -> Annotations:
    """Find annotations among the names of files, relative to one folder, with / between the parts."""
    folder_of = _inside_annotations(names)
    others = [name for name in names if name not in folder_of] if folder_of else names
    images = {_core(_stem(name)) for name in others} if folder_of else set()
    sizes = Counter(folder_of.values())
    belonging = Counter(folder for name, folder in folder_of.items() if _core(_stem(name)) in images)
    beside = _folders_by_place(others)
    taken = {
        folder
        for folder, size in sizes.items()
        if belonging[folder] >= ENOUGH * size or beside[folder.rpartition("/")[0]] & IMAGE_WORDS
    }
    found = {name: f"{folder}/" for name, folder in folder_of.items() if folder in taken}
    found |= _beside_images([name for name in names if name not in found])
    return Annotations(frozenset(found), dict(Counter(found.values())), tuple(sorted(set(sizes) - taken)))


def _inside_annotations(names: Sequence[str]) -> dict[str, str]:
    """Return the files below folders whose names say annotations, and the topmost of these folders."""
    beside = _folders_by_place(names)
    topmost: dict[str, str] = {}
    for folder in {name.rpartition("/")[0] for name in names}:
        for above in reversed([folder, *_above(folder)]):
            place, _, last = above.rpartition("/")
            if above and _says_annotations(last, beside[place]):
                topmost[folder] = above
                break
    if not topmost:
        return {}
    return {name: topmost[folder] for name in names if (folder := name.rpartition("/")[0]) in topmost}


def _says_annotations(folder: str, beside: set[str]) -> bool:
    """Return whether a word in the name of a folder says so, also one after the name of another: train, trainannot."""
    lower = folder.lower()
    if lower in WORDS or any(word.lower() in WORDS for word in WORD.findall(folder)):
        return True
    return any(lower.endswith(word) and lower.removesuffix(word) in beside for word in WORDS)


def _folders_by_place(names: Sequence[str]) -> Mapping[str, set[str]]:
    """Return the names of the folders in each folder, in lower case; the outermost folder is ""."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    inner = {name.rpartition("/")[0] for name in names} - {""}
    for folder in inner.union(*map(_above, inner)):
        place, _, last = folder.rpartition("/")
        found[place].add(last.lower())
    return found


def _above(name: str) -> list[str]:
    """Return the folders that a file or folder is in, the innermost first."""
    found = []
    while "/" in name:
        name = name.rpartition("/")[0]
        found.append(name)
    return found


def _stem(name: str) -> str:
    return without_suffix(name_of(name))


def _core(stem: str) -> str:
    """Return what an image and its annotation have in common in their names."""
    words = SEPARATORS.split(stem.lower())
    while len(words) > 1 and words[-1] in ASIDE:
        words.pop()
    while len(words) > 1 and words[0] in ASIDE:
        words.pop(0)
    return "_".join(words)


def _beside_images(names: Sequence[str]) -> dict[str, str]:
    """Return the annotations that are no folders of their own, and a pattern for each."""
    endings = {name: match for name in names if (match := ENDING.fullmatch(_stem(name)))}
    images = {_core(_stem(name)) for name in names if name not in endings} if endings else set()
    found = {
        name: f"*{match[2]}{'*' if match[3] else ''}{suffix_of(name)}"
        for name, match in endings.items()
        if _core(match[1]) in images
    }
    return found | _beside_photographs([name for name in names if name not in found])


def _beside_photographs(names: Sequence[str]) -> dict[str, str]:
    """Return the PNG files that have the name of a JPEG file of their folder, if many of these have one."""
    files: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        if suffix_of(name).lower() in PHOTOGRAPHS:
            files[name.rpartition("/")[0]].add(_stem(name))
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names if files else ():
        folder = name.rpartition("/")[0]
        if suffix_of(name).lower() == ".png" and _stem(name) in files.get(folder, ()):
            found[folder].append(name)
    enough = (drawn for folder, drawn in found.items() if len(drawn) >= ENOUGH * len(files[folder]))
    return {name: f"*{suffix_of(name)}" for drawn in enough for name in drawn}
