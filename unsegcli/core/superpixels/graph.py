"""The graph of superpixels: adjacency, image border, and colour distances.

Shared by `rbd.py` and `mr.py`. All matrices are dense, so the number of superpixels is limited.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.features import lab
from unsegcli.core.superpixels.regions import RegionMap, areas, borders, centroids, pool
from unsegcli.core.superpixels.valid import check_valid, unit_pixels
from unsegcli.errors import DataError

MOST = 3000  # superpixels; a matrix of all pairs then takes 72 MB
# Root of the summed variances of L, a and b over the pixels of an ordinary photograph (median of 15 of BSDS500).
SPREAD_IN_LAB = 25.0

Square = NDArray[np.float64]  # (superpixel, superpixel)
Links = NDArray[np.bool_]  # (superpixel, superpixel), symmetric, without self-links


@dataclass(frozen=True)
class Graph:
    """The graph of the superpixels of one image."""

    colours: NDArray[np.float64]  # (superpixel, dimension), in units of CIELAB
    centres: NDArray[np.float64]  # (superpixel, 2): row and column, 0 to 1
    areas: NDArray[np.int64]  # (superpixel,), pixels
    adjacent: Links  # superpixels that share a pixel edge
    sides: NDArray[np.bool_]  # (4, superpixel): the first superpixels from the top, bottom, left and right

    @property
    def count(self) -> int:
        """Number of superpixels."""
        return len(self.areas)

    @functools.cached_property
    def border(self) -> NDArray[np.bool_]:
        """Superpixels at the border of the image: (superpixel,)."""
        return np.asarray(self.sides.any(axis=0))

    @functools.cached_property
    def apart(self) -> Square:
        """Distances between the mean colours."""
        return distances(self.colours)

    @functools.cached_property
    def near(self) -> Links:
        """Pairs that are adjacent, or both adjacent to a third superpixel."""
        steps = self.adjacent.astype(np.float32)
        return without_diagonal(self.adjacent | (steps @ steps > 0))

    def bordered(self, links: Links) -> Links:
        """Add links between all superpixels at the border."""
        return without_diagonal(links | (self.border[:, None] & self.border))


def graph_of(pixels: NDArray[Any], regions: RegionMap) -> Graph:
    """Build the graph of the superpixels of an image.

    Args:
        pixels: (height, width, bands), uint8 or floats from 0 to 1.
        regions: (height, width), 0 to n - 1; -1 = no superpixel.
    """
    count = int(regions.max(initial=-1)) + 1
    if count > MOST:
        raise DataError(f"{count} superpixels are more than the limit of {MOST}: make larger ones")
    one, other = borders(regions)
    adjacent = np.zeros((count, count), np.bool_)
    adjacent[one, other] = True
    sides = np.zeros((4, count), np.bool_)
    # If the frame is void, the border is the outline of the valid pixels; holes do not count.
    for side, seen in zip(sides, (regions, regions[::-1], regions.T, regions[:, ::-1].T), strict=True):
        side[_first(seen)] = True
    colours = pool(colours_of(pixels, regions >= 0), regions, count)
    return Graph(colours, centroids(regions, count), areas(regions, count), adjacent, sides)


def colours_of(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Convert three bands to CIELAB; other bands are scaled to equal variance, in total that of a photograph in CIELAB.

    Args:
        pixels: (height, width, bands).
        valid: (height, width); other pixels have no influence.
    """
    check_valid(pixels, valid)
    unit = unit_pixels(pixels)
    if unit.shape[2] == 3:
        return lab(unit).astype(np.float64)
    seen = unit[valid].astype(np.float64) if valid.any() else np.zeros((1, unit.shape[2]))
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    known = deviation > 1e-6  # less is rounding error: such a band is constant
    factor = np.divide(SPREAD_IN_LAB / math.sqrt(unit.shape[2]), deviation, out=np.zeros(len(known)), where=known)
    scaled: NDArray[np.float64] = (unit - mean) * factor
    return scaled


def distances(points: NDArray[np.float64]) -> Square:
    """Compute all pairwise Euclidean distances of points (point, dimension)."""
    squared = np.zeros((len(points), len(points)))
    for column in points.T:
        squared += (column[:, None] - column) ** 2
    return np.sqrt(squared)


def without_diagonal(links: Links) -> Links:
    """Return a copy without self-links."""
    return links & ~np.eye(len(links), dtype=np.bool_)


def stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rescale values to 0 to 1; zeros if they are all equal."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    # Otherwise rounding errors would be amplified.
    if not high - low > 1e-9 * max(1.0, abs(high)):
        return np.zeros_like(values)
    unit: NDArray[np.float64] = (values - low) / (high - low)
    return unit


def _first(regions: RegionMap) -> NDArray[np.int32]:
    """Return the first superpixel from the top in each column that has one."""
    inside = regions >= 0
    found: NDArray[np.int32] = regions[inside.argmax(axis=0), np.arange(regions.shape[1])]
    return found[inside.any(axis=0)]
