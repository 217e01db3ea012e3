"""Confusion matrix of clusters and classes, from which all semantic scores are computed.

Matrices of several images are added by the caller; the matching of clusters to classes is separate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import DataError

CountMatrix = NDArray[np.int64]
IntegerMap = NDArray[np.integer[Any]]

BLOCK = 1 << 17  # pixels per block: their codes (256 KiB) fit into the L2 cache
LARGEST_BLOCK = 1 << 22  # for large matrices, whose addition takes long


def confusion(
    predicted: IntegerMap, truth: IntegerMap, clusters: int, classes: int, void: int | None = None
) -> CountMatrix:
    """Count the pixels of each cluster and class: (clusters + 1, classes); the last row is "in no cluster".

    Pixels with a truth below 0 are ignored. All others are counted once, so that the matrix sums to the number of
    pixels that are not ignored.

    Args:
        predicted: (height, width), 0 to `clusters` - 1, or `void`.
        truth: (height, width), below `classes`; negative = ignored.
        clusters: number of clusters.
        classes: number of classes.
        void: the value that means "in no cluster"; None = not used.
    """
    predicted, truth = _integers(predicted, "label map"), _integers(truth, "truth")
    if predicted.ndim != 2 or predicted.shape != truth.shape:
        raise DataError(f"label map {predicted.shape} and truth {truth.shape}: two equal (height, width) are needed")
    if clusters < 1 or classes < 1:
        raise DataError(f"{clusters} clusters and {classes} classes: at least one of each is needed")
    columns = classes + 1  # an extra one for ignored pixels, which is cheaper than selecting the others
    cells = (clusters + 1) * columns
    kind: type[np.unsignedinteger[Any] | np.signedinteger[Any]] = np.uint16 if cells <= 1 << 16 else np.int64
    height, width = predicted.shape
    rows = max(max(BLOCK, min(cells, LARGEST_BLOCK)) // max(width, 1), 1)
    codes = np.empty((min(rows, height), width), kind)
    total = np.zeros(cells, np.int64)
    for top in range(0, height if width else 0, rows):
        code = codes[: min(rows, height - top)]
        cluster = _clusters(predicted[top : top + rows], clusters, void)
        np.multiply(cluster, columns, out=code, dtype=kind, casting="unsafe")
        # An ignored pixel is -1: as uint16 it wraps to 65535, and adding 1 at the end wraps it back.
        np.add(code, _classes(truth[top : top + rows], classes), out=code, dtype=kind, casting="unsafe")
        np.add(code, 1, out=code)
        total += np.bincount(code.ravel(), minlength=cells)
    return np.ascontiguousarray(total.reshape(clusters + 1, columns)[:, 1:])


def nonzero_counts(matrix: CountMatrix) -> CountMatrix:
    """Return the pairs that share pixels: (pairs, 3), cluster, class and pixels."""
    cluster, class_ = np.nonzero(matrix)
    return np.stack([cluster, class_, matrix[cluster, class_]], axis=1)


def matrix_of_counts(counts: CountMatrix, shape: tuple[int, int]) -> CountMatrix:
    """Return the matrix of a shape whose pairs with pixels are given; the inverse of `nonzero_counts`."""
    matrix = np.zeros(shape, np.int64)
    matrix[counts[:, 0], counts[:, 1]] = counts[:, 2]
    return matrix


def _integers(values: NDArray[Any], name: str) -> IntegerMap:
    """Convert booleans to 0 and 1; refuse other types than integers."""
    if values.dtype == np.bool_:
        return values.view(np.uint8)
    if values.dtype.kind not in "iu":
        raise DataError(f"{name} is {values.dtype}: integers are needed")
    return values


def _clusters(predicted: IntegerMap, clusters: int, void: int | None) -> IntegerMap:
    """Replace `void` by `clusters` in a block; DataError for any other value out of range."""
    inside = predicted.max() < clusters and (predicted.dtype.kind == "u" or predicted.min() >= 0)
    if inside and (void is None or not 0 <= void < clusters):
        return predicted
    none = np.zeros(predicted.shape, np.bool_) if void is None else predicted == void
    wrong = ~none & ((predicted < 0) | (predicted >= clusters))
    if wrong.any():
        raise DataError(
            f"label map holds {predicted[wrong][0]}, which is not one of the clusters 0 to {clusters - 1}"
            f" (no cluster is {'not used' if void is None else void}): give the number of clusters that it has"
        )
    fits = clusters <= np.iinfo(predicted.dtype).max
    return np.where(none, (predicted.dtype.type if fits else np.int64)(clusters), predicted)


def _classes(truth: IntegerMap, classes: int) -> IntegerMap:
    """Return a block of classes, -1 where ignored; DataError for an unknown class."""
    largest = truth.max()
    if largest >= classes:
        raise DataError(
            f"truth holds {largest}, which is not one of the classes 0 to {classes - 1}: add it or ignore it"
        )
    if truth.dtype.kind == "u" or truth.min() >= -1:
        return truth
    return np.maximum(truth, -1)
