"""PASCAL VOC 2012, with the additional labels of SBD: photographs with 20 classes of objects and background.

Where the facts come from:

* Files, names and digests: the classes VOCSegmentation and SBDataset of torchvision. 1,464 images are for training and
  1,449 for validation; a label file is a PNG with a palette, and 255 is the line around objects, which is not scored.
* SBD, Semantic Boundaries Dataset, labels 11,355 images of VOC 2011 in MATLAB files, without such a line. Added to the
  training images, without those of the validation, there are 10,582: github.com/open-mmlab/mmsegmentation,
  tools/dataset_converters/voc_aug.py. An image with both labels keeps those of VOC.
* Protocol: github.com/wvangansbeke/Unsupervised-Semantic-Segmentation, which trains on the 10,582 images and clusters
  and scores the validation images.

So "trainaug" of other programs is train and aug together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from unsegcli.datasets._archives import Files, Member, ReadOnce
from unsegcli.datasets._contract import (
    VOID,
    Download,
    Plan,
    PublishedSet,
    ScoringRules,
    SetClass,
    SetSplit,
    Task,
    Written,
)
from unsegcli.datasets._pairs import by_end, lacking, lines_of, listed, taken
from unsegcli.datasets._pixels import label_bytes
from unsegcli.errors import DataError
from unsegcli.images.mat_files import mat_variables
from unsegcli.params import Prepare

LISTS = "ImageSets/Segmentation"
VOC = "VOCtrainval_11-May-2012.tar"
SBD = "benchmark.tgz"
COLORS = {  # the palette of VOC, by class
    "background": "#000000",
    "aeroplane": "#800000",
    "bicycle": "#008000",
    "bird": "#808000",
    "boat": "#000080",
    "bottle": "#800080",
    "bus": "#008080",
    "car": "#808080",
    "cat": "#400000",
    "chair": "#c00000",
    "cow": "#408000",
    "diningtable": "#c08000",
    "dog": "#400080",
    "horse": "#c00080",
    "motorbike": "#408080",
    "person": "#c08080",
    "pottedplant": "#004000",
    "sheep": "#804000",
    "sofa": "#00c000",
    "train": "#80c000",
    "tvmonitor": "#004080",
}
CLASSES = tuple(SetClass(name, color, (number,)) for number, (name, color) in enumerate(COLORS.items()))

SETS = (
    PublishedSet(
        name="voc-2012",
        what="photographs of objects, 20 classes and background, with the additional labels of SBD",
        licence="images under the terms of flickr; for research",
        link="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        needs=(
            f"{VOC} with 2,913 labelled images",
            f"{SBD} of SBD with labels of 11,355 images, from "
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
        ),
        classes=CLASSES,
        ignore=(VOID,),
        splits=(SetSplit("train", 1464, 1464), SetSplit("aug", 9118, 9118), SetSplit("val", 1449, 1449)),
        rules=ScoringRules(
            protocol="maskcontrast",
            matching="one-to-one, by IoU; the background is matched like any cluster",
            level="data set",
            clusters=len(CLASSES),
            trained_on=("train", "aug"),
            scored_on=("val",),
            size="whole images; the published code scales them to 512 x 512 and scores at the size of the label",
            reproduced=("k-means fitted on the validation set",),
            notes=(
                "the 10,582 images that others call trainaug are train and aug together",
                "clusters are found on the validation images, which are also scored",
                "labels of aug are from SBD, which has no line between objects that is not scored",
                "probe trains on the labels of train and aug; retrieve searches among those of train",
            ),
        ),
        archives=(VOC, SBD),
        takes=("download",),
        downloads=(
            Download(
                f"https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/{VOC}",
                "6cd6e144f989b92b3379bac3b3de84fd",
            ),
            Download(
                f"https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/{SBD}",
                "82b4d87ceb2ed10f6038a1cba92111cb",
            ),
        ),
    ),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Take the images and labels of VOC, and add those of SBD that are not among them."""
    lists = {split: listed(files, f"{LISTS}/{split}.txt") for split in ("train", "val")}
    if None in lists.values():
        return Plan((), (f"{VOC} with {LISTS}/train.txt and {LISTS}/val.txt",))
    names = {split: found or [] for split, found in lists.items()}
    images = by_end(files.find("JPEGImages/*.jpg"), 1)
    labels = by_end(files.find("SegmentationClass/*.png"), 1)
    matrices = by_end(files.find("cls/*.mat"), 1)
    own = names["train"] + names["val"]
    names["aug"] = sorted(matrices.keys() - set(own))
    missing = lacking(own, labels, VOC, "SegmentationClass/{}.png")
    missing += lacking(own + names["aug"], images, VOC, "JPEGImages/{}.jpg")
    missing += _lacking_of_sbd(files, matrices)
    tasks = []
    for split in ("train", "aug", "val"):
        there = matrices if split == "aug" else labels
        for name in (name for name in names[split] if name in images and name in there):
            tasks.append(taken(images[name], f"images/{split}", name))
            tasks.append(_label_task(there[name], f"labels/{split}", name))
    return Plan(tuple(tasks), tuple(missing), batch=16)


def _lacking_of_sbd(files: Files, matrices: dict[str, Member]) -> list[str]:
    """Return what is missing of SBD, by its own lists beside cls/."""
    if not matrices:
        return [f"{SBD} of SBD with labels of 11,355 images such as cls/2008_000002.mat"]
    root = PurePosixPath(next(iter(matrices.values())).name).parent.parent
    lists = {(root / f"{split}.txt").as_posix() for split in ("train", "val")}
    found = [member for member in files.members if member.name in lists]
    lost = [f"{root.name}/{one}.txt (of {SBD})" for one in ("train", "val")] if not found else []
    names = [name for member in found for name in lines_of(member)]
    return lost + lacking(names, matrices, SBD, "cls/{}.mat")


def _label_task(member: Member, folder: str, name: str) -> Task:
    if member.name.endswith(".mat"):
        return Task((member,), (f"{folder}/{name}.png",), make_label)
    return taken(member, folder, name)


def make_label(members: Sequence[ReadOnce], outputs: Sequence[str]) -> Written:
    """Convert the labels of SBD to a PNG in the colours of VOC."""
    return Written({outputs[0]: label_bytes(sbd_numbers(members[0]), CLASSES)})


def sbd_numbers(file: ReadOnce) -> NDArray[np.uint8]:
    """Read the classes (height, width) of a label file of SBD."""
    content = mat_variables(file.read(), file.member.where)
    try:
        numbers: NDArray[np.uint8] = content["GTcls"]["Segmentation"][0, 0].astype(np.uint8)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(f"{file.member.where} does not hold labels of SBD, GTcls.Segmentation: {error}") from error
    return numbers
