"""Cityscapes with 27 classes: street scenes from cars in 50 cities.

Where the facts come from:

* The publishers offer leftImg8bit_trainvaltest.zip (leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png) and
  gtFine_trainvaltest.zip (gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png), with 2,975 images to train and
  500 to validate; the labels of the test images are not public. Names, numbers and colours of the 34 classes:
  torchvision's `Cityscapes`, after github.com/mcordts/cityscapesScripts.
* The 27 classes are those of the numbers 7 to 33, and the size is 320: github.com/janghyuncho/PiCIE,
  data/cityscapes_eval_dataset.py, and github.com/mhamilton723/STEGO, src/data.py.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from unsegcli.datasets._pixels import label_bytes, png_bytes, read_image, resized_crop
from unsegcli.errors import DataError
from unsegcli.params import Prepare

SIDE = 320
FIRST = 7  # number of the first class that is scored
IMAGE, LABEL = "_leftImg8bit", "_gtFine_labelIds"
NAMED = (
    ("road", "#804080"),
    ("sidewalk", "#f423e8"),
    ("parking", "#faaaa0"),
    ("rail track", "#e6968c"),
    ("building", "#464646"),
    ("wall", "#66669c"),
    ("fence", "#be9999"),
    ("guard rail", "#b4a5b4"),
    ("bridge", "#966464"),
    ("tunnel", "#96785a"),
    ("pole", "#999999"),
    ("polegroup", "#8c8c8c"),
    ("traffic light", "#faaa1e"),
    ("traffic sign", "#dcdc00"),
    ("vegetation", "#6b8e23"),
    ("terrain", "#98fb98"),
    ("sky", "#4682b4"),
    ("person", "#dc143c"),
    ("rider", "#ff0000"),
    ("car", "#00008e"),
    ("truck", "#000046"),
    ("bus", "#003c64"),
    ("caravan", "#00005a"),
    ("trailer", "#00006e"),
    ("train", "#005064"),
    ("motorcycle", "#0000e6"),
    ("bicycle", "#770b20"),
)
CLASSES = tuple(SetClass(name, color, (number,)) for number, (name, color) in enumerate(NAMED, FIRST))

SETS = (
    PublishedSet(
        name="cityscapes-27",
        what="street scenes; 27 classes",
        licence="own licence of the publishers: not for commercial use, not to be passed on; registration needed",
        link="https://www.cityscapes-dataset.com/downloads/",
        needs=("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"),
        classes=CLASSES,
        ignore=(*range(FIRST), VOID),
        splits=(SetSplit("train", 2_975, 2_975), SetSplit("val", 500, 500)),
        rules=ScoringRules(
            protocol="picie",
            matching="one-to-one, by pixels",
            level="data set",
            clusters=len(CLASSES),
            trained_on=("train",),
            scored_on=("val",),
            size="the middle 320 x 320 of images whose shorter side is resized to 320",
            reproduced=("images scaled and centre-cropped to 320 x 320",),
            notes=(
                "PiCIE scores train and val together, and trains on other images; STEGO scores val",
                "STEGO and later systems also average mirrored images and apply a CRF",
            ),
        ),
        archives=("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"),
        takes=("original_size",),
    ),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Take the images with public labels."""
    tasks: list[Task] = []
    missing: list[str] = []
    for split in published.splits:
        images = _by_scene(files.find(f"leftImg8bit/{split.name}/*/*{IMAGE}.png"), IMAGE)
        labels = _by_scene(files.find(f"gtFine/{split.name}/*/*{LABEL}.png"), LABEL)
        for what, found in ((f"leftImg8bit/{split.name}", images), (f"gtFine/{split.name}", labels)):
            if len(found) < split.images:
                missing.append(
                    f"{what} has {len(found):,} of {split.images:,} files (of {what.split('/')[0]}_trainvaltest.zip)"
                )
        alone = sorted(set(images) ^ set(labels))
        missing += [f"the {'label' if scene in images else 'image'} of {split.name}/{scene}" for scene in alone]
        for scene in (scene for scene in images if scene in labels):
            tasks += _tasks(split.name, scene, (images[scene], labels[scene]), params)
    return Plan(tuple(tasks), tuple(missing), batch=4)


def _by_scene(members: Sequence[Member], ending: str) -> dict[str, Member]:
    return {one.stem.removesuffix(ending): one for one in members}


def _tasks(split: str, scene: str, pair: tuple[Member, Member], params: Prepare) -> list[Task]:
    outputs = f"images/{split}/{scene}.png", f"labels/{split}/{scene}.png"
    if params.original_size:
        return [Task((member,), (output,)) for member, output in zip(pair, outputs, strict=True)]
    return [Task(pair, outputs, make_resized, bytes=2 * SIDE * SIDE)]


def make_resized(members: Sequence[ReadOnce], outputs: Sequence[str]) -> Written:
    """Resize an image and its labels, and take the middle."""
    image, label = read_image(members[0]).convert("RGB"), read_image(members[1])
    if image.size != label.size:
        raise DataError(f"{members[1].member.where} is {label.size}, but its image is {image.size}")
    pixels, values = resized_crop(image, SIDE, labels=False), resized_crop(label, SIDE, labels=True)
    return Written({outputs[0]: png_bytes(pixels), outputs[1]: label_bytes(values, CLASSES)})
