"""Segment windows by inpainting error maximization: crop and resize, initial mask, and back to the window.

Shared by `unseg iem` and `unseg proposals`.
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

LONGEST = 4096  # longest side of a working image, since the filter along it is a square matrix
STARTS = ("square", "superpixels")  # initial masks that are computed here
UPDATES = ("contour", "all")
MOST_PARTS = 255  # of a map of bytes
MASK_ENDINGS = ("", "_mask", "_proposal")


class AnyMasks(Protocol):
    """Initial masks from a file, a folder or memory."""

    def on(self, window: Window) -> NDArray[np.bool_]:
        """Return the initial mask (height, width) of a window."""


@dataclass(frozen=True)
class InitialMasks:
    """Initial masks from a file or folder, by image."""

    name: str  # path given by the user
    by_digest: dict[str, ImageMap]
    by_name: dict[str, ImageMap]

    def on(self, window: Window) -> NDArray[np.bool_]:
        """Return the initial mask (height, width) of a window."""
        digest, name = window.key.split(" ")[0], window.name
        found = self.by_digest.get(digest) or next(
            (self.by_name[key] for key in (bare(name) + ending for ending in MASK_ENDINGS) if key in self.by_name),
            None,
        )
        if found is None:
            raise DataError(f"{self.name}: has no initial mask for {name}")
        check_aspect(window.grid, found, f"{self.name}: the initial mask is for another image: {name}")
        first: NDArray[np.bool_] = found.on(window.grid)[window.box.slices] > 0
        return first


@dataclass(frozen=True)
class WorkingArea:
    """The cropped and resized part of a window that is segmented, with its initial mask."""

    pixels: NDArray[np.uint8]  # (height, width, bands)
    valid: NDArray[np.bool_] | None
    start: NDArray[np.bool_]  # (height, width)
    inner: Box  # the crop, in the window
    shape: tuple[int, int]  # height and width of the window

    def to_window(self, values: NDArray[Any], outside: Any) -> NDArray[Any]:
        """Resize a map (height, width) of the working area back to the window."""
        result = np.full(self.shape, outside, values.dtype)
        result[self.inner.slices] = sample_nearest(values, (self.inner.height, self.inner.width))
        return result


def parted_window(window: Window, params: Iem, starts: AnyMasks | None = None) -> Parted:
    """Split a window into parts, on its own grid; -1 and objectness 0 where it is void or cropped."""
    scene = working_area(window, params, starts)
    parted = part(scene.pixels, scene.valid, scene.start, ascending(params), params.parts)
    objectness = np.where(parted.parts < 0, 0.0, parted.objectness)
    return replace(parted, parts=scene.to_window(parted.parts, -1), objectness=scene.to_window(objectness, 0.0))


def working_area(window: Window, params: Iem, starts: AnyMasks | None = None) -> WorkingArea:
    """Crop and resize a window and make its initial mask."""
    height, width = window.box.height, window.box.width
    side = min(height, width)
    inner = Box((height - side) // 2, (width - side) // 2, side, side) if params.crop else Box(0, 0, height, width)
    grid = working_grid(inner.height, inner.width, params.size)
    if max(grid) > LONGEST:
        raise DataError(
            f"{grid[0]} x {grid[1]} pixels are too large: no side may exceed {LONGEST}; split it with --patch"
        )
    pixels, valid = window.pixels[inner.slices], None if window.valid is None else window.valid[inner.slices]
    pixels, valid = resized(pixels, valid, grid)
    start = centred_square(*grid, params.square)
    if params.init == "superpixels":
        regions = None if window.regions is None else sample_nearest(window.regions[inner.slices], grid)
        start = _snapped(start, regions, pixels, valid)
    elif starts is not None:
        start = sample_nearest(starts.on(window)[inner.slices], grid)
    return WorkingArea(pixels, valid, start, inner, (height, width))


def ascending(params: Iem) -> Ascending:
    """Return the settings of the optimization."""
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
    """Select the superpixels with at least half their area in the initial mask; compute them if there are none."""
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
    """Return a name without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def check_iem(params: Iem) -> None:
    """Raise an error for settings that are not valid."""
    if params.update not in UPDATES:
        raise ConfigError(f"--update {params.update}: is not one of {', '.join(UPDATES)}")
    working_grid(1, 1, params.size)  # refuses a wrong size
    if params.kernel < 1 or params.kernel % 2 == 0:
        raise ConfigError(f"--kernel {params.kernel}: must be an odd number, such as 11")
    if params.size and params.kernel > min(params.size):
        raise ConfigError(
            f"--kernel {params.kernel}: must not exceed the shorter side of the image, {min(params.size)}"
        )
    if not 0 < params.square < 1:
        raise ConfigError(f"--square {params.square:g}: must be between 0 and 1, such as 0.6")
    if not 2 <= params.parts <= MOST_PARTS:
        raise ConfigError(f"--parts {params.parts}: must be from 2 to {MOST_PARTS}")
    if params.parts > 2 and params.confidence:
        raise ConfigError("--confidence is only for --parts 2 (foreground and background); leave it out")
    if min(params.repeats, params.scale_factor) < 1 or params.iterations < 0:
        raise ConfigError("--repeats and --scale-factor must be at least 1, and --iterations not below 0")
    if not (0 < params.sigma < math.inf and 0 <= params.diversity < math.inf):
        raise ConfigError("--sigma must be above 0, and --diversity not below 0")
