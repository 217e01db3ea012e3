"""Suggest which clusters could be one, without labels.

Two clusters are close if their centres of k-means are near each other and if they often touch; without centres, if
they look alike and touch. How often the closest clusters are of one class is measured with labels in
`tests/benchmarks/merge_suggestions.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.views.cluster_facts import PageTally

MOST = 12  # suggestions
MOST_CLUSTERS = 500  # above, comparing all pairs would take too long
LEAST_SHARE = 0.001  # of the pixels: smaller clusters say too little of themselves

Matrix = NDArray[np.float64]


class Suggestion(NamedTuple):
    """Two clusters that could be one."""

    clusters: tuple[int, int]
    closeness: float  # share of all pairs of clusters that are less close
    why: str


def suggest(run: Predictions, tally: PageTally) -> list[Suggestion]:
    """Return the pairs of clusters that could be merged, the closest first."""
    large = np.flatnonzero(tally.pixels > LEAST_SHARE * max(1, tally.pixels.sum()))
    if run.role != "clusters" or run.parts or not 2 <= len(large) <= MOST_CLUSTERS:
        return []
    apart, said = centre_distances(run, tally.count), "Their centres are"
    if apart is None:
        apart, said = looks_apart(tally.looks()), "Their colours and textures are"
    return closest(apart, touching(tally.borders(), tally.count), large, said)


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


def touching(borders: Iterable[tuple[int, int, int]], count: int) -> Matrix:
    """Return how often each two clusters touch, relative to clusters that lie at random: (count, count).

    Args:
        borders: two clusters and the length of their common border.
        count: number of clusters.
    """
    common = np.zeros((count, count))
    for first, second, length in borders:
        common[first, second] = common[second, first] = length
    whole = common.sum(axis=1)
    with np.errstate(invalid="ignore"):
        found: Matrix = np.nan_to_num(common * whole.sum() / (whole[:, None] * whole[None]))
    return found


def together(*measures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join measures of closeness of the same pairs: the mean share of the pairs that are less close, 0 to 1."""
    joined: NDArray[np.float64] = np.mean([_shares_below(one) for one in measures], axis=0)
    return joined


def _shares_below(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the other values that is lower than each value; equal ones count half."""
    ordered = np.sort(values)
    lower, upper = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    shares: NDArray[np.float64] = (lower + upper - 1) / 2 / max(1, len(values) - 1)
    return shares


def closest(apart: Matrix, touch: Matrix, clusters: NDArray[np.intp], said: str) -> list[Suggestion]:
    """Return the closest pairs among some clusters.

    Args:
        apart: (cluster, cluster) distances; pairs without a finite one are left out.
        touch: (cluster, cluster) how often they touch, 1 = as often as at random.
        clusters: to choose from.
        said: what the reason starts with.
    """
    first, second = (clusters[one] for one in np.triu_indices(len(clusters), 1))
    known = np.isfinite(apart[first, second])
    pairs = first[known], second[known]
    if not len(pairs[0]):
        return []
    distances, touches = apart[pairs], touch[pairs]
    close, usual = together(-distances, touches), float(np.median(distances)) or 1.0
    return [
        Suggestion(
            (int(pairs[0][at]), int(pairs[1][at])),
            round(float(close[at]), 4),
            f"{said} {distances[at] / usual:.0%} as far apart as usual, and they touch {touches[at]:.1f} times as "
            "often as at random.",
        )
        for at in np.argsort(-close, kind="stable")[:MOST]
    ]
