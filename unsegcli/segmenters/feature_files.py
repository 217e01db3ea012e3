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
from unsegcli.core.vector_space import Layer, fit_vector_space, joined, of_length
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.stored_vectors import layers_in
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import AUTO, PER_PIXEL, PER_SUPERPIXEL, Cluster

# Weight of hand-crafted features, all layers of the network together having 1: it rises with the number of clusters,
# since a few clusters should differ in what the network tells apart, and many can differ in colour, too.
MOST_COLOURS, CLUSTERS_FOR_ONE = 2 / 3, 20
METRICS = ("cosine", "euclidean")


@dataclass(frozen=True)
class FeaturesFile:
    """What a file of features holds."""

    path: str
    names: tuple[str, ...]  # of its layers, in order
    weighted: tuple[Layer, ...]  # size and weight of each
    dense: bool  # whether vectors are those of cells, not of superpixels
    bands: int  # of the stored pixels; 0 = none are stored

    @property
    def layers(self) -> tuple[tuple[str, int], ...]:
        """Name and dimensions of each layer."""
        return tuple((name, layer.size) for name, layer in zip(self.names, self.weighted, strict=True))

    @property
    def dimensions(self) -> int:
        """Number of dimensions of a vector."""
        return sum(layer.size for layer in self.weighted)

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
        names, weighted = layers_in(artifact, name)
        bands = artifact.read("images", 0).shape[2] if artifact.has("images") else 0
        return FeaturesFile(path, names, weighted, dense, bands)


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
    if params.colours != AUTO and not float(params.colours) >= 0:
        raise ConfigError(f"--colours {params.colours}: must be a number from 0, or {AUTO}")
    colours = params.colours not in (AUTO, 0)
    if (colours or params.features == "bands") and not file.bands:
        option = f"--colours {params.colours}" if colours else "--features bands"
        raise ConfigError(f"{option}: {file.path} holds no pixels; make it again with them")
    if not counted_colours(params, file):
        _check_without_colours(params, file)


def counted_colours(params: Cluster, file: FeaturesFile) -> float | str:
    """Return the weight of hand-crafted features, or that it depends on the number of clusters; 0 = not used."""
    if params.colours == AUTO:
        return 0.0 if file.dense or not file.bands else AUTO
    return params.colours


def weight_of_colours(colours: float | str, clusters: int) -> float:
    """Return the weight of hand-crafted features for a number of clusters."""
    return min(MOST_COLOURS, clusters / CLUSTERS_FOR_ONE) if colours == AUTO else float(colours)


def _check_without_colours(params: Cluster, file: FeaturesFile) -> None:
    if params.place != Cluster.place:
        raise ConfigError(f"{file.path}: its features have no position; leave --place out, or give --colours a weight")
    if params.describe != Cluster.describe:
        raise ConfigError("--describe: nothing is described by hand; leave it out, or give --colours a weight")


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


@dataclass(frozen=True)
class VectorSpaces:
    """The spaces in which vectors are compared, one for each number of clusters."""

    vectors: Space
    described: Space | None  # of the hand-crafted features beside them
    colours: float | str  # weight of those
    unit: bool  # whether only directions are compared

    def __call__(self, clusters: int) -> Space:
        """Return the space for a number of clusters."""
        if self.described is None:
            return joined([self.vectors], [1.0], unit=self.unit)
        weights = [1.0, weight_of_colours(self.colours, clusters)]
        return joined([self.vectors, self.described], weights, unit=self.unit)


def spaces_of_vectors(
    features: NDArray[Any], areas: NDArray[Any], file: FeaturesFile, params: Cluster, described: Space | None
) -> VectorSpaces:
    """Fit the spaces in which the vectors of a file are compared.

    Args:
        features: (points, features) of the sample.
        areas: (points,) weight of each.
        file: the file.
        params: settings.
        described: space of the hand-crafted features beside them, if any.
    """
    vectors = fit_vector_space(features[:, : file.dimensions], areas, file.weighted, params.pca, whiten=params.whiten)
    beside = None if described is None else of_length(described, features[:, file.dimensions :], areas)
    return VectorSpaces(vectors, beside, params.colours, params.metric == "cosine")


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
    names = ", ".join(
        f"{name or 'vectors'} ({layer.size}{'' if layer.weight == 1 else f', weight {layer.weight:g}'})"
        for name, layer in zip(file.names, file.weighted, strict=True)
    )
    kept = f"{params.pca} principal components each" if params.pca else "all principal components"
    beside = ""
    if params.colours == AUTO and params.classes == AUTO:
        beside = ", hand-crafted features beside them, by a weight that rises with the number of clusters"
    elif params.colours:
        weight = weight_of_colours(params.colours, params.number)
        beside = f", hand-crafted features beside them with weight {weight:.2f}"
    return f"layers {names}: {kept}{', whitened' if params.whiten else ''}{beside}; {params.metric} similarity"
