"""Outlines by loops in Python, as they were computed first; outlines of areas that may change by any share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.arcs import EAST, NORTH, OUTSIDE, SOUTH, WEST, ways_of
from unsegcli.core.border_lines import LEAST_TOLERANCE, simplified
from unsegcli.core.outlines import Polygon

CELL = 16  # side of the squares in which segments are compared
Points = NDArray[np.int64]


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
    """Return the polygon of each region, by its number."""
    ways = ways_of(np.pad(np.maximum(regions, -1), 1, constant_values=OUTSIDE))
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


def crossing_lines(lines: Sequence[Points]) -> list[int]:
    """Return the numbers of the lines that touch or cross another one, or themselves, elsewhere than where both end.

    Args:
        lines: the points of each line, whole numbers, so that the result is exact.
    """
    kept = [number for number, line in enumerate(lines) if len(line) > 1]
    if not kept:
        return []
    starts = np.concatenate([lines[number][:-1] for number in kept])
    ends = np.concatenate([lines[number][1:] for number in kept])
    line_of = np.repeat(kept, [len(lines[number]) - 1 for number in kept])
    found: set[int] = set()
    for one, other in _near(np.minimum(starts, ends), np.maximum(starts, ends)):
        wrong = _touching(starts[one], ends[one], starts[other], ends[other])
        found.update(line_of[one[wrong]].tolist(), line_of[other[wrong]].tolist())
    return sorted(found)


def _near(lowest: Points, highest: Points) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of segments that reach into a common square."""
    first, last = lowest // CELL, highest // CELL
    across, down = (last - first + 1).T
    owner = np.repeat(np.arange(len(first)), across * down)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(across * down) - across * down, across * down)
    column, row = first[owner, 0] + place % across[owner], first[owner, 1] + place // across[owner]
    cell = row * (int(last[:, 0].max()) + 1) + column
    order = np.argsort(cell, kind="stable")
    cell, owner = cell[order], owner[order]
    for distance in range(1, len(cell)):
        same = np.flatnonzero(cell[distance:] == cell[:-distance])
        if not same.size:
            return
        yield owner[same], owner[same + distance]


def _touching(p: Points, q: Points, r: Points, s: Points) -> NDArray[np.bool_]:
    """Return whether segments pq and rs have a point in common that is not an end of both."""
    turns = [np.sign(_turn(*three)) for three in ((p, q, r), (p, q, s), (r, s, p), (r, s, q))]
    boxes = (np.minimum(p, q) <= np.maximum(r, s)) & (np.minimum(r, s) <= np.maximum(p, q))
    meet = (turns[0] * turns[1] <= 0) & (turns[2] * turns[3] <= 0) & boxes.all(axis=1)
    for a, b, c, d in ((p, q, r, s), (p, q, s, r), (q, p, r, s), (q, p, s, r)):
        shared = (a == c).all(axis=1)  # then they may only part from there, in different directions
        ahead = ((b - a) * (d - c)).sum(axis=1) > 0
        meet = np.where(shared, (_turn(a, b, d) == 0) & ahead, meet)
    return meet


def _turn(a: Points, b: Points, c: Points) -> NDArray[np.int64]:
    """Return twice the signed area of triangles abc."""
    turn: NDArray[np.int64] = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return turn
