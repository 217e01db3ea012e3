"""Cars of LSUN, with masks that the user gives: LSUN has no ground truth of this kind.

Where the facts come from: the project page of IEM, github.com/lolemacs/iem, says that its masks of LSUN Car are
predictions of a Mask R-CNN. Neither they nor the list of images are public, nor is the size of the list.

Deviation: images and masks are the user's, so scores cannot be compared with published ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unsegcli.datasets._archives import Files, ReadOnce
from unsegcli.datasets._contract import Plan, PublishedSet, SetSplit
from unsegcli.datasets._objects import BATCH, CLASSES, object_rules, object_tasks
from unsegcli.datasets._pixels import read_image
from unsegcli.datasets._plain import plain_pairs, unlabelled
from unsegcli.params import Prepare

HALF = 127  # of 255

SETS = (
    PublishedSet(
        name="lsun-car",
        what="photographs of cars, with masks that you give",
        licence="LSUN: for research",
        link="https://www.yf.io/p/lsun",
        needs=(
            "a folder with images/ of LSUN Car, as image files",
            "masks/ with a mask for each, 0 and 1 or 0 and 255; beside images/, or given with --labels",
        ),
        classes=CLASSES,
        ignore=(),
        splits=(SetSplit("", 0, 0),),
        rules=object_rules(
            "the masks and the list of images of the paper are not public, so these are others",
            "the masks of the paper are predictions of a network, not ground truth",
            trained_on=("",),
            scored_on=("",),
        ),
        takes=("labels", "original_size"),
    ),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Pair the images with the masks that the user gives."""
    pairs = plain_pairs(files, params.labels, ("masks", "labels"))
    tasks = [
        task
        for pair in pairs
        if pair.label is not None
        for task in object_tasks(pair.name, pair.image, pair.label, car, params.original_size)
    ]
    return Plan(tuple(tasks), tuple(unlabelled(pairs)), batch=BATCH)


def car(file: ReadOnce) -> NDArray[np.bool_]:
    """Return where a mask is 1, or above one half of 255; of several bands, the first counts."""
    values = np.asarray(read_image(file))
    first = values if values.ndim == 2 else values[..., 0]
    found: NDArray[np.bool_] = first > (HALF if first.max(initial=0) > 1 else 0)
    return found
