"""Histograms of the colours of regions: what one gets without any training, beside learned vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.features import lab
from unsegcli.core.superpixels.regions import RegionMap
from unsegcli.core.superpixels.valid import unit_pixels

BINS = 32  # of each band
LAB_RANGE = ((0.0, 100.0), (-80.0, 80.0), (-80.0, 80.0))  # colours of photographs; more saturated ones count at the end


def colour_histograms(pixels: NDArray[Any], regions: RegionMap, count: int) -> NDArray[np.float32]:
    """Compute a histogram of each band for each region: (regions, 32 x bands), with 0 for a region without pixels.

    The bands are CIELAB coordinates for three bands, else those of the image. Each value is the square root of a
    share, so that the cosine of two histograms is their Bhattacharyya coefficient.

    Args:
        pixels: (height, width, bands), uint8 or floats from 0 to 1.
        regions: (height, width), 0 to count - 1; -1 = no region.
        count: number of regions.
    """
    binned = colour_bins(pixels)
    inside = regions >= 0
    numbers = regions[inside].astype(np.int64)
    areas = np.maximum(np.bincount(numbers, minlength=count), 1)[:, None]
    found = [
        np.bincount(numbers * BINS + binned[:, :, band][inside], minlength=count * BINS).reshape(count, BINS) / areas
        for band in range(binned.shape[2])
    ]
    histograms: NDArray[np.float32] = np.sqrt(np.concatenate(found, axis=1)).astype(np.float32)
    return histograms


def colour_bins(pixels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bin of each pixel in each band: (height, width, bands)."""
    unit = unit_pixels(pixels)
    three = unit.shape[2] == 3
    ranges = np.array(LAB_RANGE if three else ((0.0, 1.0),) * unit.shape[2])
    shares = ((lab(unit) if three else unit) - ranges[:, 0]) / (ranges[:, 1] - ranges[:, 0])
    bins: NDArray[np.int64] = np.clip((shares * BINS).astype(np.int64), 0, BINS - 1)
    return bins


def colour_cells(pixels: NDArray[Any], cell: int, around: int) -> NDArray[np.float32]:
    """Compute the same histograms on a grid of square cells, each of the cells around it too: (rows, columns, values).

    Args:
        pixels: (height, width, bands).
        cell: side of a cell in pixels; the last ones may be smaller.
        around: how many cells on each side are counted in.
    """
    height, width = pixels.shape[:2]
    rows, columns = -(-height // cell), -(-width // cell)
    numbers = (np.arange(height) // cell)[:, None] * columns + np.arange(width) // cell
    shares = colour_histograms(pixels, numbers.astype(np.int32), rows * columns) ** 2
    areas = np.bincount(numbers.ravel(), minlength=rows * columns)
    counts = (shares * areas[:, None]).reshape(rows, columns, -1)
    padded = np.pad(counts, ((around + 1, around), (around + 1, around), (0, 0))).cumsum(0).cumsum(1)
    side = 2 * around + 1
    sums = padded[side:, side:] - padded[:-side, side:] - padded[side:, :-side] + padded[:-side, :-side]
    bands = pixels.shape[2]
    totals = sums.sum(axis=2, keepdims=True) / bands
    histograms: NDArray[np.float32] = np.sqrt(np.maximum(sums, 0) / totals).astype(np.float32)
    return histograms
