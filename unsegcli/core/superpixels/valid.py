"""Prepare pixels for algorithms without mask support: floats from 0 to 1, invalid pixels filled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ConfigError, DataError


def unit_pixels(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Convert pixels (height, width, bands) to float32: integers are divided by their maximum, floats not scaled."""
    check_pixels(pixels)
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(np.float32)
    # Rounded as a float64 image would be, so that both give the same result.
    most = np.iinfo(pixels.dtype).max
    table: NDArray[np.float32] = (np.arange(most + 1) / most).astype(np.float32)
    unit: NDArray[np.float32] = table[pixels]
    return unit


def check_pixels(pixels: NDArray[Any]) -> None:
    """Check that pixels are (height, width, bands), of a known type, and finite."""
    if pixels.ndim != 3 or pixels.shape[2] == 0:
        raise DataError(f"pixels come as (height, width, bands), not as an array {pixels.shape}")
    if pixels.dtype in (np.uint8, np.uint16):
        return
    if not np.issubdtype(pixels.dtype, np.floating):
        raise DataError(f"pixels are {pixels.dtype}: uint8, uint16, or floats from 0 to 1, are expected")
    if not np.isfinite(pixels).all():
        raise DataError("pixels hold NaN or infinity: mark them as not valid and give them a finite value")


def check_request(segments: int, compactness: float) -> None:
    """Check number and compactness of superpixels."""
    if segments < 1:
        raise ConfigError(f"--segments {segments} must be at least 1")
    if not compactness > 0:
        raise ConfigError(f"--compactness {compactness:g} must be above 0")


def check_valid(pixels: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
    """Check that the mask of valid pixels (height, width) has the shape of the image."""
    if valid is not None and valid.shape != pixels.shape[:2]:
        raise DataError(f"valid pixels {valid.shape} and image {pixels.shape[:2]} differ in shape")


def filled(pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill invalid pixels with the mean of the valid ones; at least one must be valid."""
    mean = pixels[valid].mean(axis=0, dtype=np.float64).astype(np.float32)
    return np.where(valid[:, :, None], pixels, mean)


def bounding_box(valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return rows and columns of the bounding box of the valid pixels; at least one must be valid."""
    rows = np.flatnonzero(valid.any(axis=1))
    columns = np.flatnonzero(valid.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
