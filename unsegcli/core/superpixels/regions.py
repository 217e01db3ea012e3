"""Region maps: numbering, connectivity, and aggregation of pixels over regions.

A region map is an integer array (height, width): regions are numbered from 0, and -1 means no region.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import DataError

RegionMap = NDArray[np.int32]
Scalar = TypeVar("Scalar", bound=np.generic)


def numbers_before(before: NDArray[np.integer[Any]], numbered: RegionMap) -> NDArray[np.int64]:
    """Return the number that each region of `contiguous` had before: (regions,)."""
    numbers, inside = np.zeros(int(numbered.max(initial=-1)) + 1, np.int64), numbered >= 0
    numbers[numbered[inside]] = before[inside]
    return numbers


def contiguous(regions: NDArray[np.integer[Any]], valid: NDArray[np.bool_] | None = None) -> RegionMap:
    """Renumber regions 0, 1, 2, ... in order of appearance, row by row; all other pixels become -1.

    Args:
        regions: (height, width); any integers, negative = no region.
        valid: (height, width), False = no region; None = all valid.
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
    if int(flat.max()) > 4 * flat.size:  # a lookup table would be larger than the map
        values, flat = np.unique(flat, return_inverse=True)
        flat = flat - np.searchsorted(values, 0)
    flat = np.maximum(flat, -1)
    # The last assignment to an index wins, so the reversed order keeps the first appearance.
    absent = flat.size
    first = np.full(int(flat.max()) + 2, absent, np.int64)
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    first[-1] = absent  # the entry selected by -1
    order = np.argsort(first, kind="stable")
    number = np.full(first.size, -1, np.int32)
    found = int(np.count_nonzero(first < absent))
    number[order[:found]] = np.arange(found, dtype=np.int32)
    numbered: RegionMap = number[flat].reshape(regions.shape)
    return numbered


def components(regions: NDArray[np.integer[Any]]) -> RegionMap:
    """Split regions into 4-connected components, numbered in order of appearance; -1 is kept."""
    from skimage.measure import label

    if regions.size == 0:
        return np.full(regions.shape, -1, np.int32)
    parts = label(contiguous(regions) + 1, background=0, return_num=False, connectivity=1)
    return contiguous(parts - 1)


def is_connected(regions: NDArray[np.integer[Any]]) -> bool:
    """Return whether every region is 4-connected."""
    present = np.unique(regions)
    return int(components(regions).max(initial=-1)) + 1 == int(np.count_nonzero(present >= 0))


def absorb(regions: RegionMap, smallest: int) -> RegionMap:
    """Merge each region of fewer than `smallest` pixels into the neighbour with the longest common border.

    A small region without neighbours is kept. Connected regions stay connected.

    Args:
        regions: (height, width), numbered as `contiguous` does.
        smallest: minimum number of pixels.
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
    """Count the pixels of each region: (count,)."""
    return np.bincount(_shifted(regions, count), minlength=count + 1)[1:]


def pool(values: NDArray[Any], regions: RegionMap, count: int) -> NDArray[np.float64]:
    """Average values over each region: (count, dimensions); zero for regions without pixels.

    Args:
        values: (height, width, dimensions).
        regions: (height, width), -1 to `count` - 1.
        count: number of regions.
    """
    return pool_planes(np.moveaxis(values, 2, 0), regions, count)


def pool_planes(planes: Iterable[NDArray[Any]], regions: RegionMap, count: int) -> NDArray[np.float64]:
    """Average planes (height, width), of which one is held at a time, over each region, as `pool` does."""
    shifted = _shifted(regions, count).astype(np.intp)  # once, not in every count
    pixels = np.maximum(np.bincount(shifted, minlength=count + 1)[1:], 1)
    sums = [np.bincount(shifted, plane.ravel(), minlength=count + 1)[1:] / pixels for plane in planes]
    return np.stack(sums, axis=1) if sums else np.empty((count, 0))


def paint(values: NDArray[Scalar], regions: RegionMap, void: Any) -> NDArray[Scalar]:
    """Assign the value of its region to each pixel: (height, width, ...); `void` outside regions.

    Args:
        values: (count, ...), one entry per region.
        regions: (height, width), -1 to `count` - 1.
        void: value of pixels without a region; must fit the dtype of `values`.
    """
    _check_range(regions, values.shape[0])
    # -1 selects the last entry of the table, which is void.
    table = np.concatenate([values, np.full((1, *values.shape[1:]), void, values.dtype)])
    return table[regions]


def centroids(regions: RegionMap, count: int) -> NDArray[np.float64]:
    """Compute the centroid (row, column) of each region, from 0 (top, left) to 1 (bottom, right): (count, 2)."""
    height, width = regions.shape
    grid = np.empty((height, width, 2))
    grid[:, :, 0] = ((np.arange(height) + 0.5) / height)[:, None]
    grid[:, :, 1] = (np.arange(width) + 0.5) / width
    return pool(grid, regions, count)


def places_of(regions: RegionMap, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute centres (count, 2), as shares of the longer side, and areas in pixels (count,) of the regions of a crop.

    Args:
        regions: (height, width), -1 = void.
        count: number of regions; those outside the crop have area 0.
    """
    height, width = regions.shape
    grid = np.stack(np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij"), axis=2)
    centres = pool(grid, regions, count) / max(regions.shape)
    return centres.astype(np.float32), areas(regions, count).astype(np.float32)


def _shifted(regions: RegionMap, count: int) -> NDArray[np.integer[Any]]:
    """Flatten the map and add 1, so that no region is 0, as np.bincount requires."""
    _check_range(regions, count)
    shifted: NDArray[np.integer[Any]] = regions.ravel() + 1
    return shifted


def _check_range(regions: RegionMap, count: int) -> None:
    lowest, highest = int(regions.min(initial=0)), int(regions.max(initial=-1))
    if lowest < -1 or highest >= count:
        raise DataError(f"a region map holds {lowest} to {highest}, but there are {count} regions: make it again")


def borders(regions: RegionMap) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of regions at pixel edges between regions, each edge in both directions."""
    ones, others = [], []
    for before, after in ((regions[:-1], regions[1:]), (regions[:, :-1], regions[:, 1:])):
        at = (before != after) & (before >= 0) & (after >= 0)
        ones += [before[at], after[at]]
        others += [after[at], before[at]]
    return np.concatenate(ones).astype(np.int64), np.concatenate(others).astype(np.int64)
