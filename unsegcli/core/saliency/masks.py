"""Masks of objects made tidy, and how far several of them agree. Arrays (height, width) of booleans only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.regions import areas, components

Mask = NDArray[np.bool_]


def tidied(mask: Mask, valid: Mask, smallest: float) -> Mask:
    """The mask without holes and without small pieces.

    A hole is background that is not connected with the border of the image by edges of pixels.

    Args:
        mask: (height, width).
        valid: (height, width); the others are never in the mask.
        smallest: pieces, connected by edges, below this share of the valid pixels are dropped.
    """
    from scipy.ndimage import binary_fill_holes

    filled = np.asarray(binary_fill_holes(mask & valid)) & valid
    pieces = components(np.where(filled, 0, -1))
    count = int(pieces.max(initial=-1)) + 1
    large = areas(pieces, count) >= smallest * np.count_nonzero(valid)
    return np.asarray(filled & np.append(large, False)[pieces])  # -1 takes the last entry


def majority(masks: Sequence[Mask]) -> Mask:
    """Pixels in more than half of the masks."""
    return np.asarray(np.sum(masks, axis=0) * 2 > len(masks))


def agreement(masks: Sequence[Mask]) -> float:
    """Mean IoU of each two of the masks, 0 to 1; two empty ones agree in nothing."""
    return float(np.mean([_iou(*pair) for pair in itertools.combinations(masks, 2)]))


def _iou(one: Mask, other: Mask) -> float:
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / max(1, union)
