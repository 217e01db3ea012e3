"""Scores of superpixels: adherence to annotated borders, and homogeneity.

Definitions follow the benchmark of Stutz, Hermans and Leibe unless a docstring says otherwise. Pixels without a
superpixel (-1) or an ignored truth (negative) are not scored; `covered` is the scored share of pixels with a truth.
Undefined scores are NaN. Averages over images and annotators are left to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.superpixels.regions import contiguous
from unsegcli.errors import ConfigError, DataError

IntegerMap = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class BorderScores:
    """Scores of superpixels against the regions (or classes) of one annotator of an image."""

    boundary_recall: float  # NaN where the truth has no border
    undersegmentation: float  # Neubert and Protzel: the smaller part of each superpixel that is cut, over all pixels
    undersegmentation_levinshtein: float  # mean over regions of (area of all superpixels that touch it - own) / own
    achievable_accuracy: float  # if each superpixel were given its most frequent region
    covered: float  # share of the pixels with a truth that lie in a superpixel
    pixels: int  # scored
    border_pixels: int  # of the truth, among those scored


@dataclass(frozen=True)
class ShapeScores:
    """Scores of the superpixels of an image without ground truth."""

    count: int  # numbers in use; a number in two places is one superpixel
    mean_area: float
    compactness: float
    explained_variation: float  # NaN where all pixels are the same


def default_tolerance(height: int, width: int) -> int:
    """Return the tolerance of boundary recall in pixels: 0.0025 of the diagonal, at least 1."""
    return max(round(0.0025 * float(np.hypot(height, width))), 1)


def border_scores(
    superpixels: IntegerMap, truths: Sequence[IntegerMap], tolerance: int | None = None, both_sides: bool = False
) -> list[BorderScores]:
    """Score superpixels against each annotator.

    A border pixel differs from its right or its lower neighbour; the outline of the scored area is not a border. A
    border pixel of the truth is recalled if a border pixel of the superpixels is within `tolerance` rows and columns.

    Args:
        superpixels: (height, width), -1 = none.
        truths: one (height, width) an annotator, negative = ignored.
        tolerance: in pixels; None = `default_tolerance`, as in the benchmark.
        both_sides: a pixel that differs from its left or its upper neighbour is a border pixel too, as in the
            benchmark; its borders are thus two pixels wide, and its recall higher.
    """
    from scipy.ndimage import maximum_filter

    if superpixels.ndim != 2:
        raise DataError(f"superpixels come as (height, width), not as an array {superpixels.shape}")
    reach = default_tolerance(*superpixels.shape) if tolerance is None else tolerance
    if reach < 0:
        raise ConfigError(f"tolerance {reach} of the boundary recall: must be at least 0 pixels")
    regions = contiguous(superpixels)
    near = maximum_filter(_border(regions, both_sides).view(np.uint8), size=2 * reach + 1, mode="constant").view(
        np.bool_
    )
    return [_against(regions, near, truth, both_sides) for truth in truths]


def shape_scores(superpixels: IntegerMap, pixels: NDArray[Any] | None = None) -> ShapeScores:
    """Compute number, area, compactness and, if the image is given, explained variation.

    Compactness is the mean of 4 pi area / perimeter^2 weighted by area (Schick et al.). The perimeter is counted in
    pixel edges, the image's own edge and that to no superpixel included: any rectangle has its true value
    (a square pi / 4, the largest there is), a disc only (pi / 4)^2. Published figures measure perimeters otherwise.

    Args:
        superpixels: (height, width), -1 = none.
        pixels: (height, width, bands); None = explained variation is NaN.
    """
    if superpixels.ndim != 2:
        raise DataError(f"superpixels come as (height, width), not as an array {superpixels.shape}")
    regions = contiguous(superpixels)
    count = int(regions.max(initial=-1)) + 1
    if count == 0:
        return ShapeScores(0, float("nan"), float("nan"), float("nan"))
    area = np.bincount(regions.ravel() + 1, minlength=count + 1)[1:]
    perimeter = _perimeters(regions, count)
    compactness = float((area * (4 * np.pi * area / perimeter.astype(np.float64) ** 2)).sum() / area.sum())
    explained = float("nan") if pixels is None else _explained_variation(regions, area, pixels)
    return ShapeScores(count, float(area.mean()), compactness, explained)


def _against(regions: NDArray[np.int32], near: NDArray[np.bool_], truth: IntegerMap, both_sides: bool) -> BorderScores:
    if truth.shape != regions.shape:
        raise DataError(f"superpixels {regions.shape} and truth {truth.shape} differ in shape")
    nothing = float("nan")
    known = truth >= 0
    scored = known & (regions >= 0)
    pixels, labelled = int(np.count_nonzero(scored)), int(np.count_nonzero(known))
    if pixels == 0:
        return BorderScores(*(nothing,) * 4, 0.0 if labelled else nothing, 0, 0)
    segments = contiguous(truth, scored)  # a border to where no superpixel is cannot be recalled
    border = _border(segments, both_sides)
    borders = int(np.count_nonzero(border))
    recalled = int(np.count_nonzero(border & near))
    superpixel, segment, shared = _overlaps(regions, segments, scored)
    size = np.bincount(superpixel, shared)  # of each superpixel, scored pixels alone
    own = np.bincount(segment, shared)
    touching = np.bincount(segment, size[superpixel])
    present = own > 0
    best = np.zeros(size.size)
    np.maximum.at(best, superpixel, shared)
    return BorderScores(
        recalled / borders if borders else nothing,
        float(np.minimum(shared, size[superpixel] - shared).sum() / pixels),
        float(((touching[present] - own[present]) / own[present]).mean()),
        float(best.sum() / pixels),
        pixels / labelled,
        pixels,
        borders,
    )


def _border(regions: NDArray[np.int32], both_sides: bool) -> NDArray[np.bool_]:
    """Return the pixels that differ from their right or lower neighbour, both not -1: (height, width)."""
    beside, below = _differ(regions[:, :-1], regions[:, 1:]), _differ(regions[:-1], regions[1:])
    border = np.zeros(regions.shape, np.bool_)
    border[:, :-1] = beside
    border[:-1] |= below
    if both_sides:
        border[:, 1:] |= beside
        border[1:] |= below
    return border


def _differ(one: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.bool_]:
    differ: NDArray[np.bool_] = (one != other) & (one >= 0) & (other >= 0)
    return differ


def _overlaps(
    regions: NDArray[np.int32], segments: NDArray[np.int32], scored: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return superpixel, segment and shared pixels of each overlapping pair: three arrays (pairs,)."""
    columns = int(segments.max()) + 1
    codes = (regions.astype(np.int64) * columns + segments)[scored]
    if int(codes.max()) < 4 * codes.size:  # a table of all pairs is quicker than sorting
        table = np.bincount(codes)
        pairs = np.flatnonzero(table)
        shared = table[pairs]
    else:
        pairs, shared = np.unique(codes, return_counts=True)
    return pairs // columns, pairs % columns, shared


def _perimeters(regions: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Compute the perimeter of each region in pixel edges: (count,)."""
    total = np.zeros(count + 1, np.int64)
    for lines in (regions, regions.T):
        one, other = lines[:-1], lines[1:]
        differ = one != other
        for side in (one[differ], other[differ], lines[0], lines[-1]):
            total += np.bincount(side + 1, minlength=count + 1)
    return total[1:]


def _explained_variation(regions: NDArray[np.int32], area: NDArray[np.int64], pixels: NDArray[Any]) -> float:
    """Compute the variation of superpixel means over that of the pixels, summed over bands."""
    if pixels.ndim != 3 or pixels.shape[:2] != regions.shape:
        raise DataError(f"pixels {pixels.shape} do not fit superpixels {regions.shape}: (height, width, bands)")
    inside: Any = regions >= 0
    if inside.all():
        inside = slice(None)  # far quicker than picking every pixel
    member = regions[inside].ravel()
    between = within = 0.0
    for band in range(pixels.shape[2]):
        values = pixels[:, :, band][inside].ravel().astype(np.float64)
        values -= values[0]  # makes a flat band exactly 0, whatever its mean rounds to
        values -= values.mean()
        between += float((np.bincount(member, values, minlength=area.size) ** 2 / area).sum())
        within += float(values @ values)
    return between / within if within else float("nan")
