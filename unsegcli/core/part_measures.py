"""Measures of the parts of a label map: area, length of the outline, box, centre, means."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.regions import RegionMap, areas

Values = NDArray[np.float64]


@dataclass(frozen=True)
class PartMeasures:
    """One row for each part. Places are pixels from the top left corner, so the first pixel has its middle at .5."""

    areas: NDArray[np.int64]  # (parts,), pixels
    perimeters: Values  # (parts,)
    boxes: NDArray[np.int64]  # (parts, 4): left, top, width, height
    centres: Values  # (parts, 2): x, y


def measured(parts: RegionMap) -> PartMeasures:
    """Measure parts (height, width), numbered from 0, -1 = none."""
    count = int(parts.max(initial=-1)) + 1
    rows, columns = np.nonzero(parts >= 0)
    numbers = parts[rows, columns]
    sizes = areas(parts, count)
    sums = [np.bincount(numbers, along, minlength=count) for along in (columns, rows)]
    return PartMeasures(
        sizes,
        perimeters(parts, count),
        _boxes(numbers, rows, columns, count),
        np.stack(sums, axis=1) / sizes[:, None] + 0.5,
    )


def perimeters(parts: RegionMap, count: int) -> Values:
    """Compute the lengths of outlines, of holes too, with corners cut: a line through the middles of pixel sides.

    Each square of four pixel middles adds, for a part that has one or three of them, half a diagonal; for two beside
    each other one side; for two across from each other two half diagonals.
    """
    around = np.pad(parts, 1, constant_values=-1)
    corners = [around[:-1, :-1], around[:-1, 1:], around[1:, 1:], around[1:, :-1]]  # one after the other, around
    total = np.zeros(count, np.float64)
    for number, own in enumerate(corners):
        same = [corners[(number + turn) % 4] == own for turn in range(1, 4)]
        beside, across = same[0].astype(np.int8) + same[2], same[1]
        length = np.zeros(own.shape, np.float64)  # shared by the pixels of the part in this square
        length[(beside == 0) & ~across] = sqrt(0.5)
        length[(beside == 0) & across] = sqrt(0.5)
        length[(beside == 1) & ~across] = 0.5
        length[((beside == 1) & across) | ((beside == 2) & ~across)] = sqrt(0.5) / 3
        inside = own >= 0
        total += np.bincount(own[inside], length[inside], minlength=count)
    return total


def part_means(values: NDArray[Any], parts: RegionMap, count: int) -> Values:
    """Average values (height, width, bands) over each part, without NaN: (count, bands); NaN where there are none."""
    found = np.empty((count, values.shape[2]), np.float64)
    for band in range(values.shape[2]):
        known = (parts >= 0) & ~np.isnan(values[:, :, band])
        sums = np.bincount(parts[known], values[:, :, band][known].astype(np.float64), minlength=count)
        with np.errstate(invalid="ignore"):
            found[:, band] = sums / np.bincount(parts[known], minlength=count)
    return found


def _boxes(numbers: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return left, top, width and height of each part, whose pixels are given."""
    ends = []
    for along in (columns, rows):
        least, most = np.full(count, np.iinfo(np.int64).max), np.full(count, -1, np.int64)
        np.minimum.at(least, numbers, along)
        np.maximum.at(most, numbers, along)
        ends.append((least, most - least + 1))
    return np.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], axis=1)
