"""Clean up object masks, and measure the agreement of several masks; all are boolean arrays (height, width)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.regions import areas, components

Mask = NDArray[np.bool_]


def tidied(mask: Mask, valid: Mask, smallest: float) -> Mask:
    """Fill holes and remove small components of a mask.

    A hole is background that is not 4-connected to the border of the image.

    Args:
        mask: (height, width).
        valid: (height, width); other pixels are never in the mask.
        smallest: 4-connected components below this share of the valid pixels are removed.
    """
    from scipy.ndimage import binary_fill_holes

    filled = np.asarray(binary_fill_holes(mask & valid)) & valid
    pieces = components(np.where(filled, 0, -1))
    count = int(pieces.max(initial=-1)) + 1
    large = areas(pieces, count) >= smallest * np.count_nonzero(valid)
    return np.asarray(filled & np.append(large, False)[pieces])  # -1 selects the last entry


def majority(masks: Sequence[Mask]) -> Mask:
    """Return the pixels in more than half of the masks."""
    return np.asarray(np.sum(masks, axis=0) * 2 > len(masks))


def agreement(masks: Sequence[Mask]) -> float:
    """Compute the mean pairwise IoU of masks, 0 to 1; the IoU of two empty masks is 0."""
    return float(np.mean([_iou(*pair) for pair in itertools.combinations(masks, 2)]))


def _iou(one: Mask, other: Mask) -> float:
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / max(1, union)
