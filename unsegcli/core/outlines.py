"""Outlines of regions as polygons; neighbours share their borders, so that there are no gaps and no overlaps.

A region map is a planar map: the pixel sides between two regions are joined to *arcs*, which end at *nodes*, where more
than two regions meet. Each arc is simplified once, and the outline of a region is put together from its arcs. A point
is (x, y): the column and row of a corner of a pixel, so (0, 0) is the top left corner of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.crossings import crossing_lines

Points = NDArray[np.int64]  # (points, 2): x and y
Values = NDArray[np.float64]
Polygon = list[Points]  # the outer ring, clockwise as shown, then its holes; the first point is not repeated

OUTSIDE = -2  # around the image
EAST, SOUTH, WEST, NORTH = range(4)
AREA_ERROR = 0.1  # largest share of its area by which a region may change
LEAST_TOLERANCE = 0.25  # below it nothing but points on straight lines would be dropped


class Arcs(NamedTuple):
    """Borders between two regions from node to node; corners of pixels are numbered row by row."""

    lines: list[Points]
    starts: Points  # (arcs,) corners
    leaves: Points  # (arcs,) directions
    ends: Points
    arrives: Points


def polygons(regions: NDArray[np.integer[Any]], tolerance: float = 1.0) -> list[Polygon]:
    """Return the polygon of each region, by its number.

    Borders are simplified less where they would touch or cross each other, and where the area of a region would change
    by more than a tenth.

    Args:
        regions: (height, width), 4-connected regions, numbered from 0; negative = none.
        tolerance: largest distance in pixels between a border and the simplified one, at most 1; 0 = follow the pixels.
    """
    ways = _ways(regions)
    arcs = _arcs(ways)
    passed = _both_ways(arcs)
    rings, lengths = _rings(passed, ways)
    beside_ways = _region_beside(passed.starts, passed.leaves, regions)
    points, ends = _joined(_simplified(arcs.lines, beside_ways.reshape(-1, 2), tolerance), rings, lengths)
    beside = beside_ways[rings[np.cumsum(lengths) - lengths]]
    found: list[Polygon] = [[] for _ in range(int(regions.max(initial=-1)) + 1)]
    for ring in np.lexsort((-_doubled_areas(points, ends), beside)).tolist():
        if beside[ring] >= 0:
            found[beside[ring]].append(points[ends[ring - 1] if ring else 0 : ends[ring]])
    return found


def doubled_area(ring: Points) -> int:
    """Return twice the area inside a ring: positive for outer rings, negative for holes."""
    return int(_doubled_areas(ring, np.array([len(ring)]))[0])


def _doubled_areas(points: Points, ends: Points) -> Points:
    """Return twice the area inside each of several rings, whose points follow each other and end at `ends`."""
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = np.concatenate([[0], ends[:-1]])
    (x, y), (next_x, next_y) = points.T, points[following].T
    areas: Points = np.add.reduceat(x * next_y - next_x * y, np.concatenate([[0], ends[:-1]]))
    return areas


def bridged(polygon: Polygon) -> Points:
    """Join outer ring and holes to one ring, by lines that are passed in both directions."""
    ring = polygon[0]
    for hole in polygon[1:]:
        first = int(np.lexsort((hole[:, 1], hole[:, 0]))[0])
        start = hole[first]
        at = int(((ring - start) ** 2).sum(axis=1).argmin())
        inside = np.roll(hole, -first, axis=0)
        ring = np.concatenate([ring[: at + 1], inside, start[None], ring[at:]])
    return ring


# Arcs


def _ways(regions: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Return the directions in which borders leave each corner of a pixel, a bit each: (height + 1, width + 1)."""
    height, width = regions.shape
    around = np.pad(np.maximum(regions, -1).astype(np.int32), 1, constant_values=OUTSIDE)
    across = around[:-1, 1:-1] != around[1:, 1:-1]  # (height + 1, width): from a corner to the next in its row
    down = around[1:-1, :-1] != around[1:-1, 1:]  # (height, width + 1)
    found = np.zeros((height + 1, width + 1), np.uint8)
    for corners, borders, direction in (
        (found[:, :-1], across, EAST), (found[:, 1:], across, WEST),
        (found[:-1], down, SOUTH), (found[1:], down, NORTH),
    ):  # fmt: skip
        corners |= borders.astype(np.uint8) << np.uint8(direction)
    return found


def _arcs(ways: NDArray[np.uint8]) -> Arcs:
    """Follow all borders from node to node, and those without a node once around."""
    from unsegcli.core.outline_loops import follow_all

    ends = _DEGREES[ways] > 2
    ends[[0, 0, -1, -1], [0, -1, 0, -1]] = True  # corners of the image stay where they are
    width, sides = ways.shape[1], int(_DEGREES[ways].sum()) // 2
    corners, directions = np.empty(2 * sides, np.int64), np.empty((sides, 3), np.int64)
    tables = np.array([1, width, -1, -width]), _ONWARD
    seen = np.zeros(ways.size, np.uint8)
    count, filled = follow_all((ways.ravel(), ends.ravel()), tables, seen, corners, directions)
    corners, (begins, leaves, arrives) = corners[:filled], directions[:count].T
    stops = np.append(begins[1:], filled)
    points = np.stack([corners % width, corners // width], axis=1)
    lines = [points[begin:stop] for begin, stop in zip(begins.tolist(), stops.tolist(), strict=True)]
    return Arcs(lines, corners[begins], leaves, corners[stops - 1], arrives)


def _onward(ways: int, direction: int) -> int:
    """Return the way by which a border leaves a corner, given the direction in which it comes."""
    others = [way for way in range(4) if ways >> way & 1 and way != (direction + 2) % 4]
    return others[0] if others else direction


def _turned(ways: int, direction: int) -> int:
    """Return the way out of a corner that stays beside the pixel on the right: right, straight on, left."""
    turns = [turned for turn in (1, 0, 3) if ways >> (turned := (direction + turn) % 4) & 1]
    return turns[0] if turns else direction


def _table(rule: Callable[[int, int], int]) -> Points:
    return np.array([[rule(ways, direction) for direction in range(4)] for ways in range(16)])


_DEGREES = np.array([ways.bit_count() for ways in range(16)])
_ONWARD, _TURNED = _table(_onward), _table(_turned)

# Rings: ways are arcs, forwards (2 * number) or backwards (2 * number + 1)


def _both_ways(arcs: Arcs) -> Arcs:
    """Return how arcs are passed, forwards and backwards in turns; without their lines."""
    back = arcs.ends, (arcs.arrives + 2) % 4, arcs.starts, (arcs.leaves + 2) % 4
    return Arcs([], *(np.stack(pair, axis=1).ravel() for pair in zip(arcs[1:], back, strict=True)))


def _rings(passed: Arcs, ways: NDArray[np.uint8]) -> tuple[Points, Points]:
    """Return the ways of the rings around all regions, each with its region on the right; and how many each has."""
    from unsegcli.core.outline_loops import simple_rings

    count = len(passed.starts)
    leaving = 4 * passed.starts + passed.leaves
    wanted = 4 * passed.ends + _TURNED[ways.ravel()[passed.ends], passed.arrives]
    order = np.argsort(leaving)
    onward = order[np.searchsorted(leaving[order], wanted)]
    corners, starts = np.unique(passed.starts, return_inverse=True)
    room, rings, lengths = (np.empty(count, np.int64) for _ in range(3))
    at, taken = np.full(len(corners), -1), np.zeros(count, np.bool_)
    found = simple_rings(onward, starts, at, taken, room, rings, lengths)
    return rings, lengths[:found]


def _region_beside(starts: Points, leaves: Points, regions: NDArray[np.integer[Any]]) -> Points:
    """Return the region on the right of where each way starts; negative = none."""
    height, width = regions.shape
    y, x = np.divmod(starts, width + 1)
    x, y = x - np.isin(leaves, (SOUTH, WEST)), y - np.isin(leaves, (WEST, NORTH))
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    found = np.full(len(starts), OUTSIDE)
    found[inside] = regions[y[inside], x[inside]]
    return found


def _joined(lines: Sequence[Points], rings: Points, lengths: Points) -> tuple[Points, Points]:
    """Put rings together from lines; return the points of all, each once, and where each ring ends among them."""
    sizes = np.array([len(line) for line in lines])
    begins = np.cumsum(sizes) - sizes
    arcs, backwards = rings // 2, rings % 2
    steps = sizes[arcs] - 1  # the last point is the first of the next line
    ends = np.cumsum(steps)
    step = np.arange(ends[-1]) - np.repeat(ends - steps, steps)
    start = np.where(backwards, begins[arcs] + steps, begins[arcs])
    taken = np.repeat(start, steps) + np.repeat(1 - 2 * backwards, steps) * step
    return np.concatenate(lines)[taken], ends[np.cumsum(lengths) - 1]


# Simplification


def _simplified(lines: Sequence[Points], beside: Points, tolerance: float) -> list[Points]:
    """Simplify lines, and take back what makes them touch or cross each other, or changes a region too much.

    Args:
        lines: borders.
        beside: (lines, 2), the region on the right of each and on the left; negative = none.
        tolerance: as of `polygons`.
    """
    allowed = np.full(len(lines), float(tolerance))
    found = simplified(lines, allowed)
    exact = _region_areas(lines, beside)
    while tolerance > 0:
        changed = np.abs(_region_areas(found, beside) - exact) > AREA_ERROR * exact
        around = (changed[np.maximum(beside, 0)] & (beside >= 0)).any(axis=1)
        wrong: list[int] = np.flatnonzero(around & (allowed > 0)).tolist()
        wrong = wrong or [number for number in crossing_lines(found) if allowed[number] > 0]
        if not wrong:
            break
        allowed[wrong] /= 2
        allowed[allowed < LEAST_TOLERANCE] = 0
        again = simplified([lines[number] for number in wrong], allowed[wrong])
        for number, line in zip(wrong, again, strict=True):
            found[number] = line
    return found


def _region_areas(lines: Sequence[Points], beside: Points) -> Values:
    """Return twice the area of each region, from the lines around it."""
    points, sizes = np.concatenate(lines), np.array([len(line) for line in lines])
    (x, y), (next_x, next_y) = points[:-1].T, points[1:].T
    steps = np.append(x * next_y - next_x * y, 0)
    ends = np.cumsum(sizes)
    steps[ends - 1] = 0  # from one line to the next
    sums = np.add.reduceat(steps, ends - sizes)
    count = int(beside.max()) + 1
    areas = np.zeros(max(count, 1))
    for side, sign in zip(beside.T, (1, -1), strict=True):
        areas[:count] += sign * np.bincount(side[side >= 0], sums[side >= 0], minlength=count)
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
