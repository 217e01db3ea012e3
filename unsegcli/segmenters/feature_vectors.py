"""What is stored of the features of a window: vectors of superpixels or cells, as they are or projected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.dataflow.dataset import Window
from unsegcli.dataflow.estimates import part_of
from unsegcli.dataflow.runner import Result
from unsegcli.errors import ConfigError
from unsegcli.segmenters.feature_maps import LayerVectors, Mapper, dense, maps_of, open_mapper, pooled
from unsegcli.segmenters.pretrained_networks import Choice

SUPERPIXEL, CELL = "superpixel", "cell"
LARGEST_HALF = float(np.finfo(np.float16).max)
SAMPLE_IMAGES, SAMPLE_OF_WINDOW = 200, 500  # images and vectors in each window that principal components are found on
SMALL = 16384  # pixels on which the number of dimensions of a model is found
PIXELS_ON_GPU = 8_000_000  # of the network's input, in one batch


@dataclass(frozen=True)
class Projection:
    """The principal components of a layer."""

    mean: NDArray[np.float32]  # (features,)
    components: NDArray[np.float32]  # (features, dimensions)
    kept: float  # share of the variance

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project vectors along the last axis."""
        return ((values - self.mean) @ self.components).astype(np.float32, copy=False)


class VectorReader(NamedTuple):
    """How the features of a window are computed; it can be sent to another process."""

    choice: Choice
    device: str
    resize: float
    tile: int
    per: str

    def open(self) -> Mapper:
        """Return the network, which is kept in this process."""
        return open_mapper(self.choice, self.device, self.resize, self.tile)

    def __call__(self, window: Window) -> LayerVectors:
        """Compute the vectors of a window."""
        return self.many([window])[0]

    def many(self, windows: Sequence[Window]) -> list[LayerVectors]:
        """Compute the vectors of windows of equal size."""
        mapper = self.open()
        read = pooled if self.per == SUPERPIXEL else dense
        return [read(mapper, window, maps) for window, maps in zip(windows, maps_of(mapper, windows), strict=True)]


@dataclass(frozen=True)
class Extraction:
    """The work of the stage on a window: compute its vectors, project them and encode them."""

    reader: Any  # from a window to its vectors
    pixels: bool
    projections: tuple[Projection, ...] = ()
    at_once: int = 0  # pixels of the windows that are worked on together; 0 = one window at a time

    def __call__(self, window: Window) -> Result:
        """Compute and encode the features of one window."""
        return self.encoded(window, self.reader(window))

    def many(self, windows: Sequence[Window]) -> list[Result]:
        """Compute and encode the features of several windows; those of equal size go through the network together."""
        found: dict[int, Result] = {}
        for numbers in _of_equal_size(windows):
            vectors = self.reader.many([windows[number] for number in numbers])
            found |= {number: self.encoded(windows[number], one) for number, one in zip(numbers, vectors, strict=True)}
        return [found[number] for number in range(len(windows))]

    def encoded(self, window: Window, vectors: LayerVectors) -> Result:
        """Encode the features of one window."""
        layers = list(vectors.layers)
        if self.projections:
            layers = [project(values) for project, values in zip(self.projections, layers, strict=True)]
        values, warning = as_half(np.concatenate(layers, -1))
        datasets = {"images": store.encode(window.pixels)} if self.pixels else {}
        if vectors.cell is not None:
            valid = np.ones(window.pixels.shape[:2], bool) if window.valid is None else window.valid
            datasets |= {"dense": store.encode(values), "valid": store.encode(valid)}
            return Result(datasets, {"cell": list(vectors.cell)}, warning)
        assert window.regions is not None
        datasets |= {"features": store.encode(values), "superpixels": store.encode(window.regions)}
        return Result(datasets, {"superpixels": len(values)}, warning)


def _of_equal_size(windows: Sequence[Window]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, window in enumerate(windows):
        groups.setdefault(window.pixels.shape, []).append(number)
    return list(groups.values())


def as_half(values: NDArray[np.float32]) -> tuple[NDArray[Any], str]:
    """Convert to float16 if no value is too large for it; else say that it was not."""
    if values.size and float(np.abs(values).max()) > LARGEST_HALF:
        return values, f"features above {LARGEST_HALF:g} are stored as float32, which takes twice as much space"
    return values.astype(np.float16), ""


def sampled(window: Window, reader: Any) -> tuple[NDArray[np.float32], ...]:
    """Return a sample of the vectors of a window, of each layer, evenly spaced."""
    found = [values.reshape(-1, values.shape[-1]) for values in reader(window).layers]
    places = np.linspace(0, len(found[0]) - 1, min(len(found[0]), SAMPLE_OF_WINDOW)).astype(int)
    return tuple(values[places] for values in found)


def principal(samples: Iterable[tuple[NDArray[np.float32], ...]], dimensions: int) -> tuple[Projection, ...]:
    """Find the principal components of each layer."""
    counts, sums, squares = 0, [np.zeros(0)], [np.zeros((0, 0))]
    for layers in samples:
        exact = [values.astype(np.float64) for values in layers]
        if not counts:
            sums = [np.zeros(values.shape[1]) for values in exact]
            squares = [np.zeros((values.shape[1],) * 2) for values in exact]
        counts += len(exact[0])
        for number, values in enumerate(exact):
            sums[number] += values.sum(0)
            squares[number] += values.T @ values
    return tuple(
        _components(total / counts, square / counts, dimensions) for total, square in zip(sums, squares, strict=True)
    )


def _components(mean: NDArray[np.float64], square: NDArray[np.float64], dimensions: int) -> Projection:
    if dimensions > len(mean):
        raise ConfigError(f"--pca {dimensions}: a layer has only {len(mean)} features")
    variances, vectors = np.linalg.eigh(square - np.outer(mean, mean))
    chosen = vectors[:, ::-1][:, :dimensions]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(0), np.arange(dimensions)])  # else signs are arbitrary
    kept = float(variances[::-1][:dimensions].sum() / max(variances.sum(), np.finfo(float).tiny))
    return Projection(mean.astype(np.float32), chosen.astype(np.float32), kept)


# --------------------------------------------------------------------------------------------- models of our own


class ModelReader(NamedTuple):
    """How the vectors of a model's superpixels are computed; it can be sent to another process."""

    path: str
    device: str
    tile: int

    def __call__(self, window: Window) -> LayerVectors:
        """Compute the vectors of a window."""
        from unsegcli.segmenters.network import superpixel_vectors
        from unsegcli.segmenters.vectors import check_has_vectors

        regions = window.superpixels
        assert regions is not None
        trained = _opened(self.path, self.device)
        check_has_vectors(trained, Path(self.path))
        return LayerVectors((superpixel_vectors(trained, window.pixels, window.valid, regions, tile=self.tile),))

    def dimensions(self, window: Window) -> int:
        """Return the number of dimensions of the vectors."""
        return int(self(part_of(window, SMALL)).layers[0].shape[1])


@lru_cache(maxsize=1)
def _opened(path: str, device: str) -> Any:
    from unsegcli.segmenters.trained import open_trained

    return open_trained(path, None, device)
