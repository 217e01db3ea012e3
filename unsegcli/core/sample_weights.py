"""Where a map of cells is read at the pixels of an image: bilinear weights, and their means over superpixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

PIXELS_AT_ONCE = 1_000_000


class Places(NamedTuple):
    """For each position along an axis: the cell before it, the cell after it, and the weight of the latter."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    weight: NDArray[np.float64]
    cells: int  # of the map along this axis

    def part(self, positions: slice) -> Places:
        """Return some of the positions."""
        return Places(self.before[positions], self.after[positions], self.weight[positions], self.cells)


def among_cells(centres: NDArray[np.float64], stride: float, first: float, cells: int) -> Places:
    """Find positions among the cells of a map; before the first cell it holds as it is, and so does the last one.

    Args:
        centres: the positions, in pixels of the network's input, whose centres are at whole numbers.
        stride: distance of the cells.
        first: the centre of cell 0.
        cells: number of cells.
    """
    places = np.clip((centres - first) / stride, 0, cells - 1)
    before = np.minimum(places.astype(np.int64), max(0, cells - 2))
    return Places(before, np.minimum(before + 1, cells - 1), places - before, cells)


def pixel_centres(count: int, ratio: float) -> NDArray[np.float64]:
    """Return the centres of pixels in an image that is resized by a ratio."""
    return (np.arange(count, dtype=np.float64) + 0.5) * ratio - 0.5


def mean_weights(regions: NDArray[np.int32], count: int, rows: Places, columns: Places) -> csr_array:
    """Return the weight of each cell in the mean of each superpixel: sparse (superpixels, cells).

    Args:
        regions: (height, width) superpixels, -1 = void.
        count: number of superpixels.
        rows: where the rows of pixels are among the cells.
        columns: where the columns of pixels are among the cells.
    """
    from scipy.sparse import csr_array, diags_array

    total: Any = csr_array((count, rows.cells * columns.cells))
    step = max(1, PIXELS_AT_ONCE // regions.shape[1])
    for top in range(0, len(regions), step):
        part = slice(top, top + step)
        total = total + _sums(regions[part], count, rows.part(part), columns)
    areas = np.bincount(regions[regions >= 0], minlength=count)
    return csr_array(diags_array(1 / np.maximum(areas, 1)) @ total, dtype=np.float32)


def _sums(regions: NDArray[np.int32], count: int, rows: Places, columns: Places) -> csr_array:
    """Return the sum of the weights over the pixels of each superpixel."""
    from scipy.sparse import coo_array

    inside = regions >= 0
    cells, weights = [], []
    for row, down in ((rows.before, 1 - rows.weight), (rows.after, rows.weight)):
        for column, right in ((columns.before, 1 - columns.weight), (columns.after, columns.weight)):
            cells.append((row[:, None] * columns.cells + column)[inside])
            weights.append((down[:, None] * right)[inside])
    numbers = np.tile(regions[inside], len(cells))
    entries = (np.concatenate(weights), (numbers, np.concatenate(cells)))
    return coo_array(entries, shape=(count, rows.cells * columns.cells)).tocsr()


def resampled(values: NDArray[np.float32], rows: Places, columns: Places) -> NDArray[np.float32]:
    """Read a map (rows, columns, features) at other positions."""
    down, right = (places.weight.astype(np.float32) for places in (rows, columns))
    lines = values[rows.before] * (1 - down)[:, None, None] + values[rows.after] * down[:, None, None]
    found = lines[:, columns.before] * (1 - right)[:, None] + lines[:, columns.after] * right[:, None]
    return found.astype(np.float32, copy=False)
