"""Simplify borders so that they neither touch nor cross each other, and areas of regions hardly change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.crossings import crossing_lines

Points = NDArray[np.int64]  # (points, 2): x and y
Values = NDArray[np.float64]

AREA_ERROR = 0.1  # largest share of its area by which a region may change
LEAST_TOLERANCE = 0.25  # below it nothing but points on straight lines would be dropped


class Borders(NamedTuple):
    """Borders of some rows of a map, to be simplified together."""

    lines: Sequence[Points]
    beside: Points  # (lines, 2), the region on the right of each and on the left; negative = none
    areas: NDArray[np.int64]  # pixels of each region in these rows; at the end 0, for none
    bottom: int  # row of corners below which other borders follow; -1 = none


def simplified_borders(borders: Borders, tolerance: float) -> list[Points]:
    """Simplify lines, and take back what makes them touch or cross each other, or changes a region too much.

    Args:
        borders: the lines, and what is beside them.
        tolerance: largest distance between a line and the simplified one, at most 1.
    """
    lines, beside, areas, bottom = borders
    allowed = np.full(len(lines), float(tolerance))
    found = simplified(lines, allowed)
    exact = _doubled_areas(lines, beside, len(areas))
    while tolerance > 0:
        changed = np.abs(_doubled_areas(found, beside, len(areas)) - exact) > AREA_ERROR * 2 * areas
        around = changed[beside].any(axis=1)
        wrong: list[int] = np.flatnonzero(around & (allowed > 0)).tolist()
        wrong = wrong or [number for number in _misplaced(found, bottom) if allowed[number] > 0]
        if not wrong:
            break
        allowed[wrong] /= 2
        allowed[allowed < LEAST_TOLERANCE] = 0
        again = simplified([lines[number] for number in wrong], allowed[wrong])
        for number, line in zip(wrong, again, strict=True):
            found[number] = line
    return found


def _misplaced(lines: Sequence[Points], bottom: int) -> list[int]:
    """Return the lines that touch or cross others, or lie on the bottom row, where borders of the next rows lie."""
    found = crossing_lines(lines)
    if bottom < 0:
        return found
    sizes = np.array([len(line) for line in lines])
    low = np.concatenate(lines)[:, 1] == bottom
    flat = low[:-1] & low[1:]
    flat[np.cumsum(sizes)[:-1] - 1] = False  # from one line to the next
    lying = np.repeat(np.arange(len(lines)), sizes)[:-1][flat]
    return sorted({*found, *lying.tolist()})


def _doubled_areas(lines: Sequence[Points], beside: Points, count: int) -> Values:
    """Return twice the area of each region, from the lines around it, as far as they are there."""
    points, sizes = np.concatenate(lines), np.array([len(line) for line in lines])
    (x, y), (next_x, next_y) = points[:-1].T, points[1:].T
    steps = np.append(x * next_y - next_x * y, 0)
    ends = np.cumsum(sizes)
    steps[ends - 1] = 0  # from one line to the next
    sums = np.add.reduceat(steps, ends - sizes)
    areas = np.zeros(count)
    for side, sign in zip(beside.T, (1, -1), strict=True):
        areas += sign * np.bincount(side[side >= 0], sums[side >= 0], minlength=count)
    return areas


def simplified(lines: Sequence[Points], tolerances: Values) -> list[Points]:
    """Drop points of lines by the algorithm of Douglas and Peucker, all lines at once.

    Args:
        lines: (points, 2) each.
        tolerances: for each line the largest distance of a dropped point from the segment that replaces it; 0 = drop
            none. A closed line must be larger than that.
    """
    if not lines:
        return []
    lengths = np.array([len(line) for line in lines])
    ends = np.cumsum(lengths)
    points, number = np.concatenate(lines), np.arange(len(lines))
    keep = np.repeat(tolerances <= 0, lengths)
    keep[ends - lengths] = keep[ends - 1] = True
    open_ = np.flatnonzero(tolerances > 0)
    first, last, number = (ends - lengths)[open_], ends[open_] - 1, number[open_]
    while True:
        several = last - first > 1
        first, last, number = first[several], last[several], number[several]
        if not len(first):
            break
        worst, apart = _farthest(points, first, last)
        split = apart > tolerances[number] ** 2
        first, last, number, worst = first[split], last[split], number[split], worst[split]
        keep[worst] = True
        first, last, number = np.append(first, worst), np.append(worst, last), np.append(number, number)
    return [line[keep[end - len(line) : end]] for line, end in zip(lines, ends.tolist(), strict=True)]


def _farthest(points: Points, first: Points, last: Points) -> tuple[Points, Values]:
    """Return the point of each span that is farthest from the segment between its ends, and the squared distance."""
    between = last - first - 1
    offsets = np.cumsum(between) - between
    span = np.repeat(np.arange(len(first)), between)
    inside = first[span] + 1 + np.arange(len(span)) - offsets[span]
    start, along = points[first[span]], (points[last] - points[first])[span]
    to, length = points[inside] - start, (along**2).sum(axis=1)
    share = np.clip((to * along).sum(axis=1) / np.maximum(length, 1), 0, 1)
    apart = ((to - share[:, None] * along) ** 2).sum(axis=1)
    most: Values = np.maximum.reduceat(apart, offsets)
    hits = np.flatnonzero(apart == most[span])
    return inside[hits[np.unique(span[hits], return_index=True)[1]]], most
