"""Vectors of a file of features, of superpixels or of cells of a grid; hand-crafted features beside them on request.

What k-means needs: a sample of them, the space in which they are compared, and label maps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.cells import cell_numbers, highest_map
from unsegcli.core.superpixels.features import feature_groups, region_features
from unsegcli.core.superpixels.region_space import Space
from unsegcli.core.vector_space import fit_vector_space, joined, of_unit_size
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import PER_PIXEL, PER_SUPERPIXEL, Cluster

COLOURS_WEIGHT = 1.0  # of hand-crafted features; all layers of the network together have 1
METRICS = ("cosine", "euclidean")


@dataclass(frozen=True)
class FeaturesFile:
    """What a file of features holds."""

    path: str
    layers: tuple[tuple[str, int], ...]  # name and dimensions of each, in order
    dense: bool  # whether vectors are those of cells, not of superpixels
    bands: int  # of the stored pixels; 0 = none are stored

    @property
    def dimensions(self) -> int:
        """Number of dimensions of a vector."""
        return sum(size for _, size in self.layers)

    def width(self, *, colours: bool) -> int:
        """Return the number of features that are compared."""
        return self.dimensions + (feature_groups(self.bands)["surroundings"].stop if colours else 0)


def features_file(dataset: Dataset) -> FeaturesFile:
    """Read what the file of features of a dataset holds."""
    path = dataset.hints["features"]["path"]
    with store.open_artifact(path, "features") as artifact:
        dense = not artifact.has("features")
        name = "dense" if dense else "features"
        if not artifact.has(name) or (dense and not artifact.has("windows/cell")):
            raise DataError(f"{path}: holds no vectors; make it again")
        found = artifact.read(name, 0).shape[-1] if artifact.window_count else 0
        layers: tuple[tuple[str, int], ...] = (("", int(found)),)
        if artifact.has("layers/dimensions"):
            sizes = (int(size) for size in artifact.table("layers/dimensions"))
            layers = tuple(zip(artifact.table("layers/name"), sizes, strict=True))
        file = FeaturesFile(path, layers, dense, artifact.read("images", 0).shape[2] if artifact.has("images") else 0)
    if file.dimensions != found:
        raise DataError(f"{path}: has vectors of {found} dimensions, but layers of {file.dimensions}; make it again")
    return file


def check_for_features(params: Cluster, file: FeaturesFile) -> None:
    """Raise an error for settings that do not apply to a file of features."""
    if params.metric not in METRICS:
        raise ConfigError(f"--metric {params.metric}: is not one of {', '.join(METRICS)}")
    if params.pca < 0:
        raise ConfigError(f"--pca {params.pca}: must be from 0")
    wanted, there = (PER_SUPERPIXEL, "cell of a grid") if file.dense else (PER_PIXEL, "superpixel")
    if params.per == wanted:
        raise ConfigError(f"--per {wanted}: {file.path} has one vector for each {there}; leave it out")
    if params.refine and not (file.dense and file.bands):
        why = "holds no pixels" if file.dense else "has superpixels, whose borders are kept"
        raise ConfigError(f"--refine: {file.path} {why}; leave it out")
    if (params.colours or params.features == "bands") and not file.bands:
        option = "--colours" if params.colours else "--features bands"
        raise ConfigError(f"{option}: {file.path} holds no pixels; make it again with them")
    if not params.colours:
        _check_without_colours(params, file)


def _check_without_colours(params: Cluster, file: FeaturesFile) -> None:
    if params.place != Cluster.place:
        raise ConfigError(f"{file.path}: its features have no position; leave --place out, or add --colours")
    if params.describe != Cluster.describe:
        raise ConfigError("--describe: without --colours, nothing is described by hand; leave it out")


def refines(params: Cluster, file: FeaturesFile) -> bool:
    """Whether maps are aligned to the edges of the image."""
    return file.dense and file.bands > 0 and params.refine is not False


def as_needed(dataset: Dataset, params: Cluster, *, refine: bool) -> Dataset:
    """Return the dataset, without its pixels if it is a file of features whose vectors are all that is needed."""
    needed = refine or params.colours or params.features == "bands"
    return dataset if needed else dataset.without_pixels()


class Vectors(NamedTuple):
    """The vectors of one window."""

    numbers: NDArray[np.int32]  # (height, width) number of the vector of each pixel; -1 = void
    features: NDArray[np.float32]  # (vector, feature)
    grid: tuple[int, int] | None = None  # rows and columns, if vectors are those of cells

    @property
    def areas(self) -> NDArray[np.float64]:
        """Number of valid pixels of each vector."""
        inside = self.numbers[self.numbers >= 0]
        return np.bincount(inside, minlength=len(self.features)).astype(np.float64)


def vectors_of(window: Window, *, colours: bool) -> Vectors:
    """Return the vectors of a window, with hand-crafted features beside them on request."""
    found = _own_vectors(window)
    if not colours:
        return found
    # Cells outside of the image, or all void, have no pixels that could be described.
    described = np.zeros((len(found.features), feature_groups(window.pixels.shape[2])["surroundings"].stop), np.float32)
    some = np.flatnonzero(found.areas)
    order = np.full(len(found.features) + 1, -1, np.int32)
    order[some] = np.arange(len(some))
    if len(some):
        described[some] = region_features(window.pixels, order[found.numbers])
    return found._replace(features=np.concatenate([found.features, described], axis=1))


def _own_vectors(window: Window) -> Vectors:
    if window.features is not None and window.superpixels is not None:
        return Vectors(window.superpixels, window.features)
    if window.dense is None or window.cell is None:
        raise ValueError("the window has no vectors")
    rows, columns, dimensions = window.dense.shape
    numbers = cell_numbers((window.box.height, window.box.width), (rows, columns), window.cell)
    if window.valid is not None:
        numbers = np.where(window.valid, numbers, -1).astype(np.int32)
    features = window.dense.reshape(-1, dimensions).astype(np.float32)
    return Vectors(numbers, features, (rows, columns))


def drawn_from(found: Vectors, window: Window, seed: int, share: int) -> NDArray[np.int64]:
    """Choose the vectors of a window that are sampled: evenly spaced superpixels, or random cells with valid pixels."""
    if found.grid is None:
        return np.arange(0, len(found.features), -(-len(found.features) // share) or 1)
    inside = np.flatnonzero(found.areas)
    own = int.from_bytes(hashlib.sha256(window.key.encode()).digest()[:8], "little")
    random = np.random.default_rng([seed, own])
    return np.sort(random.choice(inside, min(share, len(inside)), replace=False))


def space_of_vectors(
    features: NDArray[Any], areas: NDArray[Any], file: FeaturesFile, params: Cluster, described: Space | None
) -> Space:
    """Fit the space in which the vectors of a file are compared.

    Args:
        features: (points, features) of the sample.
        areas: (points,) weight of each.
        file: the file.
        params: settings.
        described: space of the hand-crafted features beside them, if any.
    """
    sizes = [size for _, size in file.layers]
    parts = [fit_vector_space(features[:, : file.dimensions], areas, sizes, params.pca, whiten=params.whiten)]
    if described is not None:
        parts.append(of_unit_size(described, features[:, file.dimensions :], areas))
    return joined(parts, [1.0, COLOURS_WEIGHT][: len(parts)], unit=params.metric == "cosine")


def painted_cells(
    window: Window, found: Vectors, points: NDArray[np.float32], centres: NDArray[np.float64], *, refine: bool
) -> NDArray[np.int32]:
    """Return the number of the centre that is most similar at each pixel: (height, width).

    Similarity is the product of vector and centre less half the squared length of the centre: the cosine for unit
    vectors, else the negative squared distance but for the part that is the same for all centres.
    """
    assert found.grid is not None
    assert window.cell is not None
    likeness = points @ centres.T.astype(np.float32) - ((centres**2).sum(axis=1) / 2).astype(np.float32)
    maps = np.ascontiguousarray(likeness.T).reshape(len(centres), *found.grid)
    pixels = window.pixels if refine else None
    shape = (window.box.height, window.box.width)
    return highest_map(maps, window.cell, found.areas.reshape(found.grid), pixels, window.valid, shape)


def shown(file: FeaturesFile, params: Cluster) -> str:
    """Describe the space in which vectors are compared."""
    names = ", ".join(f"{name or 'vectors'} ({size})" for name, size in file.layers)
    kept = f"{params.pca} principal components each" if params.pca else "all principal components"
    beside = ", hand-crafted features beside them" if params.colours else ""
    return f"layers {names}: {kept}{', whitened' if params.whiten else ''}{beside}; {params.metric} similarity"
