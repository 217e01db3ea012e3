"""SLIC superpixels of an image with any number of bands, with every parameter of scikit-image spelled out.

Nothing here chooses the number of superpixels or reads images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import slic as skimage_slic

from unsegcli.core.superpixels.regions import RegionMap, absorb, components, contiguous
from unsegcli.core.superpixels.valid import bounding_box, check_valid, filled, unit_pixels
from unsegcli.errors import ConfigError

MAX_ITERATIONS = 10  # as in the SLIC paper
MIN_SIZE_FACTOR = 0.5  # smaller pieces, as a share of the mean area, are merged into a neighbour
MAX_SIZE_FACTOR = 3.0  # larger superpixels are divided
SLIVER_FACTOR = 0.25  # smaller pieces cut off by the mask are merged into a neighbour
LAB_RANGE = 100.0  # Lab lightness runs from 0 to 100, bands that are not converted from 0 to 1


def slic(pixels: NDArray[Any], valid: NDArray[np.bool_] | None, segments: int, compactness: float) -> RegionMap:
    """Superpixels of one image: (height, width), -1 where a pixel is not valid, the others 0 to n - 1.

    Each superpixel is 4-connected; they are numbered in the order of appearance, row by row. What stands in
    pixels that are not valid has no influence. scikit-image stretches the values of an image to their range,
    so contrast does not change the result.

    Args:
        pixels: (height, width, bands), uint8 or floats from 0 to 1; both give the same superpixels.
        valid: (height, width), or None = all.
        segments: superpixels aimed at among the valid pixels; of photographs a fifth fewer come out, because
            small pieces are merged.
        compactness: 1 follows colour, 100 makes squares; search in steps of three. It weighs distance in the
            image against distance in Lab for three bands. Deviation: otherwise against the root mean square
            over the bands, taken as 0 to 100, so that a band more does not change its meaning.
    """
    if segments < 1:
        raise ConfigError(f"--segments {segments} must be at least 1")
    if not compactness > 0:
        raise ConfigError(f"--compactness {compactness:g} must be above 0")
    check_valid(pixels, valid)
    if valid is None or bool(valid.all()):
        return contiguous(_whole(unit_pixels(pixels), segments, compactness))
    result = np.full(pixels.shape[:2], -1, np.int32)
    if not valid.any():
        return result
    # Deviation: scikit-image's own masked SLIC seeds by k-means: 1.2 to 1.5 s instead of 0.2 s at 512 x 512 with 1000
    # segments. So the image is filled, cut into as many more superpixels as it has more pixels, and masked.
    box = bounding_box(valid)
    inside = valid[box]
    count = int(np.count_nonzero(inside))
    more = -(-min(segments, count) * inside.size // count)
    found = _whole(filled(unit_pixels(pixels[box]), inside), more, compactness)
    smallest = int(SLIVER_FACTOR * count / segments)
    result[box] = absorb(components(contiguous(found, inside)), smallest)
    return result


def _whole(pixels: NDArray[np.float32], segments: int, compactness: float) -> NDArray[np.integer[Any]]:
    """SLIC of an image in which every pixel counts; each superpixel comes out 4-connected."""
    bands = pixels.shape[2]
    in_lab = bands == 3
    found: NDArray[np.integer[Any]] = skimage_slic(
        pixels.astype(np.float64),  # 3 to 5 % quicker than float32; rounded to float32 before, so all input is alike
        n_segments=segments,
        compactness=compactness if in_lab else compactness * math.sqrt(bands) / LAB_RANGE,
        max_num_iter=MAX_ITERATIONS,
        sigma=0,
        spacing=None,
        convert2lab=in_lab,
        enforce_connectivity=True,
        min_size_factor=MIN_SIZE_FACTOR,
        max_size_factor=MAX_SIZE_FACTOR,
        slic_zero=False,
        start_label=0,
        mask=None,
        channel_axis=-1,
    )
    return found
