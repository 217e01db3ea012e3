"""Labels that follow an object from frame to frame, by nearest neighbours in feature space (Jabri et al. 2020).

Each cell of a frame takes the mean of the labels of the cells of earlier frames that are most similar to it, among
those near its own place. Nothing is learned here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.cells import drawn_along
from unsegcli.core.compiling import compiled_loosely

Floats = NDArray[np.float32]
BLOCK = 16  # side of the square of cells that are compared at once
NOTHING = -1e30  # similarity of a neighbour that was not found


@dataclass(frozen=True)
class Vote:
    """How the labels of a cell follow from those of earlier frames."""

    neighbours: int = 5  # most similar cells, over all frames
    radius: int = 12  # in cells: how far from its place a cell looks
    temperature: float = 0.1  # of the softmax over their similarities


@dataclass(frozen=True)
class LabelledCells:
    """The cells of a frame, with their labels."""

    vectors: Floats  # (rows, columns, dimensions)
    labels: Floats  # (rows, columns, labels), shares that sum to one
    known: NDArray[np.bool_]  # (rows, columns): cells whose labels count


def follow(vectors: Floats, earlier: Sequence[LabelledCells], vote: Vote) -> Floats:
    """Compute the labels of the cells of a frame: (rows, columns, labels); 0 where no cell of earlier frames counts.

    The similarity of two cells is half the squared distance of their vectors, negated; for vectors of length one that
    is the cosine of their angle less one, as published.

    Args:
        vectors: (rows, columns, dimensions).
        earlier: frames with as many rows and columns.
        vote: how labels are found.
    """
    rows, columns = vectors.shape[:2]
    labels = np.concatenate([one.labels.reshape(rows * columns, -1) for one in earlier])
    followed = np.zeros((rows, columns, labels.shape[1]), np.float32)
    for top, left in _blocks(rows, columns):
        inside = np.s_[top : top + BLOCK, left : left + BLOCK]
        similar, found = _neighbours(vectors[inside], (top, left), earlier, vote)
        weights = np.exp((similar - similar.max(axis=1, keepdims=True)) / np.float32(vote.temperature))
        weights[found < 0] = 0
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-12))
        followed[inside] = np.einsum("cn,cnl->cl", weights, labels[found]).reshape(followed[inside].shape)
    return followed


def _blocks(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    return ((top, left) for top in range(0, rows, BLOCK) for left in range(0, columns, BLOCK))


def _neighbours(
    vectors: Floats, place: tuple[int, int], earlier: Sequence[LabelledCells], vote: Vote
) -> tuple[Floats, NDArray[np.int64]]:
    """Find the most similar cells of all frames for each cell of a block: their similarities and numbers; -1 = none.

    Args:
        vectors: (rows, columns, dimensions) of the block.
        place: its first row and column.
        earlier: the frames.
        vote: how many, and how far away.
    """
    (top, left), (height, width) = place, vectors.shape[:2]
    rows, columns = earlier[0].known.shape
    first_row, first_column = max(0, top - vote.radius), max(0, left - vote.radius)
    near = np.s_[first_row : top + height + vote.radius, first_column : left + width + vote.radius]
    wanted = vectors.reshape(height * width, -1)
    similar = np.full((height * width, vote.neighbours), NOTHING, np.float32)
    found = np.full(similar.shape, -1, np.int64)
    block = np.array([height, width, top - first_row, left - first_column])
    for number, frame in enumerate(earlier):
        known = np.ascontiguousarray(frame.known[near])
        cells = frame.vectors[near].reshape(known.size, -1)
        similarities = wanted @ cells.T - np.einsum("cd,cd->c", cells, cells) / np.float32(2)
        start = np.array([number * rows * columns + first_row * columns + first_column, columns])
        _keep_best(similarities, known, block, start, vote.radius, similar, found)
    return similar, found


@compiled_loosely
def _keep_best(similarities, known, block, start, radius, similar, found):
    """Insert the cells of one frame into the lists of each cell of a block, which are in descending order.

    Args:
        similarities: (cells of the block, cells around it).
        known: (rows, columns) around the block: which of them count.
        block: its height and width, and its first row and column among those around it.
        start: number of the first cell around it, and cells in a row of the frame.
        radius: largest distance, in cells.
        similar: (cells of the block, neighbours): similarities, changed in place.
        found: their numbers, changed in place.
    """
    height, width, top, left = block
    last = similar.shape[1] - 1
    for cell in range(height * width):
        row, column = top + cell // width, left + cell % width
        for down in range(max(0, row - radius), min(known.shape[0], row + radius + 1)):
            for across in range(max(0, column - radius), min(known.shape[1], column + radius + 1)):
                far = (down - row) ** 2 + (across - column) ** 2 > radius * radius
                value = similarities[cell, down * known.shape[1] + across]
                if far or not known[down, across] or value <= similar[cell, last]:
                    continue
                place = last
                while place > 0 and similar[cell, place - 1] < value:
                    similar[cell, place] = similar[cell, place - 1]
                    found[cell, place] = found[cell, place - 1]
                    place -= 1
                similar[cell, place] = value
                found[cell, place] = start[0] + down * start[1] + across


def cell_labels(numbers: NDArray[Any], labels: int, cell: tuple[float, float]) -> tuple[Floats, NDArray[np.bool_]]:
    """Compute the share of each label in each cell, and which cells have a labelled pixel.

    Args:
        numbers: (height, width) from 0; negative = not labelled.
        labels: how many there are.
        cell: height and width of a cell in pixels; those at the border may reach beyond it.
    """
    down, across = (_cell_of(side, length) for side, length in zip(numbers.shape, cell, strict=True))
    rows, columns = int(down[-1]) + 1, int(across[-1]) + 1
    cells = (down[:, None] * columns + across).astype(np.int64)
    inside = numbers >= 0
    counts = np.bincount(cells[inside] * labels + numbers[inside], minlength=rows * columns * labels)
    counts = counts.reshape(rows, columns, labels)
    total = counts.sum(axis=2, keepdims=True)
    return (counts / np.maximum(total, 1)).astype(np.float32), total[:, :, 0] > 0


def _cell_of(side: int, length: float) -> NDArray[np.int64]:
    """Return the cell of each pixel along one side."""
    cells: NDArray[np.int64] = np.floor((np.arange(side) + 0.5) / length).astype(np.int64)
    return cells


def spread(cells: Floats, grid: tuple[int, int], cell: tuple[float, float]) -> Floats:
    """Interpolate values of cells (rows, columns, values) between their centres: (height, width, values)."""
    tall = drawn_along(cells, np.arange(grid[0]), cell[0], 0)
    return drawn_along(tall, np.arange(grid[1]), cell[1], 1)
