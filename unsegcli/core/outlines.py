"""Outlines of regions as polygons; neighbours share their borders, so that there are no gaps and no overlaps.

A region map is a planar map: the pixel sides between two regions are joined to *arcs*, which end at *nodes*, where more
than two regions meet. Each arc is simplified once, and the outline of a region is put together from its arcs. A point
is (x, y): the column and row of a corner of a pixel, so (0, 0) is the top left corner of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.crossings import crossing_lines

Points = NDArray[np.int64]  # (points, 2): x and y
Values = NDArray[np.float64]
Polygon = list[Points]  # the outer ring, clockwise as shown, then its holes; the first point is not repeated

OUTSIDE = -2  # around the image
EAST, SOUTH, WEST, NORTH = range(4)
LEAST_TOLERANCE = 0.25  # below it nothing but points on straight lines would be dropped


class Arc(NamedTuple):
    """A border between two regions from node to node; corners of pixels are numbered row by row."""

    points: Points
    start: int
    leaves: int  # direction
    end: int
    arrives: int  # direction


class Way(NamedTuple):
    """An arc as it is passed, forwards or backwards: first corner, direction, last corner, direction."""

    start: int
    leaves: int
    end: int
    arrives: int


def polygons(regions: NDArray[np.integer[Any]], tolerance: float = 1.0) -> list[Polygon]:
    """Return the polygon of each region, by its number.

    Where simplified borders would touch or cross each other, they are simplified less.

    Args:
        regions: (height, width), 4-connected regions, numbered from 0; negative = none.
        tolerance: largest distance in pixels between a border and the simplified one, at most 1; 0 = follow the pixels.
    """
    ways = _ways(regions)
    arcs = list(_arcs(ways))
    lines = _simplified([arc.points for arc in arcs], tolerance)
    found: list[Polygon] = [[] for _ in range(int(regions.max(initial=-1)) + 1)]
    for beginning, ring in _rings(arcs, ways.tobytes()):
        region = _region_beside(beginning, regions)
        if region >= 0:
            found[region].append(_joined(lines, ring))
    return [sorted(rings, key=doubled_area, reverse=True) for rings in found]


def doubled_area(ring: Points) -> int:
    """Return twice the area inside a ring: positive for outer rings, negative for holes."""
    x, y = ring[:, 0], ring[:, 1]
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


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


def _arcs(ways: NDArray[np.uint8]) -> Iterator[Arc]:
    """Follow all borders from node to node, and those without a node once around."""
    ends = _DEGREES[ways] > 2
    ends[[0, 0, -1, -1], [0, -1, 0, -1]] = True  # corners of the image stay where they are
    walk = _Walk(ways.tobytes(), bytearray(ends.tobytes()), ways.shape[1])
    for node in np.flatnonzero(ends):
        for direction in range(4):
            yield from walk.from_node(int(node), direction)
    for corner in np.flatnonzero((ways > 0).ravel() & (np.frombuffer(walk.passed, np.uint8) == 0)):
        if not walk.passed[corner]:  # the top left of a loop, which goes on to the east
            walk.ends[corner] = 1
            yield from walk.from_node(int(corner), EAST)


class _Walk:
    """Follows borders, and knows which it has followed."""

    def __init__(self, ways: bytes, ends: bytearray, width: int) -> None:
        self.ways, self.ends, self.width = ways, ends, width
        self.passed = bytearray(len(ways))
        self.steps = (1, width, -1, -width)
        self.followed: set[int] = set()  # 4 * corner + direction, at ends of arcs

    def from_node(self, corner: int, leaves: int) -> Iterator[Arc]:
        """Yield the arc that leaves a corner in a direction, if there is one that was not yet followed."""
        if not self.ways[corner] >> leaves & 1 or 4 * corner + leaves in self.followed:
            return
        self.followed.add(4 * corner + leaves)
        self.passed[corner] = 1
        corners, direction = [corner], leaves
        while True:
            corner += self.steps[direction]
            self.passed[corner] = 1
            if self.ends[corner]:
                break
            onward = _ONWARD[self.ways[corner]][direction]
            if onward != direction:
                corners.append(corner)
                direction = onward
        self.followed.add(4 * corner + (direction + 2) % 4)
        numbers = np.array([*corners, corner], np.int64)
        points = np.stack([numbers % self.width, numbers // self.width], axis=1)
        yield Arc(points, corners[0], leaves, corner, direction)


def _onward(ways: int, direction: int) -> int:
    """Return the way by which a border leaves a corner, given the direction in which it comes."""
    others = [way for way in range(4) if ways >> way & 1 and way != (direction + 2) % 4]
    return others[0] if others else direction


_DEGREES = np.array([ways.bit_count() for ways in range(16)])
_ONWARD = [[_onward(ways, direction) for direction in range(4)] for ways in range(16)]

# Rings: arcs by number, from 1, negative = backwards


def _passed(arc: Arc, forwards: bool) -> Way:
    if forwards:
        return Way(arc.start, arc.leaves, arc.end, arc.arrives)
    return Way(arc.end, (arc.arrives + 2) % 4, arc.start, (arc.leaves + 2) % 4)


def _rings(arcs: Sequence[Arc], ways: bytes) -> Iterator[tuple[Way, list[int]]]:
    """Yield the rings around all regions, each with its region on the right: how it begins, and its arcs."""
    signed = [sign * number for number in range(1, len(arcs) + 1) for sign in (1, -1)]
    passed = {number: _passed(arcs[abs(number) - 1], number > 0) for number in signed}
    leaving = {4 * way.start + way.leaves: number for number, way in passed.items()}
    left = dict.fromkeys(signed)
    while left:
        ring, number = [], next(iter(left))
        while number in left:
            del left[number]
            ring.append(number)
            number = leaving[_turned(passed[number].end, passed[number].arrives, ways)]
        for simple in _apart(ring, passed):
            yield passed[simple[0]], simple


def _turned(corner: int, direction: int, ways: bytes) -> int:
    """Return the way that stays beside the pixel on the right: right, straight on, left."""
    for turn in (1, 0, 3):
        onward = (direction + turn) % 4
        if ways[corner] >> onward & 1:
            return 4 * corner + onward
    raise AssertionError("a border never ends")


def _apart(ring: Sequence[int], ways: Mapping[int, Way]) -> Iterator[list[int]]:
    """Divide a ring that touches itself at nodes into simple ones."""
    passed: list[int] = []
    at: dict[int, int] = {}
    for number in ring:
        at[ways[number].start] = len(passed)
        passed.append(number)
        first = at.get(ways[number].end)
        if first is not None:
            yield passed[first:]
            for gone in passed[first + 1 :]:
                del at[ways[gone].start]
            del passed[first:]


def _region_beside(way: Way, regions: NDArray[np.integer[Any]]) -> int:
    """Return the region on the right of the beginning of a ring; -1 = none."""
    height, width = regions.shape
    y, x = divmod(way.start, width + 1)
    x, y = x - (way.leaves in (SOUTH, WEST)), y - (way.leaves in (WEST, NORTH))
    return int(regions[y, x]) if 0 <= y < height and 0 <= x < width else -1


def _joined(lines: Sequence[Points], ring: Sequence[int]) -> Points:
    parts = [lines[number - 1] if number > 0 else lines[-number - 1][::-1] for number in ring]
    return np.concatenate([part[:-1] for part in parts])


# Simplification


def _simplified(lines: Sequence[Points], tolerance: float) -> list[Points]:
    """Simplify lines, and take back what makes them touch or cross each other."""
    allowed = np.full(len(lines), float(tolerance))
    found = simplified(lines, allowed)
    while tolerance > 0:
        wrong = [number for number in crossing_lines(found) if allowed[number] > 0]
        if not wrong:
            break
        allowed[wrong] /= 2
        allowed[allowed < LEAST_TOLERANCE] = 0
        again = simplified([lines[number] for number in wrong], allowed[wrong])
        for number, line in zip(wrong, again, strict=True):
            found[number] = line
    return found


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
