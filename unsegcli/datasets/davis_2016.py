"""DAVIS 2016: 50 short videos at 480 rows, with one object drawn in every frame.

Where the facts come from: davischallenge.org/davis2016/code.html; github.com/davisvideochallenge/davis-matlab,
db_util/db_read_annot.m: an object is where the annotation is not 0; ImageSets/480p/train.txt and val.txt, in every line
an image and its annotation, for 2,079 frames of 30 videos and 1,376 frames of 20. Protocol: propagation of the first
frame, as Jabri et al. and MaskContrast do it.

Videos of DAVIS 2017 have other annotations, several objects each, and another list: they are not read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from unsegcli.datasets._archives import Files, Member, ReadOnce
from unsegcli.datasets._contract import Plan, PublishedSet, ScoringRules, SetSplit, Task, Written
from unsegcli.datasets._objects import CLASSES
from unsegcli.datasets._pairs import by_end, lacking, lines_of, taken
from unsegcli.datasets._pixels import label_bytes, read_image
from unsegcli.errors import DataError
from unsegcli.params import Prepare

ARCHIVE = "DAVIS-data.zip"
LISTS = "ImageSets/480p"

SETS = (
    PublishedSet(
        name="davis-2016",
        what="50 short videos, one object in each",
        licence="CC BY 4.0, as stated for the same videos in DAVIS 2017; some belong to others",
        link="https://davischallenge.org/davis2016/code.html",
        needs=(f"{ARCHIVE} with JPEGImages/480p, Annotations/480p and {LISTS}, 3,455 frames",),
        classes=CLASSES,
        ignore=(),
        splits=(SetSplit("train", 2079, 2079), SetSplit("val", 1376, 1376)),
        rules=ScoringRules(
            protocol="davis",
            matching="none: the label of the first frame is propagated",
            level="image",
            clusters=len(CLASSES),
            trained_on=("train",),
            scored_on=("val",),
            size="480 rows, whole frames",
            reproduced=("the list of sequences and the resolution of 480 rows",),
            notes=("the label of the first frame of every video is given", "first and last frames are not scored"),
        ),
        archives=(ARCHIVE,),
    ),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Take the frames of all videos, by the lists of the publishers."""
    images = by_end(files.find("JPEGImages/480p/*/*.jpg"), 2)
    labels = by_end(files.find("Annotations/480p/*/*.png"), 2)
    missing: list[str] = []
    tasks: list[Task] = []
    for split in published.splits:
        found = files.find(f"{LISTS}/{split.name}.txt")
        if not found:
            missing.append(f"{LISTS}/{split.name}.txt, the list of {split.images:,} frames (of {ARCHIVE})")
            continue
        names = _frames(found[0])
        missing += lacking(names, images, ARCHIVE, "JPEGImages/480p/{}.jpg")
        missing += lacking(names, labels, ARCHIVE, "Annotations/480p/{}.png")
        for name in (name for name in names if name in images and name in labels):
            tasks.append(taken(images[name], f"images/{split.name}", name))
            tasks.append(Task((labels[name],), (f"labels/{split.name}/{name}.png",), make_label))
    return Plan(tuple(tasks), tuple(missing), batch=16)


def _frames(member: Member) -> list[str]:
    """Return the frames of a list as video/number, from lines of two paths, such as /JPEGImages/480p/bear/00000.jpg."""
    names = []
    for line in lines_of(member):
        path = PurePosixPath(line.split()[0])
        if len(path.parts) < 2 or path.suffix != ".jpg":
            raise DataError(f"{member.where}: {line!r} does not name a frame, such as /JPEGImages/480p/bear/00000.jpg")
        names.append(f"{path.parts[-2]}/{path.stem}")
    return names


def make_label(members: Sequence[ReadOnce], outputs: Sequence[str]) -> Written:
    """Write 1 where the annotation, grey or in colour, is not 0."""
    values = np.asarray(read_image(members[0]).convert("RGB")).max(axis=2) > 0
    return Written({outputs[0]: label_bytes(values.astype(np.uint8), CLASSES)})
