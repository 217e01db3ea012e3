"""Windows parted by inpainting error maximisation: what of a window is worked on, from which first mask, and back.

Shared by the stages that part images; what is done with the parts is theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import Box, sample_nearest, working_grid
from unsegcli.core.saliency.iem import Inpainter, centred_square
from unsegcli.core.saliency.parts import Ascending, Parted, part
from unsegcli.dataflow.dataset import Window
from unsegcli.dataflow.label_maps import ImageMap, check_aspect
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.scaling import resized
from unsegcli.params import Iem, Superpixels

LONGEST = 4096  # side of an image that is worked on; the filter along it is a square matrix
STARTS = ("square", "superpixels")  # first masks that are made here
UPDATES = ("contour", "all")
MOST_PARTS = 255  # of a map of bytes
MASK_ENDINGS = ("", "_mask", "_proposal")


class FirstMasks(Protocol):
    """First masks that were made elsewhere."""

    def on(self, window: Window) -> NDArray[np.bool_]:
        """The first mask (height, width) of a window, on the grid of the whole working image, cut to the window."""


@dataclass(frozen=True)
class Starts:
    """First masks that were made elsewhere, by image."""

    name: str  # as the user named it
    by_digest: dict[str, ImageMap]
    by_name: dict[str, ImageMap]

    def on(self, window: Window) -> NDArray[np.bool_]:
        """The first mask (height, width) of a window."""
        digest, name = window.key.split(" ")[0], window.name
        found = self.by_digest.get(digest) or next(
            (self.by_name[key] for key in (bare(name) + ending for ending in MASK_ENDINGS) if key in self.by_name),
            None,
        )
        if found is None:
            raise DataError(f"{self.name}: has no first mask for {name}")
        check_aspect(window.grid, found, f"{self.name}: the first mask is for another image: {name}")
        first: NDArray[np.bool_] = found.on(window.grid)[window.box.slices] > 0
        return first


@dataclass(frozen=True)
class Worked:
    """What of a window is worked on, and the way back."""

    pixels: NDArray[np.uint8]  # (height, width, bands)
    valid: NDArray[np.bool_] | None
    start: NDArray[np.bool_]  # (height, width)
    inner: Box  # of the window
    shape: tuple[int, int]  # of the window

    def back(self, values: NDArray[Any], outside: Any) -> NDArray[Any]:
        """A map of what is worked on (height, width) as a map of the window."""
        result = np.full(self.shape, outside, values.dtype)
        result[self.inner.slices] = sample_nearest(values, (self.inner.height, self.inner.width))
        return result


def parted_window(window: Window, params: Iem, starts: FirstMasks | None = None) -> Parted:
    """The parts of a window, on its own grid; -1 and an objectness of 0 where void, or cropped."""
    scene = scene_of(window, params, starts)
    parted = part(scene.pixels, scene.valid, scene.start, ascending(params), params.parts)
    objectness = np.where(parted.parts < 0, 0.0, parted.objectness)
    return replace(parted, parts=scene.back(parted.parts, -1), objectness=scene.back(objectness, 0.0))


def scene_of(window: Window, params: Iem, starts: FirstMasks | None = None) -> Worked:
    """What of a window is parted."""
    height, width = window.box.height, window.box.width
    side = min(height, width)
    inner = Box((height - side) // 2, (width - side) // 2, side, side) if params.crop else Box(0, 0, height, width)
    grid = working_grid(inner.height, inner.width, params.size)
    if max(grid) > LONGEST:
        raise DataError(f"{grid[0]} x {grid[1]} pixels are too long to be parted; cut it with --patch")
    pixels, valid = window.pixels[inner.slices], None if window.valid is None else window.valid[inner.slices]
    pixels, valid = resized(pixels, valid, grid)
    start = centred_square(*grid, params.square)
    if params.init == "superpixels":
        regions = None if window.regions is None else sample_nearest(window.regions[inner.slices], grid)
        start = _snapped(start, regions, pixels, valid)
    elif starts is not None:
        start = sample_nearest(starts.on(window)[inner.slices], grid)
    return Worked(pixels, valid, start, inner, (height, width))


def ascending(params: Iem) -> Ascending:
    """The settings of the ascent."""
    return Ascending(
        Inpainter(params.sigma, params.kernel, params.repeats, params.scale_factor),
        params.diversity,
        params.iterations,
        params.smooth,
        params.update == "all",
    )


def _snapped(
    start: NDArray[np.bool_],
    regions: NDArray[Any] | None,
    pixels: NDArray[np.uint8],
    valid: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    """All superpixels of which at least half is in the first mask; they are made here if there are none."""
    if regions is None:
        from unsegcli.core.superpixels.slic import slic

        aim = max(1, round(start.size / Superpixels.pixels_per_segment))
        regions = slic(pixels, valid, aim, Superpixels.compactness) + 1  # 0 = void
    _, numbers = np.unique(regions, return_inverse=True)
    numbers = numbers.reshape(start.shape)
    share = np.bincount(numbers.ravel(), start.ravel()) / np.bincount(numbers.ravel())
    snapped: NDArray[np.bool_] = share[numbers] >= 0.5
    return snapped


def bare(name: str) -> str:
    """A name without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def check_iem(params: Iem) -> None:
    """Refuse settings that make no sense."""
    if params.update not in UPDATES:
        raise ConfigError(f"--update {params.update}: is not one of {', '.join(UPDATES)}")
    working_grid(1, 1, params.size)  # refuses a wrong size
    if params.kernel < 1 or params.kernel % 2 == 0:
        raise ConfigError(f"--kernel {params.kernel}: must be an odd number, such as 11")
    if params.size and params.kernel > min(params.size):
        raise ConfigError(
            f"--kernel {params.kernel}: is wider than the image, whose shorter side is {min(params.size)}"
        )
    if not 0 < params.square < 1:
        raise ConfigError(f"--square {params.square:g}: must be between 0 and 1, such as 0.6")
    if not 2 <= params.parts <= MOST_PARTS:
        raise ConfigError(f"--parts {params.parts}: must be from 2 to {MOST_PARTS}")
    if params.parts > 2 and params.confidence:
        raise ConfigError("--confidence is of foreground against background: leave it out with --parts above 2")
    if min(params.repeats, params.scale_factor) < 1 or params.iterations < 0:
        raise ConfigError("--repeats and --scale-factor must be at least 1, and --iterations not below 0")
    if not (0 < params.sigma < math.inf and 0 <= params.diversity < math.inf):
        raise ConfigError("--sigma must be above 0, and --diversity not below 0")
