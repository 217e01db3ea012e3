"""Which class each cluster stands for, found from the matrix of clusters and classes.

A matching uses the labels: it is made for scoring and naming. Nothing here may reach training.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.errors import ConfigError, DataError

By = Literal["count", "iou"]


def one_to_one(matrix: CountMatrix, by: By = "count", unclustered: NDArray[np.int64] | None = None) -> NDArray[np.intp]:
    """The class of each cluster where each class is given once: (clusters,), -1 = unmatched.

    The sum of what `by` names is as large as it can be. As many pairs are made as there are clusters or
    classes, whichever are fewer: a cluster may thus be given a class with which it shares no pixel, and a
    cluster without any pixel may be given one. Such pairs are made in ascending order of both numbers; equally
    good matchings that do share pixels are decided by scipy, always in the same way.

    Args:
        matrix: (clusters, classes), pixels; without the row "in no cluster".
        by: maximise the pixels shared (count), or the sum of intersections over unions (iou).
        unclustered: (classes,), the row "in no cluster", which the unions count too; None = there is none.
    """
    from scipy.optimize import linear_sum_assignment

    gain = _gain(matrix, by, unclustered)
    assignment = np.full(gain.shape[0], -1, np.intp)
    chosen, given = linear_sum_assignment(gain, maximize=True)
    shared = gain[chosen, given] > 0
    assignment[chosen[shared]] = given[shared]
    # What is left over shares nothing, or the optimum would have been better: pair it in order.
    free_clusters = np.flatnonzero(assignment < 0)
    free_classes = np.setdiff1d(np.arange(gain.shape[1]), given[shared])
    pairs = min(free_clusters.size, free_classes.size)
    assignment[free_clusters[:pairs]] = free_classes[:pairs]
    return assignment


def many_to_one(
    matrix: CountMatrix, by: By = "count", unclustered: NDArray[np.int64] | None = None
) -> NDArray[np.intp]:
    """The best class of each cluster, whichever the others have: (clusters,), -1 = it has no pixel.

    With more clusters this score can only rise: always say how many there were. The lowest class wins a tie.
    The arguments are those of `one_to_one`.
    """
    gain = _gain(matrix, by, unclustered)
    return np.where(gain.max(axis=1) > 0, gain.argmax(axis=1), -1)


def assigned(matrix: CountMatrix, assignment: NDArray[np.integer]) -> CountMatrix:
    """Pixels of each predicted and true class: (classes + 1, classes); the last row is "no class".

    The last row collects the clusters without a class and the pixels in no cluster, so that the sum is that of
    `matrix`: an unmatched pixel counts as wrong. `assigned(...)[:-1]` are the pixels that some published codes
    keep alone, which raises their scores.

    Args:
        matrix: (clusters, classes), or (clusters + 1, classes) with the row "in no cluster" at its end.
        assignment: (clusters,), the class of each cluster; negative = none.
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
    """What a pair of cluster and class is worth: (clusters, classes). Counts below 2^53 stay exact."""
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise DataError(f"a matrix (clusters, classes) is needed, not an array {matrix.shape}")
    if by == "count":
        return matrix.astype(np.float64)
    if by != "iou":
        raise ConfigError(f"match by {by!r}: count and iou are known")
    of_class = matrix.sum(axis=0) + (0 if unclustered is None else unclustered)
    union = matrix.sum(axis=1)[:, None] + of_class[None, :] - matrix
    iou: NDArray[np.float64] = matrix / np.maximum(union, 1)
    return iou
