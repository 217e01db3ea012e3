"""The space in which vectors of a network are compared: each layer by its principal components, all of equal weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.region_space import Space, inverse_deviation

BLOCK = 4096  # points whose products are summed at once
NEGLIGIBLE = 1e-9  # variance of a component, as a share of the largest

Floats = NDArray[np.float64]


def fit_vector_space(
    features: NDArray[Any], weights: NDArray[Any], layers: Sequence[int], components: int, *, whiten: bool
) -> Space:
    """Fit the space of a network's vectors; mapped vectors have a mean square length of one.

    Args:
        features: (points, dimensions) of all layers, in order.
        weights: (points,) weight of each point.
        layers: number of dimensions of each layer.
        components: principal components of each layer, at most; 0 = all.
        whiten: whether all components of a layer get the same variance.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    ends = np.cumsum(layers)
    parts = [
        _fit_layer(features[:, end - size : end], share, components, whiten=whiten)
        for end, size in zip(ends, layers, strict=True)
    ]
    return joined(parts, [1 / math.sqrt(len(parts))] * len(parts))


def of_unit_size(space: Space, features: NDArray[Any], weights: NDArray[Any]) -> Space:
    """Scale a space so that the mapped features have a mean square length of one."""
    share = np.asarray(weights, np.float64) / np.sum(weights)
    squared = float(share @ (np.asarray(space(features), np.float64) ** 2).sum(axis=1))
    return Space(space.mean, space.projection / math.sqrt(squared)) if squared > 0 else space


def joined(spaces: Sequence[Space], weights: Sequence[float], *, unit: bool = False) -> Space:
    """Join the spaces of parts of a vector: features stand side by side, and so do dimensions.

    Args:
        spaces: the space of each part.
        weights: by which each part is multiplied.
        unit: whether the joined vectors are scaled to length one.
    """
    shapes = np.array([space.projection.shape for space in spaces])
    projection = np.zeros(shapes.sum(axis=0))
    for space, weight, (bottom, right) in zip(spaces, weights, shapes.cumsum(axis=0), strict=True):
        height, width = space.projection.shape
        projection[bottom - height : bottom, right - width : right] = weight * space.projection
    return Space(np.concatenate([space.mean for space in spaces]), projection, unit)


def _fit_layer(features: NDArray[Any], share: Floats, components: int, *, whiten: bool) -> Space:
    mean = share @ features
    squares, count = np.zeros((len(mean), len(mean))), len(features)
    for start in range(0, count, BLOCK):
        apart = features[start : start + BLOCK] - mean
        squares += (apart * share[start : start + BLOCK, None]).T @ apart
    factors = inverse_deviation(np.sqrt(np.diag(squares)), mean)
    values, axes = np.linalg.eigh(squares * factors * factors[:, None])
    values, axes = values[::-1], _signed(axes[:, ::-1])
    known = int(np.count_nonzero(values > NEGLIGIBLE * max(values[0], 0)))
    if known == 0:
        return Space(mean, np.zeros((len(mean), 1)))
    kept = min(known, components or known)
    part = factors[:, None] * axes[:, :kept]
    if whiten:
        return Space(mean, part / np.sqrt(values[:kept] * kept))
    return Space(mean, part / math.sqrt(values[:kept].sum()))


def _signed(axes: Floats) -> Floats:
    """Choose the sign of each axis, which is arbitrary: its largest entry is positive."""
    largest = np.abs(axes).argmax(axis=0)
    return axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
