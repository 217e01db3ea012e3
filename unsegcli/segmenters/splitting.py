"""Divide one category of a segmentation into several, by k-means on what was compared when it was made.

All other categories stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import Box
from unsegcli.core.kmeans import assign, kmeans
from unsegcli.core.superpixels.features import blurred_pixels
from unsegcli.core.superpixels.region_space import Space
from unsegcli.dataflow.dataset import Dataset, Window, held_open, stored_sources, window_key
from unsegcli.dataflow.runner import Result, gather
from unsegcli.errors import DataError
from unsegcli.params import Cluster, Superpixels
from unsegcli.segmenters.baselines import FITTED, LARGEST_SAMPLE, MOST_VALUES, label_map, vectors_compared
from unsegcli.segmenters.feature_files import Vectors, painted_cells
from unsegcli.segmenters.nearness import COARSE, STEPS, in_steps
from unsegcli.segmenters.vectors import Describe, with_superpixels
from unsegcli.store.kinds import UNKNOWN_DISTANCE

MOST_IN = 0.5  # share of a superpixel or cell that lies in the category, from which it is part of it

Floats = NDArray[np.float64]


class Compared(NamedTuple):
    """The points of one window that are compared: of pixels, superpixels or cells."""

    places: NDArray[np.int32]  # (height, width) the point of each pixel, -1 = void
    points: NDArray[np.float32]  # (point, dimension)
    cells: Vectors | None = None  # if they are cells of a grid, whose maps are interpolated


Compare = Callable[[Window], Compared]


@dataclass(frozen=True)
class ByFeatures:
    """Computes points as k-means compared them."""

    params: Cluster
    space: Space
    cutting: Superpixels | None = None  # of windows without superpixels

    def __call__(self, window: Window) -> Compared:
        """Compute the points of a window."""
        if self.params.features == "bands":
            pixels = blurred_pixels(window.pixels, self.params.blur, window.valid)
            points = pixels.reshape(-1, pixels.shape[2])
            return Compared(np.arange(len(points), dtype=np.int32).reshape(pixels.shape[:2]), self.space(points))
        if self.cutting is not None:
            window = with_superpixels(window, self.cutting)
        found = vectors_compared(window, self.params)
        cells = found if found.grid is not None else None
        return Compared(found.numbers, self.space(found.features), cells)


@dataclass(frozen=True)
class ByVectors:
    """Takes vectors of superpixels, such as those of a model."""

    describe: Describe
    space: Space | None = None  # None = they are compared as they are

    def __call__(self, window: Window) -> Compared:
        """Compute the points of a window."""
        found = self.describe(window)
        return Compared(found.regions, found.vectors if self.space is None else self.space(found.vectors))


@dataclass(frozen=True)
class Category:
    """One category of a segmentation, and where its maps are."""

    path: str
    fingerprint: str
    number: int
    rows: Mapping[str, int] = field(repr=False)  # key of a window -> its row

    def row(self, window: Window) -> int:
        """Return the row of a window."""
        if window.key not in self.rows:
            raise DataError(f"{window.name}: is not divided into windows as in {self.path}; give what it was made from")
        return self.rows[window.key]

    def labels(self, window: Window) -> NDArray[Any]:
        """Read the map of a window."""
        found = held_open(self.path, self.fingerprint).read("segmentation", self.row(window))
        if found.shape != (window.box.height, window.box.width):
            raise DataError(f"{window.name}: has another size than in {self.path}; give what it was made from")
        return found


def category_of(path: str, number: int) -> Category:
    """Find the windows of a segmentation."""
    with store.open_artifact(path, "segmentation") as artifact:
        sources, boxes = stored_sources(artifact), artifact.table("windows/box")
        keys = [
            window_key(sources[int(source)], Box(*(int(side) for side in boxes[row])))
            for row, source in enumerate(artifact.table("windows/source"))
        ]
        return Category(path, artifact.fingerprint, number, {key: row for row, key in enumerate(keys)})


# Fitting


class Members(NamedTuple):
    """A sample of the points of the category."""

    points: NDArray[np.float32]  # (point, dimension)
    weights: Floats  # (point,) pixels in the category


def members(dataset: Dataset, compare: Compare, category: Category, params: Cluster, workers: int) -> Members:
    """Sample the points of the category from all windows."""
    share = LARGEST_SAMPLE // max(1, sum(unit.window_count for unit in dataset.units))
    bad: list[tuple[str, str]] = []
    draw = partial(_drawn, compare=compare, category=category, params=params, share=share)
    drawn = list(gather(dataset, draw, "sampling", workers, bad))
    if bad:
        raise DataError(f"{bad[0][0]}: {bad[0][1]}")
    some = [one for one in drawn if len(one.weights)]
    if not some:
        raise DataError(f"{category.path}: category {category.number} has no pixels, so nothing can be divided")
    return Members(np.concatenate([one.points for one in some]), np.concatenate([one.weights for one in some]))


def _drawn(window: Window, compare: Compare, category: Category, params: Cluster, share: int) -> Members:
    inside = category.labels(window) == category.number
    if not inside.any():
        return Members(np.zeros((0, 1), np.float32), np.zeros(0))
    found = compare(_as_shown(window, category))
    count = len(found.points)
    weights = np.bincount(found.places[inside & (found.places >= 0)], minlength=count).astype(np.float64)
    areas = np.bincount(found.places[found.places >= 0], minlength=count)
    some = np.flatnonzero((weights > 0) & (weights >= MOST_IN * areas))
    limit = params.samples if params.features == "bands" else max(1, min(share, MOST_VALUES // found.points.shape[1]))
    if len(some) > limit:
        seed = int.from_bytes(hashlib.sha256(window.key.encode()).digest()[:8], "little")
        random = np.random.default_rng([params.seed, seed])
        some = np.sort(random.choice(some, limit, replace=False))
    return Members(found.points[some], weights[some])


def _as_shown(window: Window, category: Category) -> Window:
    """Return a window of an image file with the void of the segmentation, which masks may have had a part in."""
    if window.regions is not None or window.dense is not None:
        return window
    labels = category.labels(window)
    valid = labels != np.iinfo(labels.dtype).max
    return replace(window, valid=None if bool(valid.all()) else valid)


def fit_parts(sample: Members, into: int, params: Cluster, *, unit: bool) -> Floats:
    """Find the centres of the parts by k-means, the largest part first: (parts, dimensions)."""
    step = -(-len(sample.weights) // FITTED)
    fitted = kmeans(
        sample.points[::step],
        into,
        seed=params.seed,
        starts=params.starts,
        iterations=params.iterations,
        weights=sample.weights[::step],
        spherical=unit,
    )
    live = int(np.count_nonzero(fitted.weights))
    if live < into:
        raise DataError(f"the cluster has only {live} distinct feature vectors, so it cannot be divided into {into}")
    shares = ", ".join(f"{share:.0%}" for share in fitted.weights / fitted.weights.sum())
    console.note(f"k-means: parts of {shares}")
    return fitted.centres


# Writing


@dataclass(frozen=True)
class Division:
    """Divides a category in one window after the other."""

    category: Category
    compare: Compare
    centres: Floats  # (part, dimension)
    others: Floats | None  # (centre, dimension) of the other categories; None = there are no distances
    numbers: tuple[int, ...]  # the category of each part
    count: int  # categories afterwards
    params: Cluster

    def __call__(self, window: Window) -> Result:
        """Compute the encoded map of a window, and what stands beside it."""
        artifact, row = held_open(self.category.path, self.category.fingerprint), self.category.row(window)
        labels = self.category.labels(window)
        inside = labels == self.category.number
        numbers = np.where(labels == np.iinfo(labels.dtype).max, -1, labels.astype(np.int32))
        extra: dict[str, Any] = {}
        beside: dict[str, store.Encoded] = {}
        near: Near | None = None
        if inside.any():
            near = self._near(_as_shown(window, self.category))
            numbers[inside] = np.array(self.numbers, np.int32)[near.parts[inside]]
        maps = {"segmentation": store.encode(label_map(numbers, np.arange(self.count), self.count))}
        if artifact.has("confidence"):
            beside["confidence"] = store.encode(artifact.read("confidence", row))
        if artifact.has("windows/confidence"):
            extra["confidence"] = float(artifact.table("windows/confidence")[row])
        if self.others is not None and artifact.has("distances"):
            old = artifact.read("distances", row), float(artifact.table("windows/farthest")[row])
            found, extra["farthest"] = old if near is None or near.distances is None else near.beside(*old, inside)
            beside["distances"] = store.encode(found)
        return Result({**maps, **beside}, extra)

    def _near(self, window: Window) -> Near:
        found = self.compare(window)
        if found.cells is not None:
            refine = bool(self.params.refine)
            parts = painted_cells(window, found.cells, found.points, self.centres, refine=refine)
            return Near(np.maximum(parts, 0), found.places, None, 1)
        own = assign(found.points, self.centres)
        parts = np.append(own, 0)[found.places]  # -1, void, selects the last
        distances = None if self.others is None else _distances(found.points, own, self.centres, self.others)
        return Near(parts, found.places, distances, COARSE if self.params.features == "bands" else 1)


class Near(NamedTuple):
    """The parts that the pixels of a window would belong to, and the distances of its points."""

    parts: NDArray[Any]  # (height, width)
    places: NDArray[np.int32]  # (height, width) the point of each pixel, -1 = void
    distances: NDArray[np.float64] | None  # (point, 2) to the own and to the second nearest centre
    step: int

    def beside(
        self, stored: NDArray[np.uint8], farthest: float, inside: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], float]:
        """Return the distances of a window, new inside of the category and else as stored, and the farthest."""
        assert self.distances is not None
        used = np.unique(self.places[inside & (self.places >= 0)])
        largest = max(farthest, float(self.distances[used].max(initial=0.0)))
        found = stored.copy()
        if largest > farthest:
            known = stored < UNKNOWN_DISTANCE
            found[known] = in_steps(stored[known] * (farthest / STEPS), largest, self.step)
        shares = in_steps(self.distances, largest, self.step)
        changed = inside & (self.places >= 0)
        found[changed] = shares[self.places[changed]]
        return found, largest


def _distances(points: NDArray[np.float32], own: NDArray[Any], parts: Floats, others: Floats) -> Floats:
    """Measure how far the own centre is, and the nearest other one: (points, 2)."""
    found = np.full((len(points), 2), np.inf)
    rows = np.arange(len(points))
    for number, centre in enumerate([*parts, *others]):
        apart = np.sqrt(((points - centre) ** 2).sum(axis=1))
        is_own = own == number
        found[rows[is_own], 0] = apart[is_own]
        found[~is_own, 1] = np.minimum(found[~is_own, 1], apart[~is_own])
    return found


def divided_fit(
    tables: Mapping[str, Any], categories: Sequence[int], number: int, parts: Floats, numbers: Sequence[int]
) -> dict[str, Any]:
    """Return centres with those of the parts in place of those of the category, and the category of each."""
    kept = np.array([category != number for category in categories])
    centres = np.concatenate([np.asarray(tables["fit/centres"])[kept], parts])
    return {
        **{name: values for name, values in tables.items() if name.startswith("fit/")},
        "fit/centres": centres,
        "fit/category": np.append(np.asarray(categories)[kept], numbers).astype(np.int32),
    }
