"""Turn band values of any type into 0 to 255, and change the size of images band by band.

Pure functions of arrays: which low and high are meant is decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import sample_nearest
from unsegcli.images.header import Pixels

Limits = tuple[tuple[float, float], ...]  # of each working band: what becomes 0, and what becomes 255

AS_IT_IS = (0.0, 255.0)


def value_family(dtype: str) -> str:
    """Types that can share one scaling: "bytes" (uint8, needs none), "whole" or "real" numbers."""
    if dtype == "uint8":
        return "bytes"
    return "real" if np.dtype(dtype).kind == "f" else "whole"


def regular_sample(pixels: Pixels, valid: NDArray[np.bool_] | None, most: int) -> Pixels:
    """Valid pixels on a regular grid, (at most about `most`, bands).

    Args:
        pixels: (height, width, bands).
        valid: (height, width), or None where all are.
        most: the grid is as fine as this many points allow; invalid ones among them are left out.
    """
    height, width, bands = pixels.shape
    step = max(math.ceil(math.sqrt(height * width / most)), math.ceil(max(height, width) / most))
    grid = (slice(min(step // 2, height - 1), None, step), slice(min(step // 2, width - 1), None, step))
    if valid is None:
        return np.array(pixels[grid]).reshape(-1, bands)
    return pixels[grid][valid[grid]]


def percentile_limits(values: Sequence[Pixels], percentiles: tuple[float, float], channels: int) -> Limits:
    """The two percentiles of each band over samples (pixels, bands); (0, 0) where there is no pixel."""
    limits = []
    for channel in range(channels):
        band = np.concatenate([sample[:, channel] for sample in values] or [np.zeros(0)])
        if band.size == 0:
            limits.append((0.0, 0.0))
            continue
        low, high = np.percentile(band.astype(np.float64, copy=False), percentiles)
        limits.append((float(low), float(high)))
    return tuple(limits)


def to_bytes(pixels: Pixels, limits: Limits) -> NDArray[np.uint8]:
    """Map low to 0 and high to 255 in each band, halves rounded up, the rest clipped.

    A band whose low and high are the same becomes zeros: there is nothing to tell apart in it.

    Args:
        pixels: (height, width, bands), any type; what is not finite becomes 0.
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
    with np.errstate(all="ignore"):  # a range wider than float64 holds, or nothing but NaN
        values = np.clip(band.astype(np.float64), low, high)
        values -= low
        values *= 255.0 / (high - low)
        values += 0.5
    np.nan_to_num(values, copy=False, nan=0.0)
    return np.minimum(values, 255.0).astype(np.uint8)


def resized(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, grid: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Change the size of an image, each band alone, bilinear, smoothed before it shrinks.

    Invalid pixels lend nothing to their neighbours: values are averaged over valid pixels only. Invalid
    working pixels are 0, so that nothing that follows can depend on what they held.

    Args:
        pixels: (height, width, bands).
        valid: (height, width), or None where all are.
        grid: height and width to come to.
    """
    height, width = pixels.shape[:2]
    if valid is None:
        return (pixels if grid == (height, width) else _bands_resized(pixels, grid)), None
    if grid == (height, width):
        return np.where(valid[:, :, np.newaxis], pixels, np.uint8(0)), valid
    kept = sample_nearest(valid, grid)
    return _valid_resized(pixels, valid, kept, grid), kept


def _bands_resized(pixels: NDArray[np.uint8], grid: tuple[int, int]) -> NDArray[np.uint8]:
    bands = [_band_resized(pixels[:, :, band], grid) for band in range(pixels.shape[2])]
    return np.stack(bands, axis=2)


def _valid_resized(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_], kept: NDArray[np.bool_], grid: tuple[int, int]
) -> NDArray[np.uint8]:
    """Averages over valid pixels, where `kept`; 0 elsewhere."""
    weight = _band_resized(valid.astype(np.float32), grid)
    result = np.zeros((*grid, pixels.shape[2]), dtype=np.uint8)
    for band in range(pixels.shape[2]):
        sums = _band_resized(pixels[:, :, band] * valid.astype(np.float32), grid)
        means = sums[kept] / np.maximum(weight[kept], np.finfo(np.float32).tiny)
        result[:, :, band][kept] = np.clip(np.floor(means + 0.5), 0, 255).astype(np.uint8)
    return result


def _band_resized(band: Pixels, grid: tuple[int, int]) -> Pixels:
    """One band (height, width) of type uint8 or float32."""
    image = Image.fromarray(np.ascontiguousarray(band))
    return np.asarray(image.resize((grid[1], grid[0]), Image.Resampling.BILINEAR))
