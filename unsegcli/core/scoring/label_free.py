"""Label-free measures of label maps and scores, for one image or for a run.

Label maps are (height, width), -1 = void. Measures of several images are computed from sums of their counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.confusion import CountMatrix, confusion
from unsegcli.core.scoring.scores import adjusted_rand_index

Floats = NDArray[np.float64]
LabelMap = NDArray[np.integer[Any]]


class Balance(NamedTuple):
    """Entropies of soft assignments, as shares of the largest possible entropy."""

    evenness: float  # entropy of the mean assignment: 1 = all clusters are used equally
    confidence: float  # 1 - mean entropy of the pixels: 1 = every pixel is certain

    @property
    def information(self) -> float:
        """Mutual information of pixels and clusters: 1 = certain and even."""
        return max(0.0, self.evenness + self.confidence - 1)


class EdgeSteps(NamedTuple):
    """Sums of differences between neighbouring pixels, at cluster borders and everywhere; they can be added."""

    at_borders: float
    borders: int
    everywhere: float
    pairs: int


def entropies(mean_share: Floats, mean_entropy: float) -> Balance:
    """Compute both entropies from mean scores (clusters,) and the mean entropy of the pixels, in nats."""
    clusters = len(mean_share)
    if clusters < 2:
        return Balance(1.0, 1.0)
    return Balance(float(entropy(mean_share)) / float(np.log(clusters)), 1 - mean_entropy / float(np.log(clusters)))


def entropy(shares: NDArray[Any], axis: int = 0) -> NDArray[Any]:
    """Compute the entropy in nats along an axis, which is removed."""
    clipped = np.maximum(shares, np.finfo(np.float32).tiny)
    result: NDArray[Any] = np.maximum(-(shares * np.log(clipped)).sum(axis=axis), 0)
    return result


def pairs_of(labels: LabelMap, other: LabelMap, clusters: int) -> CountMatrix:
    """Count the pixels of each pair of clusters in two maps (clusters, clusters); void in either is ignored."""
    return confusion(labels, np.where(labels < 0, -1, other), clusters, clusters, void=-1)[:-1]


def agreement(pairs: CountMatrix) -> float:
    """Compute the share of pixels with the same cluster in both maps."""
    return float(np.trace(pairs)) / max(1, int(pairs.sum()))


def agreement_beyond_chance(pairs: CountMatrix) -> float:
    """Compute Cohen's kappa: 1 = all pixels agree, 0 = chance level, also if there is only one cluster."""
    total = max(1, int(pairs.sum()))
    expected = float((pairs.sum(axis=0) / total) @ (pairs.sum(axis=1) / total))
    return (agreement(pairs) - expected) / (1 - expected) if expected < 1 else 0.0


def pure_pixels(labels: LabelMap, regions: NDArray[np.integer[Any]], clusters: int) -> tuple[int, int]:
    """Count pixels with the most frequent cluster of their region, and all pixels with cluster and region (not -1)."""
    both = (labels >= 0) & (regions >= 0)
    codes = regions[both].astype(np.int64) * clusters + labels[both]
    count = int(regions.max(initial=-1)) + 1
    counts = np.bincount(codes, minlength=count * clusters).reshape(count, clusters)
    return int(counts.max(axis=1).sum()) if count else 0, int(counts.sum())


def edge_steps(pixels: NDArray[np.uint8], labels: LabelMap) -> EdgeSteps:
    """Compute differences of an image (height, width, bands) to the right and down, summed over bands."""
    at_borders, borders, everywhere, pairs = 0.0, 0, 0.0, 0
    values = pixels.astype(np.float32)
    for axis in (0, 1):
        steps = np.abs(np.diff(values, axis=axis)).sum(axis=2)
        before, after = _neighbours(labels, axis)
        known = (before >= 0) & (after >= 0)
        border = known & (before != after)
        at_borders += float(steps[border].sum(dtype=np.float64))
        borders += int(border.sum())
        everywhere += float(steps[known].sum(dtype=np.float64))
        pairs += int(known.sum())
    return EdgeSteps(at_borders, borders, everywhere, pairs)


def edge_ratio(found: EdgeSteps) -> float:
    """Compute the mean difference at borders over that everywhere; 1 = borders are unrelated to the image."""
    if not found.borders or not found.everywhere:
        return 1.0
    return (found.at_borders / found.borders) / (found.everywhere / found.pairs)


def explained(points: NDArray[Any], labels: NDArray[np.integer[Any]], weights: NDArray[Any]) -> float:
    """Compute the share of the variance of points that is between clusters.

    Args:
        points: (points, dimensions), such as features of superpixels.
        labels: (points,), each at least 0.
        weights: (points,), not negative.
    """
    mass = weights / weights.sum()
    middle = mass @ points
    sizes = np.bincount(labels, mass)
    within = total = 0.0
    for values, mean in zip(points.T, middle, strict=True):
        centred = values - mean
        sums = np.bincount(labels, mass * centred)
        whole = float(mass @ centred**2)
        total += whole
        within += whole - float((sums**2 / np.where(sizes > 0, sizes, 1)).sum())
    return 1 - within / total if total > 0 else 0.0


def silhouette(points: NDArray[Any], labels: NDArray[np.integer[Any]]) -> float:
    """Compute the mean silhouette: near 1 = compact, well separated clusters; 0 for one cluster.

    The silhouette of a single-point cluster is 0. Memory is quadratic in the number of points: use a sample.
    """
    present, own = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return 0.0
    norms = (points**2).sum(axis=1)
    distances = np.sqrt(np.maximum(norms[:, None] + norms - 2 * points @ points.T, 0))
    members = np.eye(len(present))[own]
    sums, sizes = distances @ members, members.sum(axis=0)
    rows = np.arange(len(points))
    inside = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    sums[rows, own] = np.inf
    outside = (sums / sizes).min(axis=1)
    larger = np.maximum(inside, outside)
    values = np.divide(outside - inside, larger, out=np.zeros_like(larger), where=larger > 0)
    return float(np.where(sizes[own] > 1, values, 0).mean())


def stability(runs: Sequence[Sequence[LabelMap]], clusters: int) -> list[float]:
    """Compute the mean adjusted Rand index of each run with all other runs; NaN for a single run.

    Args:
        runs: label maps of the same images, in the same order.
        clusters: the largest number of clusters of a run.
    """
    found = np.full((len(runs), len(runs)), np.nan)
    for one in range(len(runs)):
        for other in range(one):
            matrix = sum(
                (pairs_of(a, b, clusters) for a, b in zip(runs[one], runs[other], strict=True)),
                np.zeros((clusters, clusters), np.int64),
            )
            found[one, other] = found[other, one] = adjusted_rand_index(matrix)
    return [float(np.mean(np.delete(row, number))) if len(runs) > 1 else np.nan for number, row in enumerate(found)]


def _neighbours(labels: LabelMap, axis: int) -> tuple[LabelMap, LabelMap]:
    if axis == 0:
        return labels[:-1], labels[1:]
    return labels[:, :-1], labels[:, 1:]
