"""A folder of your own: images, and if there are some, labels and a legend, brought into the layout of all others.

Files are taken as they are. A label file gets the name of its image, so that every command finds it.
"""

from __future__ import annotations

from pathlib import Path

from unsegcli.datasets._archives import Files, Member
from unsegcli.datasets._contract import Plan, PublishedSet, ScoringRules, SetSplit
from unsegcli.datasets._pairs import taken
from unsegcli.datasets._plain import plain_pairs, unlabelled
from unsegcli.errors import DataError
from unsegcli.legend import LEGEND_NAME, read_legend
from unsegcli.params import Prepare

SETS = (
    PublishedSet(
        name="folder",
        what="images of your own, with labels and a legend if you have them",
        licence="yours",
        link="",
        needs=(
            "a folder or archive of images; those in images/ if it has such a folder",
            "label files with the same stems, in labels/ or given with --labels",
            f"{LEGEND_NAME} there, or given with --legend",
        ),
        classes=(),
        ignore=(),
        splits=(SetSplit("", 0, 0),),
        rules=ScoringRules(
            protocol="",
            matching="one-to-one, by pixels",
            level="data set",
            clusters=0,
            trained_on=("",),
            scored_on=("",),
            size="as they are",
            notes=("the images that are scored are among those that are trained on",),
        ),
        takes=("labels", "legend"),
        labels_used="taken as they are",
    ),
)


def plan(published: PublishedSet, files: Files, params: Prepare) -> Plan:
    """Take all images, their labels and the legend."""
    pairs = plain_pairs(files, params.labels, ("labels",))
    tasks = [taken(pair.image, "images", pair.name) for pair in pairs]
    tasks += [taken(pair.label, "labels", pair.name) for pair in pairs if pair.label is not None]
    legend = _legend_file(files, params.legend)
    if legend is not None and legend.is_file:
        read_legend(legend.path)  # names a mistake before anything is written
    labelled = len(tasks) - len(pairs)
    missing = unlabelled(pairs) if labelled else []
    notes = () if legend or not labelled else ("there is no legend: the values of the label files are the classes",)
    return Plan(tuple(tasks), tuple(missing), notes, legend=None if legend is None else bytes(legend.read()))


def _legend_file(files: Files, given: str | Path | None) -> Member | None:
    if given is not None:
        path = Path(given)
        if not path.is_file():
            raise DataError(f"--legend {given}: no such file")
        return Member(path.name, path.stat().st_size, path)
    found = files.find(LEGEND_NAME)
    return found[0] if found else None
