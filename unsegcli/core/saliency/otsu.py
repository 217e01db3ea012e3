"""Exact weighted Otsu threshold, and the separability of the two sides."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Cut(NamedTuple):
    """A threshold: values above `at` are the upper side."""

    at: float
    separation: float  # 0 to 1: between-class variance over total variance


def otsu(values: NDArray[Any], weights: NDArray[Any] | None = None) -> Cut:
    """Compute the weighted Otsu threshold, which maximises the between-class variance.

    No bins are used: every gap between two values is tried, and the threshold is the value below the best gap, the
    lowest in a tie. If all values are equal, there is no upper side, and the separation is 0.

    Args:
        values: (n,), any finite numbers, at least one.
        weights: (n,) number of pixels of each value; None = one each.
    """
    levels, level = np.unique(np.asarray(values, np.float64), return_inverse=True)
    counts = np.bincount(level.ravel(), None if weights is None else np.asarray(weights, np.float64))
    total = counts.sum()
    if len(levels) < 2 or total <= 0:
        return Cut(float(levels[-1]), 0.0)
    below = np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * levels)
    above, mean = total - below, sums[-1] / total
    # Product of both shares times the squared distance of the means, with a single division.
    gaps = (mean * below - sums[:-1]) ** 2
    between = np.divide(gaps, below * above, out=np.zeros_like(gaps), where=(below > 0) & (above > 0))
    variance = (counts * (levels - mean) ** 2).sum() / total
    best = int(np.argmax(between))
    return Cut(float(levels[best]), float(min(1.0, between[best] / variance)) if variance > 0 else 0.0)


class CutPair(NamedTuple):
    """Two thresholds: values above `low` are the middle or the upper part, those above `high` the upper one."""

    low: float
    high: float
    separation: float  # 0 to 1: between-class variance over total variance


def otsu_pair(values: NDArray[Any]) -> CutPair:
    """Compute the two thresholds that maximise the between-class variance of three parts; the lowest in a tie.

    Every pair of gaps between two values is tried. With fewer than three values, both thresholds are equal.

    Args:
        values: (n,), any finite numbers, at least one; with few different values, since all pairs are tried.
    """
    levels, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    if len(levels) < 3:
        cut = otsu(values)
        return CutPair(cut.at, cut.at, cut.separation)
    centred = levels - (levels * counts).sum() / counts.sum()
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * centred)[:-1]
    mass, sum_of = below[np.newaxis] - below[:, np.newaxis], sums[np.newaxis] - sums[:, np.newaxis]
    middle = np.divide(sum_of**2, mass, out=np.full(mass.shape, -np.inf), where=mass > 0)
    lower, upper = sums**2 / below, sums**2 / (counts.sum() - below)
    between = lower[:, np.newaxis] + middle + upper[np.newaxis]
    low, high = np.unravel_index(int(np.argmax(between)), between.shape)
    total = (counts * centred**2).sum()
    return CutPair(float(levels[low]), float(levels[high]), float(min(1.0, between[low, high] / total)))
