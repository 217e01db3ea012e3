"""Hand-crafted features of pixels and regions: colour, texture, position.

Any number of bands; no labels, no files; nothing here decides how features are clustered.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.regions import RegionMap, centroids, paint, pool
from unsegcli.core.superpixels.valid import check_valid, unit_pixels
from unsegcli.errors import DataError

TRUNCATE = 3.0  # Gaussians are truncated at this many standard deviations
TEXTURE_SIGMAS = (1.0, 2.0, 4.0)  # pixels; their differences are the band-passes of two scales
GROUP_WEIGHTS = {"colour": 1.0, "texture": 0.5}  # of a whole group, after standardisation
# Row and column each count by the part of colour and texture that they predict in other images: much in photographs
# with the sky above and the ground below, nothing in images from the air or through a microscope.
PLACE_WEIGHT, LARGEST_PLACE_WEIGHT = 2.6, 0.65
STRIPS = 8  # of the image, to measure how much position explains
FEWEST_IMAGES = 3  # with two, each is predicted from a single image, which shows nothing about the rest
NEGLIGIBLE = 1e-6  # a deviation below this share of the mean is rounding error


def feature_groups(bands: int) -> tuple[tuple[str, slice], ...]:
    """Return name and number of dimensions of each group of `region_features` for a number of bands."""
    names_and_lengths = (("colour", 2 * bands), ("texture", len(TEXTURE_SIGMAS)), ("position", 2))
    groups, start = [], 0
    for name, length in names_and_lengths:
        groups.append((name, slice(start, start + length)))
        start += length
    return tuple(groups)


def feature_weights(
    features: NDArray[Any], areas: NDArray[Any], bands: int, images: NDArray[Any], place: float | None = None
) -> NDArray[np.float32]:
    """Compute the weight of each standardised dimension (dimensions,), independent of the size of its group.

    Args:
        features: (regions, dimensions) of `region_features`.
        areas: (regions,) weight of each region.
        bands: number of bands of the images.
        images: (regions,) number of the image of each region, from 0.
        place: weight of row and of column; None = by what they explain.
    """
    groups = dict(feature_groups(bands))
    weights = np.empty(features.shape[1], np.float32)
    for name, weight in GROUP_WEIGHTS.items():
        part = groups[name]
        weights[part] = weight / math.sqrt(part.stop - part.start)
    position = groups["position"]
    if place is not None:
        weights[position] = place
        return weights
    seen = features[:, : position.start]
    weights[position] = [
        min(LARGEST_PLACE_WEIGHT, PLACE_WEIGHT * math.sqrt(explained_by_place(seen, where, areas, images)))
        for where in features[:, position].T
    ]
    return weights


def explained_by_place(seen: NDArray[Any], where: NDArray[Any], areas: NDArray[Any], images: NDArray[Any]) -> float:
    """Compute the share of the variance that position predicts in images it was not learned from, 0 to 1.

    Each image is predicted twice from the other images: by the mean of each of their strips, and by their overall mean.
    The result is how much lower the squared error of the strips is, averaged over dimensions. Only images are
    independent: the regions of one image resemble their neighbours whether or not position matters in general.

    Args:
        seen: (regions, dimensions).
        where: (regions,) row or column, 0 to 1.
        areas: (regions,) weight of each region.
        images: (regions,) number of the image of each region, from 0.
    """
    if len(np.unique(images[areas > 0])) < FEWEST_IMAGES:
        return 0.0
    share = np.asarray(areas, np.float64) / np.sum(areas)
    mean = share @ seen
    deviation = np.sqrt(share @ (seen - mean) ** 2)
    known = deviation > NEGLIGIBLE * np.maximum(1.0, np.abs(mean))
    if not known.any():
        return 0.0
    inside, sums = _by_strip((seen - mean)[:, known] / deviation[known], where, share, images)
    return max(0.0, float(_gain_of_strips(inside, sums).mean()))


def _by_strip(
    values: NDArray[Any], where: NDArray[Any], share: NDArray[Any], images: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum weights (images, strips) and weighted values (images, strips, dimensions) in each strip of each image."""
    count = int(images.max()) + 1
    strips = np.minimum((np.asarray(where, np.float64) * STRIPS).astype(np.int64), STRIPS - 1)
    cells = images * STRIPS + strips
    inside = np.bincount(cells, weights=share, minlength=count * STRIPS).astype(np.float64)
    columns = [np.bincount(cells, weights=share * one, minlength=count * STRIPS) for one in values.T]
    sums = np.stack(columns, axis=1).astype(np.float64)
    return inside.reshape(count, STRIPS), sums.reshape(count, STRIPS, len(columns))


def _gain_of_strips(inside: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute how much lower the squared error is by strips than by the overall mean, each of the other images.

    The scatter within a strip is the same in both errors, so sums are sufficient.
    """
    every, others = inside.sum(axis=0), inside.sum(axis=0) - inside
    rest = sums.sum(axis=0) - sums
    plain = rest.sum(axis=1, keepdims=True) / others.sum(axis=1)[:, None, None]
    seen = (others > NEGLIGIBLE * every)[:, :, None]  # else no other image has this strip
    by_strip = np.where(seen, rest / np.where(seen, others[:, :, None], 1), plain)
    gained = 2 * sums * (by_strip - plain) - inside[:, :, None] * (by_strip**2 - plain**2)
    total: NDArray[np.float64] = gained.sum(axis=(0, 1))
    return total


def region_features(pixels: NDArray[Any], regions: RegionMap) -> NDArray[np.float32]:
    """Compute features of each region: (regions, dimensions), in the groups of `feature_groups`.

    Colour is the mean and the standard deviation of each CIELAB coordinate for three bands, otherwise of each band
    (from 0 to 1). Texture is the mean gradient magnitude and the mean absolute differences of Gaussians at two scales,
    of the mean over the bands. Position is the centroid, (row, column) from 0 to 1.

    Args:
        pixels: (height, width, bands), uint8 or floats from 0 to 1.
        regions: (height, width), 0 to n - 1; -1 = no region, such pixels have no influence.
    """
    if pixels.shape[:2] != regions.shape:
        raise DataError(f"pixels {pixels.shape[:2]} and region map {regions.shape} differ in shape")
    count = int(regions.max(initial=-1)) + 1
    unit = unit_pixels(pixels)
    colours = lab(unit) if unit.shape[2] == 3 else unit
    mean = pool(colours, regions, count)
    # In two passes: a region of one colour has deviation 0, which the one-pass formula would miss.
    deviation = np.sqrt(pool((colours - paint(mean, regions, 0.0)) ** 2, regions, count))
    texture = pool(_texture(unit.mean(axis=2), regions >= 0), regions, count)
    features = np.concatenate([mean, deviation, texture, centroids(regions, count)], axis=1)
    rounded: NDArray[np.float32] = features.astype(np.float32)
    return rounded


def standardise(
    features: NDArray[Any], mean: NDArray[Any], deviation: NDArray[Any], weights: NDArray[Any]
) -> NDArray[np.float32]:
    """Standardise features (points, dimensions) to mean 0 and variance 1 in each dimension, times its weight.

    A constant dimension becomes 0.

    Args:
        features: (points, dimensions).
        mean: (dimensions,) mean over all points used for fitting.
        deviation: (dimensions,) standard deviation over the same points.
        weights: (dimensions,), such as from `feature_weights`.
    """
    known = np.asarray(deviation, np.float64) > NEGLIGIBLE * np.maximum(1.0, np.abs(mean))
    factor = np.divide(weights, deviation, out=np.zeros(known.shape), where=known)
    result: NDArray[np.float32] = ((features - np.asarray(mean, np.float64)) * factor).astype(np.float32)
    return result


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


def _gaussian(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    # The border is reflected, so that a constant image stays constant.
    result: NDArray[np.float32] = gaussian_filter(
        plane, sigma=sigma, order=0, mode="reflect", truncate=TRUNCATE, output=np.float32
    )
    return result


def _texture(grey: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Compute gradient magnitude and absolute fine and coarse band-passes: (height, width, 3)."""
    valid = None if bool(inside.all()) else inside
    smooth = [_blurred(grey, sigma, valid) for sigma in TEXTURE_SIGMAS]
    texture = np.empty((*grey.shape, len(TEXTURE_SIGMAS)), np.float32)
    texture[:, :, 0] = np.hypot(_slope(smooth[0], inside), _slope(smooth[0].T, inside.T).T)
    for scale, (finer, coarser) in enumerate(itertools.pairwise(smooth), start=1):
        texture[:, :, scale] = np.abs(finer - coarser)
    return texture


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
