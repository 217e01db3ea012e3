"""Part touching objects of a mask where it narrows, by watersheds on its distance map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.saliency.masks import Mask

SIGMA = 1.0  # pixels, of the blur of the distance map: outlines on a grid are ragged


def parted(mask: Mask, depth: float) -> Mask:
    """Draw lines of background, one pixel wide, between touching objects.

    The middle of an object is a maximum of the distance to the background. Two maxima are two objects if the way from
    one to the other passes a place whose distance is lower than that of both by `depth`. The line between them follows
    the watershed, and leaves no pixels of both that are neighbours, diagonal ones included.

    Args:
        mask: (height, width).
        depth: in pixels, above 0; a larger one parts less.
    """
    from skimage.segmentation import watershed

    distances = _distances(mask)
    numbers = watershed(-distances, _middles(distances, mask, depth), mask=mask)
    return np.asarray(mask & ~_below_a_neighbour(numbers))


def _distances(mask: Mask) -> NDArray[np.float64]:
    """Compute the blurred distance of each pixel to the background; the border of the image is no background."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    if mask.all():
        return np.ones(mask.shape)
    distances: NDArray[np.float64] = gaussian_filter(distance_transform_edt(mask), SIGMA)
    return distances


def _middles(distances: NDArray[np.float64], mask: Mask, depth: float) -> NDArray[np.int32]:
    """Number the maxima that are higher by `depth` than the way to any higher one: (height, width), 0 = none."""
    from skimage.measure import label
    from skimage.morphology import local_maxima, reconstruction

    flattened = reconstruction(distances - depth, distances)
    middles: NDArray[np.int32] = label(local_maxima(flattened) & mask, connectivity=2)
    return middles


def _below_a_neighbour(numbers: NDArray[Any]) -> Mask:
    """Return the numbered pixels with a neighbour, of eight, of a higher number."""
    from scipy.ndimage import maximum_filter

    return np.asarray((numbers > 0) & (maximum_filter(numbers, size=3) > numbers))
