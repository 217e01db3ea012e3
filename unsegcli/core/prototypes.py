"""Mean vectors of objects, and whitened PCA of these vectors for clustering.

Maps are (dimensions, height, width); objects are numbered from 0, -1 = background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OBJECTS_A_DIRECTION = 10  # further directions are noise, which whitening would amplify
SPREAD = 1e-6  # minimum variance of a direction, as a share of the largest


def prototypes(vectors: NDArray[Any], objects: NDArray[np.int32], weights: NDArray[Any] | None = None) -> Floats:
    """Compute the mean vector of each object, normalised to length 1: (objects, dimensions).

    Args:
        vectors: (dimensions, height, width).
        objects: (height, width).
        weights: (height, width) weight of each unnormalised vector; None = the mean of normalised vectors.
    """
    inside = objects >= 0
    rows = vectors[:, inside].T.astype(np.float64)
    rows = _directions(rows) if weights is None else rows * weights[inside][:, None]
    sums = np.zeros((int(objects.max(initial=-1)) + 1, len(vectors)))
    for dimension in range(len(vectors)):
        sums[:, dimension] = np.bincount(objects[inside], rows[:, dimension], len(sums))
    return _directions(sums)


@dataclass(frozen=True)
class Whitening:
    """Principal component analysis with whitening."""

    mean: Floats  # (dimensions,)
    directions: Floats  # (dimensions, kept)

    def __call__(self, points: Floats) -> Floats:
        """Transform points (points, dimensions) to (points, kept)."""
        # Summed explicitly: the bits of a matrix product depend on the number of rows.
        found: Floats = ((points - self.mean)[:, :, None] * self.directions).sum(axis=1)
        return found


def whitening(points: Floats) -> Whitening:
    """Fit to points (points, dimensions); at least one direction is kept, and at most one per ten points."""
    mean = points.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(points.T, ddof=1 if len(points) > 1 else 0).reshape(2 * points.shape[1:]))
    variances, axes = variances[::-1], axes[:, ::-1]
    most = max(1, len(points) // OBJECTS_A_DIRECTION)
    kept = (variances > SPREAD * variances[0]) & (np.arange(len(variances)) < most) & (variances > 0)
    if not kept.any():
        return Whitening(mean, axes[:, :1])
    return Whitening(mean, axes[:, kept] / np.sqrt(variances[kept]))


def _directions(rows: Floats) -> Floats:
    lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return rows / np.where(lengths > 0, lengths, 1)
