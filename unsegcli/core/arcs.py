"""Borders between the regions of a map as arcs, which end at nodes, where more than two regions meet.

A large map is read in *bands* of a few rows. Arcs are cut where they pass from one band to the next, so that each band
is simplified by itself; horizontal borders between two bands belong to the lower one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.border_lines import Borders, Points, simplified_borders

Regions = NDArray[np.integer[Any]]
Places = NDArray[np.int32]  # (points, 2), x and y of many arcs, in half of the memory of `Points`

OUTSIDE = -2  # around the image
EAST, SOUTH, WEST, NORTH = range(4)


class Band(NamedTuple):
    """Some rows of a region map."""

    first: int
    around: NDArray[np.int32]  # with a row above, one below and a column at each side; OUTSIDE is not of the image
    above: bool  # whether the image goes on there
    below: bool

    @property
    def end(self) -> int:
        """The row after the last one."""
        return self.first + len(self.around) - 2


class Arcs(NamedTuple):
    """Borders between two regions from node to node. A way is an arc forwards or backwards: (arcs, 2).

    A corner of a pixel has a number, row by row.
    """

    points: Places  # of all arcs, one after the other
    sizes: Points  # (arcs,), number of points
    leaving: Points  # of each way, 4 times the corner where it starts, plus its direction
    onward: Points  # the same of the way after it around the region on its right
    beside: Points  # the region on its right; negative = none
    cut: NDArray[np.bool_]  # whether it starts where two bands meet, and not at a node


def bands(maps: Iterable[Regions]) -> Iterator[Band]:
    """Give bands (rows, width) the row above and the row below."""
    above: Regions | None = None
    held: Regions | None = None
    first = 0
    for following in maps:
        if held is not None:
            yield _band(first, above, held, following[0])
            first += len(held)
            above = held[-1]
        held = following
    if held is not None:
        yield _band(first, above, held, None)


def _band(first: int, above: Regions | None, rows: Regions, below: Regions | None) -> Band:
    around = np.full((len(rows) + 2, rows.shape[1] + 2), OUTSIDE, np.int32)
    for place, part in ((slice(0, 1), above), (slice(1, -1), rows), (slice(-1, None), below)):
        if part is not None:
            np.maximum(part, -1, out=around[place, 1:-1], casting="unsafe")
    return Band(first, around, above is not None, below is not None)


def arcs_of(band: Band, tolerance: float) -> Arcs:
    """Return the arcs of a band, simplified."""
    ways = ways_of(band.around)
    own, ends = _own_ways(ways, band)
    lines, starts, leaves, stops, arrives = _followed(own, ends)
    corners, directions = np.stack([starts, stops], axis=1), np.stack([leaves, (arrives + 2) % 4], axis=1)
    beside = _region_beside(corners, directions, band.around)
    lines = simplified_borders(_borders(lines, beside, band), tolerance)
    arriving = np.stack([arrives, (leaves + 2) % 4], axis=1)
    reached = corners[:, ::-1]
    shift = 4 * band.first * ways.shape[1]
    return Arcs(
        (np.concatenate(lines) + np.array([0, band.first])).astype(np.int32),
        np.array([len(line) for line in lines]),
        4 * corners + directions + shift,
        4 * reached + _TURNED[ways.ravel()[reached], arriving] + shift,
        beside,
        _is_cut(corners, ways, band),
    )


def joined_arcs(one: Arcs, other: Arcs) -> Arcs:
    """Return the arcs of both."""
    points = np.concatenate([one.points, other.points])
    sizes, leaving, onward, beside = (np.concatenate([one[place], other[place]]) for place in range(1, 5))
    return Arcs(points, sizes, leaving, onward, beside, np.concatenate([one.cut, other.cut]))


def arcs_beside(arcs: Arcs, wanted: NDArray[np.bool_]) -> Arcs:
    """Return the arcs beside regions that are wanted (regions,)."""
    known = np.append(wanted, False)  # the last one is for no region
    kept = known[np.maximum(arcs.beside, -1)].any(axis=1)
    points = arcs.points[np.repeat(kept, arcs.sizes)]
    return Arcs(points, arcs.sizes[kept], arcs.leaving[kept], arcs.onward[kept], arcs.beside[kept], arcs.cut[kept])


def ways_of(around: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the directions in which borders leave each corner of a pixel, a bit each: (height + 1, width + 1).

    Args:
        around: (height + 2, width + 2), regions with a rim.
    """
    across = around[:-1, 1:-1] != around[1:, 1:-1]  # (height + 1, width): from a corner to the next in its row
    down = around[1:-1, :-1] != around[1:-1, 1:]  # (height, width + 1)
    found = np.zeros((len(across), down.shape[1]), np.uint8)
    for corners, borders, direction in (
        (found[:, :-1], across, EAST), (found[:, 1:], across, WEST),
        (found[:-1], down, SOUTH), (found[1:], down, NORTH),
    ):  # fmt: skip
        corners |= borders.astype(np.uint8) << np.uint8(direction)
    if around[0, 1] != OUTSIDE:
        found[0] |= (around[0, :-1] != around[0, 1:]).astype(np.uint8) << np.uint8(NORTH)
    if around[-1, 1] != OUTSIDE:
        found[-1] |= (around[-1, :-1] != around[-1, 1:]).astype(np.uint8) << np.uint8(SOUTH)
    return found


def _own_ways(ways: NDArray[np.uint8], band: Band) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the ways that belong to a band, and the corners where arcs end: nodes, and where bands meet."""
    own, ends = ways.copy(), _DEGREES[ways] > 2
    for row, meets in ((0, band.above), (-1, band.below)):
        if meets:
            ends[row] |= ways[row] >> NORTH & 1 > 0
        else:
            ends[row, [0, -1]] = True  # corners of the image stay where they are
    if band.above:
        own[0] &= ~np.uint8(1 << NORTH)
    if band.below:
        own[-1] &= np.uint8(1 << NORTH)
    return own, ends


def _followed(ways: NDArray[np.uint8], ends: NDArray[np.bool_]) -> tuple[list[Points], Points, Points, Points, Points]:
    """Follow all borders from end to end, and those without an end once around.

    Returns:
        Points of each arc, the corners where they start and their directions there, and the same of where they stop.
    """
    from unsegcli.core.outline_loops import follow_all

    width, sides = ways.shape[1], int(_DEGREES[ways].sum()) // 2
    corners, directions = np.empty(2 * sides, np.int64), np.empty((sides, 3), np.int64)
    tables = np.array([1, width, -1, -width]), _ONWARD
    seen = np.zeros(ways.size, np.uint8)
    count, filled = follow_all((ways.ravel(), ends.ravel()), tables, seen, corners, directions)
    corners, (begins, leaves, arrives) = corners[:filled], directions[:count].T
    stops = np.append(begins[1:], filled)
    points = np.stack([corners % width, corners // width], axis=1)
    lines = [points[begin:stop] for begin, stop in zip(begins.tolist(), stops.tolist(), strict=True)]
    return lines, corners[begins], leaves, corners[stops - 1], arrives


def _region_beside(corners: Points, directions: Points, around: NDArray[np.int32]) -> Points:
    """Return the region on the right of where each way starts; negative = none."""
    y, x = np.divmod(corners, around.shape[1] - 1)
    right, down = ~np.isin(directions, (SOUTH, WEST)), ~np.isin(directions, (WEST, NORTH))
    found: Points = around[y + down, x + right].astype(np.int64)
    return found


def _borders(lines: list[Points], beside: Points, band: Band) -> Borders:
    """Return what is needed to simplify arcs, with regions numbered as they come."""
    rows = band.around[1:-1, 1:-1]
    numbers, place = np.unique(beside, return_inverse=True)
    place = np.maximum(place.reshape(beside.shape) - int((numbers < 0).sum()), -1)
    numbers = numbers[numbers >= 0]
    areas = np.bincount(rows[rows >= 0], minlength=int(numbers.max(initial=-1)) + 1)[numbers]
    return Borders(lines, place, np.append(areas, 0), len(rows) if band.below else -1)


def _is_cut(corners: Points, ways: NDArray[np.uint8], band: Band) -> NDArray[np.bool_]:
    row = corners // ways.shape[1]
    meeting = ((row == 0) & band.above) | ((row == len(ways) - 1) & band.below)
    found: NDArray[np.bool_] = meeting & (_DEGREES[ways.ravel()[corners]] == 2)
    return found


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
