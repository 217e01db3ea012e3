"""Find the most typical and the most doubtful places of each cluster, and cut crops around them.

A place is a square of cells of a coarse grid over an image. Its score counts mostly what lies in its middle, so that a
crop shows the cluster with some of its surroundings.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import sample_nearest
from unsegcli.views import drawing
from unsegcli.views.drawing import Rgb

SIDE = 128  # of a crop in its file, in pixels; the page shows it somewhat smaller
MOST = 6  # typical crops of a cluster, and doubtful ones
CELLS_OF_IMAGE, CELLS = 12, 4  # along the shorter side of an image, and of a place
ENOUGH = 0.25  # share of the middle of a place above which more of the cluster does not make it more doubtful
SURROUNDINGS = (130, 0.45)  # offset and contrast of what a crop shows around its cluster
BLANK = 245  # grey value around a crop that is no square
TYPICAL, DOUBTFUL = 0, 1

Box = tuple[int, int, int, int]  # top, left, bottom, right


class Place(NamedTuple):
    """A place that could be shown for a cluster."""

    cluster: int
    sort: int  # TYPICAL or DOUBTFUL
    rank: int  # among the places of its image, from 0
    score: float  # higher = better
    box: Box  # on the grid of the maps


class _CellCounts(NamedTuple):
    """What the cells of an image hold of each of its clusters: (row, column, cluster)."""

    side: int  # of a cell, in pixels
    pixels: NDArray[np.float64]
    known: NDArray[np.float64]  # pixels whose doubt is known
    doubt: NDArray[np.float64]  # its sum


def find_places(values: NDArray[np.int32], doubt: NDArray[np.float32] | None) -> list[Place]:
    """Find the best places of each cluster of an image; those of one cluster and sort do not overlap.

    Args:
        values: (height, width) clusters; negative = void.
        doubt: (height, width) 0 = certain, 1 = undecided, NaN = unknown; None = not known for any pixel.
    """
    clusters = np.unique(values[values >= 0])
    if not len(clusters):
        return []
    cells = _cells(values, doubt, clusters)
    typical, doubtful = _scores(cells, doubt is not None)
    found = []
    for number, cluster in enumerate(clusters.tolist()):
        for sort, scores in ((TYPICAL, typical[:, :, number]), (DOUBTFUL, doubtful[:, :, number])):
            for rank, (score, row, column) in enumerate(_apart(scores)):
                found.append(Place(cluster, sort, rank, score, _box(cells, row, column)))
    return found


def _cells(values: NDArray[np.int32], doubt: NDArray[np.float32] | None, clusters: NDArray[np.int32]) -> _CellCounts:
    side = max(1, min(values.shape) // CELLS_OF_IMAGE)
    rows, columns = values.shape[0] // side, values.shape[1] // side
    inner = values[: rows * side, : columns * side]
    numbers = np.full(int(clusters[-1]) + 2, len(clusters))  # the last entry, which -1 selects, is void
    numbers[clusters] = np.arange(len(clusters))
    at = np.arange(rows * side)[:, None] // side * columns + np.arange(columns * side) // side
    index = (at * (len(clusters) + 1) + numbers[inner]).ravel()

    def summed(weights: NDArray[Any] | None) -> NDArray[np.float64]:
        total = np.bincount(index, weights, rows * columns * (len(clusters) + 1)).astype(np.float64)
        return total.reshape(rows, columns, -1)[:, :, :-1]

    pixels = summed(None)
    if doubt is None:
        return _CellCounts(side, pixels, np.zeros_like(pixels), np.zeros_like(pixels))
    seen = doubt[: rows * side, : columns * side].ravel()
    known = np.isfinite(seen)
    return _CellCounts(side, pixels, summed(known), summed(np.where(known, seen, 0)))


def _scores(cells: _CellCounts, with_doubt: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how typical and how doubtful each place is of each cluster: (row, column, cluster)."""
    rows, columns = (min(CELLS, side) for side in cells.pixels.shape[:2])
    share = _summed(cells.pixels, (rows, columns), (rows, columns)) / (rows * columns * cells.side**2)
    inside = tuple(side if side < CELLS else side // 2 for side in (rows, columns))
    middle = _summed(cells.pixels, (rows, columns), inside) / (inside[0] * inside[1] * cells.side**2)
    seen = (0.7 * middle + 0.3 * share) * (middle > 0)
    enough = np.minimum(1, middle / ENOUGH)
    if not with_doubt:  # the smallest parts are taken for the doubtful ones
        return seen, (1 - share) * enough
    known = _summed(cells.known, (rows, columns), inside)
    doubt = _summed(cells.doubt, (rows, columns), inside) / np.maximum(known, 1)
    return seen * (1 - doubt), doubt * enough


def _summed(cells: NDArray[np.float64], place: tuple[int, int], inside: tuple[int, ...]) -> NDArray[np.float64]:
    """Sum the cells of the middle `inside` of each place."""
    down, across = ((whole - part) // 2 for whole, part in zip(place, inside, strict=True))
    height, width = (side - part + 1 for side, part in zip(cells.shape[:2], place, strict=True))
    found = np.zeros((height, width, cells.shape[2]))
    for row in range(down, down + inside[0]):
        for column in range(across, across + inside[1]):
            found += cells[row : row + height, column : column + width]
    return found


def _apart(scores: NDArray[np.float64]) -> Iterable[tuple[float, int, int]]:
    """Yield score, row and column of the best places that do not overlap, best first."""
    left = scores.copy()
    for _ in range(MOST):
        row, column = divmod(int(left.argmax()), left.shape[1])
        if left[row, column] <= 0:
            return
        yield float(left[row, column]), row, column
        left[max(0, row - CELLS + 1) : row + CELLS, max(0, column - CELLS + 1) : column + CELLS] = 0


def _box(cells: _CellCounts, row: int, column: int) -> Box:
    rows, columns = (min(CELLS, side) for side in cells.pixels.shape[:2])
    top, left = row * cells.side, column * cells.side
    return top, left, top + rows * cells.side, left + columns * cells.side


class Kept(NamedTuple):
    """A place that is kept, and the number of its image."""

    rank: int
    loss: float  # the lower, the better
    image: int
    box: Box


class BestPlaces:
    """The best places of each cluster so far: those of several images come before several of one."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], list[Kept]] = {}

    def add(self, image: int, places: Iterable[Place]) -> None:
        """Take the places of one more image."""
        for place in places:
            kept = self._kept.setdefault((place.cluster, place.sort), [])
            found = Kept(place.rank, -place.score, image, place.box)
            if len(kept) < MOST or found < kept[-1]:
                bisect.insort(kept, found)
                del kept[MOST:]

    def of(self, cluster: int) -> tuple[list[Kept], list[Kept]]:
        """Return the typical places of a cluster, and the doubtful ones that are not among them."""
        typical, doubtful = (self._kept.get((cluster, sort), []) for sort in (TYPICAL, DOUBTFUL))
        shown = {(one.image, one.box) for one in typical}
        return typical, [one for one in doubtful if (one.image, one.box) not in shown]


def cut(image: Rgb, values: NDArray[np.int32], cluster: int, box: Box) -> Rgb:
    """Cut a crop of SIDE pixels from the displayed image, with the outline of the cluster.

    Args:
        image: (height, width, 3) of any size.
        values: (height, width) the clusters on the grid of the maps.
        cluster: whose outline is drawn.
        box: on the grid of the maps.
    """
    top, left, bottom, right = box
    down, across = image.shape[0] / values.shape[0], image.shape[1] / values.shape[1]
    seen = Image.fromarray(image).resize(
        _fitted(bottom - top, right - left),
        Image.Resampling.BICUBIC,
        (left * across, top * down, right * across, bottom * down),
    )
    inside = sample_nearest((values[top:bottom, left:right] == cluster).astype(np.int32), (seen.height, seen.width))
    drawn = drawing.outlined(_paled(np.asarray(seen), inside == 0), inside)
    crop = np.full((SIDE, SIDE, 3), BLANK, np.uint8)
    start = (SIDE - seen.height) // 2, (SIDE - seen.width) // 2
    crop[start[0] : start[0] + seen.height, start[1] : start[1] + seen.width] = drawn
    return crop


def _paled(image: Rgb, outside: NDArray[np.bool_]) -> Rgb:
    """Show what is outside of the cluster grey and pale."""
    pale = SURROUNDINGS[0] + SURROUNDINGS[1] * image.mean(axis=2, keepdims=True)
    mixed: Rgb = np.where(outside[:, :, None], pale, image).round().astype(np.uint8)
    return mixed


def _fitted(height: int, width: int) -> tuple[int, int]:
    """Return width and height of a box as shown, its longer side SIDE."""
    longest = max(height, width)
    return max(1, round(width * SIDE / longest)), max(1, round(height * SIDE / longest))


def sprite(crops: Sequence[Rgb]) -> Rgb:
    """Put crops into one row."""
    return np.concatenate(crops, axis=1)
