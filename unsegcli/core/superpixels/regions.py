"""Maps of regions: numbering, connectivity, and the way from pixels to regions and back.

A region map is an integer array (height, width): -1 is no region, the others count from 0. Nothing here knows
how the regions were found or what they mean.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import DataError

RegionMap = NDArray[np.int32]
Scalar = TypeVar("Scalar", bound=np.generic)


def contiguous(regions: NDArray[np.integer[Any]], valid: NDArray[np.bool_] | None = None) -> RegionMap:
    """Number the regions 0, 1, 2, ... in the order in which they appear, row by row; the rest becomes -1.

    Args:
        regions: (height, width); any integers, a negative one is no region.
        valid: (height, width), False where there shall be no region; None = everywhere valid.
    """
    if valid is not None and valid.shape != regions.shape:
        raise DataError(f"valid pixels {valid.shape} and region map {regions.shape} differ in shape")
    flat = regions.ravel()
    if flat.dtype.kind != "i":
        flat = flat.astype(np.int64)
    if valid is not None:
        flat = np.where(valid.ravel(), flat, -1)
    if flat.size == 0:
        return np.full(regions.shape, -1, np.int32)
    if int(flat.max()) > 4 * flat.size:  # a table of all numbers would be larger than the map
        values, flat = np.unique(flat, return_inverse=True)
        flat = flat - np.searchsorted(values, 0)
    flat = np.maximum(flat, -1)
    # The last assignment to an index wins, so that going backwards keeps the first appearance.
    absent = flat.size
    first = np.full(int(flat.max()) + 2, absent, np.int64)
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    first[-1] = absent  # the entry which -1 points to
    order = np.argsort(first, kind="stable")
    number = np.full(first.size, -1, np.int32)
    found = int(np.count_nonzero(first < absent))
    number[order[:found]] = np.arange(found, dtype=np.int32)
    numbered: RegionMap = number[flat].reshape(regions.shape)
    return numbered


def components(regions: NDArray[np.integer[Any]]) -> RegionMap:
    """Split each region into its 4-connected parts, numbered in the order of appearance; -1 stays."""
    from skimage.measure import label

    if regions.size == 0:
        return np.full(regions.shape, -1, np.int32)
    parts = label(contiguous(regions) + 1, background=0, return_num=False, connectivity=1)
    return contiguous(parts - 1)


def is_connected(regions: NDArray[np.integer[Any]]) -> bool:
    """Whether each region is one 4-connected piece."""
    present = np.unique(regions)
    return int(components(regions).max(initial=-1)) + 1 == int(np.count_nonzero(present >= 0))


def absorb(regions: RegionMap, smallest: int) -> RegionMap:
    """Give every region of fewer than `smallest` pixels to the neighbour with which it shares most border.

    A small region without a neighbour stays. Connected regions stay connected.

    Args:
        regions: (height, width), numbered as `contiguous` does.
        smallest: least number of pixels that a region should have.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    while True:
        count = int(regions.max(initial=-1)) + 1
        small = areas(regions, count) < smallest
        one, other = borders(regions)
        keep = small[one]
        one, other = one[keep], other[keep]
        if one.size == 0:
            return regions
        pairs, length = np.unique(one * np.int64(count) + other, return_counts=True)
        one, other = pairs // count, pairs % count
        order = np.lexsort((other, -length, one))  # by region, then the longest border, then the number
        giver, at = np.unique(one[order], return_index=True)
        links = coo_array((np.ones(giver.size, np.int8), (giver, other[order][at])), shape=(count, count))
        _, merged = connected_components(links, directed=False)
        regions = contiguous(paint(merged.astype(np.int32), regions, -1))


def areas(regions: RegionMap, count: int) -> NDArray[np.int64]:
    """Number of pixels of each region: (count,)."""
    return np.bincount(_shifted(regions, count), minlength=count + 1)[1:]


def pool(values: NDArray[Any], regions: RegionMap, count: int) -> NDArray[np.float64]:
    """Mean of the pixels of each region: (count, dimensions); zero for a number that no pixel has.

    Args:
        values: (height, width, dimensions).
        regions: (height, width), -1 to `count` - 1.
        count: number of regions.
    """
    shifted = _shifted(regions, count)
    pixels = np.maximum(np.bincount(shifted, minlength=count + 1)[1:], 1)
    means = np.empty((count, values.shape[2]))
    for dimension in range(values.shape[2]):
        weights = values[:, :, dimension].ravel()
        means[:, dimension] = np.bincount(shifted, weights, minlength=count + 1)[1:] / pixels
    return means


def paint(values: NDArray[Scalar], regions: RegionMap, void: Any) -> NDArray[Scalar]:
    """Give each pixel the value of its region: (height, width, ...); `void` where there is none.

    Args:
        values: (count, ...), one entry for each region.
        regions: (height, width), -1 to `count` - 1.
        void: value of pixels without a region; must fit the dtype of `values`.
    """
    _check_range(regions, values.shape[0])
    # -1 points to the last entry of the table, which is the void one.
    table = np.concatenate([values, np.full((1, *values.shape[1:]), void, values.dtype)])
    return table[regions]


def centroids(regions: RegionMap, count: int) -> NDArray[np.float64]:
    """Mean row and column of each region, from 0 (top, left) to 1 (bottom, right): (count, 2)."""
    height, width = regions.shape
    grid = np.empty((height, width, 2))
    grid[:, :, 0] = ((np.arange(height) + 0.5) / height)[:, None]
    grid[:, :, 1] = (np.arange(width) + 0.5) / width
    return pool(grid, regions, count)


def _shifted(regions: RegionMap, count: int) -> NDArray[np.integer[Any]]:
    """The flat map with no region at 0, as np.bincount wants it."""
    _check_range(regions, count)
    shifted: NDArray[np.integer[Any]] = regions.ravel() + 1
    return shifted


def _check_range(regions: RegionMap, count: int) -> None:
    lowest, highest = int(regions.min(initial=0)), int(regions.max(initial=-1))
    if lowest < -1 or highest >= count:
        raise DataError(f"a region map holds {lowest} to {highest}, but there are {count} regions: make it again")


def borders(regions: RegionMap) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The two regions on either side of every pixel edge between regions, each edge both ways."""
    ones, others = [], []
    for before, after in ((regions[:-1], regions[1:]), (regions[:, :-1], regions[:, 1:])):
        at = (before != after) & (before >= 0) & (after >= 0)
        ones += [before[at], after[at]]
        others += [after[at], before[at]]
    return np.concatenate(ones).astype(np.int64), np.concatenate(others).astype(np.int64)
