"""The data of the page: the clusters, images and scores of each result as plain lists and tables."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.palette import palette
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import ImageMap, Predictions
from unsegcli.dataflow.provenance import provenance
from unsegcli.errors import as_unseg_writes
from unsegcli.legend import Legend
from unsegcli.names import is_number
from unsegcli.views.categories import Categories, Matching, known_classes
from unsegcli.views.cluster_crops import Kept
from unsegcli.views.cluster_facts import PageTally
from unsegcli.views.curves import curves_behind
from unsegcli.views.merging import suggest
from unsegcli.views.page_image import LayerFacts

BY_DISTANCES = (
    "1 minus the mean, over the pixels, of the distance to the centre of the own cluster divided by that to the second "
    "nearest centre: 0 = undecided."
)
BY_CONFIDENCE = "The mean confidence of the model over the pixels."
OF_MASKS = "How far the confidence of the pixels is from one half, on average, from 0 to 1."


@dataclass(frozen=True)
class ShownResult:
    """One result on the page."""

    name: str  # short and unique
    run: Predictions
    categories: Categories | None  # None: superpixels
    matching: Matching | None
    maps: tuple[ImageMap | None, ...]  # of each image of the page; None = it lacks the image


@dataclass(frozen=True)
class Crops:
    """The crops of one cluster, in one file."""

    file: str
    side: int
    typical: Sequence[Kept]
    doubtful: Sequence[Kept]

    def as_data(self) -> dict[str, Any]:
        """Return the crops as the page reads them."""
        rows = {"typical": self.typical, "doubtful": self.doubtful}
        places = {name: [{"image": one.image, "box": list(one.box)} for one in some] for name, some in rows.items()}
        return {"file": self.file, "side": self.side, **places}


def hex_color(color: NDArray[np.uint8]) -> str:
    """Write a colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*(int(level) for level in color))


def short_names(runs: Sequence[Predictions]) -> list[str]:
    """Return a short name for each result: its file without suffix; if two are equal, what they differ in."""
    names = [PurePath(run.name).stem or run.name for run in runs]
    if len(set(names)) == 1 < len(names):
        names = [PurePath(run.name).parent.name or name for run, name in zip(runs, names, strict=True)]
    if len(set(names)) < len(names):
        names = ["/".join(PurePath(run.name).with_suffix("").parts[-2:]) for run in runs]
    return [name if names.count(name) == 1 else f"{name} {number + 1}" for number, name in enumerate(names)]


def class_rows(results: Sequence[ShownResult], legend: Legend | None, largest: int) -> list[dict[str, str]]:
    """Return name and colour of each class of the ground truth; `largest` is the number of classes in the labels."""
    if not largest:
        return []
    named = [one.categories for one in results if one.categories is not None]
    names, colors = known_classes(legend, None)
    if named:
        names, colors = named[0].class_names, named[0].class_colors
    more = palette(max(largest, len(names)))
    return [
        {
            "name": names[number] if number < len(names) else f"class {number}",
            "color": hex_color(colors[number] if number < len(colors) else color),
        }
        for number, color in enumerate(more)
    ]


def result_data(
    result: ShownResult,
    tally: PageTally,
    images: Sequence[LayerFacts | None],
    crops: dict[int, Crops],
    classes: int,
) -> dict[str, Any]:
    """Return everything that the page shows of one result."""
    run = result.run
    return {
        "name": result.name,
        "path": run.name,
        "fingerprint": next(iter(run.inputs.values())),
        "role": run.role,
        "parts": run.parts,
        "clusters": _clusters(result, tally, crops, classes),
        "suggestions": [
            {"clusters": list(one.clusters), "closeness": one.closeness, "why": one.why} for one in suggest(run, tally)
        ],
        "images": [_image(facts) for facts in images],
        "certainty": _certainty(run, tally),
        "relabel": shlex.join(["unseg", "relabel", run.name, "--names", "names.toml", "-o", _named_file(run)]),
        "scores": None if result.matching is None else result.matching.scores,
        "confusion": None if result.matching is None else _confusion(result.matching),
        "floors": [] if result.matching is None else _floors(result.matching),
        "curves": curves_behind(run),
    }


def _clusters(result: ShownResult, tally: PageTally, crops: dict[int, Crops], classes: int) -> list[dict[str, Any]]:
    if result.categories is None:
        return []
    total, neighbours = max(1, int(tally.pixels.sum())), tally.neighbours()
    class_of = result.categories.class_of if classes else None
    return [
        {
            "number": number,
            "name": name,
            "color": hex_color(result.categories.colors[number]),
            "named": _is_named(result.run, number),
            "pixels": int(tally.pixels[number]),
            "share": _rounded(tally.pixels[number] / total),
            "images": int(tally.images[number]),
            "class": None if class_of is None else class_of[number] if class_of[number] < classes else -1,
            "neighbours": [[other, _rounded(share)] for other, share in neighbours.get(number, [])],
            "crops": crops[number].as_data() if number in crops else None,
        }
        for number, name in enumerate(result.categories.names)
    ]


def _named_file(run: Predictions) -> str:
    """Return the file for its names, beside it: named.h5, or named-2.h5 if it is that or was made from that."""
    own = Path(run.name)
    taken = {own.name}
    if is_artifact(own) and own.is_file():
        with store.open_artifact(own) as artifact:
            taken |= {PurePath(entry["path"]).name for entry in provenance(artifact)}
    names = itertools.chain(["named.h5"], (f"named-{number}.h5" for number in itertools.count(2)))
    return str(own.parent / next(name for name in names if name not in taken))


def _is_named(run: Predictions, number: int) -> bool:
    """Whether somebody gave the cluster a name; relabel calls the others "cluster 2 (was 4)"."""
    return number < len(run.categories) and not is_number(run.categories[number])


def _image(facts: LayerFacts | None) -> dict[str, Any]:
    if facts is None:
        return {"areas": [], "void": 0, "certainty": None, "score": None}
    sure = facts.facts.certainty
    return {
        "areas": [list(one) for one in facts.facts.areas],
        "void": facts.facts.void,
        "certainty": None if sure is None else _rounded(sure),
        "score": _rounded(facts.right / facts.scored) if facts.scored else None,
    }


def _rounded(value: float) -> float:
    return round(float(value), 5)


def _certainty(run: Predictions, tally: PageTally) -> str | None:
    if not tally.certain:
        return None
    if tally.by_distance:
        return BY_DISTANCES
    return OF_MASKS if run.role == "mask" else BY_CONFIDENCE


def _confusion(matching: Matching) -> dict[str, Any] | None:
    """Return the pixels of clusters in classes, and those of matched classes in classes."""
    if matching.matrix is None:
        return None
    counts = np.asarray(matching.matrix[:-1], np.int64)
    if len(matching.assignment) < len(counts):
        return {"clusters_by_class": counts.tolist(), "classes_by_class": None}
    matched = np.zeros((counts.shape[1], counts.shape[1]), np.int64)
    with as_unseg_writes(matching.path, "scores"):
        for row, class_ in zip(counts, matching.assignment, strict=False):
            if class_ >= 0:
                matched[class_] += row
    return {"clusters_by_class": counts.tolist(), "classes_by_class": matched.tolist()}


def _floors(matching: Matching) -> list[list[Any]]:
    """Return what the scores are to be compared with: those of chance."""
    chance = matching.scores.get("chance") or {}
    return [[f"chance: {name.replace('_', ' ')}", value] for name, value in chance.items() if value is not None]
