"""Suggest which clusters could be one, without labels.

Where the centres of k-means are known, the clusters of the nearest centres are suggested; otherwise those that look
most alike. How often such clusters are of one class is measured in `tests/benchmarks/merge_suggestions.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.views.cluster_facts import ClusterTally

MOST = 12  # suggestions
MOST_CLUSTERS = 500  # above, comparing all pairs would take too long
LEAST_SHARE = 0.001  # of the pixels: smaller clusters say too little of themselves

Matrix = NDArray[np.float64]


class Suggestion(NamedTuple):
    """Two clusters that could be one."""

    clusters: tuple[int, int]
    closeness: float  # 0 to 1; 1/2 = as far apart as two clusters usually are
    why: str


def suggest(run: Predictions, tally: ClusterTally) -> list[Suggestion]:
    """Return the pairs of clusters that could be merged, the closest first."""
    large = np.flatnonzero(tally.pixels > LEAST_SHARE * max(1, tally.pixels.sum()))
    if run.role != "clusters" or run.parts or not 2 <= len(large) <= MOST_CLUSTERS:
        return []
    apart, said = centre_distances(run, tally.count), "Their centres are"
    if apart is None:
        apart, said = looks_apart(tally.looks()), "Their colours and textures are"
    return closest(apart, large, said)


def centre_distances(run: Predictions, count: int) -> Matrix | None:
    """Return the distance between the nearest centres of each two clusters; None if no centres are stored."""
    if not is_artifact(run.name):
        return None
    with store.open_artifact(run.name) as artifact:
        if not artifact.has("fit/centres"):
            return None
        centres = artifact.table("fit/centres")
        category = artifact.table("fit/category") if artifact.has("fit/category") else np.arange(len(centres))
    return distances_between(centres, category, count)


def distances_between(centres: Matrix, category: NDArray[Any], count: int) -> Matrix:
    """Return the distance between the nearest centres of each two clusters: (count, count); infinity = no centre.

    Args:
        centres: (centre, dimension).
        category: the cluster of each centre.
        count: number of clusters.
    """
    apart = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(axis=2))
    found = np.full((count, count), np.inf)
    np.minimum.at(found, (category[:, None], category[None]), apart)
    return found


def looks_apart(looks: Matrix) -> Matrix:
    """Return how differently clusters look: the distance between mean colour (CIELAB) and roughness of each two."""
    apart: Matrix = np.sqrt(((looks[:, None] - looks[None]) ** 2).sum(axis=2))
    return apart


def closest(apart: Matrix, clusters: NDArray[np.intp], said: str) -> list[Suggestion]:
    """Return the closest pairs among some clusters.

    Args:
        apart: (cluster, cluster) distances; those that are not finite are not suggested.
        clusters: to choose from.
        said: what the reason starts with.
    """
    first, second = (clusters[one] for one in np.triu_indices(len(clusters), 1))
    known = np.isfinite(apart[first, second])
    first, second = first[known], second[known]
    distances = apart[first, second]
    usual = float(np.median(distances)) if len(distances) else 0.0
    if usual <= 0:
        return []
    order = np.argsort(distances, kind="stable")[:MOST]
    return [
        Suggestion(
            (int(first[at]), int(second[at])),
            round(float(usual / (usual + distances[at])), 4),
            f"{said} {distances[at] / usual:.0%} as far apart as those of two clusters usually are.",
        )
        for at in order
    ]
