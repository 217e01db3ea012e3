"""Scores of object masks for single images, to be averaged by the caller.

A truth map is 1 = object, 0 = background, negative = ignored. Masks are not thresholded, cropped or resized here.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ConfigError, DataError

BETA_SQUARED = 0.3
THRESHOLDS = 255


class ObjectScores(NamedTuple):
    """Scores of one mask; all NaN if every pixel is ignored.

    If there is neither a predicted nor a true object pixel, IoU and Dice are 1; with only one of the two, they are 0.
    (Codes that divide by the union plus a small number give 0 in both cases, so an image without an object can never
    be right.) The IoU of the background follows the same rule.
    """

    iou: float
    dice: float
    accuracy: float
    background_iou: float  # its mean with `iou` is called mIoU in the table of IEM


def object_scores(predicted: NDArray[np.bool_], truth: NDArray[np.integer[Any]]) -> ObjectScores:
    """Score a mask (height, width) against the truth (height, width)."""
    return _scores(*_counts(predicted, truth))


def best_of_two(predicted: NDArray[np.bool_], truth: NDArray[np.integer[Any]]) -> ObjectScores:
    """Score the better of the mask and its inverse, separately for each score, as in the published code of IEM.

    The choice uses the truth, and may differ between the scores of an image: results must be reported as an oracle.
    """
    both, mask_only, object_only, neither = _counts(predicted, truth)
    given = _scores(both, mask_only, object_only, neither)
    inverse = _scores(object_only, neither, both, mask_only)
    return ObjectScores(*(max(pair) for pair in zip(given, inverse, strict=True)))


class FMeasureCurve:
    """Precision and recall of confidence maps at 255 thresholds, averaged over images.

    At threshold j (1 to 255) a pixel is an object if its confidence is at least j / 255, which separates all levels
    of an 8-bit map. The threshold 0, at which the whole image is an object, is not used. An image without pixels above
    a threshold has precision 0 there, and one without an object has recall 0 everywhere, as in the published
    benchmarks, whose images all have an object.
    """

    def __init__(self, beta_squared: float = BETA_SQUARED) -> None:
        """Start the curve; F weights recall `beta_squared` times as much as precision."""
        self.beta_squared = beta_squared
        self.images = 0
        self._precision = np.zeros(THRESHOLDS)
        self._recall = np.zeros(THRESHOLDS)
        self._f = np.zeros(THRESHOLDS)

    def add(self, confidence: NDArray[Any], truth: NDArray[np.integer[Any]]) -> None:
        """Add one image; an image in which all pixels are ignored is skipped.

        Args:
            confidence: (height, width), uint8, or floats from 0 to 1.
            truth: (height, width).
        """
        known = _known(confidence.shape, truth)
        if not known.any():
            return
        level = _levels(confidence)
        code = np.where(known, level.astype(np.int64) + (THRESHOLDS + 1) * (truth == 1), 2 * (THRESHOLDS + 1))
        counts = np.bincount(code.ravel(), minlength=2 * (THRESHOLDS + 1) + 1)[:-1].reshape(2, THRESHOLDS + 1)
        background, found = np.cumsum(counts[:, :0:-1], axis=1)[:, ::-1]  # at threshold 1, 2, ..., 255
        precision = found / np.maximum(background + found, 1)
        recall = found / max(int(counts[1].sum()), 1)
        self._precision += precision
        self._recall += recall
        self._f += self._measure(precision, recall)
        self.images += 1

    @property
    def precision(self) -> NDArray[np.float64]:
        """Return the mean precision over images at each threshold: (255,)."""
        return self._precision / max(self.images, 1)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Return the mean recall over images at each threshold: (255,)."""
        return self._recall / max(self.images, 1)

    def largest(self, average: Literal["curve", "measure"] = "curve") -> float:
        """Return the maximum F over thresholds, with one threshold for all images; NaN without images.

        Args:
            average: F of the mean precision and the mean recall (curve), or the mean F over images at each threshold
                (measure); published codes use either.
        """
        if average not in ("curve", "measure"):
            raise ConfigError(f"average {average!r} of the F measure: choose curve or measure")
        if self.images == 0:
            return float("nan")
        curve = self._measure(self.precision, self.recall) if average == "curve" else self._f / self.images
        return float(curve.max())

    def _measure(self, precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
        above, below = (1 + self.beta_squared) * precision * recall, self.beta_squared * precision + recall
        return np.divide(above, below, out=np.zeros(THRESHOLDS), where=below > 0)


def _levels(confidence: NDArray[Any]) -> NDArray[np.uint8]:
    """Count the thresholds that each pixel reaches: (height, width), 0 to 255."""
    if confidence.dtype == np.uint8:
        return confidence
    if not np.issubdtype(confidence.dtype, np.floating):
        raise DataError(f"confidence is {confidence.dtype}: uint8, or floats from 0 to 1, are expected")
    # Written so that NaN fails as well.
    if not (confidence.min(initial=1) >= 0 and confidence.max(initial=0) <= 1):
        raise DataError("confidence is outside 0 to 1, or holds NaN: rescale it")
    # The small addend compensates the rounding of j / 255 in float32.
    scaled = confidence.astype(np.float64) * THRESHOLDS + 1e-4
    return scaled.astype(np.uint8)


def _counts(predicted: NDArray[np.bool_], truth: NDArray[np.integer[Any]]) -> tuple[int, int, int, int]:
    """Count true positives, false positives, false negatives and true negatives among the scored pixels."""
    if predicted.dtype != np.bool_:
        raise DataError(f"mask is {predicted.dtype}: booleans are needed")
    known = _known(predicted.shape, truth)
    real = truth == 1
    of_mask, of_object = int(np.count_nonzero(predicted & known)), int(np.count_nonzero(real))
    both = int(np.count_nonzero(predicted & real))
    everything = int(np.count_nonzero(known))
    return both, of_mask - both, of_object - both, everything - of_mask - of_object + both


def _known(shape: tuple[int, ...], truth: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return where the truth is not ignored: (height, width)."""
    if truth.ndim != 2 or shape != truth.shape:
        raise DataError(f"mask {shape} and truth {truth.shape}: two equal (height, width) are needed")
    if truth.max(initial=0) > 1:
        raise DataError(f"truth of an object mask holds {truth.max()}: 1 = object, 0 = background, negative = ignored")
    return truth >= 0


def _scores(both: int, mask_only: int, object_only: int, neither: int) -> ObjectScores:
    pixels = both + mask_only + object_only + neither
    if pixels == 0:
        return ObjectScores(*(float("nan"),) * 4)
    wrong = mask_only + object_only
    return ObjectScores(
        both / (both + wrong) if both + wrong else 1.0,
        2 * both / (2 * both + wrong) if both + wrong else 1.0,
        (both + neither) / pixels,
        neither / (neither + wrong) if neither + wrong else 1.0,
    )
