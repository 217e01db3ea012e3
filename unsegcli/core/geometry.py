"""Geometry of working images: working grids, windows, and the mapping back to the grid of the source image.

Positions use integer arithmetic, so nothing depends on rounding; values are never interpolated here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ConfigError, DataError


class Box(NamedTuple):
    """A rectangle of pixels of a working grid."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The first column to the right of the box."""
        return self.left + self.width

    def seen_from(self, other: Box) -> Box:
        """Return this box counted from the top left corner of another one."""
        return Box(self.top - other.top, self.left - other.left, self.height, self.width)

    def touches(self, other: Box) -> bool:
        """Return whether the boxes have pixels in common."""
        rows = self.top < other.bottom and other.top < self.bottom
        return rows and self.left < other.right and other.left < self.right

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of rows and columns, to index an array (height, width, ...)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def working_grid(height: int, width: int, size: tuple[int, ...] = (), scale: float = 1.0) -> tuple[int, int]:
    """Compute height and width of the working image of a source of `height` times `width` pixels.

    Args:
        height: rows of the source, at least 1.
        width: columns of the source, at least 1.
        size: () = unchanged; (shorter side,), which keeps the aspect ratio; or exactly (height, width).
        scale: factor on both sides; not together with `size`.
    """
    _check_grid("image", (height, width))
    if not (math.isfinite(scale) and scale > 0):
        raise ConfigError(f"--scale {scale:g} must be above 0: use 0.5 for half the size")
    if not size:
        return _rounded(height * scale), _rounded(width * scale)
    if scale != 1.0:
        raise ConfigError(f"--size and --scale {scale:g} were both given: choose one of them")
    if len(size) > 2 or min(size) < 1:
        text = ",".join(map(str, size))
        raise ConfigError(f"--size {text} is not a size: give the shorter side, or height and width, each above 0")
    if len(size) == 2:
        return size[0], size[1]
    shorter = min(height, width)
    return _proportional(height, size[0], shorter), _proportional(width, size[0], shorter)


def boxes(height: int, width: int, patch: int = 0, stride: int = 0) -> list[Box]:
    """Divide a working grid into windows, row by row from the top left.

    All windows have the same size; the last one of a row or column is shifted back to end at the border.

    Args:
        height: rows of the working grid.
        width: columns of the working grid.
        patch: side of the square windows; 0 = one window for the whole grid. A side shorter than this is not divided.
        stride: distance between windows; 0 = `patch`, no overlap.
    """
    _check_grid("working image", (height, width))
    if patch < 0 or stride < 0:
        raise ConfigError(f"--patch {patch} and --stride {stride} must not be negative")
    if patch == 0 and stride > 0:
        raise ConfigError(f"--stride {stride} needs --patch: it is the distance between patches")
    if stride > patch:
        raise ConfigError(f"--stride {stride} is above --patch {patch}, so pixels would be lost: lower it")
    if patch == 0:
        return [Box(0, 0, height, width)]
    step = stride or patch
    tall, wide = min(patch, height), min(patch, width)
    return [Box(top, left, tall, wide) for top in _starts(height, tall, step) for left in _starts(width, wide, step)]


def cores(windows: Sequence[Box]) -> list[Box]:
    """Compute the core of each window, such that every pixel of the grid is in exactly one core.

    Overlaps are divided in the middle, separately for rows and columns. Windows must be from `boxes`, in any order.
    """
    rows = _halfway((window.top, window.height) for window in windows)
    columns = _halfway((window.left, window.width) for window in windows)
    found = []
    for window in windows:
        (top, bottom), (left, right) = rows[window.top], columns[window.left]
        found.append(Box(top, left, bottom - top, right - left))
    return found


def nearest_rows(given: int, wanted: int) -> NDArray[np.int64]:
    """Return, for each of `wanted` rows (or columns), the row of `given` ones under its centre: (wanted,).

    Row i reads row floor((i + 1/2) * given / wanted).
    """
    return (2 * np.arange(wanted, dtype=np.int64) + 1) * given // (2 * wanted)


def sample_nearest(array: NDArray[Any], grid: tuple[int, int]) -> NDArray[Any]:
    """Resize an array (height, width, ...) to `grid` (height, width) by the nearest pixel; returns a new array."""
    _check_grid("grid", grid)
    height, width = array.shape[:2]
    if (height, width) == grid:
        return array.copy()
    picked: NDArray[Any] = array[nearest_rows(height, grid[0])][:, nearest_rows(width, grid[1])]
    return picked


class Footprint(NamedTuple):
    """What has to be read of a source image for a box of its working image."""

    read: Box  # of the source, with the margin that resizing looks at
    inside: tuple[float, float, float, float]  # left, top, right and bottom of the working box, in what is read
    rows: NDArray[np.int64]  # of what is read, under the centre of each working row
    columns: NDArray[np.int64]


def footprint(box: Box, grid: tuple[int, int], source: tuple[int, int]) -> Footprint:
    """Find what has to be read of a source image (height, width) for a box of its working image of size `grid`."""
    top, bottom, low, high, rows = _footprint_along(box.top, box.bottom, grid[0], source[0])
    left, right, start, end, columns = _footprint_along(box.left, box.right, grid[1], source[1])
    return Footprint(Box(top, left, bottom - top, right - left), (start, low, end, high), rows, columns)


def _footprint_along(
    first: int, last: int, wanted: int, given: int
) -> tuple[int, int, float, float, NDArray[np.int64]]:
    factor = given / wanted
    margin = 0.0 if wanted == given else max(1.0, factor) + 1.0  # a triangle as wide as a working pixel, on both sides
    start = max(0, math.floor(first * factor - margin))
    end = min(given, math.ceil(last * factor + margin))
    rows = nearest_rows(given, wanted)[first:last] - start
    return start, end, first * factor - start, last * factor - start, rows


def halves(box: Box) -> tuple[Box, Box]:
    """Divide a box of more than one pixel in the middle of its longer side."""
    top, left, height, width = box
    if height >= width:
        half = height // 2
        return Box(top, left, half, width), Box(top + half, left, height - half, width)
    half = width // 2
    return Box(top, left, height, half), Box(top, left + half, height, width - half)


def paint(
    maps: Iterable[NDArray[Any]], boxes: Sequence[Box], grid: tuple[int, int], source: tuple[int, int]
) -> NDArray[Any]:
    """Combine the maps of all windows of a working image on the grid of the source image.

    Each source pixel gets the value of the working pixel under its centre, from the window whose core contains it.

    Args:
        maps: one array (height, width, ...) per window, all of the same dtype; those of an iterator are in memory one
            after the other.
        boxes: the windows, from `boxes`.
        grid: (height, width) of the working image.
        source: (height, width) of the source image, oriented.
    """
    if isinstance(maps, Sequence) and len(maps) != len(boxes):
        raise DataError(f"{len(maps)} maps for {len(boxes)} windows: each window needs its map")
    _check_grid("source", source)
    owned = checked_cores(boxes, grid)
    return paint_rows(maps, boxes, owned, nearest_rows(grid[0], source[0]), nearest_rows(grid[1], source[1]))


def checked_cores(boxes: Sequence[Box], grid: tuple[int, int]) -> list[Box]:
    """Compute the core of each window of a working image (height, width); an error if some pixel is in none."""
    owned = cores(boxes)
    _check_cover(boxes, owned, grid)
    return owned


def paint_rows(
    maps: Iterable[NDArray[Any]],
    boxes: Sequence[Box],
    owned: Sequence[Box],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> NDArray[Any]:
    """Combine the maps of windows for some rows of a source image.

    Args:
        maps: one array (height, width, ...) per window, all of the same dtype.
        boxes: the windows: all whose cores have some of the rows.
        owned: their cores.
        rows: the working row under each wanted row, from `nearest_rows`.
        columns: the working column under each column.
    """
    left = iter(maps)
    first = next(left)
    result = np.zeros((len(rows), len(columns), *first.shape[2:]), first.dtype)
    for values, window, core in zip(itertools.chain([first], left), boxes, owned, strict=True):
        if values.shape[:2] != (window.height, window.width):
            raise DataError(
                f"a map of {_by(values.shape[:2])} pixels for a window of "
                f"{_by((window.height, window.width))}: the file is damaged, make it again"
            )
        # Both index lists are increasing, so a core is a rectangle of the source, too.
        down = slice(*np.searchsorted(rows, (core.top, core.bottom)))
        across = slice(*np.searchsorted(columns, (core.left, core.right)))
        result[down, across] = values[rows[down] - window.top][:, columns[across] - window.left]
    return result


def _rounded(length: float) -> int:
    return max(1, math.floor(length + 0.5))


def _proportional(side: int, wanted: int, shorter: int) -> int:
    return max(1, (2 * side * wanted + shorter) // (2 * shorter))


def _starts(side: int, patch: int, stride: int) -> list[int]:
    starts = list(range(0, side - patch + 1, stride))
    if starts[-1] + patch < side:
        starts.append(side - patch)
    return starts


def _halfway(spans: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Return, for each start of a window along one axis, its core as (first, past the last) pixel."""
    ordered = sorted(set(spans))
    starts = [start for start, _ in ordered]
    ends = [start + length for start, length in ordered]
    cuts = [(end + start) // 2 for end, start in zip(ends, starts[1:], strict=False)]
    return dict(zip(starts, zip(starts[:1] + cuts, cuts + ends[-1:], strict=True), strict=True))


def _check_cover(windows: Sequence[Box], owned: Sequence[Box], grid: tuple[int, int]) -> None:
    """Check that every pixel of the grid is in one core, and every core inside its window."""
    covered = sum(core.height * core.width for core in owned)
    inside = all(
        window.top <= core.top <= core.bottom <= window.bottom
        and window.left <= core.left <= core.right <= window.right
        for window, core in zip(windows, owned, strict=True)
    )
    corners = bool(windows) and (min(w.top for w in windows), min(w.left for w in windows)) == (0, 0)
    ends = bool(windows) and (max(w.bottom for w in windows), max(w.right for w in windows)) == grid
    distinct = len(set(windows)) == len(windows)
    if not (inside and corners and ends and distinct and covered == grid[0] * grid[1]):
        raise DataError(
            f"{len(windows)} windows do not cover the working image of {_by(grid)} pixels: make the file again"
        )


def _check_grid(what: str, grid: tuple[int, int]) -> None:
    if min(grid) < 1:
        raise DataError(f"a {what} of {_by(grid)} pixels has no pixels")


def _by(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
