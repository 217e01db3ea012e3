"""SLIC superpixels of images of any number of bands: fast, as many as requested, and equal on every processor.

Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods", 2012.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.compiling import in_cache, one_process, plain
from unsegcli.core.superpixels.connected import connected
from unsegcli.core.superpixels.fixed_point import STEPS, Planes, fixed_point
from unsegcli.core.superpixels.lattice import lattice
from unsegcli.core.superpixels.local_kmeans import cell_means, gathered, iterate, spread
from unsegcli.core.superpixels.regions import RegionMap
from unsegcli.core.superpixels.valid import check_pixels, check_request, check_valid

# Deviation: the paper does 10 iterations on all pixels; these do as well on BSDS500, in less than half of the time.
HALVES = (0, 1, 0, 1, 0, 1, None)  # every second row in turns, then all
LONGEST = 20_000  # pixels along a side of a cell; positions in it are int16
LAST_COMPILED = ("unsegcli.core.superpixels.connected", "_relabel")  # module and function
SHARE_OF_CENTRES = 0.9  # of the number requested: edges in the image cut off large pieces, which count too


def slic(
    pixels: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    segments: int,
    compactness: float,
    report: Callable[[float], object] = float,
) -> RegionMap:
    """Compute SLIC superpixels of an image: (height, width), 0 to n - 1, -1 where a pixel is not valid.

    Each superpixel is 4-connected; they are numbered in order of appearance, row by row. Pixels that are not valid
    have no influence. Values are stretched to the range of the valid pixels, so contrast does not change the result.

    Args:
        pixels: (height, width, bands), uint8, uint16 or floats; all give the same superpixels.
        valid: (height, width), or None = all.
        segments: number of superpixels in the valid pixels. There are more only if the valid pixels have more parts
            that are not connected, and fewer where superpixels are a few pixels large, or where the valid pixels have
            several parts in a flat image (up to 2 %).
        compactness: 1 follows colour, 100 makes squares; tune in factors of three. It weighs spatial distance
            against distance in CIELAB for three bands. Deviation: otherwise against the root mean square over the
            bands, scaled to 0 to 100, so that its meaning does not depend on the number of bands.
        report: called with the share that is done, from 0 to 1.
    """
    valid, segments = prepared(pixels, valid, segments, compactness)
    if segments == 0:
        return np.full(pixels.shape[:2], -1, np.int32)
    compile_once()
    return _slic(pixels, valid, segments, compactness, report)


@functools.cache
def compile_once() -> None:
    """Compile all functions, or load them from the cache; the first time on a machine takes about ten seconds."""
    image, mask = np.eye(8, dtype=np.uint8)[:, :, None], np.ones((8, 8), np.bool_)
    with nullcontext() if in_cache(*LAST_COMPILED) else one_process():
        for pixels in (image, image.astype(np.float32), image.repeat(3, axis=2), image.repeat(3, axis=2) / 255):
            _slic(pixels, mask, 2, 10.0, float)


def _slic(
    pixels: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    segments: int,
    compactness: float,
    report: Callable[[float], object],
) -> RegionMap:
    planes = fixed_point(pixels, valid)
    for count in seed_numbers(segments):
        regions = connected(_nearest_centres(planes, valid, count, compactness, report), planes, segments)
        if int(regions.max()) + 1 >= segments:
            break
    return regions


def prepared(
    pixels: NDArray[Any], valid: NDArray[np.bool_] | None, segments: int, compactness: float
) -> tuple[NDArray[np.bool_] | None, int]:
    """Check the arguments of `slic`; return the mask (None = all valid) and the number of superpixels (0 = none)."""
    check_request(segments, compactness)
    check_pixels(pixels)
    check_valid(pixels, valid)
    whole = pixels.shape[0] * pixels.shape[1]
    area = whole if valid is None else int(np.count_nonzero(valid))
    return (None if valid is None or area == whole else plain(valid)), min(segments, area)


def seed_numbers(segments: int) -> tuple[int, int]:
    """Return the number of centres to try first, and the one for images with too few separate pieces."""
    return math.ceil(SHARE_OF_CENTRES * segments), segments


def weights_of(compactness: float, area: float, bands: int) -> NDArray[np.float64]:
    """Return the weights of squared differences in row, column and each band.

    Args:
        compactness: as in `slic`.
        area: mean number of pixels of a superpixel.
        bands: number of bands.
    """
    # Bands have a weight of 1, also where their distance is a mean.
    of_position = (compactness * STEPS) ** 2 / area * (1 if bands == 3 else bands)
    return np.array([of_position, of_position] + [1.0] * bands)


def _nearest_centres(
    planes: Planes,
    valid: NDArray[np.bool_] | None,
    count: int,
    compactness: float,
    report: Callable[[float], object] = float,
) -> NDArray[np.int32]:
    """Find the nearest centre of each pixel: (height, width), -1 where a pixel is not valid."""
    bands, height, width = planes.shape
    count = max(count, (1 + height // LONGEST) * (1 + width // LONGEST))
    cells = gathered(planes, valid, lattice((height, width), valid, count))
    centres = cell_means(cells)
    weights = weights_of(compactness, int(cells.lattice.areas.sum()) / count, bands)
    nearest = np.zeros(cells.features.shape[1], np.uint8)
    for number, half in enumerate(HALVES):
        report((number + 1) / (len(HALVES) + 3))  # colours and pieces take about as long as three iterations
        iterate(cells, centres, weights, nearest, half)
    return spread(cells, nearest, (height, width))
