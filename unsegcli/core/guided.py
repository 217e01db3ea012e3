"""Guided filter of He, Sun and Tang (2013) for any number of bands: maps are aligned to the edges of an image.

In a box around each pixel, the map is fitted by least squares as a linear function of the image bands; the new value
of a pixel is the mean of the functions of all boxes that contain it. This needs only box means and small linear
systems, which are the same for all maps. Pixels that are not valid have no influence and keep their values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

RADIUS = 8  # of the box, in pixels
EPSILON = 1e-3  # variance of the image, with values from 0 to 1, below which it is considered flat
MOST_BANDS = 6  # of a guide; more are reduced to this number by principal components
STRIP_BYTES = 200_000_000  # of covariances and maps in memory at once

Floats = NDArray[np.float64]


def refined(
    scores: NDArray[np.float32], pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, radius: int = RADIUS
) -> NDArray[Any]:
    """Align scores (clusters, height, width) to the edges of the image; those of each pixel still sum to one.

    Args:
        scores: at least 0; the sum over clusters is one.
        pixels: (height, width, bands).
        valid: (height, width); None = all.
        radius: of the filter's box in pixels.
    """
    followed = np.clip(guided(scores, guide_of(pixels, valid), valid, radius), 0, 1)
    total = followed.sum(axis=0)
    good = total > 0
    whole: NDArray[Any] = np.where(good, followed / np.where(good, total, 1), scores).astype(scores.dtype)
    return whole


def guide_of(pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Convert an image to a guide (height, width, bands at most MOST_BANDS), from 0 to about 1."""
    values: NDArray[np.float32] = pixels.astype(np.float32) / np.float32(255)
    if pixels.shape[2] <= MOST_BANDS:
        return values
    inside = values.reshape(-1, pixels.shape[2]) if valid is None else values[valid]
    if not len(inside):
        return values[:, :, :MOST_BANDS]
    mean = inside.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(inside - mean, rowvar=False, bias=True))
    strongest = axes[:, -MOST_BANDS:]
    projected: NDArray[np.float32] = ((values - mean) @ strongest).astype(np.float32)
    return projected


def guided(
    maps: NDArray[Any],
    guide: NDArray[Any],
    valid: NDArray[np.bool_] | None = None,
    radius: int = RADIUS,
    epsilon: float = EPSILON,
) -> NDArray[Any]:
    """Filter maps (maps, height, width) by a guide (height, width, bands); the type of the maps is kept.

    The filter is linear in the maps.

    Args:
        maps: the maps to filter.
        guide: the image, with values of about 0 to 1.
        valid: (height, width); None = all.
        radius: radius of the box in pixels.
        epsilon: larger = smoother.
    """
    height, width, bands = guide.shape
    strip = max(4 * radius, STRIP_BYTES // (width * _bytes_of_pixel(bands)))
    result = np.empty_like(maps)
    for top in range(0, height, strip):
        # The pixels of a strip depend on pixels up to two radii away.
        first, last = max(0, top - 2 * radius), min(height, top + strip + 2 * radius)
        part = None if valid is None else valid[first:last]
        followed = _followed(maps[:, first:last], guide[first:last].astype(np.float64), part, radius, epsilon)
        result[:, top : top + strip] = followed[:, top - first : top - first + strip]
    return result


def bytes_of_guide(pixels: float, bands: int) -> float:
    """Estimate the memory of the filter, beside that of guide and maps."""
    return min(STRIP_BYTES, pixels * _bytes_of_pixel(bands))


def _bytes_of_pixel(bands: int) -> int:
    """Return the memory for covariances of bands, and for maps that are filtered side by side."""
    return 8 * ((bands + 1) * (bands + 3) + 16)


def _followed(
    maps: NDArray[Any], guide: Floats, valid: NDArray[np.bool_] | None, radius: int, epsilon: float
) -> NDArray[Any]:
    from unsegcli.core.guided_rows import LANES, follow_maps

    inside = np.ones(guide.shape[:2]) if valid is None else valid.astype(np.float64)
    weighted = np.stack([inside, *(band * inside for band in np.moveaxis(guide, 2, 0))])
    box = _boxes(weighted, guide, radius, epsilon)
    followed = maps.copy()
    beside, result = np.zeros((*inside.shape, LANES)), np.empty((*inside.shape, LANES))
    for first in range(0, len(maps), LANES):
        some = maps[first : first + LANES]
        beside[..., : len(some)] = np.moveaxis(some, 0, 2)
        follow_maps(beside, weighted, box, radius, result)
        np.copyto(followed[first : first + LANES], np.moveaxis(result, 2, 0)[: len(some)], "same_kind", inside > 0)
    return followed


def _boxes(weighted: Floats, guide: Floats, radius: int, epsilon: float) -> tuple[Floats, Floats, Floats]:
    """Return, for the box around each pixel, what `follow_maps` takes."""
    from unsegcli.core.guided_rows import invert_systems

    share = np.maximum(_box_mean(weighted[0], radius), 0.5 / (2 * radius + 1) ** 2)  # one of 0 is never used

    def mean(values: Floats) -> Floats:
        found: Floats = _box_mean(values, radius) / share
        return found

    bands = np.moveaxis(guide, 2, 0)
    means = np.stack([mean(band) for band in weighted[1:]])
    systems = _covariances(bands, weighted[1:], means, mean)
    systems += epsilon * np.eye(len(bands))
    invert_systems(systems.reshape(-1, len(bands), len(bands)))
    return share * (2 * radius + 1) ** 2, np.ascontiguousarray(np.moveaxis(means, 0, 2)), systems


def _covariances(bands: Floats, weighted: Floats, means: Floats, mean: Any) -> Floats:
    """Compute the covariances of the bands in the box around each pixel: (height, width, bands, bands)."""
    count = len(bands)
    systems = np.empty((*bands.shape[1:], count, count))
    for one in range(count):
        for other in range(one, count):
            value = mean(weighted[one] * bands[other]) - means[one] * means[other]
            systems[:, :, one, other] = systems[:, :, other, one] = value
    return systems


def _box_mean(values: Floats, radius: int) -> Floats:
    """Compute the mean over the box around each pixel, with zeros beyond the border."""
    side = 2 * radius + 1
    down = uniform_filter1d(values, side, axis=0, mode="constant")
    found: Floats = uniform_filter1d(down, side, axis=1, mode="constant")
    return found
