"""ISPRS Potsdam, 2D semantic labelling: aerial tiles of 6000 x 6000 pixels, 5 cm each, with red, green, blue, infrared.

Where the facts come from:

* The publishers offer 4_Ortho_RGBIR.zip with 38 tiles (4_Ortho_RGBIR/top_potsdam_2_10_RGBIR.tif) and 5_Labels_all.zip
  with their labels (top_potsdam_2_10_label.tif), and name 24 tiles for training: github.com/microsoft/torchgeo,
  torchgeo/datasets/potsdam.py. Earlier, only the labels of these 24 were offered, as 5_Labels_for_participants.zip
  (IIC, below). Both archives may lie in Potsdam.zip.
* Halving, patches, classes and colours: the preparation of IIC, github.com/xu-ji/IIC,
  code/datasets/segmentation/util/potsdam_prepare.py. It resizes images by OpenCV's bilinear filter, which at exactly
  one half is the mean of 2 x 2 pixels, rounded half up, and labels by its nearest neighbour, which is the upper left
  of them. Both are reproduced.
* The merge to three classes: code/datasets/segmentation/potsdam.py there.
* IIC's authors also offer the patches that they made, Potsdam.tar.gz (datasets/README.txt there): imgs/0.mat (img),
  gt/0.mat (gt, int32), and the lists of numbers labelled_train.txt, labelled_test.txt and unlabelled_train.txt. These
  patches are taken if they are among the files.

Deviation: IIC stops at a colour that is not in the palette; here it is read as the palette's colour that is closest, or
not scored if none is close. Its patches have random numbers as names; here they say tile, row and column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.datasets._archives import Files, Member, ReadOnce
from unsegcli.datasets._contract import (
    VOID,
    Plan,
    PublishedSet,
    ScoringRules,
    SetClass,
    SetSplit,
    Task,
    Written,
)
from unsegcli.datasets._pixels import label_bytes, read_tiff, tiff_bytes
from unsegcli.errors import DataError
from unsegcli.images.mat_files import mat_variables
from unsegcli.params import Prepare

TILE = 6000  # pixels of a side
PATCH = 200  # pixels of a side, at half the size
CLOSE = 60  # largest difference in a band at which a colour is taken for one of the palette
BANDS = 4
# Tiles as row_column. The labels of the first 24 were published for participants; papers score these.
LABELLED = (
    *("2_10", "2_11", "2_12", "3_10", "3_11", "3_12", "4_10", "4_11", "4_12", "5_10", "5_11", "5_12"),
    *("6_7", "6_8", "6_9", "6_10", "6_11", "6_12", "7_7", "7_8", "7_9", "7_10", "7_11", "7_12"),
)
OTHER = ("2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15", "5_13", "5_14", "5_15", "6_13", "6_14", "6_15", "7_13")
MADE_LISTS = {"labelled_train.txt": 4_545, "labelled_test.txt": 855, "unlabelled_train.txt": 3_150}
PALETTE = (
    SetClass("roads", "#ffffff", (0,)),
    SetClass("buildings", "#0000ff", (1,)),
    SetClass("low vegetation", "#00ffff", (2,)),
    SetClass("trees", "#00ff00", (3,)),
    SetClass("cars", "#ffff00", (4,)),
    SetClass("clutter", "#ff0000", (5,)),
)
MERGED = (
    SetClass("roads and cars", "#c0c0c0", (0, 4)),
    SetClass("buildings and clutter", "#0000ff", (1, 5)),
    SetClass("vegetation and trees", "#00ff00", (2, 3)),
)
NEEDS = (
    "4_Ortho_RGBIR.zip with 38 tiles",
    "5_Labels_for_participants.zip with the labels of 24, or 5_Labels_all.zip; or Potsdam.zip, which holds them; or "
    "Potsdam.tar.gz of IIC's authors",
)


def _set(name: str, what: str, classes: Sequence[SetClass]) -> PublishedSet:
    patches = 15 * 15
    return PublishedSet(
        name=name,
        what=what,
        licence="free for research; the data must be cited, not passed on",
        link="https://www.isprs.org/education/benchmarks/UrbanSemLab/default.aspx",
        needs=NEEDS,
        classes=tuple(classes),
        ignore=(VOID,),
        splits=(
            SetSplit("labelled", patches * len(LABELLED), patches * len(LABELLED)),
            SetSplit("unlabelled", patches * len(OTHER), 0),
        ),
        rules=ScoringRules(
            protocol="iic",
            matching="one-to-one, by pixels",
            level="data set",
            clusters=len(classes),
            trained_on=("labelled", "unlabelled"),
            scored_on=("labelled",),
            size="200 x 200, patches of tiles at half their size, 4 bands",
            reproduced=("scores on images of the training",),
            notes=(
                "the images that are scored are among those that are trained on",
                "STEGO and later systems train and score on another division, and without infrared",
            ),
        ),
        archives=(
            "Potsdam.zip",
            "Potsdam.tar.gz",
            "4_Ortho_RGBIR.zip",
            "5_Labels_for_participants.zip",
            "5_Labels_all.zip",
        ),
    )


SETS = (
    _set("potsdam", "aerial images with infrared, 6 classes", PALETTE),
    _set("potsdam-3", "aerial images with infrared, 3 merged classes", MERGED),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Cut the tiles that papers use into patches."""
    if files.find("imgs/*.mat"):
        return _made_by_iic(files)
    images = {_tile(one): one for one in files.find("*_RGBIR.tif")}
    labels = {_tile(one): one for one in files.find("*_label.tif")}
    if not images or not labels:
        lacking = [NEEDS[0]] * (not images) + [NEEDS[1]] * (not labels)
        return Plan((), tuple(lacking))
    missing = [f"top_potsdam_{tile}_RGBIR.tif (of 4_Ortho_RGBIR)" for tile in (*LABELLED, *OTHER) if tile not in images]
    missing += [f"top_potsdam_{tile}_label.tif (of 5_Labels)" for tile in LABELLED if tile not in labels]
    tasks = [
        _task(tile, "labelled", (images[tile], labels[tile])) for tile in LABELLED if {tile} <= images.keys() & labels
    ]
    tasks += [_task(tile, "unlabelled", (images[tile],)) for tile in OTHER if tile in images]
    notes = []
    if set(OTHER) & labels.keys():
        notes.append(
            f"the labels of {len(set(OTHER) & labels.keys())} more tiles are left aside: papers score 24 tiles"
        )
    return Plan(tuple(tasks), tuple(missing), tuple(notes), processes=2)


def _made_by_iic(files: Files) -> Plan:
    """Take the patches that IIC's authors made of the tiles."""
    images = {one.stem: one for one in files.find("imgs/*.mat")}
    labels = {one.stem: one for one in files.find("gt/*.mat")}
    tasks: list[Task] = []
    missing: list[str] = []
    for name, count in MADE_LISTS.items():
        listed = [number for one in files.find(name) for number in one.read().decode("ascii", "replace").split()]
        if len(listed) != count:
            missing.append(f"{name} has {len(listed):,} of {count:,} names")
        split = "labelled" if name.startswith("labelled") else "unlabelled"
        for number in listed:
            wanted = [f"imgs/{number}.mat"] * (number not in images)
            wanted += [f"gt/{number}.mat"] * (split == "labelled" and number not in labels)
            missing += wanted
            if not wanted:
                tasks.append(_made_task(split, number, images[number], labels.get(number)))
    return Plan(tuple(tasks), tuple(missing), ("taking the patches that IIC's authors made",), batch=16)


def _made_task(split: str, number: str, image: Member, label: Member | None) -> Task:
    outputs, members = [f"images/{split}/{number}.tif"], [image]
    if split == "labelled" and label is not None:
        outputs.append(f"labels/{split}/{number}.png")
        members.append(label)
    return Task(tuple(members), tuple(outputs), convert_patch, bytes=PATCH * PATCH * BANDS)


def convert_patch(members: Sequence[ReadOnce], outputs: Sequence[str]) -> Written:
    """Convert a patch of IIC's authors, and its labels if it has some."""
    files = {outputs[0]: tiff_bytes(_matrix(members[0], "img", (PATCH, PATCH, BANDS)))}
    for member, name in zip(members[1:], outputs[1:], strict=True):
        files[name] = label_bytes(_matrix(member, "gt", (PATCH, PATCH)), PALETTE)
    return Written(files)


def _matrix(file: ReadOnce, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    values = mat_variables(file.read(), file.member.where).get(name)
    if not isinstance(values, np.ndarray) or values.shape != shape or values.min() < 0 or values.max() > VOID:
        size = " x ".join(map(str, shape))
        raise DataError(f"{file.member.where} has no {name} of {size} values from 0 to {VOID}")
    return values.astype(np.uint8)


def _tile(member: Member) -> str:
    """Return row and column of a tile, without leading zeros."""
    found = re.search(r"(\d+)_(\d+)_(RGBIR|label)$", member.stem)
    if found is None:
        raise DataError(f"{member.where} is not named like a tile, top_potsdam_2_10_RGBIR.tif")
    return f"{int(found[1])}_{int(found[2])}"


def _task(tile: str, split: str, members: tuple[Member, ...]) -> Task:
    places = range(TILE // (2 * PATCH))
    names = [f"{split}/potsdam_{tile}_r{row:02}_c{column:02}" for row in places for column in places]
    outputs = [f"images/{name}.tif" for name in names]
    if len(members) > 1:
        outputs += [f"labels/{name}.png" for name in names]
    return Task(members, tuple(outputs), make_patches, bytes=len(names) * PATCH * PATCH * BANDS)


def make_patches(members: Sequence[ReadOnce], outputs: Sequence[str]) -> Written:
    """Cut one tile, and its labels if it has some, into patches at half the size."""
    files: dict[str, bytes] = {}
    counts: dict[str, int] = {}
    pixels = _tile_pixels(members[0], BANDS)
    for name in (name for name in outputs if name.startswith("images/")):
        files[name] = tiff_bytes(halved(_part(pixels, name)))
    del pixels
    if len(members) > 1:
        colors = _tile_pixels(members[1], 3)
        for name in (name for name in outputs if name.startswith("labels/")):
            values, found = class_numbers(_part(colors, name)[::2, ::2])
            files[name] = label_bytes(values, PALETTE)
            counts = {text: counts.get(text, 0) + number for text, number in found.items()}
    return Written(files, {text: number for text, number in counts.items() if number})


def _tile_pixels(file: ReadOnce, bands: int) -> NDArray[np.uint8]:
    pixels = read_tiff(file)
    if pixels.shape != (TILE, TILE, bands) or pixels.dtype != np.uint8:
        shape = " x ".join(map(str, pixels.shape))
        raise DataError(
            f"{file.member.where} is {shape} of {pixels.dtype}, but {TILE} x {TILE} x {bands} of uint8 is published"
        )
    return pixels


def _part(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return the part of a tile that becomes a patch."""
    found = re.search(r"_r(\d+)_c(\d+)\.", name)
    assert found is not None
    row, column, side = int(found[1]), int(found[2]), 2 * PATCH
    return pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mean of 2 x 2 pixels, rounded half up: (height / 2, width / 2, bands)."""
    rows = pixels[::2].astype(np.uint16)
    rows += pixels[1::2]
    total = rows[:, ::2] + rows[:, 1::2]
    total += 2
    total >>= 2
    return total.astype(np.uint8)


def class_numbers(colors: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Return the class of each colour (height, width, 3), and how many were not in the palette."""
    palette = np.array([list(bytes.fromhex(one.color.removeprefix("#"))) for one in PALETTE], np.uint8)
    codes = _codes(colors)
    numbers = np.full(codes.shape, VOID, np.uint8)
    for number, code in enumerate(_codes(palette)):
        numbers[codes == code] = number
    off = numbers == VOID
    counts: dict[str, Any] = {}
    if off.any():
        far = np.abs(colors[off][:, None].astype(np.int16) - palette).max(2)  # (pixel, colour)
        nearest = np.where(far.min(1) <= CLOSE, far.argmin(1), VOID)
        numbers[off] = nearest.astype(np.uint8)
        counts["label pixels of a colour that is not in the palette, read as the nearest"] = int(
            (nearest != VOID).sum()
        )
        counts["label pixels of a colour far from the palette, not scored"] = int((nearest == VOID).sum())
    return numbers, counts


def _codes(colors: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return each colour (..., 3) as one number."""
    codes: NDArray[np.int32] = colors[..., 0].astype(np.int32) << 16
    codes |= colors[..., 1].astype(np.int32) << 8
    codes |= colors[..., 2]
    return codes
