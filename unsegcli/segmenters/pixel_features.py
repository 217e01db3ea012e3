"""Dense features of pixels on grids of cells, of a model, of a file, and of floors; and the labels of their images.

Labels come as arrays; where they are read from is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import Box, paint, sample_nearest
from unsegcli.core.superpixels.colour_histograms import colour_cells
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.runner import gather
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.scaling import resized
from unsegcli.params import Cluster, Probe, Run
from unsegcli.segmenters.labelled_images import TruthOf
from unsegcli.segmenters.segments import HISTOGRAMS, UNTRAINED
from unsegcli.segmenters.subjects import Subject
from unsegcli.segmenters.vectors import first_images

if TYPE_CHECKING:
    from unsegcli.segmenters.trained import Trained

CELL, AROUND = 8, 2  # of colour histograms: side in pixels, and cells on each side that are counted in
LARGEST = 60_000.0  # below the largest number of float16


@dataclass(frozen=True)
class Dense:
    """Features on a grid of cells, as they are kept in memory."""

    values: NDArray[np.float16]  # (rows, columns, dimensions)
    spans: tuple[float, float]  # height and width of the window in cells


@dataclass(frozen=True)
class DenseWindow:
    """The features of one window, and where it is in its image."""

    name: str
    box: Box
    grid: tuple[int, int]
    size: tuple[int, int]  # height and width at which it was seen
    valid: NDArray[np.bool_] | None  # (height, width) of the box; None = all
    dense: dict[str, Dense]  # by the name of what computed them


@dataclass(frozen=True)
class DenseVectors:
    """Computes the dense features of a window."""

    name: str  # of the features that are measured
    trained: Trained | None = None  # None = those of the file
    untrained: Trained | None = None
    histograms: bool = False
    squash: int = 0  # side to which windows are resized; 0 = as they are
    tile: int = 512

    def __call__(self, window: Window) -> DenseWindow:
        """Compute the features of a window, and of its floors."""
        seen = window
        if self.squash:
            pixels, valid = resized(window.pixels, window.valid, (self.squash, self.squash))
            seen = replace(window, pixels=pixels, valid=valid)
        found = {self.name: _of_file(window) if self.trained is None else self._of_model(seen, self.trained)}
        if self.untrained is not None:
            found[UNTRAINED] = self._of_model(seen, self.untrained)
        if self.histograms:
            found[HISTOGRAMS] = _colours(seen)
        size = (seen.pixels.shape[0], seen.pixels.shape[1])
        return DenseWindow(window.name, window.box, window.grid, size, window.valid, found)

    def _of_model(self, window: Window, trained: Trained) -> Dense:
        from unsegcli.segmenters.network import dense_features_of

        found = dense_features_of(trained, window.pixels, window.valid, tile=self.tile)
        return _kept(found.values, window, found.cell)


def _of_file(window: Window) -> Dense:
    if window.dense is None or window.cell is None:
        raise ConfigError(
            "the file has a vector for each superpixel, not for each pixel; leave --per out, or make dense features"
        )
    return _kept(window.dense.astype(np.float32), window, window.cell)


def _colours(window: Window) -> Dense:
    if not window.pixels.shape[2]:
        raise DataError(f"{window.name}: its file holds no pixels, which colour histograms need; leave out --floors")
    return _kept(colour_cells(window.pixels, CELL, AROUND), window, (float(CELL), float(CELL)))


def _kept(values: NDArray[np.float32], window: Window, cell: tuple[float, float]) -> Dense:
    height, width = window.pixels.shape[:2]
    halves = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
    return Dense(halves, (height / cell[0], width / cell[1]))


def dense_vectors(subject: Subject, params: Probe, run: Run) -> DenseVectors:
    """Return what computes the dense features of a subject and of its floors."""
    plain = DenseVectors(subject.what, histograms=params.floors, squash=params.squash, tile=Cluster.tile)
    if subject.model is None:
        if subject.dataset.kind != "features":
            raise ConfigError(
                f"{subject.name}: superpixels have no features of pixels; give a model, or leave --per out"
            )
        if params.squash:
            raise ConfigError(f"--squash {params.squash}: {subject.name} has its features already; leave it out")
        return plain
    from unsegcli.segmenters.network import check_has_features
    from unsegcli.segmenters.trained import open_trained, untrained_like

    trained = open_trained(subject.model.path, None if params.method is None else str(params.method), run.device)
    check_has_features(trained, Path(subject.name))
    if not params.floors:
        return replace(plain, trained=trained)
    floor = untrained_like(trained, params.seed, first_images(subject.dataset))
    return replace(plain, trained=trained, untrained=floor)


@dataclass(frozen=True)
class PixelImage:
    """The windows of one image and its labels."""

    name: str
    digest: str
    windows: tuple[DenseWindow, ...]
    truth: NDArray[Any]  # (height, width) on the grid of the labels, negative = not scored


@dataclass(frozen=True)
class PixelImages:
    """All labelled images, in memory."""

    listed: tuple[PixelImage, ...]
    skipped: list[dict[str, str]]

    @property
    def images(self) -> int:
        """Number of images; pages count by themselves."""
        return len(self.listed)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files, as they are numbered; copies of one file are one."""
        first = {one.digest: one.name for one in reversed(self.listed)}
        return tuple(first[digest] for digest in dict.fromkeys(one.digest for one in self.listed))

    def of(self, numbers: Sequence[int]) -> list[PixelImage]:
        """Return the images of some files."""
        digests = list(dict.fromkeys(one.digest for one in self.listed))
        wanted = {digests[int(number)] for number in numbers}
        return [one for one in self.listed if one.digest in wanted]

    @property
    def dense_names(self) -> list[str]:
        """Names of what computed the features; those of floors follow."""
        return list(self.listed[0].windows[0].dense)

    def dimensions(self, name: str) -> int:
        """Return the number of dimensions of some features."""
        return int(self.listed[0].windows[0].dense[name].values.shape[2])

    @property
    def classes(self) -> int:
        """Number of classes up to the largest label."""
        return max(int(one.truth.max(initial=0)) for one in self.listed) + 1

    @property
    def pixels(self) -> int:
        """Number of labelled pixels."""
        return sum(int((one.truth >= 0).sum()) for one in self.listed)

    @property
    def ignored(self) -> int:
        """Number of pixels that are not scored."""
        return sum(one.truth.size for one in self.listed) - self.pixels

    @property
    def outside(self) -> int:
        """Number of labelled pixels that are void."""
        return sum(
            int((one.truth[_painted(one, [_valid(window) for window in one.windows]) == 0] >= 0).sum())
            for one in self.listed
            if any(window.valid is not None for window in one.windows)
        )


def labelled_windows(dataset: Dataset, work: DenseVectors, truth_of: TruthOf) -> PixelImages:
    """Compute the dense features of all images, and read their labels.

    Args:
        dataset: opened, with labelled images only.
        work: computes the features of a window.
        truth_of: returns the labels of an image.
    """
    sources = {unit.source.name: unit.source for unit in dataset.units}
    bad = list(dataset.bad) if dataset.kind == "pictures" else []  # else an earlier stage skipped them
    seen: Iterator[DenseWindow] = gather(dataset, work, "computing features", 1, bad)
    listed = tuple(
        PixelImage(name, sources[name].digest, tuple(windows), truth_of(sources[name]))
        for name, windows in groupby(seen, key=lambda window: window.name)
    )
    return PixelImages(listed, [{"name": name, "reason": reason} for name, reason in bad])


def _valid(window: DenseWindow) -> NDArray[np.uint8]:
    side = (window.box.height, window.box.width)
    return np.ones(side, np.uint8) if window.valid is None else window.valid.astype(np.uint8)


def _painted(image: PixelImage, maps: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Combine the maps of the windows of an image on the grid of its labels."""
    grid = (image.truth.shape[0], image.truth.shape[1])
    return paint(maps, [window.box for window in image.windows], image.windows[0].grid, grid)


def predicted_map(image: PixelImage, maps: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Combine the classes of an image's windows, as they were seen, on the grid of its labels; -1 = void."""
    resized_maps = []
    for window, values in zip(image.windows, maps, strict=True):
        own = sample_nearest(values, (window.box.height, window.box.width))
        resized_maps.append(np.where(_valid(window) > 0, own, np.int32(-1)))
    return _painted(image, resized_maps)


def truth_of_window(image: PixelImage, window: DenseWindow) -> NDArray[Any]:
    """Return the labels of a window at the size at which it was seen; void pixels have none."""
    truth = sample_nearest(image.truth, window.grid)[window.box.slices]
    return sample_nearest(np.where(_valid(window) > 0, truth, truth.dtype.type(-1)), window.size)
