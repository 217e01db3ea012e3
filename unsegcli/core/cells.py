"""A grid of cells over an image: which pixels each covers, and maps of cells drawn at the size of the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.guided import MOST_BANDS, RADIUS, bytes_of_guide, guide_of, guided

STRIP_VALUES = 16_000_000  # of maps in memory at once
BYTES_OF_MAPS = 13  # of memory for each of these

Maps = NDArray[np.float32]


def cell_numbers(shape: tuple[int, int], grid: tuple[int, int], cell: tuple[float, float]) -> NDArray[np.int32]:
    """Number the cells row by row, and return that of each pixel: (height, width).

    Args:
        shape: height and width of the image.
        grid: rows and columns of cells.
        cell: height and width of a cell, in pixels; the first one begins at the top left corner.
    """
    row, column = (
        np.minimum(((np.arange(length) + 0.5) / size).astype(np.int64), count - 1)
        for length, size, count in zip(shape, cell, grid, strict=True)
    )
    numbers: NDArray[np.int32] = (row[:, None] * grid[1] + column).astype(np.int32)
    return numbers


def highest_map(
    maps: Maps,
    cell: tuple[float, float],
    areas: NDArray[Any],
    pixels: NDArray[np.uint8] | None,
    valid: NDArray[np.bool_] | None,
    shape: tuple[int, int],
) -> NDArray[np.int32]:
    """Return for each pixel (height, width) the number of the map that is highest there.

    Maps are interpolated between the centres of cells. Only a strip of the image is in memory at once.

    Args:
        maps: (maps, rows, columns).
        cell: height and width of a cell, in pixels.
        areas: (rows, columns) number of valid pixels; a cell without any has no influence.
        pixels: (height, width, bands), to whose edges the maps are aligned by a guided filter; None = not.
        valid: (height, width); None = all.
        shape: height and width of the image.
    """
    height, width = shape
    known = (areas > 0).astype(np.float32)
    weighted = np.concatenate([maps * known, known[None]])
    guide = None if pixels is None else guide_of(pixels, valid)
    highest = np.zeros(shape, np.int32)
    strip = max(4 * RADIUS, STRIP_VALUES // (len(maps) * width))
    for top in range(0, height, strip):
        # A filtered pixel depends on those up to two radii away.
        first, last = max(0, top - 2 * RADIUS), min(height, top + strip + 2 * RADIUS)
        values = _interpolated(weighted, cell, (first, last), width)
        if guide is not None:
            values = guided(values, guide[first:last], None if valid is None else valid[first:last])
        highest[top : top + strip] = values[:, top - first : top - first + strip].argmax(axis=0)
    return highest


def bytes_of_highest_map(pixels: int, maps: int, bands: int) -> float:
    """Estimate the peak memory of `highest_map`.

    Args:
        pixels: of the image.
        maps: number of maps.
        bands: of the image to whose edges maps are aligned; 0 = they are not.
    """
    guide = min(bands, MOST_BANDS)
    strip = min(pixels, STRIP_VALUES / maps)
    return pixels * (12 + 4 * guide) + strip * BYTES_OF_MAPS * maps + (bytes_of_guide(strip, guide) if guide else 0)


def _interpolated(weighted: Maps, cell: tuple[float, float], rows: tuple[int, int], width: int) -> Maps:
    """Interpolate maps at pixels of some rows; the last map is the weight of each cell, by which others are divided."""
    whole = drawn_along(drawn_along(weighted, np.arange(*rows), cell[0], 1), np.arange(width), cell[1], 2)
    share = whole[-1]
    return (whole[:-1] / np.where(share > 0, share, 1)).astype(np.float32)


def drawn_along(cells: Maps, pixels: NDArray[np.int64], size: float, axis: int) -> Maps:
    """Interpolate values of cells between their centres, along one axis; beyond the outer centres they are constant.

    Args:
        cells: values, in an array of any number of axes.
        pixels: (pixels,) places along the axis.
        size: of a cell, in pixels.
        axis: which one is that of the cells.
    """
    at = np.clip((pixels + 0.5) / size - 0.5, 0, cells.shape[axis] - 1)
    before = np.minimum(at.astype(np.int64), max(cells.shape[axis] - 2, 0))
    after = np.minimum(before + 1, cells.shape[axis] - 1)
    share = (at - before).astype(np.float32).reshape([-1 if other == axis else 1 for other in range(cells.ndim)])
    drawn: Maps = cells.take(before, axis) * (1 - share) + cells.take(after, axis) * share
    return drawn
