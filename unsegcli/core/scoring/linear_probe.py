"""A linear probe: how well a linear classifier, trained with labels, tells classes apart by vectors of superpixels.

It measures what vectors contain; its scores are no result of a method without labels. Works on arrays only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.errors import DataError

DECAY = 1e-4  # L2 on the weights, beside the mean cross entropy of a pixel
STEPS = 500  # at most, of L-BFGS
NEGLIGIBLE = 1e-6  # a deviation below this share of the mean is rounding error

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """Superpixels with their vectors and the labels of their pixels."""

    vectors: NDArray[Any]  # (superpixels, dimensions)
    counts: CountMatrix  # (superpixels, classes) labelled pixels
    images: NDArray[np.int64]  # (superpixels,) number of the image of each
    outside: CountMatrix  # (images, classes) labelled pixels that are in no superpixel

    def of(self, images: NDArray[np.int64]) -> Labelled:
        """Return the superpixels of some images; `outside` has only their rows."""
        inside = np.isin(self.images, images)
        return Labelled(self.vectors[inside], self.counts[inside], self.images[inside], self.outside[images])


@dataclass(frozen=True)
class Probed:
    """What one division into halves gave: matrices (classes + 1, classes), predicted and true; the last row is none."""

    probe: CountMatrix
    ceiling: CountMatrix  # each superpixel given its most frequent class
    largest: CountMatrix  # each pixel given the most frequent class of the other half


@dataclass(frozen=True)
class Linear:
    """A linear classifier of standardised vectors."""

    mean: Floats  # (dimensions,)
    factor: Floats  # (dimensions,) 1 / deviation; 0 where constant
    weights: Floats  # (dimensions + 1, classes); the last row is the offset

    def __call__(self, vectors: NDArray[Any]) -> NDArray[np.intp]:
        """Return the class of each vector: (superpixels,)."""
        found: NDArray[np.intp] = (_extended((vectors - self.mean) * self.factor) @ self.weights).argmax(axis=1)
        return found


def halves(images: int, number: int, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Divide images 0 to `images` - 1 at random into two halves, `number` times; the first half may have one more."""
    for draw in range(number):
        order = np.random.default_rng((seed, draw)).permutation(images)
        middle = -(-images // 2)
        yield np.sort(order[:middle]), np.sort(order[middle:])


def probe_divisions(labelled: Labelled, divisions: Sequence[Sequence[tuple[Any, Any]]]) -> list[Probed]:
    """Train on some images and score others, for each division.

    Args:
        labelled: superpixels of all images.
        divisions: of each, pairs of the numbers of images that are trained on, and of those that are scored.
    """

    def part(images: Any) -> Labelled:
        return labelled.of(np.asarray(images, np.int64))

    return [_added([_probed(part(one), part(other)) for one, other in parts]) for parts in divisions]


def fit_linear(vectors: NDArray[Any], counts: CountMatrix) -> Linear:
    """Fit multinomial logistic regression with soft targets: a superpixel counts by its labelled pixels of each class.

    Args:
        vectors: (superpixels, dimensions), finite.
        counts: (superpixels, classes), at least one above 0.
    """
    from scipy.optimize import minimize

    used = counts.sum(axis=1) > 0
    vectors, targets = np.asarray(vectors[used], np.float64), counts[used] / counts.sum()
    areas = targets.sum(axis=1)
    mean = areas @ vectors
    deviation = np.sqrt(areas @ (vectors - mean) ** 2)
    known = deviation > NEGLIGIBLE * np.maximum(1.0, np.abs(mean))
    factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=known)
    points = _extended((vectors - mean) * factor)

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(points.shape[1], -1)
        logits = points @ weights
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        sums = shares.sum(axis=1, keepdims=True)
        shrunk = weights.copy()
        shrunk[-1] = 0  # the offset is free
        value = -(targets * (logits - np.log(sums))).sum() + DECAY / 2 * (shrunk**2).sum()
        gradient = points.T @ (areas[:, None] * shares / sums - targets) + DECAY * shrunk
        return float(value), gradient.ravel()

    start = np.zeros(points.shape[1] * counts.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return Linear(mean, factor, found.x.reshape(points.shape[1], -1))


def _probed(training: Labelled, scored: Labelled) -> Probed:
    known = training.counts.sum(axis=0)
    if not known.any():
        raise DataError("one half of the images has no labelled pixel in a superpixel: label more images")
    classes = fit_linear(training.vectors, training.counts)(scored.vectors)
    largest = np.full(len(scored.counts), known.argmax())
    return Probed(*(_matrix(given, scored) for given in (classes, scored.counts.argmax(axis=1), largest)))


def _matrix(given: NDArray[np.intp], scored: Labelled) -> CountMatrix:
    """Count pixels by the class that their superpixel was given and their own: (classes + 1, classes)."""
    classes = scored.counts.shape[1]
    matrix = np.zeros((classes + 1, classes), np.int64)
    np.add.at(matrix, given, scored.counts)
    matrix[-1] = scored.outside.sum(axis=0)
    return matrix


def _added(parts: Sequence[Probed]) -> Probed:
    return Probed(*(np.sum([vars(part)[name] for part in parts], axis=0) for name in ("probe", "ceiling", "largest")))


def _extended(points: Floats) -> Floats:
    """Add a column of ones, for the offset."""
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)
