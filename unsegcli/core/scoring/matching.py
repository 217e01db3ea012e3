"""Match clusters to classes by their confusion matrix.

A matching uses labels: it is for scoring and naming only, never for training.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.errors import ConfigError, DataError

By = Literal["count", "iou"]


def one_to_one(matrix: CountMatrix, by: By = "count", unclustered: NDArray[np.int64] | None = None) -> NDArray[np.intp]:
    """Match clusters to classes one to one by the Hungarian method: (clusters,), -1 = unmatched.

    The sum of the quantity named by `by` is maximised. The number of pairs is the smaller of the numbers of clusters
    and classes, so a cluster may get a class with which it shares no pixel, even if it has no pixels. Such pairs are
    made in ascending order of both numbers; ties between pairs that share pixels are broken by scipy,
    deterministically.

    Args:
        matrix: (clusters, classes), pixels; without the row "in no cluster".
        by: maximise the shared pixels (count), or the sum of intersections over unions (iou).
        unclustered: (classes,), the row "in no cluster", which is part of the unions; None = no such pixels.
    """
    from scipy.optimize import linear_sum_assignment

    gain = _gain(matrix, by, unclustered)
    assignment = np.full(gain.shape[0], -1, np.intp)
    chosen, given = linear_sum_assignment(gain, maximize=True)
    shared = gain[chosen, given] > 0
    assignment[chosen[shared]] = given[shared]
    # The remaining pairs share no pixels, otherwise they would be in the optimum: pair them in order.
    free_clusters = np.flatnonzero(assignment < 0)
    free_classes = np.setdiff1d(np.arange(gain.shape[1]), given[shared])
    pairs = min(free_clusters.size, free_classes.size)
    assignment[free_clusters[:pairs]] = free_classes[:pairs]
    return assignment


def many_to_one(
    matrix: CountMatrix, by: By = "count", unclustered: NDArray[np.int64] | None = None
) -> NDArray[np.intp]:
    """Match each cluster to its best class, many to one: (clusters,), -1 = it has no pixels.

    The score can only rise with more clusters: always report their number. The lowest class wins a tie.
    The arguments are those of `one_to_one`.
    """
    gain = _gain(matrix, by, unclustered)
    return np.where(gain.max(axis=1) > 0, gain.argmax(axis=1), -1)


def assigned(matrix: CountMatrix, assignment: NDArray[np.integer]) -> CountMatrix:
    """Count the pixels of each predicted and true class: (classes + 1, classes); the last row is "no class".

    The last row contains clusters without a class and pixels in no cluster, so that the sum is that of `matrix`:
    unmatched pixels count as wrong. Some published codes use only `assigned(...)[:-1]`, which raises their scores.

    Args:
        matrix: (clusters, classes), or (clusters + 1, classes) with the row "in no cluster" at its end.
        assignment: (clusters,), class of each cluster; negative = none.
    """
    rows, classes = matrix.shape
    if rows - assignment.size not in (0, 1):
        raise DataError(f"{assignment.size} clusters are assigned, but the matrix has {rows} rows")
    if assignment.max(initial=-1) >= classes:
        raise DataError(f"class {assignment.max()} is assigned, but there are only {classes} classes")
    target = np.full(rows, classes, np.intp)
    target[: assignment.size] = np.where(assignment < 0, classes, assignment)
    together = np.zeros((classes + 1, classes), np.int64)
    np.add.at(together, target, matrix)
    return together


def _gain(matrix: CountMatrix, by: By, unclustered: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Compute the value of each pair of cluster and class: (clusters, classes). Counts below 2^53 are exact."""
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise DataError(f"a matrix (clusters, classes) is needed, not an array {matrix.shape}")
    if by == "count":
        return matrix.astype(np.float64)
    if by != "iou":
        raise ConfigError(f"match by {by!r}: choose count or iou")
    of_class = matrix.sum(axis=0) + (0 if unclustered is None else unclustered)
    union = matrix.sum(axis=1)[:, None] + of_class[None, :] - matrix
    iou: NDArray[np.float64] = matrix / np.maximum(union, 1)
    return iou
