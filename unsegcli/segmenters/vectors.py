"""The vector of each superpixel of a window: of a model, of a file of features, or as k-means on regions uses it.

The one way in for all that works on vectors, whatever they come from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.superpixels.features import region_features
from unsegcli.dataflow.dataset import Dataset, Window, release_artifacts
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Superpixels
from unsegcli.segmenters.centres import CUTTING, cutting_from
from unsegcli.segmenters.cutting import cut_window, with_void
from unsegcli.segmenters.model_file import ModelFile

if TYPE_CHECKING:
    from unsegcli.segmenters.trained import Trained


BYTES_KEPT = 500_000_000  # of vectors, for further clusterings
FIRST_IMAGES = 16  # that give an untrained network its batch statistics


@dataclass(frozen=True)
class RegionVectors:
    """The superpixels of one window, and their vectors."""

    regions: NDArray[np.int32]  # (height, width), -1 = void
    vectors: NDArray[np.float32]  # (superpixels, dimensions)

    @property
    def areas(self) -> NDArray[np.float64]:
        """Number of pixels of each superpixel: (superpixels,)."""
        inside = self.regions[self.regions >= 0]
        return np.bincount(inside, minlength=len(self.vectors)).astype(np.float64)


Describe = Callable[[Window], RegionVectors]


def plain_vectors(window: Window) -> RegionVectors:
    """Return the features of a window's superpixels: those of its file, else those of k-means on regions."""
    regions = window.superpixels
    if regions is None:
        raise ValueError("the window has no superpixels")
    found = window.features if window.features is not None else region_features(window.pixels, regions)
    return RegionVectors(regions, found)


@dataclass(frozen=True)
class ModelVectors:
    """Computes the vectors of a model; those of a window are kept, so that several clusterings share them."""

    trained: Trained
    tile: int
    cutting: Superpixels  # of windows without superpixels
    kept: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def __call__(self, window: Window) -> RegionVectors:
        """Compute or look up the vectors of a window."""
        from unsegcli.segmenters.network import superpixel_vectors

        regions = with_superpixels(window, self.cutting).superpixels
        assert regions is not None
        key = f"{window.key} {regions.shape}"  # a part of a window, on which costs are estimated, has its key
        if key in self.kept:
            return RegionVectors(regions, self.kept[key])
        found = superpixel_vectors(self.trained, window.pixels, window.valid, regions, window.features, tile=self.tile)
        if sum(one.nbytes for one in self.kept.values()) + found.nbytes <= BYTES_KEPT:
            self.kept[key] = found
        return RegionVectors(regions, found)

    def untrained(self, dataset: Dataset, seed: int) -> ModelVectors:
        """Return the vectors of the same network with random weights."""
        from unsegcli.segmenters.trained import untrained_like

        made = untrained_like(self.trained, seed, first_images(dataset))
        return ModelVectors(made, self.tile, self.cutting)


def first_images(dataset: Dataset) -> list[NDArray[np.uint8]]:
    """Read the first images of an opened dataset, one window each: (height, width, bands)."""
    found = []
    for unit in dataset.units[:FIRST_IMAGES]:
        try:
            window = unit.windows()[0]
        except DataError:
            continue  # reported where all images are read
        found.append(window.pixels if window.valid is None else window.pixels * window.valid[:, :, None])
    release_artifacts()
    return found


def with_superpixels(window: Window, cutting: Superpixels) -> Window:
    """Cut a window into superpixels unless it has them."""
    if window.regions is not None:
        return window
    pieces = cut_window(window, cutting)
    return replace(window, regions=with_void(pieces.regions, pieces.count))


def recorded_cutting(cutting: Superpixels) -> dict[str, Any]:
    """Return the settings of superpixels that vectors depend on."""
    return {name: getattr(cutting, name) for name in CUTTING}


def check_has_vectors(trained: Trained, path: Path) -> None:
    """Raise an error for a model whose method does not say what it knows about superpixels."""
    if not hasattr(trained.method.module, "region_vectors"):
        raise ConfigError(
            f"{path}: its method {trained.method.file} has no function region_vectors, which is needed for a probe and "
            f"for other numbers of clusters than the {trained.classes} that it was trained with; add it (see "
            "docs/methods.md)"
        )


def cutting_of(model: ModelFile) -> Superpixels:
    """Return how the superpixels were made that a model was trained on; the defaults if it was trained on images."""
    if model.cutting is not None:
        return cutting_from(model.path, model.cutting)
    made = model.learned_from.get("superpixels")
    if made is None:
        return Superpixels()
    path = Path(made["path"])
    instead = "make superpixels of the images with `unseg superpixels`, and give that file"
    if not path.exists():
        raise DataError(
            f"{path}: not found, so how {model.path} saw images cut into superpixels is not known; {instead}"
        )
    with store.open_artifact(path, "superpixels") as artifact:
        settings = artifact.recipe.get("parameters", {})
        if artifact.fingerprint != made["fingerprint"]:
            raise DataError(f"{path}: has changed since {model.path} was trained on it; {instead}")
    if any(name not in settings for name in CUTTING):
        raise DataError(f"{path}: does not record how its superpixels were made; {instead}")
    return cutting_from(path, settings)


def described_by(model: ModelFile, method: str | None, device: str, tile: int, cutting: Superpixels) -> ModelVectors:
    """Open a model to compute its vectors.

    Args:
        model: the model.
        method: the Python file of the user's own method, if any.
        device: where to compute.
        tile: side of the tiles of large images.
        cutting: how images are cut into superpixels.
    """
    from unsegcli.segmenters.trained import open_trained

    trained = open_trained(model.path, method, device)
    check_has_vectors(trained, model.path)
    return ModelVectors(trained, tile, cutting)
