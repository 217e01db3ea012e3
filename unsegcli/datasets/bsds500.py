"""Berkeley BSDS500: 500 photographs, each divided into regions by about five people.

Where the facts come from: www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html, and listings of
BSR_bsds500.tgz: BSR/BSDS500/data/images/train/100075.jpg and BSR/BSDS500/data/groundTruth/train/100075.mat, with 200,
100 and 200 files in train, val and test; the images have a Thumbs.db beside them. Label files are taken as they are:
`unseg evaluate` reads all annotators of a .mat file.
"""

from __future__ import annotations

from unsegcli.datasets._archives import Files
from unsegcli.datasets._contract import Plan, PublishedSet, ScoringRules, SetSplit, Task
from unsegcli.datasets._pairs import by_end, lacking, taken
from unsegcli.params import Prepare

ARCHIVE = "BSR_bsds500.tgz"

SETS = (
    PublishedSet(
        name="bsds500",
        what="photographs with the regions of several people, for superpixels",
        licence="research and education, not commercial",
        link="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
        needs=(f"{ARCHIVE} with 500 images and their groundTruth",),
        classes=(),
        ignore=(),
        splits=(SetSplit("train", 200, 200), SetSplit("val", 100, 100), SetSplit("test", 200, 200)),
        rules=ScoringRules(
            protocol="",
            matching="none: superpixels are compared with the regions of each annotator",
            level="image",
            clusters=0,
            trained_on=("train",),
            scored_on=("test",),
            size="481 x 321 or 321 x 481, whole images",
            notes=("settings of superpixels may be chosen on train and val; nothing is trained",),
        ),
        archives=(ARCHIVE,),
    ),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Take the images and the label files of the three splits."""
    tasks: list[Task] = []
    missing: list[str] = []
    for split in published.splits:
        images = by_end(files.find(f"images/{split.name}/*.jpg"), 1)
        labels = by_end(files.find(f"groundTruth/{split.name}/*.mat"), 1)
        missing += lacking(sorted(labels), images, ARCHIVE, f"images/{split.name}/{{}}.jpg")
        missing += lacking(sorted(images), labels, ARCHIVE, f"groundTruth/{split.name}/{{}}.mat")
        if len(images.keys() | labels.keys()) < split.images:
            found = f"{len(images)} images and {len(labels)} label files"
            missing.append(f"{ARCHIVE}: {found} in {split.name}, but {split.images} are published")
        for name in (name for name in images if name in labels):
            tasks.append(taken(images[name], f"images/{split.name}", name))
            tasks.append(taken(labels[name], f"labels/{split.name}", name))
    return Plan(tuple(tasks), tuple(missing))
