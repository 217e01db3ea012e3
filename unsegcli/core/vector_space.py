"""The space in which vectors of a network are compared: each layer by its principal components and its weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.region_space import Space, inverse_deviation

BLOCK = 4096  # points whose products are summed at once
NEGLIGIBLE = 1e-9  # variance of a component, as a share of the largest

COMPONENTS = 32  # principal components of a layer, if no other number is asked for

Floats = NDArray[np.float64]


class Layer(NamedTuple):
    """A part of the vectors of a network."""

    size: int  # number of dimensions
    weight: float = 1.0


def dimensions_of_layers(layers: Sequence[Layer], components: int = COMPONENTS) -> int:
    """Return the number of dimensions of the space of `fit_vector_space`."""
    return sum(min(layer.size, components or layer.size) for layer in layers)


def length_of_layers(layers: Sequence[Layer]) -> float:
    """Return the length of vectors whose layers have their weights as lengths."""
    return math.sqrt(sum(layer.weight**2 for layer in layers))


def fit_vector_space(
    features: NDArray[Any],
    weights: NDArray[Any],
    layers: Sequence[Layer],
    components: int = COMPONENTS,
    *,
    whiten: bool = False,
) -> Space:
    """Fit the space of a network's vectors; mapped vectors have a mean square length of one.

    Args:
        features: (points, dimensions) of all layers, in order.
        weights: (points,) weight of each point.
        layers: the layers, in order.
        components: principal components of each layer, at most; 0 = all.
        whiten: whether all components of a layer get the same variance.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    ends = np.cumsum([layer.size for layer in layers])
    parts = [
        _fit_layer(features[:, end - layer.size : end], share, components, whiten=whiten)
        for end, layer in zip(ends, layers, strict=True)
    ]
    whole = length_of_layers(layers)
    return joined(parts, [layer.weight / whole for layer in layers])


def of_length(space: Space, features: NDArray[Any], weights: NDArray[Any], length: float = 1.0) -> Space:
    """Scale a space so that the mapped features have this length, as the root of the mean square."""
    share = np.asarray(weights, np.float64) / np.sum(weights)
    squared = float(share @ (np.asarray(space(features), np.float64) ** 2).sum(axis=1))
    return Space(space.mean, space.projection * (length / math.sqrt(squared))) if squared > 0 else space


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
    kept = min(len(values), components or len(values))
    values, part = values[:kept], factors[:, None] * axes[:, :kept]
    known = values > NEGLIGIBLE * max(values[0], 0)
    if not known.any():
        return Space(mean, np.zeros_like(part))
    squared = values * np.count_nonzero(known) if whiten else np.full(kept, values[known].sum())
    return Space(mean, np.where(known, part / np.sqrt(np.where(known, squared, 1)), 0))


def _signed(axes: Floats) -> Floats:
    """Choose the sign of each axis, which is arbitrary: its largest entry is positive."""
    largest = np.abs(axes).argmax(axis=0)
    return axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
