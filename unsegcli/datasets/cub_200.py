"""Caltech-UCSD Birds-200-2011 with its segmentations: photographs of birds of 200 kinds, one object in each.

Where the facts come from:

* Files and names: the README in CUB_200_2011.tgz, and www.vision.caltech.edu/datasets/cub_200_2011: 11,788 images, in
  folders of their kinds; images.txt numbers them; segmentations.tgz holds a grey PNG for each.
* The split into 10,000, 788 and 1,000 images, and what counts as a bird: github.com/mickaelChen/ReDO, datasets.py and
  datasplits/cub/train_val_test_split.txt; lines with the number of an image, and 0 for train, 1 for val, 2 for test.
  A bird is where the first band is above one half: its grey levels say how many of five people saw it there.
* Digests of the archives: code in several public repositories, such as github.com/TDeVries/cub2011_dataset.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unsegcli.datasets._archives import Files, Member, ReadOnce
from unsegcli.datasets._contract import Download, Plan, PublishedSet, SetSplit
from unsegcli.datasets._objects import BATCH, CLASSES, object_rules, object_tasks
from unsegcli.datasets._pairs import by_end, lacking, lines_of, listed
from unsegcli.datasets._pixels import read_image
from unsegcli.errors import DataError
from unsegcli.params import Prepare

SPLITS = {"0": "train", "1": "val", "2": "test"}  # of ReDO
OFFICIAL = {"1": "train", "0": "test"}
LIST = "train_val_test_split.txt"
HALF = 127  # of 255

SETS = (
    PublishedSet(
        name="cub-200",
        what="photographs of birds, bird and background",
        licence="images belong to their photographers; research and teaching, not commercial",
        link="https://www.vision.caltech.edu/datasets/cub_200_2011/",
        needs=(
            "CUB_200_2011.tgz with 11,788 images",
            "segmentations.tgz with as many segmentations",
            f"{LIST} with the split of ReDO, from github.com/mickaelChen/ReDO, datasplits/cub; beside them, or given "
            "with --names",
        ),
        classes=CLASSES,
        ignore=(),
        splits=(SetSplit("train", 10000, 10000), SetSplit("val", 788, 788), SetSplit("test", 1000, 1000)),
        rules=object_rules(
            "the split is that of ReDO, not that of the publishers",
            "pixels that fewer than three of five people saw as bird are background",
            trained_on=("train",),
            scored_on=("test",),
        ),
        archives=("CUB_200_2011.tgz", "segmentations.tgz"),
        takes=("names", "original_size", "download"),
        downloads=(
            Download(
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                "97eceeb196236b17998738112f37df78",
            ),
            Download(
                "https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz",
                "4d47ba1228eae64f2fa547c47bc65255",
            ),
        ),
    ),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Pair the images with their segmentations, by images.txt and the list of the split."""
    rows = listed(files, "images.txt")
    if rows is None:
        return Plan((), ("CUB_200_2011.tgz with images.txt and 11,788 images",))
    name_of = {number: name.removesuffix(".jpg") for number, name in (line.split(maxsplit=1) for line in rows)}
    images, masks = by_end(files.find("images/*/*.jpg"), 2), by_end(files.find("segmentations/*/*.png"), 2)
    missing = lacking([*name_of.values()], images, "CUB_200_2011.tgz", "images/{}.jpg")
    missing += lacking([*name_of.values()], masks, "segmentations.tgz", "segmentations/{}.png")
    given = _given_list(files, params.names)
    if given is None:
        missing.append(f"{LIST} of ReDO (github.com/mickaelChen/ReDO, datasplits/cub); give it with --names")
        codes, known = _codes(listed(files, "train_test_split.txt") or [], "train_test_split.txt"), OFFICIAL
    else:
        codes, known = _codes(lines_of(given), given.where), SPLITS
    tasks = [
        task
        for code, split in known.items()
        for name in (name for number, name in name_of.items() if codes.get(number) == code)
        if name in images and name in masks
        for task in object_tasks(f"{split}/{name}", images[name], masks[name], bird, params.original_size)
    ]
    warnings = _warnings(given, name_of, codes)
    return Plan(tuple(tasks), tuple(missing), warnings=warnings, lists=_described(given), batch=BATCH)


def _given_list(files: Files, given: Sequence[str | Path]) -> Member | None:
    """Return the list of ReDO: the given file, or the one beside the images."""
    if len(given) > 1:
        raise DataError(f"--names: cub-200 has one list, {LIST}, but {len(given)} files are given")
    if given:
        path = Path(given[0])
        return Member(path.name, path.stat().st_size, path)
    found = files.find(LIST)
    return found[0] if found else None


def _codes(lines: Sequence[str], where: str) -> dict[str, str]:
    """Return the split of each image number."""
    rows = [line.split() for line in lines]
    wrong = [line for line, row in zip(lines, rows, strict=True) if len(row) != 2 or row[1] not in SPLITS]
    if wrong:
        raise DataError(f"{where}: {wrong[0]!r} is not the number of an image and its split: 0, 1 or 2")
    return {number: code for number, code in rows}


def _described(given: Member | None) -> tuple[dict[str, object], ...]:
    if given is None:
        return ()
    digest = hashlib.sha256(given.read()).hexdigest()
    return ({"file": given.file_name, "sha256": digest, "what": "split of ReDO: train, val and test"},)


def _warnings(given: Member | None, name_of: dict[str, str], codes: dict[str, str]) -> tuple[str, ...]:
    if given is None:
        return ("the split is that of the publishers, not that of ReDO, which papers on masks use",)
    unknown = len(name_of.keys() ^ codes.keys())
    return (f"{given.where} and images.txt differ in {unknown:,} images",) if unknown else ()


def bird(file: ReadOnce) -> NDArray[np.bool_]:
    """Return where at least three of five people saw the bird."""
    values = np.asarray(read_image(file))
    first = values if values.ndim == 2 else values[..., 0]
    found: NDArray[np.bool_] = first > HALF
    return found
