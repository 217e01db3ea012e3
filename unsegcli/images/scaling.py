"""Scale band values of any type to 0 to 255, and resize images band by band.

Pure functions of arrays; the limits of the scaling are decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import Box, Footprint, sample_nearest
from unsegcli.images.header import Pixels

Limits = tuple[tuple[float, float], ...]  # for each working band, the values mapped to 0 and to 255

AS_IT_IS = (0.0, 255.0)
FILTERS = {"linear": Image.Resampling.BILINEAR, "mean": Image.Resampling.BOX}


def value_family(dtype: str) -> str:
    """Return the family of types that can share one scaling: "bytes" (uint8, not scaled), "whole" or "real"."""
    if dtype == "uint8":
        return "bytes"
    return "real" if np.dtype(dtype).kind == "f" else "whole"


def regular_sample(pixels: Pixels, valid: NDArray[np.bool_] | None, most: int) -> Pixels:
    """Sample valid pixels on a regular grid: (at most about `most`, bands).

    Args:
        pixels: (height, width, bands).
        valid: (height, width), or None if all pixels are valid.
        most: number of grid points, of which invalid ones are dropped.
    """
    grid = regular_grid(pixels.shape[0], pixels.shape[1], most)
    bands = pixels.shape[2]
    if valid is None:
        return np.array(pixels[grid]).reshape(-1, bands)
    return pixels[grid][valid[grid]]


def regular_grid(height: int, width: int, most: int) -> tuple[slice, slice]:
    """Return the rows and columns of a regular grid of at most about so many points."""
    step = max(math.ceil(math.sqrt(height * width / most)), math.ceil(max(height, width) / most))
    return slice(min(step // 2, height - 1), None, step), slice(min(step // 2, width - 1), None, step)


def points_in(grid: tuple[slice, slice], box: Box) -> tuple[slice, slice]:
    """Return which pixels of a box lie on a regular grid over the whole image, counted from the corner of the box."""
    down, across = (
        slice(
            max(first.start, first.start + -(-(low - first.start) // first.step) * first.step) - low, size, first.step
        )
        for first, low, size in zip(grid, (box.top, box.left), (box.height, box.width), strict=True)
    )
    return down, across


def percentile_limits(values: Sequence[Pixels], percentiles: tuple[float, float], channels: int) -> Limits:
    """Compute two percentiles of each band over samples (pixels, bands); (0, 0) if there are no pixels."""
    limits = []
    for channel in range(channels):
        band = np.concatenate([sample[:, channel] for sample in values] or [np.zeros(0)])
        if band.size == 0:
            limits.append((0.0, 0.0))
            continue
        low, high = np.percentile(band.astype(np.float64, copy=False), percentiles)
        limits.append((float(low), float(high)))
    return tuple(limits)


def by_one_factor(limits: Limits) -> Limits:
    """Widen the ranges of all bands to the widest, each about its own middle: distances keep their proportions."""
    half = max((high - low for low, high in limits), default=0.0) / 2
    return tuple(((low + high) / 2 - half, (low + high) / 2 + half) for low, high in limits)


def to_bytes(pixels: Pixels, limits: Limits) -> NDArray[np.uint8]:
    """Map low to 0 and high to 255 in each band, clip the rest, and round halves up.

    A band whose low and high are equal is constant and becomes zeros.

    Args:
        pixels: (height, width, bands), any type; NaN becomes 0.
        limits: low and high of each band.
    """
    if pixels.dtype == np.uint8 and all(pair == AS_IT_IS for pair in limits):
        return np.ascontiguousarray(pixels)
    scaled = np.zeros(pixels.shape, dtype=np.uint8)
    for band, (low, high) in enumerate(limits):
        if high > low:
            scaled[:, :, band] = _band_to_bytes(pixels[:, :, band], low, high)
    return scaled


def _band_to_bytes(band: Pixels, low: float, high: float) -> NDArray[np.uint8]:
    with np.errstate(all="ignore"):  # a range wider than float64, or only NaN
        values = np.clip(band.astype(np.float64), low, high)
        values -= low
        values *= 255.0 / (high - low)
        values += 0.5
    np.nan_to_num(values, copy=False, nan=0.0)
    return np.minimum(values, 255.0).astype(np.uint8)


def resized(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, grid: tuple[int, int], resampling: str = "linear"
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Resize an image band by band, with anti-aliasing when it shrinks.

    Invalid pixels do not influence their neighbours: averages are over valid pixels only. Invalid working pixels
    are set to 0, so that no result depends on their values.

    Args:
        pixels: (height, width, bands).
        valid: (height, width), or None if all pixels are valid.
        grid: height and width of the result.
        resampling: one of FILTERS.
    """
    height, width = pixels.shape[:2]
    how = _Resizing(grid, resampling)
    if valid is None:
        return (pixels if grid == (height, width) else _bands_resized(pixels, how)), None
    if grid == (height, width):
        return np.where(valid[:, :, np.newaxis], pixels, np.uint8(0)), valid
    kept = sample_nearest(valid, grid)
    return _valid_resized(pixels, valid, kept, how), kept


def part_resized(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, grid: tuple[int, int], place: Footprint, resampling: str
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Resize a part of an image as the image as a whole would be resized by `resized`.

    Args:
        pixels: (height, width, bands) of what the footprint says has to be read.
        valid: (height, width) of the same, or None if all pixels are valid.
        grid: height and width of the result.
        place: the footprint of the result.
        resampling: one of FILTERS.
    """
    how = _Resizing(grid, resampling, place.inside)
    if valid is None:
        return _bands_resized(pixels, how), None
    kept = valid[place.rows][:, place.columns]
    return _valid_resized(pixels, valid, kept, how), kept


class _Resizing(NamedTuple):
    grid: tuple[int, int]  # height and width of the result
    resampling: str
    inside: tuple[float, float, float, float] | None = None  # left, top, right, bottom; None = the whole band


def _bands_resized(pixels: NDArray[np.uint8], how: _Resizing) -> NDArray[np.uint8]:
    bands = [pixels[:, :, band] for band in range(pixels.shape[2])]
    if how.resampling == "linear":
        return np.stack([_band_resized(band, how) for band in bands], axis=2)
    # Bytes would be rounded twice, after rows and after columns.
    exact = [np.floor(_band_resized(band.astype(np.float32), how) + np.float32(0.5)) for band in bands]
    return np.stack([band.astype(np.uint8) for band in exact], axis=2)


def _valid_resized(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_], kept: NDArray[np.bool_], how: _Resizing
) -> NDArray[np.uint8]:
    """Average over valid pixels where `kept`; 0 elsewhere."""
    weight = _band_resized(valid.astype(np.float32), how)
    result = np.zeros((*how.grid, pixels.shape[2]), dtype=np.uint8)
    for band in range(pixels.shape[2]):
        sums = _band_resized(pixels[:, :, band] * valid.astype(np.float32), how)
        means = sums[kept] / np.maximum(weight[kept], np.finfo(np.float32).tiny)
        result[:, :, band][kept] = np.clip(np.floor(means + 0.5), 0, 255).astype(np.uint8)
    return result


def _band_resized(band: Pixels, how: _Resizing) -> Pixels:
    """Resize one band (height, width) of type uint8 or float32, or what is inside a rectangle of it."""
    image = Image.fromarray(np.ascontiguousarray(band))
    return np.asarray(image.resize((how.grid[1], how.grid[0]), FILTERS[how.resampling], box=how.inside))
