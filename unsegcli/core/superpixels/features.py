"""Hand-crafted features of pixels and regions: colour, texture, patches, position, and what surrounds a region.

Any number of bands; no labels, no files; nothing here decides how features are clustered.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.patches import CODES, patch_codes
from unsegcli.core.superpixels.regions import RegionMap, centroids, paint, pool_planes
from unsegcli.core.superpixels.surroundings import SORTS, surroundings
from unsegcli.core.superpixels.valid import check_valid, unit_pixels
from unsegcli.errors import DataError

TRUNCATE = 3.0  # Gaussians are truncated at this many standard deviations
AROUND_SIGMA = 8.0  # pixels, of the colour around each pixel
GRADIENT_SIGMAS, DETAIL_SIGMAS = (1.0, 2.0, 4.0), (1.0, 3.0)  # pixels
VOID_SIGMA = 4.0  # of the blurred image that fills void pixels, for patches that overlap them
OWN = ("colour", "texture", "patches")  # groups whose surroundings are features as well
GROUPS = (*OWN, "position", "surroundings")


def feature_groups(bands: int) -> dict[str, slice]:
    """Return the dimensions of each group of `region_features`, by its name, for a number of bands."""
    texture = len(GRADIENT_SIGMAS) + len(DETAIL_SIGMAS)
    lengths = {"colour": 3 * bands, "texture": texture, "patches": CODES, "position": 2}
    lengths["surroundings"] = len(SORTS) * sum(lengths[name] for name in OWN)
    groups, start = {}, 0
    for name, length in lengths.items():
        groups[name] = slice(start, start + length)
        start += length
    return groups


def region_features(pixels: NDArray[Any], regions: RegionMap) -> NDArray[np.float32]:
    """Compute features of each region: (regions, dimensions), in the groups of `feature_groups`.

    Colour is the mean, the mean of the blurred image, and the standard deviation of each CIELAB coordinate for three
    bands, otherwise of each band (from 0 to 1). Texture is, of the lightness (the mean over the bands), the mean of the
    logarithm of one plus the gradient magnitude at three scales, and the mean absolute difference from the blurred
    lightness at two scales. Patches are the codes of `patch_codes`. Position is the centroid: row and column, 0 to 1.

    Args:
        pixels: (height, width, bands), uint8 or floats from 0 to 1.
        regions: (height, width), 0 to n - 1; -1 = no region, such pixels have no influence.
    """
    if pixels.shape[:2] != regions.shape:
        raise DataError(f"pixels {pixels.shape[:2]} and region map {regions.shape} differ in shape")
    count = int(regions.max(initial=-1)) + 1
    unit = unit_pixels(pixels)
    colours = lab(unit) if unit.shape[2] == 3 else unit
    lightness = colours[:, :, 0] if unit.shape[2] == 3 else np.float32(100) * unit.mean(axis=2)
    valid = None if bool((regions >= 0).all()) else regions >= 0
    own = np.concatenate(
        [
            _colour(colours, regions, count, valid),
            pool_planes(_texture(lightness, regions >= 0), regions, count),
            patch_codes(_filled(lightness, valid), regions, count),
        ],
        axis=1,
    ).astype(np.float32)
    centres = centroids(regions, count)
    around = surroundings(own, regions, centres * np.array(regions.shape))
    return np.concatenate([own, centres.astype(np.float32), around], axis=1)


def _colour(
    colours: NDArray[np.float32], regions: RegionMap, count: int, valid: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Compute mean, mean of the blurred image, and deviation of each coordinate: (count, 3 * coordinates)."""
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(colours, 2, 0)]
    mean = pool_planes(planes, regions, count)
    blurred = _far_blurred(planes, AROUND_SIGMA, valid)
    # In two passes: a region of one colour has deviation 0, which the one-pass formula would miss.
    squares = ((plane - paint(own, regions, 0.0)) ** 2 for plane, own in zip(planes, mean.T, strict=True))
    around = pool_planes(blurred, regions, count)
    return np.concatenate([mean, around, np.sqrt(pool_planes(squares, regions, count))], axis=1)


def _filled(plane: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Replace void pixels by the blurred valid ones near them."""
    return plane if valid is None else np.where(valid, plane, _blurred(plane, VOID_SIGMA, valid))


def blurred_pixels(pixels: NDArray[Any], sigma: float, valid: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Scale bands to 0 to 1 and blur them with a Gaussian: (height, width, bands).

    Args:
        pixels: (height, width, bands), uint8 or floats from 0 to 1.
        sigma: standard deviation in pixels; 0 = no blur.
        valid: (height, width); other pixels have no influence and become 0. None = all valid.
    """
    check_valid(pixels, valid)
    unit = unit_pixels(pixels)
    blurred = np.empty_like(unit)
    for band in range(unit.shape[2]):
        blurred[:, :, band] = _blurred(unit[:, :, band], sigma, valid)
    if valid is not None:
        blurred[~valid] = 0.0
    return blurred


def _blurred(plane: NDArray[np.float32], sigma: float, valid: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Blur one band (height, width), normalised by the weights of the valid pixels."""
    if sigma <= 0:
        return plane
    if valid is None:
        return _gaussian(plane, sigma)
    share = _gaussian(valid.astype(np.float32), sigma)
    known = share > 1e-4  # less is rounding error: no valid pixel is within reach
    sums = _gaussian(np.where(valid, plane, np.float32(0)), sigma)
    return np.divide(sums, share, out=np.zeros_like(plane), where=known)


def _far_blurred(
    planes: Sequence[NDArray[np.float32]], sigma: float, valid: NDArray[np.bool_] | None
) -> Iterator[NDArray[np.float32]]:
    """Blur bands as `_blurred` does, at half the resolution, which is close enough for a large sigma."""
    height, width = planes[0].shape
    weight = np.ones((height, width), np.float32) if valid is None else valid.astype(np.float32)
    share = _gaussian(_quartered(weight), sigma / 2)
    known = share > 1e-4
    for plane in planes:
        sums = _gaussian(_quartered(plane if valid is None else plane * weight), sigma / 2)
        small = np.divide(sums, share, out=np.zeros(share.shape, np.float32), where=known)
        yield small.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]


def _quartered(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum squares of four pixels; beyond the border there is nothing."""
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2))) if height % 2 or width % 2 else plane
    sums: NDArray[np.float32] = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return sums


def _gaussian(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blur a plane (height, width) as SciPy's `gaussian_filter` does, which computes its kernels at each call."""
    from scipy.ndimage import correlate1d

    result = np.empty(plane.shape, np.float32)
    # The border is reflected, so that a constant image stays constant.
    correlate1d(plane, gaussian_kernel(sigma), axis=0, output=result, mode="reflect")
    correlate1d(result, gaussian_kernel(sigma), axis=1, output=result, mode="reflect")
    return result


@functools.lru_cache(maxsize=32)
def gaussian_kernel(sigma: float) -> NDArray[np.float64]:
    """Return the weights of a Gaussian, truncated at TRUNCATE standard deviations."""
    radius = int(TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    kernel: NDArray[np.float64] = weights / weights.sum()
    return kernel


def _texture(lightness: NDArray[np.float32], inside: NDArray[np.bool_]) -> Iterator[NDArray[np.float32]]:
    """Compute log gradients at each scale, and absolute differences from the blurred plane: (height, width) each."""
    valid = None if bool(inside.all()) else inside
    for sigma in GRADIENT_SIGMAS:
        smooth = _blurred(lightness, sigma, valid)
        yield np.log1p(np.hypot(_slope(smooth, inside), _slope(smooth.T, inside.T).T))
    for sigma in DETAIL_SIGMAS:
        yield np.abs(lightness - _blurred(lightness, sigma, valid))


def _slope(plane: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Compute the central difference of rows; beyond the border, the difference is 0."""
    steps = np.where(inside[1:] & inside[:-1], plane[1:] - plane[:-1], np.float32(0))
    slope = np.zeros_like(plane)
    slope[1:] += steps
    slope[:-1] += steps
    return slope / np.float32(2)


def lab(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert sRGB (height, width, 3), 0 to 1, to CIELAB, with L from 0 to 100."""
    from skimage.color import rgb2lab

    result: NDArray[np.float32] = rgb2lab(unit, illuminant="D65", observer="2", channel_axis=-1)
    return result
