"""Measures of the parts of a label map: area, length of the outline, box, centre, means."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.regions import RegionMap

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
    sums = MeasureSums(int(parts.max(initial=-1)) + 1)
    sums.add(parts)
    return sums.measures()


class MeasureSums:
    """Measures parts in bands of a map, one below the other."""

    def __init__(self, count: int) -> None:
        """Begin with the first row.

        Args:
            count: number of parts.
        """
        self._areas, self._lengths = np.zeros(count, np.int64), np.zeros(count)
        self._sums = np.zeros((2, count))  # of columns and of rows
        self._least = np.full((2, count), np.iinfo(np.int64).max)
        self._most = np.full((2, count), -1, np.int64)
        self._above: RegionMap | None = None
        self._row = 0

    def add(self, parts: RegionMap) -> None:
        """Add a band (rows, width), -1 = none."""
        rows, columns = np.nonzero(parts >= 0)
        known, numbers = np.unique(parts[rows, columns], return_inverse=True)
        self._areas[known] += np.bincount(numbers, minlength=len(known))
        for axis, along in enumerate((columns, rows + self._row)):
            self._sums[axis, known] += np.bincount(numbers, along, minlength=len(known))
            np.minimum.at(self._least[axis], parts[rows, columns], along)
            np.maximum.at(self._most[axis], parts[rows, columns], along)
        above = np.full((1, parts.shape[1]), -1, np.int32) if self._above is None else self._above
        _add_lengths(self._lengths, np.concatenate([above, parts]))
        self._above, self._row = parts[-1:], self._row + len(parts)

    def measures(self) -> PartMeasures:
        """Return what was measured."""
        if self._above is not None:
            _add_lengths(self._lengths, np.concatenate([self._above, np.full_like(self._above, -1)]))
            self._above = None
        sizes = self._most - self._least + 1
        boxes = np.stack([self._least[0], self._least[1], sizes[0], sizes[1]], axis=1)
        return PartMeasures(self._areas, self._lengths, boxes, self._sums.T / self._areas[:, None] + 0.5)


def _add_lengths(total: Values, parts: RegionMap) -> None:
    """Add the lengths of outlines, of holes too, with corners cut: a line through the middles of pixel sides.

    Each square of four pixel middles adds, for a part that has one or three of them, half a diagonal; for two beside
    each other one side; for two across from each other two half diagonals.

    Args:
        total: (parts,), is changed.
        parts: (rows, width), squares are between these rows.
    """
    around = np.pad(parts, ((0, 0), (1, 1)), constant_values=-1)
    corners = [around[:-1, :-1], around[:-1, 1:], around[1:, 1:], around[1:, :-1]]  # one after the other, around
    edge = (corners[0] != corners[1]) | (corners[1] != corners[2]) | (corners[2] != corners[3])
    corners = [corner[edge] for corner in corners]
    for number, own in enumerate(corners):
        same = [corners[(number + turn) % 4] == own for turn in range(1, 4)]
        beside, across = same[0].astype(np.int8) + same[2], same[1]
        length = np.zeros(own.shape, np.float64)  # shared by the pixels of the part in this square
        length[(beside == 0) & ~across] = sqrt(0.5)
        length[(beside == 0) & across] = sqrt(0.5)
        length[(beside == 1) & ~across] = 0.5
        length[((beside == 1) & across) | ((beside == 2) & ~across)] = sqrt(0.5) / 3
        inside = own >= 0
        total += np.bincount(own[inside], length[inside], minlength=len(total))


def part_means(values: NDArray[Any], parts: RegionMap, count: int) -> Values:
    """Average values (height, width, bands) over each part, without NaN: (count, bands); NaN where there are none."""
    sums = MeanSums(count)
    sums.add(values, parts)
    return sums.means()


class MeanSums:
    """Averages values over parts in bands of a map."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._sums: list[Values] = []  # of each band of values
        self._pixels: list[NDArray[np.int64]] = []

    def add(self, values: NDArray[Any], parts: RegionMap) -> None:
        """Add values (rows, width, bands), NaN = unknown, of parts (rows, width), -1 = none."""
        for band in range(values.shape[2]):
            if band == len(self._sums):
                self._sums.append(np.zeros(self._count))
                self._pixels.append(np.zeros(self._count, np.int64))
            known = (parts >= 0) & ~np.isnan(values[:, :, band])
            numbers = parts[known]
            own = values[:, :, band][known].astype(np.float64)
            self._sums[band] += np.bincount(numbers, own, minlength=self._count)
            self._pixels[band] += np.bincount(numbers, minlength=self._count)

    def means(self) -> Values:
        """Return the averages (parts, bands), NaN where there is no value."""
        with np.errstate(invalid="ignore"):
            return np.stack([total / pixels for total, pixels in zip(self._sums, self._pixels, strict=True)], axis=1)
