"""Felzenszwalb and Huttenlocher's graph-based superpixels, about as many as asked for, for any bands.

Nothing here chooses the number of superpixels or reads images.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb as skimage_felzenszwalb

from unsegcli.core.superpixels.regions import RegionMap, absorb, components, contiguous
from unsegcli.core.superpixels.valid import bounding_box, check_valid, filled, unit_pixels
from unsegcli.errors import ConfigError

SIGMA = 0.8  # Gaussian before the graph is built, in pixels, as in the paper
MIN_SIZE_FACTOR = 0.1  # smaller superpixels, as a share of the area aimed at, go to a neighbour; more leaves
# no room for the scale: at 0.2 a photograph gives no more than the number aimed at, whatever the scale
FIRST_SCALE = 60.0  # between what two photographs needed for 200 pixels per superpixel
LOWEST_SCALE, HIGHEST_SCALE = 0.1, 1e6
TOLERANCE = 0.1  # the search ends when the number is this near to the one aimed at, as a share of it
MAX_RUNS = 8


def felzenszwalb(pixels: NDArray[Any], valid: NDArray[np.bool_] | None, segments: int) -> RegionMap:
    """Superpixels of one image: (height, width), -1 where a pixel is not valid, the others 0 to n - 1.

    Each superpixel is 4-connected; they are numbered in the order of appearance, row by row. The scale of the
    algorithm is searched in at most 8 runs, until the number of superpixels is within 10 % of `segments`. The
    best run is taken if none is: an image with few edges (in the extreme a constant one) has fewer.

    Args:
        pixels: (height, width, bands), uint8 or floats from 0 to 1; both give the same superpixels.
        valid: (height, width), or None = all.
        segments: superpixels aimed at among the valid pixels.
    """
    if segments < 1:
        raise ConfigError(f"--segments {segments} must be at least 1")
    check_valid(pixels, valid)
    result = np.full(pixels.shape[:2], -1, np.int32)
    if valid is None:
        valid = np.ones(pixels.shape[:2], np.bool_)
    if not valid.any():
        return result
    box = bounding_box(valid)
    result[box] = _search(filled(unit_pixels(pixels[box]), valid[box]), valid[box], segments)
    return result


def _search(pixels: NDArray[np.float32], valid: NDArray[np.bool_], segments: int) -> RegionMap:
    """Run with one scale after the other; the result whose number is nearest to the one aimed at."""
    smallest = max(1, int(MIN_SIZE_FACTOR * np.count_nonzero(valid) / segments))
    runs: list[tuple[float, RegionMap]] = []
    too_many: list[tuple[float, float]] = []  # (logarithm of the scale, of the number over the one aimed at)
    too_few: list[tuple[float, float]] = []
    position = math.log(FIRST_SCALE)
    for _ in range(MAX_RUNS):
        found = _once(pixels, valid, math.exp(position), smallest)
        miss = math.log((int(found.max()) + 1) / segments)
        runs.append((abs(miss), found))
        if abs(miss) <= math.log1p(TOLERANCE):
            break
        (too_many if miss > 0 else too_few).append((position, miss))
        before, position = position, _next_position(too_many, too_few)
        if position == before:  # at the end of the range
            break
    return min(runs, key=lambda run: run[0])[1]


def _next_position(too_many: list[tuple[float, float]], too_few: list[tuple[float, float]]) -> float:
    """Logarithm of the scale to try next: interpolated between the nearest two, else a step outward."""
    if too_many and too_few:
        (low, many), (high, few) = max(too_many), min(too_few)
        share = many / (many - few)
        return low + min(max(share, 0.15), 0.85) * (high - low)  # never so near an end that it stalls
    position, miss = max(too_many) if too_many else min(too_few)
    # The number falls about as the scale rises; an overlong step costs less than several short ones.
    position += math.copysign(min(max(1.3 * abs(miss), math.log(2)), math.log(32)), miss)
    return min(max(position, math.log(LOWEST_SCALE)), math.log(HIGHEST_SCALE))


def _once(pixels: NDArray[np.float32], valid: NDArray[np.bool_], scale: float, smallest: int) -> RegionMap:
    """One run. scikit-image's graph is 8-connected and knows no mask: cut, divide, give slivers away."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Got image with third dimension of", category=RuntimeWarning)
        found = skimage_felzenszwalb(pixels, scale=scale, sigma=SIGMA, min_size=smallest, channel_axis=-1)
    return absorb(components(contiguous(found, valid)), smallest)
