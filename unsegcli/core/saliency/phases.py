"""Divide one image into two or three phases by brightness or colour, and find the background among them.

Phases are numbered from 0 by brightness, -1 = not valid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.kmeans import assign, kmeans
from unsegcli.core.saliency.masks import Mask
from unsegcli.core.saliency.otsu import otsu, otsu_pair

MOST_LEVELS = 1024  # of brightness, if two thresholds are found at once: every pair of levels is tried
FITTED = 1 << 16  # pixels on a regular grid, about, that k-means is fitted on
STARTS, ITERATIONS = 3, 100  # of k-means


@dataclass(frozen=True)
class Phases:
    """The phases of an image."""

    numbers: NDArray[np.int32]  # (height, width), -1 = not valid
    values: NDArray[np.float64]  # (height, width, dimensions) that were divided
    centres: NDArray[np.float64]  # (phases, dimensions), mean value of each
    separation: float  # 0 to 1: variance between the phases over total variance


def phases_by_otsu(pixels: NDArray[Any], valid: Mask, phases: int) -> Phases:
    """Divide an image by Otsu's thresholds on the square root of its brightness, the mean over the bands.

    The noise of counted photons grows with the square root of their number, so it is even on this scale (Anscombe,
    Biometrika 35, 1948). Dim objects then do not belong to the background because others are bright.

    Args:
        pixels: (height, width, bands), uint8.
        valid: (height, width), with at least one pixel.
        phases: 2 or 3.
    """
    roots = np.sqrt(pixels.mean(axis=2, dtype=np.float64))
    inside = roots[valid]
    levels = inside if phases == 2 else _with_few_levels(inside)
    *cuts, separation = otsu(levels) if phases == 2 else otsu_pair(levels)
    own = np.searchsorted(cuts, levels, side="left")  # as many cuts are below a level
    numbers = np.full(valid.shape, -1, np.int32)
    numbers[valid] = own
    return Phases(numbers, roots[:, :, np.newaxis], _means(inside[:, np.newaxis], own, phases), separation)


def phases_by_kmeans(pixels: NDArray[Any], valid: Mask, phases: int, seed: int = 0) -> Phases:
    """Divide an image by k-means on its bands; phases are numbered by the mean of their bands.

    Args:
        pixels: (height, width, bands), uint8.
        valid: (height, width), with at least one pixel.
        phases: 2 or 3.
        seed: of the first centres.
    """
    values = pixels.astype(np.float64)
    inside = values[valid]
    sample = _sample(values, valid)
    fit = kmeans(sample, phases, seed=seed, starts=STARTS, iterations=ITERATIONS)
    centres = fit.centres[np.argsort(fit.centres.mean(axis=1), kind="stable")]
    numbers = np.full(valid.shape, -1, np.int32)
    numbers[valid] = assign(inside, centres)
    total = float(((sample - sample.mean(axis=0)) ** 2).sum())
    return Phases(numbers, values, centres, max(0.0, 1 - fit.inertia / total) if total > 0 else 0.0)


def background_of(numbers: NDArray[np.int32], polarity: str) -> int:
    """Return the phase that is background: the darkest or the brightest of those that are there.

    Args:
        numbers: (height, width), from 0 by brightness, -1 = not valid.
        polarity: bright or dark objects; auto = the background covers more of the border of the valid pixels, where
            the darkest and the brightest phase are compared, and the darkest wins a tie.
    """
    from scipy.ndimage import binary_erosion

    valid = numbers >= 0
    darkest, brightest = int(numbers[valid].min()), int(numbers.max())
    if polarity != "auto":
        return darkest if polarity == "bright" else brightest
    border = numbers[valid & ~binary_erosion(valid)]
    return brightest if np.count_nonzero(border == brightest) > np.count_nonzero(border == darkest) else darkest


def objectness(phases: Phases, background: int) -> NDArray[np.float64]:
    """Say how much nearer each pixel is to an object than to the background: (height, width), 0 to 1.

    It is 0 at the mean of the background and 1 at the mean of an object phase.
    """
    present = np.unique(phases.numbers[phases.numbers >= 0])
    if len(present) < 2:
        return np.zeros(phases.numbers.shape)
    near = {number: np.linalg.norm(phases.values - phases.centres[number], axis=2) for number in map(int, present)}
    away = near.pop(background)
    total = away + np.min(list(near.values()), axis=0)
    return np.asarray(np.divide(away, total, out=np.zeros_like(total), where=total > 0))


def _sample(values: NDArray[np.float64], valid: Mask) -> NDArray[np.float64]:
    """Return valid pixels (n, bands) on a regular grid of about `FITTED` pixels; the first ones if it meets none."""
    step = math.ceil(math.sqrt(valid.size / FITTED))
    found = values[::step, ::step][valid[::step, ::step]]
    return found if len(found) else values[valid][:FITTED]


def _with_few_levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round values to so many levels that all pairs of them can be tried."""
    levels, level = np.unique(values, return_inverse=True)
    if len(levels) <= MOST_LEVELS:
        return values
    step = (levels[-1] - levels[0]) / (MOST_LEVELS - 1)
    return np.asarray((levels[0] + np.round((levels - levels[0]) / step) * step)[level])


def _means(values: NDArray[np.float64], numbers: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Average the values (n, dimensions) of each number; zeros for a number that is not there."""
    sizes = np.maximum(np.bincount(numbers, minlength=count), 1)
    sums = [np.bincount(numbers, column, minlength=count) for column in values.T]
    return np.stack(sums, axis=1) / sizes[:, np.newaxis]
