"""What the data sets of one object before a background have in common: classes, scoring, and the 128 x 128 crop.

The crop is that of ReDO and IEM (github.com/mickaelChen/ReDO, train.py; github.com/lolemacs/iem-code, main.py): images
like masks are scaled by the nearest pixel until the shorter side has 128, and the middle is cut out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.datasets._archives import Member, ReadOnce
from unsegcli.datasets._contract import ScoringRules, SetClass, Task, Written
from unsegcli.datasets._pairs import taken
from unsegcli.datasets._pixels import label_bytes, png_bytes, read_image

SIDE = 128
CLASSES = (SetClass("background", "#000000", (0,)), SetClass("object", "#ffffff", (1,)))
BATCH = 16  # images that go to a process at once

ObjectOf = Callable[[ReadOnce], NDArray[np.bool_]]  # from a label file to its object (height, width)


def object_rules(*notes: str, trained_on: tuple[str, ...], scored_on: tuple[str, ...]) -> ScoringRules:
    """Return how IEM and ReDO score masks."""
    return ScoringRules(
        protocol="iem",
        matching="none: of each mask and its inverse the better one, for each score by itself",
        level="image",
        clusters=2,
        trained_on=trained_on,
        scored_on=scored_on,
        size=f"{SIDE} x {SIDE}: shorter side scaled by the nearest pixel, then the middle",
        reproduced=("scaling and centre crop to 128 x 128",),
        notes=(
            "scores are means over images, and the choice between mask and inverse is made with the labels",
            "IEM learns nothing: only the network after it is trained, on masks of IEM",
            *notes,
        ),
    )


def object_tasks(name: str, image: Member, label: Member, object_of: ObjectOf, whole: bool) -> list[Task]:
    """Return what is done with an image and its label.

    Args:
        name: split and name without suffix, such as train/image_00001.
        image: the image file.
        label: the label file.
        object_of: a function of a module, as it is sent to other processes.
        whole: keep the published size.
    """
    make = functools.partial(make_mask, object_of=object_of, whole=whole)
    mask = Task((label,), (f"labels/{name}.png",), make)
    if whole:
        return [taken(image, "images", name), mask]
    return [Task((image,), (f"images/{name}.png",), make_square, bytes=3 * SIDE * SIDE), mask]


def make_square(members: Sequence[ReadOnce], outputs: Sequence[str]) -> Written:
    """Crop an image as papers do; grey becomes three equal bands."""
    image = squared(read_image(members[0]).convert("RGB"))
    return Written({outputs[0]: png_bytes(np.asarray(image))})


def make_mask(members: Sequence[ReadOnce], outputs: Sequence[str], *, object_of: ObjectOf, whole: bool) -> Written:
    """Write where the object is: 1 there, 0 on the background."""
    values = object_of(members[0]).astype(np.uint8)
    if not whole:
        values = np.asarray(squared(Image.fromarray(values)))
    return Written({outputs[0]: label_bytes(values, CLASSES)})


def squared(image: Image.Image) -> Image.Image:
    """Scale the shorter side to `SIDE` by the nearest pixel, and cut out the middle."""
    shorter = min(image.size)
    width, height = (int(SIDE * side / shorter) for side in image.size)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    scaled = image.resize((width, height), Image.Resampling.NEAREST)
    return scaled.crop((left, top, left + SIDE, top + SIDE))
