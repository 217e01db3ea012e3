"""The segments of a window that are looked up, and a vector for each: of a model, of a file, and of floors.

Segments are the objects that a model finds, or given object masks. All vectors of a window are of the same segments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.colour_histograms import colour_histograms
from unsegcli.core.superpixels.regions import components
from unsegcli.dataflow.dataset import Window
from unsegcli.errors import DataError
from unsegcli.params import Cluster
from unsegcli.segmenters.vectors import Describe, plain_vectors

if TYPE_CHECKING:
    from unsegcli.segmenters.trained import Trained

UNTRAINED, HISTOGRAMS = "untrained network", "colour histograms"
MasksOf = Callable[[Window], NDArray[np.bool_] | None]  # object mask (height, width) of a window; None = it has none
Regioned = tuple[NDArray[np.int32], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class SegmentVectors:
    """Finds the segments of a window, and computes their vectors."""

    name: str  # of the vectors that are measured
    params: Cluster  # how objects are found
    masks: MasksOf | None = None  # given object masks; None = the model finds objects
    trained: Trained | None = None  # the model, if it gives embeddings
    describe: Describe = plain_vectors  # else: vectors of superpixels
    untrained: Trained | Describe | None = None  # the floor of a model, in the same form
    histograms: bool = False  # whether that floor is computed

    def __call__(self, window: Window) -> Regioned:
        """Return the segments (height, width), -1 = none, and the vectors of each by their names."""
        segments, own = self._found(window)
        vectors = {self.name: own}
        if self.untrained is not None:
            vectors[UNTRAINED] = self._compared(window, segments, self.untrained)
        if self.histograms:
            vectors[HISTOGRAMS] = histograms_of(window, segments, len(own))
        return segments, vectors

    def _found(self, window: Window) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if self.masks is None:
            from unsegcli.segmenters.objects import find_objects

            assert self.trained is not None
            found = find_objects(window, self.trained, self.params)
            return found.objects, found.vectors.astype(np.float32)
        mask = self.masks(window)
        objects = np.full(window.pixels.shape[:2], -1, np.int32)
        if mask is not None:
            objects[mask if window.valid is None else mask & window.valid] = 0
        if self.params.objects == "component":
            objects = components(objects)
        return objects, self._compared(window, objects, self.trained or self.describe)

    def _compared(self, window: Window, segments: NDArray[np.int32], by: Any) -> NDArray[np.float32]:
        """Compute the vectors of given segments, by a model that gives embeddings or by vectors of superpixels."""
        if self.trained is None:
            return pooled(window, segments, by)
        from unsegcli.segmenters.objects import vectors_of_objects

        return vectors_of_objects(window, segments, by, self.params).astype(np.float32)


@dataclass(frozen=True)
class RegionSets:
    """Computes the vectors of a window's superpixels, and those of floors."""

    name: str  # of the vectors that are measured
    describe: Describe
    untrained: Describe | None = None
    histograms: bool = False

    def __call__(self, window: Window) -> Regioned:
        """Return the superpixels (height, width), -1 = void, and the vectors of each by their names."""
        found = self.describe(window)
        vectors = {self.name: found.vectors}
        if self.untrained is not None:
            vectors[UNTRAINED] = self.untrained(window).vectors
        if self.histograms:
            vectors[HISTOGRAMS] = histograms_of(window, found.regions, len(found.vectors))
        return found.regions, vectors


def histograms_of(window: Window, regions: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Compute the colour histograms of regions."""
    if not window.pixels.shape[2]:
        raise DataError(f"{window.name}: its file holds no pixels, which colour histograms need; leave out --floors")
    return colour_histograms(window.pixels, regions, count)


def pooled(window: Window, segments: NDArray[np.int32], describe: Describe) -> NDArray[np.float32]:
    """Average the vectors of superpixels, or of cells of a grid, over the pixels of each segment."""
    if window.dense is not None:
        places, vectors = cells_of(window), window.dense.reshape(-1, window.dense.shape[2]).astype(np.float64)
    else:
        found = describe(window)
        places, vectors = found.regions.astype(np.int64), found.vectors.astype(np.float64)
    inside = (segments >= 0) & (places >= 0)
    count, each = int(segments.max(initial=-1)) + 1, len(vectors)
    shared = np.bincount(segments[inside].astype(np.int64) * each + places[inside], minlength=count * each)
    areas = shared.reshape(count, each)
    means = areas @ vectors / np.maximum(areas.sum(axis=1, keepdims=True), 1)
    found_means: NDArray[np.float32] = means.astype(np.float32)
    return found_means


def cells_of(window: Window) -> NDArray[np.int64]:
    """Return the number of the cell that each pixel of a window is in: (height, width)."""
    assert window.dense is not None
    assert window.cell is not None
    sides = zip(window.pixels.shape[:2], window.cell, window.dense.shape[:2], strict=True)
    rows, columns = (np.minimum((np.arange(side) + 0.5) // cell, most - 1) for side, cell, most in sides)
    numbers: NDArray[np.int64] = (rows[:, None] * window.dense.shape[1] + columns).astype(np.int64)
    return numbers
