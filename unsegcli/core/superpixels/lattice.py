"""The lattice of SLIC: cells of equal numbers of valid pixels, and the neighbours of each cell.

Cells are rectangles, in bands of rows from top to bottom and from left to right in each band. Together they cover
all valid pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.compiling import compiled

CANDIDATES = 9  # the cell itself, two beside it, three in the band above and three in the band below


@dataclass(frozen=True)
class Lattice:
    """The cells of an image."""

    cells: NDArray[np.int32]  # (cells, 4): first row, end of rows, first column, end of columns
    candidates: NDArray[np.int32]  # (cells, CANDIDATES): itself first; itself again where there is no neighbour
    areas: NDArray[np.int32]  # (cells,): valid pixels, at least one


def lattice(shape: tuple[int, int], valid: NDArray[np.bool_] | None, count: int) -> Lattice:
    """Divide the valid pixels into a number of cells; a few more or fewer where cells are a few pixels large.

    Args:
        shape: height and width.
        valid: (height, width), at least one pixel; None = all.
        count: number of cells, 1 to the number of valid pixels.
    """
    if valid is None:
        rows = np.full(shape[0], shape[1], np.int64)
        mask = np.empty((0, 0), np.bool_)
    else:
        rows = np.count_nonzero(valid, axis=1).astype(np.int64)
        mask = valid
    present = np.flatnonzero(rows)
    side = math.sqrt(int(rows.sum()) / count)
    bands = min(max(1, round((present[-1] + 1 - present[0]) / side)), count)
    # Each band may have one cell more than its share.
    cells = np.empty((count + bands, 4), np.int32)
    candidates = np.empty((count + bands, CANDIDATES), np.int32)
    areas = np.empty(count + bands, np.int32)
    made = _divide(rows, mask, shape[1], count, bands, cells, candidates, areas)
    return Lattice(cells[:made], candidates[:made], areas[:made])


@compiled
def _divide(rows, mask, width, count, bands, cells, candidates, areas):
    """Fill the tables of a lattice; return the number of cells."""
    total = rows.sum()
    row_cuts, column_cuts = np.empty(bands + 1, np.int64), np.empty(len(cells) + 1, np.int64)
    _cut(rows, bands, row_cuts)
    columns = np.empty(width, np.int64)
    firsts = np.empty(bands + 1, np.int64)  # the first cell of each band
    made = filled = before = used = 0
    for band in range(bands):
        top, bottom = row_cuts[band], row_cuts[band + 1]
        area = rows[top:bottom].sum()
        if area == 0:
            continue
        before += area
        share = max(1, round(before * count / total) - filled)
        filled += share
        if mask.size == 0:
            columns[:] = bottom - top
        else:
            columns[:] = 0
            for row in range(top, bottom):
                for column in range(width):
                    columns[column] += mask[row, column]
        _cut(columns, share, column_cuts)
        firsts[used] = made
        used += 1
        for part in range(share):
            left, right = column_cuts[part], column_cuts[part + 1]
            inside = columns[left:right].sum()
            if inside > 0:
                cells[made, 0], cells[made, 1], cells[made, 2], cells[made, 3] = top, bottom, left, right
                areas[made] = inside
                made += 1
    firsts[used] = made
    for band in range(used):
        _neighbours(cells, firsts, band, used, candidates)
    return made


@compiled
def _cut(profile, parts, cuts):
    """Cut a profile of counts into parts of sums as equal as possible: part i is from cuts[i] to cuts[i + 1]."""
    total = profile.sum()
    at = below = 0
    for part in range(1, parts):
        target = total * part / parts
        while below + profile[at] <= target:
            below += profile[at]
            at += 1
        # The nearer of the two positions around the target.
        cuts[part] = at if target - below <= below + profile[at] - target else at + 1
    cuts[0], cuts[parts] = 0, len(profile)


@compiled
def _neighbours(cells, firsts, band, bands, candidates):
    """Find the candidates of each cell of a band."""
    for cell in range(firsts[band], firsts[band + 1]):
        candidates[cell] = cell
        if cell > firsts[band]:
            candidates[cell, 1] = cell - 1
        if cell + 1 < firsts[band + 1]:
            candidates[cell, 2] = cell + 1
    for side in range(2):
        other = band - 1 + 2 * side
        if other < 0 or other >= bands:
            continue
        first, end = firsts[other], firsts[other + 1]
        near = first
        for cell in range(firsts[band], firsts[band + 1]):
            middle = cells[cell, 2] + cells[cell, 3]
            while near + 1 < end and _apart(cells, near + 1, middle) < _apart(cells, near, middle):
                near += 1
            for offset in range(-1, 2):
                if first <= near + offset < end:
                    candidates[cell, 4 + 3 * side + offset] = near + offset


@compiled
def _apart(cells, cell, middle):
    """Horizontal distance between the centre of a cell and a centre, doubled."""
    return abs(cells[cell, 2] + cells[cell, 3] - middle)
