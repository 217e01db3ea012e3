"""Pixels as integers: each band a plane of int16, in CIELAB for three bands.

Integers make sums exact, so that their order does not matter.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.compiling import compiled, plain
from unsegcli.core.superpixels.valid import check_pixels

STEPS = 256  # integers per unit of CIELAB; L is from 0 to 100, a and b from -108 to 98
RANGE = 100.0  # of bands that are not converted to CIELAB, in the same unit
LEVELS = 65_280  # steps between the smallest and the largest value of an image: 255 x 256
ROOTS = 4096  # entries of the table of cube roots; linear interpolation is then within 0.001 of L

Planes = NDArray[np.int16]  # (bands, height, width)

# sRGB to XYZ, each row divided by the white point D65, so that white is (1, 1, 1).
TO_XYZ = (
    np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    / np.array([[0.95047], [1.0], [1.08883]])
).astype(np.float32)


def fixed_point(pixels: NDArray[Any], valid: NDArray[np.bool_] | None) -> Planes:
    """Convert pixels (height, width, bands) to integers, stretched to the range of the valid pixels.

    Args:
        pixels: uint8, uint16 or floats; at least one pixel.
        valid: (height, width), at least one pixel; None = all.
    """
    check_pixels(pixels)
    values, levels = _levels(pixels, valid)
    height, width, bands = pixels.shape
    planes = np.empty((bands, height, width), np.int16)
    if bands == 3:
        _to_lab(values, _linear()[levels], _roots(), TO_XYZ, planes)
    else:
        _to_steps(values, np.rint(levels * (RANGE * STEPS / LEVELS)).astype(np.int16), planes)
    return planes


def _levels(pixels: NDArray[Any], valid: NDArray[np.bool_] | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return integer pixels, and a table from them to levels: 0 is the smallest valid value, LEVELS the largest."""
    inside = pixels if valid is None else pixels[valid]
    low, high = float(inside.min()), float(inside.max())
    factor = LEVELS / (high - low) if high > low else 0.0
    if np.issubdtype(pixels.dtype, np.floating):
        return plain(_clipped((pixels - low) * factor).astype(np.uint16)), np.arange(LEVELS + 1)
    values = np.arange(np.iinfo(pixels.dtype).max + 1)
    return plain(pixels), _clipped((values - low) * factor).astype(np.int64)


def _clipped(levels: NDArray[Any]) -> NDArray[Any]:
    clipped: NDArray[Any] = np.clip(np.rint(levels), 0, LEVELS)
    return clipped


@functools.cache
def _linear() -> NDArray[np.float32]:
    """Table from levels of sRGB to light intensities, 0 to 1."""
    unit = np.arange(LEVELS + 1) / LEVELS
    return np.where(unit > 0.04045, ((unit + 0.055) / 1.055) ** 2.4, unit / 12.92).astype(np.float32)


@functools.cache
def _roots() -> NDArray[np.float32]:
    """Table of CIELAB's cube root for 0 to 1; two more entries, since white is not exactly 1."""
    t = np.arange(ROOTS + 2) / (ROOTS - 1)
    return np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116).astype(np.float32)


@compiled
def _to_steps(values, table, planes):
    """Look up each value (height, width, bands)."""
    bands, height, width = planes.shape
    for row in range(height):
        for column in range(width):
            for band in range(bands):
                planes[band, row, column] = table[values[row, column, band]]


@compiled
def _to_lab(values, linear, roots, matrix, planes):
    """Convert sRGB values (height, width, 3) to CIELAB in steps."""
    _, height, width = planes.shape
    last = np.float32(len(roots) - 3)  # the entry of 1
    to_x, to_y, to_z = matrix[0], matrix[1], matrix[2]
    for row in range(height):
        for column in range(width):
            red, green = linear[values[row, column, 0]], linear[values[row, column, 1]]
            blue = linear[values[row, column, 2]]
            x = _root((to_x[0] * red + to_x[1] * green + to_x[2] * blue) * last, roots)
            y = _root((to_y[0] * red + to_y[1] * green + to_y[2] * blue) * last, roots)
            z = _root((to_z[0] * red + to_z[1] * green + to_z[2] * blue) * last, roots)
            planes[0, row, column] = np.int16(np.rint((np.float32(116) * y - np.float32(16)) * np.float32(STEPS)))
            planes[1, row, column] = np.int16(np.rint(np.float32(500 * STEPS) * (x - y)))
            planes[2, row, column] = np.int16(np.rint(np.float32(200 * STEPS) * (y - z)))


@compiled
def _root(position, roots):
    """Look up a cube root by linear interpolation."""
    at = int(position)
    return roots[at] + (position - np.float32(at)) * (roots[at + 1] - roots[at])
