"""The iterations of SLIC: k-means in colour and position, in which each pixel considers the nine nearest centres.

Pixels are stored cell by cell, so that the distances of a cell are sums over contiguous memory; pixels that are not
valid are not stored. Distances are computed in float32, sums in integers, so results do not depend on their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.compiling import compiled
from unsegcli.core.superpixels.fixed_point import Planes
from unsegcli.core.superpixels.lattice import CANDIDATES, Lattice

CHUNK = 512  # pixels whose distances are computed at once, so that they fit the fastest cache
LANES = 16  # pixels in the widest vector register: each cell is padded to a multiple
WIDTH = 8  # entries of a candidate in the table of sums
NO_MASK = np.empty((0, 0), np.bool_)


@dataclass(frozen=True)
class Cells:
    """The pixels of an image, cell by cell; in each cell first those of every second row, then the rest."""

    lattice: Lattice
    mask: NDArray[np.bool_]  # (height, width) of valid pixels; (0, 0) = all
    features: NDArray[np.int16]  # (2 + bands, pixels and padding): row and column in the cell, and the bands
    starts: NDArray[np.int64]  # (cells,): first pixel of each cell
    halves: NDArray[np.int64]  # (cells,): number of pixels in the first half

    def shares(self, half: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First pixel and number of pixels of each cell in half 0, in half 1, or in all (None)."""
        areas = self.lattice.areas.astype(np.int64)
        if half is None:
            return self.starts, areas
        return (self.starts, self.halves) if half == 0 else (self.starts + self.halves, areas - self.halves)


def gathered(planes: Planes, valid: NDArray[np.bool_] | None, lattice: Lattice) -> Cells:
    """Store the pixels cell by cell."""
    padded = -(-lattice.areas.astype(np.int64) // LANES) * LANES
    starts = np.cumsum(padded) - padded
    features = np.zeros((2 + len(planes), int(padded.sum()) + LANES), np.int16)
    halves = np.empty(len(lattice.cells), np.int64)
    mask = NO_MASK if valid is None else valid
    _gather(planes, mask, lattice.cells, starts, halves, features)
    return Cells(lattice, mask, features, starts, halves)


def cell_means(cells: Cells) -> NDArray[np.float64]:
    """Return the mean of each cell: (cells, 2 + bands)."""
    nearest = np.zeros(cells.features.shape[1], np.uint8)
    sums = np.zeros((len(cells.lattice.cells), len(cells.features) + 1), np.int64)
    itself = np.repeat(np.arange(len(sums), dtype=np.int32)[:, None], CANDIDATES, axis=1)
    _sum_all(cells.features, *cells.shares(None), cells.lattice.cells, itself, nearest, sums)
    return sums[:, :-1] / sums[:, -1:]


def iterate(
    cells: Cells,
    centres: NDArray[np.float64],
    weights: NDArray[np.float64],
    nearest: NDArray[np.uint8],
    half: int | None,
) -> None:
    """Assign pixels to their nearest centre, then move each centre to the mean of its pixels.

    Args:
        cells: the pixels.
        centres: (cells, 2 + bands), updated; a centre without pixels stays where it is.
        weights: (2 + bands,), of squared differences.
        nearest: (pixels and padding,), updated: which of the nine candidates is the nearest.
        half: the half of the pixels that is used; None = all.
    """
    starts, counts = cells.shares(half)
    lattice = cells.lattice
    _assign(cells.features, starts, counts, lattice.cells, lattice.candidates, centres, weights, nearest)
    sums = np.zeros((len(centres), len(weights) + 1), np.int64)
    _sum_all(cells.features, starts, counts, lattice.cells, lattice.candidates, nearest, sums)
    present = sums[:, -1] > 0
    centres[present] = sums[present, :-1] / sums[present, -1:]


def spread(cells: Cells, nearest: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return the centre of each pixel as a map (height, width), -1 where a pixel is not valid."""
    labels = np.full(shape, -1, np.int32)
    _scatter(nearest, cells.mask, cells.lattice.cells, cells.lattice.candidates, cells.starts, labels)
    return labels


@compiled
def _gather(planes, mask, cells, starts, halves, features):
    """Copy planes into the order of cells."""
    bands = len(planes)
    for cell in range(len(cells)):
        top, bottom, left, right = cells[cell]
        at = starts[cell]
        for half in range(2):
            for row in range(top + half, bottom, 2):
                for column in range(left, right):
                    if mask.size > 0 and not mask[row, column]:
                        continue
                    features[0, at] = row - top
                    features[1, at] = column - left
                    for band in range(bands):
                        features[2 + band, at] = planes[band, row, column]
                    at += 1
            if half == 0:
                halves[cell] = at - starts[cell]


@compiled
def _scatter(nearest, mask, cells, candidates, starts, labels):
    """Write the nearest centre of each pixel into a map, in the order of `_gather`."""
    for cell in range(len(cells)):
        top, bottom, left, right = cells[cell]
        at = starts[cell]
        for half in range(2):
            for row in range(top + half, bottom, 2):
                for column in range(left, right):
                    if mask.size > 0 and not mask[row, column]:
                        continue
                    labels[row, column] = candidates[cell, nearest[at]]
                    at += 1


@compiled
def _assign(features, starts, counts, cells, candidates, centres, weights, nearest):
    """Find the nearest candidate of each pixel, cell by cell.

    The squared distance to centre c, less what all candidates share, is the sum of w c^2 - 2 w c f over features f.
    """
    count = len(features)
    scores = np.empty((CANDIDATES, CHUNK), np.float32)
    slopes, constants = np.empty((count, CANDIDATES), np.float32), np.empty(CANDIDATES, np.float32)
    for cell in range(len(cells)):
        for slot in range(CANDIDATES):
            centre = centres[candidates[cell, slot]]
            constant = 0.0
            for feature in range(count):
                # Positions are relative to the cell, so that float32 is exact enough in large images.
                origin = cells[cell, 2 * feature] if feature < 2 else 0
                value = centre[feature] - origin
                slopes[feature, slot] = 2 * weights[feature] * value
                constant += weights[feature] * value * value
            constants[slot] = constant
        begin, end = starts[cell], starts[cell] + counts[cell]
        while begin < end:
            size = min(CHUNK, -(-(end - begin) // LANES) * LANES)
            after = begin + size
            _start_scores(features[0, begin:after], features[1, begin:after], slopes, constants, scores)
            for feature in range(2, count - 1):
                _add_to_scores(features[feature, begin:after], slopes[feature], scores)
            _choose(features[count - 1, begin:after], slopes[count - 1], scores, nearest[begin:after])
            begin = after


@compiled
def _start_scores(rows, columns, slopes, constants, scores):
    """Set the scores (candidates, pixels) by position. Written out by candidate, so that it is vectorised."""
    size = len(rows)
    s0, s1, s2, s3, s4 = scores[0, :size], scores[1, :size], scores[2, :size], scores[3, :size], scores[4, :size]
    s5, s6, s7, s8 = scores[5, :size], scores[6, :size], scores[7, :size], scores[8, :size]
    a0, a1, a2, a3, a4 = slopes[0, 0], slopes[0, 1], slopes[0, 2], slopes[0, 3], slopes[0, 4]
    a5, a6, a7, a8 = slopes[0, 5], slopes[0, 6], slopes[0, 7], slopes[0, 8]
    b0, b1, b2, b3, b4 = slopes[1, 0], slopes[1, 1], slopes[1, 2], slopes[1, 3], slopes[1, 4]
    b5, b6, b7, b8 = slopes[1, 5], slopes[1, 6], slopes[1, 7], slopes[1, 8]
    c0, c1, c2, c3, c4 = constants[0], constants[1], constants[2], constants[3], constants[4]
    c5, c6, c7, c8 = constants[5], constants[6], constants[7], constants[8]
    for pixel in range(size):
        row, column = np.float32(rows[pixel]), np.float32(columns[pixel])
        s0[pixel] = c0 - a0 * row - b0 * column
        s1[pixel] = c1 - a1 * row - b1 * column
        s2[pixel] = c2 - a2 * row - b2 * column
        s3[pixel] = c3 - a3 * row - b3 * column
        s4[pixel] = c4 - a4 * row - b4 * column
        s5[pixel] = c5 - a5 * row - b5 * column
        s6[pixel] = c6 - a6 * row - b6 * column
        s7[pixel] = c7 - a7 * row - b7 * column
        s8[pixel] = c8 - a8 * row - b8 * column


@compiled
def _add_to_scores(values, slopes, scores):
    """Add a band to the scores."""
    size = len(values)
    s0, s1, s2, s3, s4 = scores[0, :size], scores[1, :size], scores[2, :size], scores[3, :size], scores[4, :size]
    s5, s6, s7, s8 = scores[5, :size], scores[6, :size], scores[7, :size], scores[8, :size]
    a0, a1, a2, a3, a4 = slopes[0], slopes[1], slopes[2], slopes[3], slopes[4]
    a5, a6, a7, a8 = slopes[5], slopes[6], slopes[7], slopes[8]
    for pixel in range(size):
        value = np.float32(values[pixel])
        s0[pixel] -= a0 * value
        s1[pixel] -= a1 * value
        s2[pixel] -= a2 * value
        s3[pixel] -= a3 * value
        s4[pixel] -= a4 * value
        s5[pixel] -= a5 * value
        s6[pixel] -= a6 * value
        s7[pixel] -= a7 * value
        s8[pixel] -= a8 * value


@compiled
def _choose(values, slopes, scores, nearest):
    """Add the last band, and find the candidate of the smallest score; the first one of equal scores."""
    size = len(values)
    s0, s1, s2, s3, s4 = scores[0, :size], scores[1, :size], scores[2, :size], scores[3, :size], scores[4, :size]
    s5, s6, s7, s8 = scores[5, :size], scores[6, :size], scores[7, :size], scores[8, :size]
    a0, a1, a2, a3, a4 = slopes[0], slopes[1], slopes[2], slopes[3], slopes[4]
    a5, a6, a7, a8 = slopes[5], slopes[6], slopes[7], slopes[8]
    for pixel in range(size):
        value = np.float32(values[pixel])
        best, slot = s0[pixel] - a0 * value, np.int32(0)
        score = s1[pixel] - a1 * value
        slot = np.int32(1) if score < best else slot
        best = score if score < best else best
        score = s2[pixel] - a2 * value
        slot = np.int32(2) if score < best else slot
        best = score if score < best else best
        score = s3[pixel] - a3 * value
        slot = np.int32(3) if score < best else slot
        best = score if score < best else best
        score = s4[pixel] - a4 * value
        slot = np.int32(4) if score < best else slot
        best = score if score < best else best
        score = s5[pixel] - a5 * value
        slot = np.int32(5) if score < best else slot
        best = score if score < best else best
        score = s6[pixel] - a6 * value
        slot = np.int32(6) if score < best else slot
        best = score if score < best else best
        score = s7[pixel] - a7 * value
        slot = np.int32(7) if score < best else slot
        best = score if score < best else best
        score = s8[pixel] - a8 * value
        slot = np.int32(8) if score < best else slot
        best = score if score < best else best
        nearest[pixel] = slot


@compiled
def _sum_all(features, starts, counts, cells, candidates, nearest, sums):
    """Sum the features and count the pixels of each centre: (centres, features + 1).

    A repeated candidate is never nearer than the first one, so nothing is added for it.
    """
    count = len(features)
    table = np.empty(CANDIDATES * WIDTH, np.int32)  # sums over a chunk of int16 fit into int32
    for cell in range(len(cells)):
        begin, end = starts[cell], starts[cell] + counts[cell]
        while begin < end:
            stop = min(begin + CHUNK, end)
            slots = nearest[begin:stop]
            table[:] = 0
            _add_first(
                slots,
                features[0, begin:stop],
                features[1, begin:stop],
                features[2, begin:stop],
                features[min(3, count - 1), begin:stop],
                features[min(4, count - 1), begin:stop],
                table,
            )
            for slot in range(CANDIDATES):
                centre, at = candidates[cell, slot], WIDTH * slot
                pixels = np.int64(table[at])
                sums[centre, count] += pixels
                sums[centre, 0] += table[at + 1] + pixels * cells[cell, 0]
                sums[centre, 1] += table[at + 2] + pixels * cells[cell, 2]
                for feature in range(2, min(5, count)):
                    sums[centre, feature] += table[at + 1 + feature]
            for feature in range(5, count):
                table[:] = 0
                _add_one(slots, features[feature, begin:stop], table)
                for slot in range(CANDIDATES):
                    sums[candidates[cell, slot], feature] += table[WIDTH * slot]
            begin = stop


@compiled
def _add_first(slots, rows, columns, one, two, three, table):
    """Count pixels, and sum positions and three bands by candidate; images of fewer bands repeat the last one.

    Numbers are unsigned, so that no test for negative ones is compiled.
    """
    for pixel in range(len(slots)):
        at = np.uint64(WIDTH) * np.uint64(slots[pixel])
        table[at] += np.int32(1)
        table[at + np.uint64(1)] += rows[pixel]
        table[at + np.uint64(2)] += columns[pixel]
        table[at + np.uint64(3)] += one[pixel]
        table[at + np.uint64(4)] += two[pixel]
        table[at + np.uint64(5)] += three[pixel]


@compiled
def _add_one(slots, values, table):
    """Sum a band by candidate."""
    for pixel in range(len(slots)):
        table[np.uint64(WIDTH) * np.uint64(slots[pixel])] += values[pixel]
