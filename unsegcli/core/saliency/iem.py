"""Inpainting error maximisation (IEM): the objective, its filter and its confidence; without learning or labels.

Foreground and background are well separated if neither can be inpainted from the other (Savarese et al., CVPR 2021).
The ascent is in `contour.py`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.saliency.banded import banded, filtered

EPSILON = 1e-8  # weight of the mean of all visible pixels, which is used where no visible pixel is near
REFERENCE_PIXELS, REFERENCE_BANDS = 128 * 128, 3  # of the images that the weights of the paper refer to

Stack = NDArray[np.float64]  # (bands + 1, height, width): the image under a mask, and the mask itself


@dataclass(frozen=True)
class Inpainter:
    """A Gaussian filter of `kernel` taps, with zeros beyond the border, applied `repeats` times.

    The effective width is about sigma times the square root of repeats.
    """

    sigma: float = 5.0  # of one pass, in pixels
    kernel: int = 11  # taps, an odd number
    repeats: int = 2  # passes
    factor: int = 1  # the filter works on means of squares of this side

    def matrix(self, length: int) -> NDArray[np.float64]:
        """Return the symmetric filter matrix along an axis: (length, length)."""
        return _axis_matrix(length, self.sigma, self.kernel, self.repeats, self.factor)

    def bands(self, length: int) -> NDArray[np.float64]:
        """Return the same matrix by its diagonals; see `banded`."""
        return _axis_bands(self, length)

    def fill(self, stack: Stack) -> Stack:
        """Filter each plane along both axes."""
        return filtered(stack, self.bands(stack.shape[1]), self.bands(stack.shape[2]))


@dataclass(frozen=True)
class Problem:
    """One image to be split into foreground and background."""

    image: NDArray[np.float64]  # (bands, height, width), -1 to 1; 0 where not valid
    valid: NDArray[np.bool_]  # (height, width); other pixels belong to neither side
    inpainter: Inpainter
    diversity: float  # weight of the spread of colours within the sides, for this image; see `diversity_weight`

    @functools.cached_property
    def whole(self) -> Stack:
        """The filtered image of all valid pixels."""
        return self.inpainter.fill(under(self.image, self.valid))


def problem_of(
    pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None, inpainter: Inpainter, diversity: float
) -> Problem:
    """Make a problem from an image (height, width, bands) of uint8; `diversity` is lambda of the paper."""
    inside = np.ones(pixels.shape[:2], np.bool_) if valid is None else valid
    image = np.ascontiguousarray(pixels.transpose(2, 0, 1)) / 127.5 - 1.0
    weight = diversity_weight(diversity, int(np.count_nonzero(inside)), len(image))
    return Problem(image * inside, inside, inpainter, weight)


def diversity_weight(diversity: float, pixels: int, bands: int) -> float:
    """Scale lambda of the paper to the size and number of bands of an image.

    The error term is a mean over pixels and bands, and the diversity term is a sum, so the weight must be inversely
    proportional to both. Deviation: the paper uses a fixed number, which fits 128 x 128 pixels of three bands.
    """
    return diversity * (REFERENCE_PIXELS / max(1, pixels)) * (REFERENCE_BANDS / bands)


def under(image: NDArray[np.float64], mask: NDArray[Any]) -> Stack:
    """Stack the masked image and the mask: (bands + 1, height, width)."""
    weights = mask.astype(np.float64)
    return np.concatenate([image * weights, weights[np.newaxis]])


@dataclass(frozen=True)
class Judgement:
    """The objective of a mask and its terms."""

    error: float  # E: mean error of filling in the foreground, plus that of the background; higher is better
    spread: float  # D: squared distance of all pixels to the mean colour of their side; lower is better
    objective: float  # E - weight x D
    objectness: NDArray[np.float64]  # (height, width), 0 to 1: above one half where a pixel fits the foreground better
    confidence: float  # share of the colour variance explained by the two sides, 0 to 1


def judge(problem: Problem, mask: NDArray[Any]) -> Judgement:
    """Evaluate the objective of a mask (height, width). If one side is empty, the error is 0."""
    inside = problem.valid & mask.astype(np.bool_)
    outside = problem.valid & ~inside
    spread = _spread(problem.image, inside) + _spread(problem.image, outside)
    if not (inside.any() and outside.any()):
        blank = np.full(mask.shape, 0.5)
        return Judgement(0.0, spread, -problem.diversity * spread, blank, 0.0)
    stack = problem.inpainter.fill(under(problem.image, inside))
    from_inside = _error_of(problem.image, stack, problem.image * inside, inside)
    from_outside = _error_of(problem.image, problem.whole - stack, problem.image * outside, outside)
    error = float(from_outside[inside].mean() + from_inside[outside].mean())
    total = from_inside + from_outside
    objectness = np.divide(from_outside, total, out=np.full(mask.shape, 0.5), where=total > 0)
    undivided = _spread(problem.image, problem.valid)
    confidence = min(1.0, max(0.0, 1 - spread / undivided)) if undivided else 0.0
    return Judgement(error, spread, error - problem.diversity * spread, objectness, confidence)


def centred_square(height: int, width: int, share: float) -> NDArray[np.bool_]:
    """Return a centred rectangle whose sides are a share of the image's sides."""
    mask = np.zeros((height, width), np.bool_)
    top, left = (round(length * (1 - share) / 2) for length in (height, width))
    mask[top : height - top, left : width - left] = True
    return mask


def colour_halves(problem: Problem) -> NDArray[np.bool_]:
    """Return the valid pixels above the mean along the first principal component of the colours."""
    colours = problem.image[:, problem.valid].T
    centred = colours - colours.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    direction = directions[:, -1] * (1 if directions[:, -1].sum() >= 0 else -1)
    mask = np.zeros(problem.valid.shape, np.bool_)
    mask[problem.valid] = centred @ direction > 0
    return mask


def _error_of(
    image: NDArray[np.float64], stack: Stack, visible: NDArray[np.float64], mask: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Compute the inpainting error of each pixel from the visible ones, averaged over bands: (height, width)."""
    means = EPSILON * visible.sum(axis=(1, 2), keepdims=True)
    # A filtered zero may be slightly negative by rounding.
    weights = np.maximum(stack[-1], 0.0) + EPSILON * np.count_nonzero(mask)
    wrong: NDArray[np.float64] = np.abs(image - (stack[:-1] + means) / weights).mean(axis=0)
    return wrong


def _spread(image: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """Sum the squared distances of the colours under a mask from their mean, over pixels and bands."""
    area = np.count_nonzero(mask)
    seen = image * mask
    return float((seen**2).sum() - (seen.sum(axis=(1, 2)) ** 2).sum() / max(1, area))


@functools.lru_cache(maxsize=64)
def _axis_matrix(length: int, sigma: float, kernel: int, repeats: int, factor: int) -> NDArray[np.float64]:
    taps = np.exp(-0.5 * ((np.arange(kernel) - kernel // 2) / sigma) ** 2)
    taps /= taps.sum()
    coarse = -(-length // factor)
    once = np.zeros((coarse, coarse))
    for offset, tap in zip(range(-(kernel // 2), kernel // 2 + 1), taps, strict=True):
        rows = np.arange(max(0, -offset), min(coarse, coarse - offset))
        once[rows, rows + offset] = tap
    spread = np.repeat(np.eye(coarse), factor, axis=1)[:, :length]
    gathered = spread / spread.sum(axis=1, keepdims=True)
    matrix: NDArray[np.float64] = spread.T @ np.linalg.matrix_power(once, repeats) @ gathered
    matrix.flags.writeable = False
    return matrix


@functools.lru_cache(maxsize=64)
def _axis_bands(inpainter: Inpainter, length: int) -> NDArray[np.float64]:
    return banded(inpainter.matrix(length))
