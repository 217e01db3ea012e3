"""Find the nearest centre of each point, in the bits of a plain search in float64, but by cheaper arithmetic.

The definition is `exact_nearest`: squared distances are summed dimension by dimension in float64, and the lowest number
wins a tie. Products of matrices in float32 and bounds of earlier iterations decide all points whose nearest centre they
prove, whatever the order of their sums; the others, which are few, are searched exactly. So threads, blocks and BLAS
change the time, and never the result.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.int32]

BLOCK = 8192  # points per block: their distances fit into the cache of one core
MOST_SCORES = 1 << 22  # in memory at once
FEW_POINTS = 256
EXTRA = 8  # roundings of a score beside those of its sum
UNIT_32, UNIT_64 = 2.0**-24, 2.0**-52  # relative error of a rounding, at most
LEAST_REACH = 2.0**-400  # of points whose squares do not vanish; those of its inverse do not overflow
LONGEST = 2.0**60  # of points in a frame that they were not part of
TINY = 2.0**-100  # more than what underflow can lose, where the largest coordinate is about 1


def exact_nearest(columns: Floats, centres: Floats, second: Floats | None = None) -> tuple[Numbers, Floats]:
    """Find the nearest centre and squared distance for each point of a block (dimensions, points).

    If `second` is given, filled with infinity, it becomes the squared distance to the second nearest centre.
    """
    least = squared_distances(columns, centres[0])
    nearest = np.zeros(columns.shape[1], np.int32)
    distance, term = np.empty_like(least), np.empty_like(least)
    for number in range(1, len(centres)):
        squared_distances(columns, centres[number], distance, term)
        np.copyto(nearest, np.int32(number), where=distance < least)
        if second is not None:
            np.maximum(least, distance, out=term)
            np.minimum(second, term, out=second)
        np.minimum(least, distance, out=least)
    return nearest, least


def squared_distances(
    columns: Floats, centre: Floats, distance: Floats | None = None, term: Floats | None = None
) -> Floats:
    """Compute squared distances to one centre, always summed in the same order, for identical bits.

    Args:
        columns: (dimensions, points).
        centre: (dimensions,); or (dimensions, points), one for each point.
        distance: where to put the result.
        term: where to compute.
    """
    distance = np.empty(columns.shape[1]) if distance is None else distance
    if columns.shape[1] <= FEW_POINTS:  # the same sums by three calls, where calls take longer than sums
        squares = (columns.T - centre.T).T
        np.multiply(squares, squares, out=squares)
        distance[:] = np.add.accumulate(squares, axis=0)[-1]
        return distance
    term = np.empty(columns.shape[1]) if term is None else term
    np.subtract(columns[0], centre[0], out=distance)
    np.multiply(distance, distance, out=distance)
    for values, position in zip(columns[1:], centre[1:], strict=True):
        np.subtract(values, position, out=term)
        np.multiply(term, term, out=term)
        np.add(distance, term, out=distance)
    return distance


def distances_to_own(columns: Floats, centres: Floats, nearest: Numbers) -> Floats:
    """Compute the squared distance of each point to its centre: (points,), in the bits of `exact_nearest`."""
    squared = np.empty(columns.shape[1])
    for start in range(0, columns.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        squared[part] = squared_distances(columns[:, part], np.ascontiguousarray(centres[nearest[part]].T))
    return squared


class Frame(NamedTuple):
    """Coordinates in which float32 is most precise: moved and scaled so that all values are within about 1."""

    middle: Floats  # (dimensions,)
    scale: float  # a power of two, so that scaling is exact; NaN if there is no such frame

    @property
    def usable(self) -> bool:
        """Whether there is such a frame; else all points are searched exactly."""
        return math.isfinite(self.scale)

    def __call__(self, points: NDArray[Any]) -> Floats:
        """Map points (points, dimensions)."""
        with np.errstate(all="ignore"):  # what is not finite is searched exactly
            mapped: Floats = (points - self.middle) * self.scale
        return mapped


def frame_of(points: NDArray[Any]) -> Frame:
    """Choose the frame of points (points, dimensions)."""
    with np.errstate(all="ignore"):
        middle: Floats = np.asarray(np.mean(points, axis=0, dtype=np.float64))
        reach = max(float(np.max(points.max(axis=0) - middle)), float(np.max(middle - points.min(axis=0))))
    if not LEAST_REACH < reach < 1 / LEAST_REACH:
        return Frame(middle, math.nan)
    return Frame(middle, 2.0 ** -math.frexp(reach)[1])


class Screen(NamedTuple):
    """Points prepared for many searches."""

    columns: Floats  # (dimensions, points)
    frame: Frame
    rows: NDArray[np.float32]  # (points, dimensions), in the frame
    lengths: Floats  # (points,) in the frame


def screen_of(columns: Floats) -> Screen:
    """Prepare points (dimensions, points)."""
    frame = frame_of(columns.T)
    count = columns.shape[1]
    rows, lengths = np.empty(columns.shape[::-1], np.float32), np.empty(count)
    for start in range(0, count, BLOCK):
        part = slice(start, start + BLOCK)
        rows[part], lengths[part] = rounded(frame(columns[:, part].T))
    return Screen(columns, frame, rows, lengths)


def rounded(mapped: Floats) -> tuple[NDArray[np.float32], Floats]:
    """Return points in the frame as float32, and their lengths: infinite where those are too long for products."""
    with np.errstate(all="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", mapped, mapped))
        lengths[~(lengths < LONGEST)] = np.inf
        return mapped.astype(np.float32), lengths


class Found(NamedTuple):
    """Result of a search by products, in the frame; half squared distances without the part of the point itself."""

    nearest: Numbers
    least: Floats  # score of the nearest centre
    second: Floats  # score of the second one
    error: Floats  # of each score, at most

    @property
    def proved(self) -> NDArray[np.bool_]:
        """Whether the nearest centre is that of `exact_nearest`."""
        return self.second - self.least > 2 * self.error


def by_products(rows: NDArray[np.float32], lengths: Floats, centres: Floats) -> Found:
    """Search by products of matrices: rows and centres in the frame."""
    count = len(rows)
    found = Found(np.empty(count, np.int32), np.empty(count), np.empty(count), np.empty(count))
    with np.errstate(all="ignore"):
        lengths_of_centres = np.sqrt(np.einsum("ij,ij->i", centres, centres))
        halves = (lengths_of_centres**2 / 2).astype(np.float32)
        found.error[:] = score_error(lengths, float(lengths_of_centres.max()), centres.shape[1])
        narrow = centres.astype(np.float32)
        block = max(1, min(BLOCK, MOST_SCORES // len(centres)))
        for start in range(0, count, block):
            part = slice(start, start + block)
            scores = narrow @ rows[part].T
            np.subtract(halves[:, None], scores, out=scores)
            found.nearest[part], found.least[part], found.second[part] = _two_lowest(scores)
    return found


def score_error(lengths: Floats, longest: float, dimensions: int) -> Floats:
    """Bound the error of a score, and of half a squared distance in float64, for points and centres of these lengths.

    A sum of n products in any order is wrong by at most n roundings of the product of both lengths.
    """
    roundings = 1.01 * dimensions + EXTRA
    products = UNIT_32 * roundings * (lengths + longest) * longest
    bound: Floats = products + UNIT_64 * roundings * (lengths + longest) ** 2 + TINY
    return bound


def shares_of_error(dimensions: int) -> tuple[float, float]:
    """Return the shares that bound the error of a squared distance, as `score_error` does that of half of it."""
    roundings = 1.01 * dimensions + EXTRA
    return 2 * UNIT_32 * roundings, 2 * UNIT_64 * roundings


def _two_lowest(scores: NDArray[np.float32]) -> tuple[Numbers, NDArray[np.float32], NDArray[np.float32]]:
    """Find the lowest score of each column, its row, and the second lowest: infinite if there is one row only."""
    least = scores[0].copy()
    second = np.full_like(least, np.inf)
    nearest = np.zeros(len(least), np.int32)
    higher = np.empty_like(least)
    for number in range(1, len(scores)):
        one = scores[number]
        np.copyto(nearest, np.int32(number), where=one < least)
        np.maximum(one, least, out=higher)
        np.minimum(second, higher, out=second)
        np.minimum(least, one, out=least)
    return nearest, least, second


class Search:
    """The nearest centre of each point, kept while the centres move."""

    def __init__(self, screen: Screen, centres: Floats) -> None:
        self.nearest = np.zeros(screen.columns.shape[1], np.int32)
        self._screen = screen
        self.move(centres)

    def move(self, centres: Floats) -> NDArray[np.bool_]:
        """Move the centres, and return which points (points,) have another nearest centre than before."""
        found = by_products(self._screen.rows, self._screen.lengths, self._screen.frame(centres))
        for start in range(0, len(self.nearest), BLOCK):
            open_ = start + np.flatnonzero(~found.proved[start : start + BLOCK])
            found.nearest[open_] = exact_nearest(self._screen.columns[:, open_], centres)[0]
        changed: NDArray[np.bool_] = found.nearest != self.nearest
        self.nearest = found.nearest
        return changed


class BoundedSearch:
    """As `Search`, compiled and faster for many points: most are not searched again after each move of the centres.

    From how far each centre has moved, bounds of distances follow (Elkan, Using the triangle inequality to accelerate
    k-means, 2003). Only where they leave doubt, distances are computed: in float32, and in float64 where those are
    about equal.
    """

    def __init__(self, screen: Screen, rows: NDArray[Any], centres: Floats) -> None:
        self._screen, self._rows, self._centres, self._moves = screen, rows, centres, 0
        self._drift = np.zeros(len(centres))  # how far the centres have moved in all
        self._lower = self._lower_bounds()
        self._upper = np.full(len(rows), 1e30)  # so that each point is searched; both in the frame
        self.nearest: Numbers = np.argmin(self._lower, axis=1).astype(np.int32)
        self._refresh(np.zeros(len(centres)))

    def move(self, centres: Floats) -> NDArray[np.bool_]:
        """Move the centres, and return which points (points,) have another nearest centre than before."""
        moved = np.sqrt((((centres - self._centres) * self._screen.frame.scale) ** 2).sum(axis=1))
        self._centres, self._moves = centres, self._moves + 1
        before = self.nearest.copy()
        self._refresh(moved * (1 + 4 * UNIT_32))
        changed: NDArray[np.bool_] = before != self.nearest
        return changed

    def _refresh(self, moved: Floats) -> None:
        from unsegcli.core.cluster_sums import refresh_nearest

        screen, roundings = self._screen, len(self._screen.columns) + EXTRA
        framed = screen.frame(self._centres)
        self._drift = self._drift + moved
        refresh_nearest(
            (self._rows, np.ascontiguousarray(self._centres)),
            (screen.rows, framed.astype(np.float32), screen.lengths),
            (moved, (self._drift * (1 + 2 * UNIT_32)).astype(np.float32)),
            self.nearest,
            (self._upper, self._lower),
            (
                float(np.sqrt((framed**2).sum(axis=1)).max()),
                UNIT_32 * roundings,
                UNIT_64 * (roundings + 4 * self._moves),
            ),
        )

    def _lower_bounds(self) -> NDArray[np.float32]:
        """Bound the distances (points, centres) from below by products of matrices."""
        screen, centres = self._screen, self._screen.frame(self._centres)
        lengths_of_centres = np.sqrt((centres**2).sum(axis=1))
        lower = np.empty((len(screen.rows), len(centres)), np.float32)
        for start in range(0, len(lower), BLOCK):
            part = slice(start, start + BLOCK)
            lengths = screen.lengths[part, None]
            error = 2 * score_error(lengths, float(lengths_of_centres.max()), centres.shape[1])
            products = screen.rows[part] @ centres.astype(np.float32).T
            squared = lengths**2 + lengths_of_centres**2 - 2 * products - error
            lower[part] = np.sqrt(np.maximum(squared, 0)) * (1 - 4 * UNIT_32)
        return lower
