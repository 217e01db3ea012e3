"""What a labelling of given segments could score at best: each segment as a whole gets the class it has most of.

It looks at the labels, so it is an oracle: it tells what segments allow, and never what a method reaches.
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
    """Segments of one image (height, width), numbered from 0; -1 where there is none.

    Args:
        labels: (height, width) clusters, -1 = void.
        sort: component: each connected part of a cluster; image: all that has one cluster in the image.
        background: the cluster that is no object, and so in no segment; None = all are segments.
    """
    foreground = labels if background is None else np.where(labels == background, -1, labels)
    return components(foreground) if sort == "component" else contiguous(foreground)


def best_labelling(segments: RegionMap, truth: NDArray[np.integer[Any]], classes: int) -> CountMatrix:
    """Pixels of each predicted and true class (classes + 1, classes), each segment with its most frequent class.

    The last row has the pixels in no segment. The labelling has the highest accuracy that there is; its mean IoU is
    near the highest, but need not be it.

    Args:
        segments: (height, width), -1 = none.
        truth: (height, width), below `classes`; negative = ignored.
        classes: number of classes.
    """
    count = max(1, int(segments.max(initial=-1)) + 1)
    matrix = confusion(segments, truth, count, classes, void=-1)
    return assigned(matrix, many_to_one(matrix[:-1]))
