"""Outlines of regions as polygons; neighbours share their borders, so that there are no gaps and no overlaps.

A region map is a planar map: the pixel sides between two regions are joined to *arcs*, which end at *nodes*, where more
than two regions meet. Each arc is simplified once, and the outline of a region is put together from its arcs. A point
is (x, y): the column and row of a corner of a pixel, so (0, 0) is the top left corner of the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.arcs import Arcs, Places, Regions, arcs_beside, arcs_of, bands, joined_arcs
from unsegcli.core.border_lines import Points

Polygon = list[Points]  # the outer ring, clockwise as shown, then its holes; the first point is not repeated


def polygons(regions: Regions, tolerance: float = 1.0) -> list[Polygon]:
    """Return the polygon of each region, by its number.

    Borders are simplified less where they would touch or cross each other, and where the area of a region would change
    by more than a tenth.

    Args:
        regions: (height, width), 4-connected regions, numbered from 0; negative = none.
        tolerance: largest distance in pixels between a border and the simplified one, at most 1; 0 = follow the pixels.
    """
    found: list[Polygon] = [[] for _ in range(int(regions.max(initial=-1)) + 1)]
    for own in polygons_by_rows([regions], np.zeros(len(found), np.int64), tolerance):
        for number, polygon in own.items():
            found[number] = polygon
    return found


def polygons_by_rows(
    maps: Iterable[Regions], last_rows: NDArray[np.int64], tolerance: float = 1.0
) -> Iterator[dict[int, Polygon]]:
    """Yield the polygons of regions by number, after each band those whose outline ends in it.

    They differ from those of the whole map in where a border is simplified: a band by itself, so that a border has a
    point where it passes from one to the next, unless it is straight there.

    Args:
        maps: (rows, width) each, the bands of a region map, one below the other.
        last_rows: of each region.
        tolerance: as of `polygons`.
    """
    waiting: Arcs | None = None
    lowest = last_rows + 1  # the row of corners under each region, which belongs to the band below
    for band in bands(maps):
        arcs = arcs_of(band, tolerance)
        waiting = arcs if waiting is None else joined_arcs(waiting, arcs)
        later = lowest >= band.end if band.below else np.zeros(len(lowest), np.bool_)
        yield _polygons_of(waiting, (lowest >= band.first) & ~later if band.above else ~later)
        waiting = arcs_beside(waiting, later)


def doubled_area(ring: Points) -> int:
    """Return twice the area inside a ring: positive for outer rings, negative for holes."""
    return int(_doubled_areas(ring, np.array([len(ring)]))[0])


def _doubled_areas(points: NDArray[np.integer[Any]], ends: Points) -> Points:
    """Return twice the area inside each of several rings, whose points follow each other and end at `ends`."""
    from unsegcli.core.outline_loops import fill_areas

    areas = np.empty(len(ends), np.int64)
    fill_areas(points, ends, areas)
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


# Rings


def _polygons_of(arcs: Arcs, wanted: NDArray[np.bool_]) -> dict[int, Polygon]:
    """Put together the polygons of the regions that are wanted (regions,), all of whose arcs are there."""
    beside = arcs.beside.ravel()
    ways = np.flatnonzero(np.append(wanted, False)[np.maximum(beside, -1)])
    if not len(ways):
        return {}
    rings, lengths = _rings(arcs.leaving.ravel()[ways], arcs.onward.ravel()[ways])
    passed = ways[rings]
    points, ends = _without_cuts(*_joined(arcs, passed), arcs.cut.ravel()[passed], np.cumsum(lengths))
    region = beside[passed[np.cumsum(lengths) - lengths]]
    found: dict[int, Polygon] = {number: [] for number in np.unique(region).tolist()}
    for ring in np.lexsort((-_doubled_areas(points, ends), region)).tolist():
        found[int(region[ring])].append(points[ends[ring - 1] if ring else 0 : ends[ring]].astype(np.int64))
    return found


def _rings(leaving: Points, onward: Points) -> tuple[Points, Points]:
    """Return the ways of all rings, each with its region on the right; and how many each has.

    Args:
        leaving: how each way starts, as of `Arcs`.
        onward: how the way after it starts.
    """
    from unsegcli.core.outline_loops import simple_rings

    count = len(leaving)
    order = np.argsort(leaving)
    after = order[np.searchsorted(leaving[order], onward)]
    corners, starts = np.unique(leaving // 4, return_inverse=True)
    room, rings, lengths = (np.empty(count, np.int64) for _ in range(3))
    at, taken = np.full(len(corners), -1), np.zeros(count, np.bool_)
    found = simple_rings(after, starts, at, taken, room, rings, lengths)
    return rings, lengths[:found]


def _joined(arcs: Arcs, passed: Points) -> tuple[Places, Points]:
    """Put arcs together as ways pass them, one after the other; return their points, and where each way ends."""
    from unsegcli.core.outline_loops import join_ways

    ends = np.cumsum(arcs.sizes[passed // 2] - 1)  # the last point is the first of the next way
    joined = np.empty((int(ends[-1]), 2), arcs.points.dtype)
    join_ways(arcs.points, np.cumsum(arcs.sizes) - arcs.sizes, arcs.sizes, passed, joined)
    return joined, ends


def _without_cuts(points: Places, stops: Points, cut: NDArray[np.bool_], last: Points) -> tuple[Places, Points]:
    """Drop points where ways were cut though they are straight there.

    Args:
        points: of all ways.
        stops: where each way ends among them.
        cut: whether a way starts at a cut.
        last: number of ways up to the end of each ring.

    Returns:
        Points of all rings, and where each ring ends.
    """
    ends = stops[last - 1]
    begins = np.append(0, ends[:-1])
    here = np.append(0, stops[:-1])[cut]
    ring = np.searchsorted(ends, here, side="right")
    before = np.where(here == begins[ring], ends[ring], here) - 1
    after = np.where(here + 1 == ends[ring], begins[ring], here + 1)
    first, middle, third = (points[places].astype(np.int64) for places in (before, here, after))
    (x, y), (next_x, next_y) = (middle - first).T, (third - middle).T
    kept = np.ones(len(points), np.bool_)
    kept[here[x * next_y == next_x * y]] = False
    return points[kept], np.cumsum(np.add.reduceat(kept, begins, dtype=np.int64))
