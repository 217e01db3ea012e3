"""Graph-based superpixels of Felzenszwalb and Huttenlocher with a target number, for any number of bands."""

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

SIGMA = 0.8  # of the Gaussian applied first, in pixels, as in the paper
MIN_SIZE_FACTOR = 0.1  # superpixels below this share of the target area are merged into a neighbour; a higher
# share limits the number: at 0.2 a photograph gives at most the target number, whatever the scale
FIRST_SCALE = 60.0  # between what two photographs needed for 200 pixels per superpixel
LOWEST_SCALE, HIGHEST_SCALE = 0.1, 1e6
TOLERANCE = 0.1  # relative error of the number at which the search ends
MAX_RUNS = 8


def felzenszwalb(pixels: NDArray[Any], valid: NDArray[np.bool_] | None, segments: int) -> RegionMap:
    """Compute superpixels of an image: (height, width), 0 to n - 1, -1 where a pixel is not valid.

    Each superpixel is 4-connected; they are numbered in order of appearance, row by row. The scale of the algorithm
    is searched in at most 8 runs, until the number of superpixels is within 10 % of `segments`. Otherwise the best
    run is used: an image with few edges (in the extreme a constant one) has fewer.

    Args:
        pixels: (height, width, bands), uint8 or floats from 0 to 1; both give the same superpixels.
        valid: (height, width), or None = all.
        segments: target number of superpixels in the valid pixels.
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
    """Search for the scale; return the result whose number is nearest to the target."""
    smallest = max(1, int(MIN_SIZE_FACTOR * np.count_nonzero(valid) / segments))
    runs: list[tuple[float, RegionMap]] = []
    too_many: list[tuple[float, float]] = []  # (log scale, log of number over target)
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
        if position == before:  # the end of the range is reached
            break
    return min(runs, key=lambda run: run[0])[1]


def _next_position(too_many: list[tuple[float, float]], too_few: list[tuple[float, float]]) -> float:
    """Choose the log scale to try next: interpolated between the nearest two, else a step outward."""
    if too_many and too_few:
        (low, many), (high, few) = max(too_many), min(too_few)
        share = many / (many - few)
        return low + min(max(share, 0.15), 0.85) * (
            high - low
        )  # kept away from the ends, so that the search does not stall
    position, miss = max(too_many) if too_many else min(too_few)
    # The number falls about as the scale rises; an overlong step costs less than several short ones.
    position += math.copysign(min(max(1.3 * abs(miss), math.log(2)), math.log(32)), miss)
    return min(max(position, math.log(LOWEST_SCALE)), math.log(HIGHEST_SCALE))


def _once(pixels: NDArray[np.float32], valid: NDArray[np.bool_], scale: float, smallest: int) -> RegionMap:
    """Run once. The graph of scikit-image is 8-connected and unmasked: mask, split, and merge small components."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Got image with third dimension of", category=RuntimeWarning)
        found = skimage_felzenszwalb(pixels, scale=scale, sigma=SIGMA, min_size=smallest, channel_axis=-1)
    return absorb(components(contiguous(found, valid)), smallest)
