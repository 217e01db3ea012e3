"""From the labels of the first frame of a sequence to those of all its frames, one frame after the other.

Only the first frame and the last few are held in memory, as vectors of cells. If a run was stopped, the sequence that
it was in is followed again from its first frame, since each frame depends on those before it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.cell_vectors import cell_vectors
from unsegcli.core.geometry import sample_nearest
from unsegcli.core.guided import refined
from unsegcli.core.propagation import Floats, LabelledCells, Vote, cell_labels, follow, spread
from unsegcli.dataflow.dataset import Unit, Window
from unsegcli.dataflow.runner import Result
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Cluster, Propagate, Superpixels
from unsegcli.segmenters.vectors import with_superpixels

if TYPE_CHECKING:
    from unsegcli.segmenters.trained import Trained

VOID = 255  # of a map of bytes
LARGE = 100_000  # pixels of a frame from which on cells have the larger side, if it is not chosen
SIDES = (2, 4)  # of cells, in pixels, for small and for large frames
GUIDE_RADIUS = 3  # pixels, of the filter that aligns labels with edges

Describe = Callable[[Window], tuple[Floats, tuple[float, float]]]


@dataclass(frozen=True)
class ColourCells:
    """Vectors without a network: the colours in and around each cell."""

    side: int = 0  # of a cell in pixels; 0 = by the size of the frame

    def __call__(self, window: Window) -> tuple[Floats, tuple[float, float]]:
        """Return the vectors (rows, columns, dimensions) of a window, and height and width of a cell."""
        if not window.pixels.shape[2]:
            raise DataError(f"{window.name}: has neither pixels nor dense features")
        side = side_of(window, self.side)
        return cell_vectors(window.pixels, window.valid, side), (float(side), float(side))


@dataclass(frozen=True)
class StoredCells:
    """Dense features of a file, each of length one."""

    def __call__(self, window: Window) -> tuple[Floats, tuple[float, float]]:
        """Return the vectors (rows, columns, dimensions) of a window, and height and width of a cell."""
        if window.dense is None or window.cell is None:
            raise DataError(f"{window.name}: has no dense features")
        rows, columns = (
            math.ceil(side / length)
            for side, length in zip((window.box.height, window.box.width), window.cell, strict=True)
        )
        if window.dense.shape[0] < rows or window.dense.shape[1] < columns:
            raise DataError(f"{window.name}: its dense features do not cover it; make the file again")
        return _of_length_one(window.dense[:rows, :columns].astype(np.float32)), window.cell


@dataclass(frozen=True)
class ModelCells:
    """Vectors of a trained model, each of length one: of each cell, or of superpixels if the method sees only these."""

    trained: Trained
    cutting: Superpixels
    side: int = 0

    def __call__(self, window: Window) -> tuple[Floats, tuple[float, float]]:
        """Return the vectors (rows, columns, dimensions) of a window, and height and width of a cell."""
        from unsegcli.segmenters.network import superpixel_vectors

        side = side_of(window, self.side)
        cells = _numbered(window, side)
        regions = with_superpixels(window, self.cutting).superpixels if self.trained.needs_regions else cells
        assert regions is not None
        found = superpixel_vectors(self.trained, window.pixels, window.valid, regions, tile=Cluster.tile)
        shape = (-(-window.box.height // side), -(-window.box.width // side))
        chosen = np.arange(shape[0] * shape[1]).reshape(shape)
        if regions is not cells:
            chosen = sample_nearest(regions, shape)
        vectors = np.where(chosen[:, :, None] < 0, np.float32(0), found[np.maximum(chosen, 0)])
        return _of_length_one(vectors), (float(side), float(side))


def side_of(window: Window, asked: int) -> int:
    """Return the side of cells: the one asked for, else by the size of the frame."""
    return asked or SIDES[window.grid[0] * window.grid[1] > LARGE]


def _numbered(window: Window, side: int) -> NDArray[np.int32]:
    """Return the number of the cell of each pixel (height, width)."""
    rows, columns = np.arange(window.box.height) // side, np.arange(window.box.width) // side
    return (rows[:, None] * (int(columns[-1]) + 1) + columns).astype(np.int32)


def _of_length_one(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    scaled: Floats = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled


@dataclass(frozen=True)
class FirstFrame:
    """A sequence: where its frames are in the list of all frames, and the labels of the first."""

    frames: tuple[int, ...]
    labels: NDArray[np.int32]  # (height, width) on the grid of the source, the user's numbers; negative = none

    @property
    def objects(self) -> tuple[int, ...]:
        """The numbers of the objects, in ascending order."""
        return tuple(int(value) for value in np.unique(self.labels[self.labels > 0]))


@dataclass
class Followed:
    """The frames of a sequence that have been followed, as far as they are needed for the next."""

    sequence: FirstFrame
    at: int  # the last frame
    first: LabelledCells
    last: deque[LabelledCells]


@dataclass
class Follower:
    """Computes the labels of one frame after the other."""

    units: Sequence[Unit]
    sequences: Sequence[FirstFrame]
    describe: Describe
    params: Propagate
    single: bool  # all sequences have one object, which gets the number 1
    places: Mapping[str, int] = field(default_factory=dict)  # of each frame, by its name
    followed: Followed | None = None

    def __post_init__(self) -> None:
        self.places = {unit.source.name: number for number, unit in enumerate(self.units)}

    def __call__(self, window: Window) -> Result:
        """Return the encoded label map of a frame."""
        at = self.places[window.name]
        sequence = next(one for one in self.sequences if at in one.frames)
        if at == sequence.frames[0]:
            return self._begin(window, sequence)
        if self.followed is None or self.followed.sequence is not sequence or self.followed.at >= at:
            self._catch_up(sequence, at)
        return self._next(window, at)

    def _catch_up(self, sequence: FirstFrame, at: int) -> None:
        """Follow a sequence from its first frame up to the frame before this one."""
        self._begin(self.units[sequence.frames[0]].windows()[0], sequence)
        for earlier in sequence.frames[1 : sequence.frames.index(at)]:
            with suppress(DataError):  # it was skipped, too, when it was its turn
                self._next(self.units[earlier].windows()[0], earlier)

    def _begin(self, window: Window, sequence: FirstFrame) -> Result:
        numbers = sample_nearest(sequence.labels, window.grid)
        if window.valid is not None:
            numbers = np.where(window.valid, numbers, -1)
        ranks = np.where(numbers < 0, -1, np.searchsorted((0, *sequence.objects), numbers)).astype(np.int64)
        vectors, cell = self.describe(window)
        shares, known = cell_labels(ranks, len(sequence.objects) + 1, cell)
        first = LabelledCells(_fitted(vectors, known.shape), shares, known)
        self.followed = Followed(sequence, sequence.frames[0], first, deque(maxlen=self.params.frames))
        return self._encoded(ranks, (ranks >= 0).astype(np.float32), sequence)

    def _next(self, window: Window, at: int) -> Result:
        followed = self.followed
        assert followed is not None
        vectors, cell = self.describe(window)
        vectors = _fitted(vectors, followed.first.known.shape, window.name)
        labels = _shares(follow(vectors, [followed.first, *followed.last], vote_of(self.params)))
        valid = np.ones(window.grid, bool) if window.valid is None else window.valid
        known = cell_labels(np.where(valid, 0, -1), 1, cell)[1]
        followed.last.append(LabelledCells(vectors, labels, known))
        followed.at = at
        scores = np.moveaxis(spread(labels, window.grid, cell), 2, 0)
        if window.pixels.shape[2]:
            scores = refined(scores, window.pixels, window.valid, GUIDE_RADIUS)
        ranks = np.where(valid, scores.argmax(axis=0), -1)
        return self._encoded(ranks, np.where(valid, scores.max(axis=0), 0), followed.sequence)

    def _encoded(self, ranks: NDArray[Any], sure: NDArray[Any], sequence: FirstFrame) -> Result:
        numbers = np.array([0, *([1] if self.single else sequence.objects), VOID], np.uint8)
        datasets = {"segmentation": store.encode(numbers[ranks])}  # the last, number -1, is void
        if self.params.confidence:
            datasets["confidence"] = store.encode(sure.astype(np.float16))
        inside = ranks >= 0
        return Result(datasets, {"confidence": float(sure[inside].mean()) if inside.any() else 0.0})


def vote_of(params: Propagate) -> Vote:
    """Return how labels are found."""
    return Vote(params.neighbours, params.radius, params.temperature)


def estimated(window: Window, describe: Describe, params: Propagate) -> Result:
    """Follow a part of a frame from copies of itself, which costs as much as any other."""
    vectors, cell = describe(window)
    shape = (window.box.height, window.box.width)
    shares, known = cell_labels(np.zeros(shape, np.int64), 2, cell)
    frame = LabelledCells(_fitted(vectors, known.shape), shares, known)
    labels = follow(frame.vectors, [frame] * (params.frames + 1), vote_of(params))
    scores = np.moveaxis(spread(labels, shape, cell), 2, 0)
    if window.pixels.shape[2]:
        scores = refined(scores, window.pixels, window.valid, GUIDE_RADIUS)
    return Result({"segmentation": store.encode(scores.argmax(axis=0).astype(np.uint8))}, {"confidence": 1.0})


def _shares(labels: Floats) -> Floats:
    """Give cells that found no neighbour to the background."""
    empty = labels.sum(axis=2) <= 0
    labels[empty, 0] = 1
    return labels


def _fitted(vectors: Floats, shape: Sequence[int], name: str = "") -> Floats:
    """Check that a frame has as many cells as the first of its sequence."""
    if vectors.shape[:2] != tuple(shape):
        raise DataError(f"{name}: its size differs from that of the first frame of its sequence")
    return vectors


def check_propagate(params: Propagate) -> None:
    """Raise an error for settings that are not valid."""
    if params.cell < 0 or params.cell % 2:
        raise ConfigError(f"--cell {params.cell}: must be an even number, such as 2 or 4")
    if min(params.neighbours, params.radius, params.frames) < 1:
        raise ConfigError("--neighbours, --radius and --frames must be at least 1")
    if not 0 < params.temperature < math.inf:
        raise ConfigError(f"--temperature {params.temperature:g}: must be above 0, such as 0.1")
