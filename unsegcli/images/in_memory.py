"""Read arrays like image files: select bands, scale to bytes, and resize.

What is decided for image files in `survey` is decided here for arrays, by the same rules; no file is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import working_grid
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.bands import kind_of_band, may_be_alpha, needs_alpha_kinds
from unsegcli.images.header import Header, Pixels, full_range
from unsegcli.images.scaling import AS_IT_IS, Limits, resized, to_bytes
from unsegcli.images.survey import check_fits, check_known, sample_limits, sample_of, sampled, settled
from unsegcli.images.working import Reading, all_of, check_working_size, taken_from
from unsegcli.params import Images

FEW_BANDS, MANY_BANDS = 4, 16  # a first axis up to the one and a last above the other: the axes are in another order


@dataclass(frozen=True)
class ArrayImage:
    """A working image from an array."""

    pixels: NDArray[np.uint8]  # (height, width, bands) of the working grid, 0 where not valid
    valid: NDArray[np.bool_] | None  # (height, width) of the working grid; None = all
    shape: tuple[int, int]  # height and width of the array

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the working image."""
        return self.pixels.shape[0], self.pixels.shape[1]


def read_arrays(
    named: Sequence[tuple[str, Any, Any]],
    params: Images,
    known: Reading | None = None,
    known_scaling: Limits | None = None,
) -> tuple[list[ArrayImage], Reading]:
    """Convert arrays to working images with common settings, like the images of one folder.

    Args:
        named: of each image what errors call it, its pixels, and where it is valid (None = everywhere).
        params: how images are read.
        known: how earlier images were read: these are read likewise, or refused.
        known_scaling: of those earlier images.
    """
    pixels = {name: checked_image(value, name) for name, value, _ in named}
    masks = {name: checked_valid(valid, pixels[name].shape[:2], name) for name, _, valid in named}
    try:
        reading = _reading(pixels, params, known)
        taken = []
        for name, array in pixels.items():
            bands, parts = taken_from(array, None, reading)
            mask = masks[name]
            taken.append((bands, all_of(parts if mask is None else [*parts, mask])))
        limits = _limits(taken, reading, known_scaling)
        images = []
        for (bands, valid), scaling in zip(taken, limits, strict=True):
            shape = (bands.shape[0], bands.shape[1])
            grid = working_grid(*shape, reading.size, reading.scale)
            check_working_size("image", grid, reading)
            images.append(ArrayImage(*resized(to_bytes(bands, scaling), valid, grid, reading.resampling), shape))
    except DataError as error:
        raise ConfigError(str(error)) from error
    return images, reading


def checked_image(value: Any, name: str) -> Pixels:
    """Return an image as (height, width, bands) in native byte order; raise an error for any other array."""
    if not hasattr(value, "__array__"):
        raise ConfigError(f"{name}: is of type {type(value).__name__}, but an array (height, width, bands) is wanted")
    array = np.asarray(value)
    shape = " x ".join(map(str, array.shape)) or "no axis"
    if array.ndim not in (2, 3):
        raise ConfigError(f"{name}: an array of {shape}, but (height, width) or (height, width, bands) is wanted")
    if array.size == 0:
        raise ConfigError(f"{name}: an array of {shape} has no pixels")
    if array.dtype.kind not in "buif":
        raise ConfigError(f"{name}: holds values of type {array.dtype}, not whole or real numbers")
    if array.ndim == 3 and array.shape[0] <= FEW_BANDS < MANY_BANDS < min(array.shape[1:]):
        raise ConfigError(f"{name}: an array of {shape} has its bands first: give np.moveaxis(image, 0, -1)")
    dtype = array.dtype.newbyteorder("=")
    array = full_range(array.astype(np.float64 if dtype.itemsize > 8 else dtype, copy=False))
    return array[:, :, np.newaxis] if array.ndim == 2 else array


def checked_valid(value: Any, shape: tuple[int, ...], name: str) -> NDArray[np.bool_] | None:
    """Convert a mask of valid pixels (height, width) to bool; None stays None."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "bui":
        raise ConfigError(f"valid of {name}: is of type {array.dtype}, but truth values are wanted")
    if array.shape != shape[:2]:
        raise ConfigError(f"valid of {name}: has the shape {array.shape}, but the image is {shape[0]} x {shape[1]}")
    mask: NDArray[np.bool_] = array != 0
    return mask


def _reading(pixels: dict[str, Pixels], params: Images, known: Reading | None) -> Reading:
    headers = {name: _header(array) for name, array in pixels.items()}
    if known is not None:
        for name, header in headers.items():
            check_fits(name, header, known)
        return replace(known, max_pixels=params.max_pixels)
    kinds = {}
    if needs_alpha_kinds(params.alpha, params.bands):
        kinds = {name: kind_of_band(pixels[name][:, :, -1]) for name, one in headers.items() if may_be_alpha(one)}
    return settled(headers, params, kinds)


def _header(pixels: Pixels) -> Header:
    height, width, bands = pixels.shape
    return Header(
        pages=1,
        height=height,
        width=width,
        bands=bands,
        dtype=pixels.dtype.name,
        axes="yxc",
        layout={1: "grey", 3: "rgb"}.get(bands, "bands"),
    )


def _limits(
    taken: Sequence[tuple[Pixels, NDArray[np.bool_] | None]], reading: Reading, known_scaling: Limits | None
) -> list[Limits]:
    """Return the values that become 0 and 255 in each band, for each image."""
    as_it_is: Limits = (AS_IT_IS,) * reading.channels

    def limits_of(places: Sequence[int]) -> Limits:
        return sample_limits([sample_of(*taken[place]) for place in places], reading)

    if reading.shares_scaling:
        if known_scaling is not None:
            check_known(known_scaling, reading)
        return [known_scaling or limits_of(sampled(len(taken)))] * len(taken)
    return [limits_of([place]) if reading.scales(pixels.dtype) else as_it_is for place, (pixels, _) in enumerate(taken)]
