"""The best possible score of given segments: each segment gets its most frequent class.

This uses the labels, so it is an oracle: an upper bound for the segments, not the result of a method.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.confusion import CountMatrix, confusion
from unsegcli.core.scoring.matching import assigned, many_to_one
from unsegcli.core.superpixels.regions import RegionMap, components, contiguous

Segments = Literal["component", "picture"]
SEGMENTS: tuple[Segments, ...] = ("component", "picture")


def segments_of(labels: NDArray[np.integer[Any]], sort: Segments, background: int | None = None) -> RegionMap:
    """Split a label map into segments (height, width), numbered from 0; -1 = none.

    Args:
        labels: (height, width) clusters, -1 = void.
        sort: component: each connected component of a cluster; image: all pixels of a cluster in the image.
        background: a cluster that is not an object, and so not a segment; None = all are segments.
    """
    foreground = labels if background is None else np.where(labels == background, -1, labels)
    return components(foreground) if sort == "component" else contiguous(foreground)


def best_labelling(segments: RegionMap, truth: NDArray[np.integer[Any]], classes: int) -> CountMatrix:
    """Count predicted and true classes (classes + 1, classes) if each segment has its most frequent class.

    The last row contains the pixels in no segment. This labelling has the highest possible accuracy; its mean IoU is
    close to the highest, but not necessarily equal.

    Args:
        segments: (height, width), -1 = none.
        truth: (height, width), below `classes`; negative = ignored.
        classes: number of classes.
    """
    count = max(1, int(segments.max(initial=-1)) + 1)
    matrix = confusion(segments, truth, count, classes, void=-1)
    return assigned(matrix, many_to_one(matrix[:-1]))
