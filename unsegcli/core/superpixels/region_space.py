"""The space in which regions are compared: groups of features standardised, weighted, and reduced if they are many."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.kmeans import unit_rows
from unsegcli.core.superpixels.features import GROUPS, feature_groups

# Weight of a whole group, after standardisation. Colour and texture together have 1.
GROUP_WEIGHTS = {"colour": 0.87, "texture": 0.5, "patches": 0.5, "surroundings": 1.0}
REDUCED = {"surroundings": 24}  # principal components of a group, at most
# Row and column each count by the part of colour and texture that they predict in other images: much in photographs
# with the sky above and the ground below, nothing in images from the air or through a microscope.
PLACE_WEIGHT, LARGEST_PLACE_WEIGHT = 1.8, 0.5
# Surroundings count fully if neighbours explain at least this share of colour and texture, as they do in photographs;
# where neighbours are random, as in tiles of textures, they do not count.
ENOUGH_EXPLAINED = 0.4
STRIPS = 8  # of the image, to measure how much position explains
FEWEST_IMAGES = 3  # with two, each is predicted from a single image, which shows nothing about the rest
NEGLIGIBLE = 1e-6  # a deviation below this share of the mean is rounding error

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Space:
    """A linear map of features."""

    mean: Floats  # (features,)
    projection: Floats  # (features, dimensions)
    unit: bool = False  # whether mapped vectors are scaled to length one

    def __call__(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Map features (points, features) to (points, dimensions)."""
        mapped: NDArray[np.float32] = ((features - self.mean) @ self.projection).astype(np.float32)
        return unit_rows(mapped).astype(np.float32) if self.unit else mapped


def unchanged_space(features: int) -> Space:
    """Return the space of features that are compared as they are."""
    return Space(np.zeros(features), np.eye(features))


def fit_space(
    features: NDArray[Any],
    areas: NDArray[Any],
    bands: int,
    place: tuple[float, float],
    described: Collection[str] = GROUPS,
    *,
    alike: bool = False,
) -> Space:
    """Fit the space of region features.

    Args:
        features: (regions, features) of `region_features`.
        areas: (regions,) weight of each region.
        bands: number of bands of the images.
        place: weight of row and of column.
        described: the groups that count, at least one.
        alike: whether all bands have one unit: colour is scaled as a whole, and each band counts by its variance.
    """
    share = np.asarray(areas, np.float64) / np.sum(areas)
    mean = share @ features
    parts = []
    for name, group in feature_groups(bands).items():
        if name not in described:
            continue
        if name == "position":
            part = np.diag(inverse_deviation(_deviation(features[:, group], share, mean[group]), mean[group]) * place)
        else:
            weight = GROUP_WEIGHTS[name]
            if name == "surroundings":
                weight *= min(1.0, explained_by_neighbours(features, share, bands) / ENOUGH_EXPLAINED)
            kind = "patches" if alike and name == "colour" else name  # both count by variance
            part = fit_group(features[:, group], share, mean[group], weight, REDUCED.get(name), kind)
        parts.append((group, part))
    projection = np.zeros((len(mean), sum(part.shape[1] for _, part in parts)))
    start = 0
    for group, part in parts:
        projection[group, start : start + part.shape[1]] = part
        start += part.shape[1]
    return Space(mean, projection)


def fit_group(
    features: NDArray[Any], share: Floats, mean: Floats, weight: float, most: int | None, name: str
) -> Floats:
    """Fit the map of one group (features, dimensions), after which its vectors have the length `weight` on average."""
    factors = inverse_deviation(_deviation(features, share, mean), mean)
    if name == "patches":  # principal components, which count by their variance
        factors = np.where(factors > 0, 1.0, 0.0)
    part = np.diag(factors)
    if most is not None and len(mean) > most:
        scaled = (features - mean) * factors
        _, axes = np.linalg.eigh((scaled * share[:, None]).T @ scaled)
        part = factors[:, None] * axes[:, ::-1][:, :most]
    squared = float(share @ (((features - mean) @ part) ** 2).sum(axis=1))
    return part * (weight / math.sqrt(squared)) if squared > 0 else part


def explained_by_neighbours(features: NDArray[Any], share: Floats, bands: int) -> float:
    """Compute the share of the variance of regions that the mean of the regions next to them explains, 0 to 1.

    It is the squared correlation, averaged over mean colour, deviation and texture. The colour of the blurred image is
    left out, since it is partly that of the neighbours.
    """
    groups = feature_groups(bands)
    own = np.arange(groups["texture"].stop)
    own = own[(own < bands) | (own >= 2 * bands)]
    adjacent = own + groups["surroundings"].start  # the first of the four means
    one, other = (features[:, part] - share @ features[:, part] for part in (own, adjacent))
    together, alone, around = share @ (one * other), share @ one**2, share @ other**2
    known = (alone > NEGLIGIBLE**2) & (around > NEGLIGIBLE**2)
    return float(np.mean(together[known] ** 2 / (alone[known] * around[known]))) if known.any() else 0.0


def _deviation(features: NDArray[Any], share: Floats, mean: Floats) -> Floats:
    deviation: Floats = np.sqrt(share @ (features - mean) ** 2)
    return deviation


def inverse_deviation(deviation: Floats, mean: Floats) -> Floats:
    """Return one over the deviation of each feature; 0 for a constant."""
    known = deviation > NEGLIGIBLE * np.maximum(1.0, np.abs(mean))
    return np.divide(1.0, deviation, out=np.zeros(len(deviation)), where=known)


def dimensions_of(bands: int) -> int:
    """Return the number of dimensions of the space of `fit_space`."""
    lengths = {name: group.stop - group.start for name, group in feature_groups(bands).items()}
    return sum(min(length, REDUCED.get(name, length)) for name, length in lengths.items())


def place_weights(features: NDArray[Any], areas: NDArray[Any], bands: int, images: NDArray[Any]) -> tuple[float, float]:
    """Compute the weight of row and of column by what they explain; images are the number of each region's image."""
    groups = feature_groups(bands)
    seen = features[:, groups["colour"].start : groups["texture"].stop]
    row, column = (
        min(LARGEST_PLACE_WEIGHT, PLACE_WEIGHT * math.sqrt(explained_by_place(seen, where, areas, images)))
        for where in features[:, groups["position"]].T
    )
    return row, column


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
