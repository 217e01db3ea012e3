"""Oxford Flowers-102 with its segmentations: photographs of flowers of 102 kinds, one object in each.

Where the facts come from:

* Files, names and splits: the class Flowers102 of torchvision, and www.robots.ox.ac.uk/~vgg/data/flowers/102: 8,189
  images, of which the publishers train on 1,020 (trnid), validate on 1,020 (valid) and test on 6,149 (tstid).
* Swapped splits and what counts as background: github.com/mickaelChen/ReDO and github.com/lolemacs/iem-code,
  datasets.py: they train on tstid and test on trnid; background is where red or green is 0, or blue is 254. The
  segmentations are JPEG files, so the background is speckled; that is kept, as the published scores have it too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unsegcli.datasets._archives import Files, Member, ReadOnce
from unsegcli.datasets._contract import Download, Plan, PublishedSet, SetSplit
from unsegcli.datasets._objects import BATCH, CLASSES, object_rules, object_tasks
from unsegcli.datasets._pairs import by_end, lacking
from unsegcli.datasets._pixels import read_rgb
from unsegcli.errors import DataError
from unsegcli.images.mat_files import mat_variables
from unsegcli.params import Prepare

PLACE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
SPLITS = {"train": "tstid", "val": "valid", "test": "trnid"}  # our name: that of the publishers

SETS = (
    PublishedSet(
        name="flowers-102",
        what="photographs of flowers, flower and background",
        licence="none stated; images from the web, for research",
        link=PLACE,
        needs=(
            "102flowers.tgz with 8,189 images",
            "102segmentations.tgz with as many segmentations",
            "setid.mat with the splits",
        ),
        classes=CLASSES,
        ignore=(),
        splits=(SetSplit("train", 6149, 6149), SetSplit("val", 1020, 1020), SetSplit("test", 1020, 1020)),
        rules=object_rules(
            "train and test are swapped against their publishers, as in ReDO and IEM",
            "the segmentations were made by another program, and are JPEG files",
            trained_on=("train",),
            scored_on=("test",),
        ),
        archives=("102flowers.tgz", "102segmentations.tgz"),
        takes=("original_size", "download"),
        downloads=(
            Download(f"{PLACE}102flowers.tgz", "52808999861908f626f3c1f4e79d11fa"),
            Download(f"{PLACE}102segmentations.tgz", "51375996b6c4f367a4b9f4492d7ecef5"),
            Download(f"{PLACE}setid.mat", "a5357ecc9cb78c4bef273ce3793fc85c"),
        ),
    ),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Pair the images with their segmentations, by the lists in setid.mat."""
    lists = files.find("setid.mat")
    if not lists:
        return Plan((), ("setid.mat with the splits",))
    images = by_end(files.find("image_*.jpg"), 1)
    segmentations = by_end(files.find("segmim_*.jpg"), 1)
    numbers = _numbers(lists[0])
    names = [f"{number:05d}" for split in SPLITS.values() for number in numbers[split]]
    missing = lacking([f"image_{one}" for one in names], images, "102flowers.tgz", "jpg/{}.jpg")
    missing += lacking([f"segmim_{one}" for one in names], segmentations, "102segmentations.tgz", "segmim/{}.jpg")
    tasks = [
        task
        for split, theirs in SPLITS.items()
        for image, label in ((f"image_{one:05d}", f"segmim_{one:05d}") for one in numbers[theirs])
        if image in images and label in segmentations
        for task in object_tasks(f"{split}/{image}", images[image], segmentations[label], flower, params.original_size)
    ]
    return Plan(tuple(tasks), tuple(missing), batch=BATCH)


def _numbers(member: Member) -> dict[str, list[int]]:
    """Return the numbers of the images in each split of the publishers."""
    content = mat_variables(member.read(), member.where)
    if not all(split in content for split in SPLITS.values()):
        raise DataError(f"{member.where} does not hold the lists {', '.join(SPLITS.values())}")
    return {split: [int(one) for one in content[split].ravel()] for split in SPLITS.values()}


def flower(file: ReadOnce) -> NDArray[np.bool_]:
    """Return where a segmentation does not show the blue of the background."""
    colors = read_rgb(file)
    found: NDArray[np.bool_] = (colors[..., 0] != 0) & (colors[..., 1] != 0) & (colors[..., 2] != 254)
    return found
