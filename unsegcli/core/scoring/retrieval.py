"""Retrieval of segments: each segment gets the class of the nearest one of other images. Works on arrays only.

After Van Gansbeke et al., 2021: it measures whether segments of one class lie together; it learns nothing but the
labels of the segments that are looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.core.scoring.linear_probe import NEGLIGIBLE, Labelled
from unsegcli.errors import DataError

BLOCK = 4096  # queries compared at once


def majority(counts: CountMatrix, background: int | None) -> NDArray[np.int64]:
    """Return the most frequent class of each segment other than the background: (segments,); -1 = it has none."""
    others = counts.copy()
    if background is not None:
        others[:, background] = 0
    return np.where(others.any(axis=1), others.argmax(axis=1), -1)


def retrieved(bank: Labelled, queries: Labelled, background: int | None, standardised: bool) -> NDArray[np.int64]:
    """Return the class of the nearest segment of the bank, by cosine, for each query: (queries,).

    Args:
        bank: segments that are looked up; those without a class are left out.
        queries: segments to be given a class.
        background: number of the class that no segment has; None = there is none.
        standardised: whether dimensions are first brought to the same mean and deviation, those of the bank.
    """
    classes = majority(bank.counts, background)
    known = classes >= 0
    if not known.any():
        raise DataError("no segment that could be looked up has a labelled pixel of a class other than the background")
    points, asked = bank.vectors[known].astype(np.float64), queries.vectors.astype(np.float64)
    if standardised:
        mean, deviation = points.mean(axis=0), points.std(axis=0)
        factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > NEGLIGIBLE)
        points, asked = (points - mean) * factor, (asked - mean) * factor
    points = _directions(points)
    nearest = [(_directions(asked[at : at + BLOCK]) @ points.T).argmax(axis=1) for at in range(0, len(asked), BLOCK)]
    return classes[known][np.concatenate(nearest)] if nearest else np.zeros(0, np.int64)


def painted_counts(given: NDArray[np.int64], queries: Labelled, background: int | None) -> CountMatrix:
    """Count pixels by the class that their segment was given and their own: (classes + 1, classes).

    Pixels in no segment are given the background; if there is none, they are in the last row: no class.
    """
    classes = queries.counts.shape[1]
    matrix = np.zeros((classes + 1, classes), np.int64)
    np.add.at(matrix, given, queries.counts)
    matrix[classes if background is None else background] += queries.outside.sum(axis=0)
    return matrix


def restricted(labelled: Labelled, classes: Sequence[int], background: int | None) -> Labelled:
    """Return the segments with the pixels of all other classes ignored, but for the background."""
    kept = [*classes, *([] if background is None else [background])]
    left = np.isin(np.arange(labelled.counts.shape[1]), kept)
    return Labelled(labelled.vectors, labelled.counts * left, labelled.images, labelled.outside * left)


def _directions(rows: NDArray[Any]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: NDArray[np.float64] = rows / np.where(lengths > 0, lengths, 1)
    return found
