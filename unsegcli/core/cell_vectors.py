"""Vectors of the cells of a grid without any network: the colours in and around each cell, for any number of bands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.features import blurred_pixels, lab
from unsegcli.core.superpixels.valid import filled, unit_pixels

SIGMA = 0.5  # pixels, of the blur before colours are averaged
SCALE = 3.0  # difference of colours, in units of CIELAB, that makes a difference of 1 between two vectors
AROUND = 4  # halves of a cell along the side of the square that a vector describes, twice the cell's own

Floats = NDArray[np.float32]


def cell_vectors(pixels: NDArray[Any], valid: NDArray[np.bool_] | None, cell: int) -> Floats:
    """Compute a vector of each cell: (rows, columns, dimensions).

    The square of twice the cell's side around its centre is divided into 4 x 4 squares; the vector holds the mean
    colour of each, CIELAB for three bands, otherwise the bands from 0 to 100. The squared distance of two vectors is
    the mean squared difference of these colours, in units of `SCALE`.

    Args:
        pixels: (height, width, bands).
        valid: (height, width); void pixels count as the mean colour of the others. None = all.
        cell: side of a cell in pixels, an even number.
    """
    unit = unit_pixels(pixels)
    if valid is not None and valid.any():
        unit = filled(unit, valid)
    colours = blurred_pixels(unit, SIGMA)
    colours = lab(colours) if colours.shape[2] == 3 else colours * np.float32(100)
    halves = _means(colours, cell // 2, cell)
    rows, columns = halves.shape[0] // 2, halves.shape[1] // 2
    padded = np.pad(halves, ((1, 1), (1, 1), (0, 0)), mode="edge")
    parts = [
        padded[down : down + 2 * rows : 2, across : across + 2 * columns : 2]
        for down in range(AROUND)
        for across in range(AROUND)
    ]
    vectors: Floats = np.concatenate(parts, axis=2) / np.float32(SCALE * AROUND)
    return vectors


def _means(colours: Floats, side: int, cell: int) -> Floats:
    """Average squares of a side; incomplete cells at the border are filled by the last row or column."""
    height, width, bands = colours.shape
    padded = np.pad(colours, ((0, -height % cell), (0, -width % cell), (0, 0)), mode="edge")
    rows, columns = padded.shape[0] // side, padded.shape[1] // side
    means: Floats = padded.reshape(rows, side, columns, side, bands).mean(axis=(1, 3), dtype=np.float32)
    return means
