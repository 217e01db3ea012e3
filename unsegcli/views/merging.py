"""Suggest which clusters could be one, without labels.

Where the centres of k-means are known, two clusters are close if their pixels scatter widely around centres that lie
near each other; otherwise if they look alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.views.cluster_facts import ClusterTally

MOST = 12  # suggestions
MOST_CLUSTERS = 500  # above, comparing all pairs would take too long to look at
LEAST_SHARE = 0.001  # of the pixels: smaller clusters say too little of themselves
ROUGHNESS_WEIGHT = 2.0  # of differences in roughness, against those in colour


class Suggestion(NamedTuple):
    """Two clusters that could be one."""

    clusters: tuple[int, int]
    closeness: float  # 0 to 1
    why: str


def suggest(run: Predictions, tally: ClusterTally) -> list[Suggestion]:
    """Return the pairs of clusters that could be merged, the closest first."""
    large = np.flatnonzero(tally.pixels > LEAST_SHARE * max(1, tally.pixels.sum()))
    if run.role != "clusters" or run.parts or not 2 <= len(large) <= MOST_CLUSTERS:
        return []
    apart, own = _centre_distances(run, tally.count), tally.own_distances()
    if apart is not None and np.isfinite(own[large]).all():
        scatter = own[:, None] + own[None]
        return _closest(large, closeness_of_centres(apart, own), lambda a, b: _of_centres(scatter[a, b], apart[a, b]))
    looks = tally.looks()
    if not np.isfinite(looks[large]).all():
        return []
    return _closest(large, closeness_of_looks(looks), lambda a, b: _of_looks(looks[a], looks[b]))


def _centre_distances(run: Predictions, count: int) -> NDArray[np.float64] | None:
    """Return the distance between the nearest centres of each two clusters; None if no centres are stored."""
    if not is_artifact(run.name):
        return None
    with store.open_artifact(run.name) as artifact:
        if not artifact.has("fit/centres"):
            return None
        centres = artifact.table("fit/centres")
        category = artifact.table("fit/category") if artifact.has("fit/category") else np.arange(len(centres))
    return distances_between(centres, category, count)


def distances_between(centres: NDArray[np.float64], category: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Return the distance between the nearest centres of each two clusters: (count, count); infinity = no centre.

    Args:
        centres: (centre, dimension).
        category: the cluster of each centre.
        count: number of clusters.
    """
    apart = np.sqrt(np.maximum(0, ((centres[:, None] - centres[None]) ** 2).sum(axis=2)))
    found = np.full((count, count), np.inf)
    np.minimum.at(found, (category[:, None], category[None]), apart)
    return found


def closeness_of_centres(apart: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how close clusters are, from 0 to 1: their scatter, relative to the distance of their centres.

    Args:
        apart: (cluster, cluster) distances between centres.
        own: mean distance of the pixels of each cluster to its centre.
    """
    scatter = own[:, None] + own[None]
    close: NDArray[np.float64] = scatter / np.maximum(scatter + apart, 1e-12)
    return close


def closeness_of_looks(looks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how alike clusters look, from 0 to 1: the mean of their colour in CIELAB and of their roughness."""
    weighted = looks * np.array([1.0, 1.0, 1.0, ROUGHNESS_WEIGHT])
    apart = np.sqrt(((weighted[:, None] - weighted[None]) ** 2).sum(axis=2))
    close: NDArray[np.float64] = 1 / (1 + apart / 20)  # 20: colours that people call different
    return close


def _closest(
    clusters: NDArray[np.int64], close: NDArray[np.float64], why: Callable[[int, int], str]
) -> list[Suggestion]:
    """Return the closest pairs among some clusters."""
    first, second = np.triu_indices(len(clusters), 1)
    pairs = clusters[first], clusters[second]
    order = np.argsort(-close[pairs], kind="stable")[:MOST]
    chosen = [(int(pairs[0][at]), int(pairs[1][at])) for at in order]
    return [Suggestion(pair, round(float(close[pair]), 4), why(*pair)) for pair in chosen if close[pair] > 0]


def _of_centres(scatter: float, apart: float) -> str:
    if scatter >= apart:
        return "Their pixels scatter more widely than their centres lie apart."
    return f"Their centres are {apart / scatter:.1f} times as far apart as their pixels scatter."


def _of_looks(first: NDArray[np.float64], second: NDArray[np.float64]) -> str:
    colour = float(np.sqrt(((first[:3] - second[:3]) ** 2).sum()))
    return f"Their mean colours differ by {colour:.0f} in CIELAB, their roughness by {abs(first[3] - second[3]):.0f}."
