"""Otsu's threshold, exact and weighted: where values part best in two, and how well they do."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Cut(NamedTuple):
    """Values above `at` are the upper side."""

    at: float
    separation: float  # 0 to 1: the share of the variance that goes away when each side has its own mean


def otsu(values: NDArray[Any], weights: NDArray[Any] | None = None) -> Cut:
    """The cut between two values that makes the variance between the two sides as large as it can be.

    There are no bins: every gap between two values is tried, and the cut is at the value below the best one; the
    lowest of several. Values that are all alike have no upper side, and a separation of 0.

    Args:
        values: (n,), any finite numbers, at least one.
        weights: (n,) how many pixels have each; None = one each.
    """
    levels, level = np.unique(np.asarray(values, np.float64), return_inverse=True)
    counts = np.bincount(level.ravel(), None if weights is None else np.asarray(weights, np.float64))
    total = counts.sum()
    if len(levels) < 2 or total <= 0:
        return Cut(float(levels[-1]), 0.0)
    below = np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * levels)
    above, mean = total - below, sums[-1] / total
    # The shares of both sides times the squared distance of their means, without dividing twice.
    gaps = (mean * below - sums[:-1]) ** 2
    between = np.divide(gaps, below * above, out=np.zeros_like(gaps), where=(below > 0) & (above > 0))
    variance = (counts * (levels - mean) ** 2).sum() / total
    best = int(np.argmax(between))
    return Cut(float(levels[best]), float(min(1.0, between[best] / variance)) if variance > 0 else 0.0)
