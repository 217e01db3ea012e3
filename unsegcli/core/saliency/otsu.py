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
