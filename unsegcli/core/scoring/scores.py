"""Scores of a semantic segmentation from a matrix of pixel counts, chance levels, and bootstrap intervals.

There are two kinds of matrix: `assigned` (classes + 1, classes), rows = predicted class, last row = no class, columns
= true class, from `core/scoring/matching.py`; and `matrix` (clusters, classes) before matching.
A score without pixels or classes is NaN.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.errors import ConfigError, DataError

Over = Literal["truth", "either", "all"]
Floats = NDArray[np.float64]

FEWEST_REPLICATES = 40  # with fewer, a tail of a 95 % interval is less than one replicate
MOST_BYTES = 256 * 2**20


class ClassScores(NamedTuple):
    """Scores of each class (classes,); NaN if the denominator is 0."""

    iou: Floats  # shared / (true or predicted)
    precision: Floats  # shared / predicted
    recall: Floats  # shared / true
    true: NDArray[np.int64]  # pixels
    predicted: NDArray[np.int64]  # pixels


class Chance(NamedTuple):
    """Chance level: scores without looking at any image, to be reported with a score."""

    largest_class: float  # share of the most frequent class = accuracy of predicting it everywhere
    constant_miou: float  # mean IoU of predicting it everywhere
    uniform_accuracy: float  # expected, a class drawn for each pixel, each equally likely
    uniform_miou: float  # the same, in the limit of many pixels
    shuffled_accuracy: float  # expected, the prediction's own pixels in random order


def accuracy(assigned: CountMatrix) -> float:
    """Compute the share of scored pixels with the correct class; pixels of no class are wrong."""
    return _ratio(float(_shared(assigned).sum()), float(assigned.sum()))


def class_scores(assigned: CountMatrix) -> ClassScores:
    """Compute IoU, precision and recall of each class over all pixels of the matrix."""
    shared = _shared(assigned)
    true, predicted = assigned.sum(axis=0), assigned[: shared.size].sum(axis=1)
    return ClassScores(
        _ratios(shared, true + predicted - shared), _ratios(shared, predicted), _ratios(shared, true), true, predicted
    )


def scored_classes(assigned: CountMatrix, over: Over = "truth") -> NDArray[np.bool_]:
    """Select the classes of a mean: (classes,). See `mean_iou`."""
    true, predicted = assigned.sum(axis=0) > 0, assigned[: assigned.shape[1]].sum(axis=1) > 0
    choices: dict[str, NDArray[np.bool_]] = {
        "truth": true,
        "either": true | predicted,
        "all": np.ones(true.size, np.bool_),
    }
    if over not in choices:
        raise ConfigError(f"mean over {over!r}: choose truth, either or all")
    return choices[over]


def mean_iou(assigned: CountMatrix, over: Over = "truth") -> float:
    """Compute the mean IoU over classes from all images together, which is not the mean over images.

    Args:
        assigned: (classes + 1, classes).
        over: the mean is over classes with true pixels (truth), with true or predicted pixels (either, as in PiCIE
            and STEGO), or over all classes, with 0 for absent ones (all, as in MaskContrast).
    """
    chosen = scored_classes(assigned, over)
    iou = np.nan_to_num(class_scores(assigned).iou[chosen])
    return float(iou.mean()) if iou.size else float("nan")


def normalised_mutual_information(matrix: CountMatrix) -> float:
    """Compute NMI: mutual information of clusters and classes over the mean of their entropies, 0 to 1.

    Each row is a cluster, including a row "in no cluster" if given. One cluster and one class give 1.
    """
    table = _table(matrix)
    if table is None:
        return float("nan")
    of_cluster, of_class = table.sum(axis=1), table.sum(axis=0)
    if of_cluster.size == of_class.size == 1:
        return 1.0
    row, column = np.nonzero(table)
    joint = table[row, column]
    information = float((joint * (np.log(joint) - np.log(of_cluster[row]) - np.log(of_class[column]))).sum())
    if information <= np.finfo(np.float64).eps:
        return 0.0
    return min(information / ((_entropy(of_cluster) + _entropy(of_class)) / 2), 1.0)


def adjusted_rand_index(matrix: CountMatrix) -> float:
    """Compute the adjusted Rand index of clusters and classes: 0 = chance level, 1 = equal.

    Each row is a cluster, including a row "in no cluster" if given. Computed with unbounded integers, as the number
    of pairs of 10^12 pixels exceeds int64. Fewer than two pixels give 1.
    """
    if not matrix.any():
        return float("nan")
    same = _pairs(matrix.ravel())
    of_cluster, of_class = _pairs(matrix.sum(axis=1)), _pairs(matrix.sum(axis=0))
    if same == of_cluster == of_class:
        return 1.0
    pixels = int(matrix.sum())
    every = pixels * (pixels - 1) // 2
    # (same - expected) / (most - expected) with expected = of_cluster * of_class / every, times 2 * every.
    above = 2 * (same * every - of_cluster * of_class)
    return above / ((of_cluster + of_class) * every - 2 * of_cluster * of_class)


def live_clusters(matrix: CountMatrix) -> int:
    """Count the rows with pixels; give the rows of clusters only."""
    return int(np.count_nonzero(matrix.sum(axis=1)))


def largest_cluster(matrix: CountMatrix) -> float:
    """Compute the share of pixels in the largest row: near 1, the clustering has collapsed."""
    return _ratio(float(matrix.sum(axis=1).max(initial=0)), float(matrix.sum()))


def chance(assigned: CountMatrix, over: Over = "truth") -> Chance:
    """Compute the chance level: scores of predictions that do not depend on the images.

    The matched score of K random clusters on few pixels is slightly above `uniform_accuracy`, since the matching
    picks the best assignment.

    Args:
        assigned: (classes + 1, classes).
        over: the classes of the mean IoU, as in `mean_iou`.
    """
    true = assigned.sum(axis=0)
    pixels, classes = int(true.sum()), true.size
    if pixels == 0:
        return Chance(*(float("nan"),) * 5)
    share = true / pixels
    predicted = assigned[:classes].sum(axis=1) / pixels
    constant = np.zeros((classes + 1, classes), np.int64)
    constant[int(true.argmax())] = true
    uniform = share / classes / (share + 1 / classes - share / classes)
    counted = share > 0 if over == "truth" else np.ones(classes, np.bool_)
    return Chance(
        float(share.max()),
        mean_iou(constant, over),
        1 / classes,
        float(uniform[counted].mean()),
        float((share * predicted).sum()),
    )


def replicates_within(rows: int, classes: int, replicates: int, most_bytes: int = MOST_BYTES) -> int:
    """Return how many replicates fit into memory; 0 if they are too few for an interval."""
    fitting = min(replicates, most_bytes // (8 * rows * classes))
    return fitting if fitting >= min(FEWEST_REPLICATES, replicates) else 0


class Bootstrap:
    """Poisson bootstrap over images: matrices of resampled datasets, accumulated image by image.

    Image i has in replicate r a Poisson weight of mean 1 that depends only on seed, i and r, so neither the order of
    images nor the number of workers changes the result. `replicates` is their number: fewer than requested if matrices
    are huge, 0 (no interval) if fewer than 40 fit into memory.
    """

    def __init__(
        self, rows: int, classes: int, replicates: int = 1000, seed: int = 0, most_bytes: int = MOST_BYTES
    ) -> None:
        """Start replicates of matrices (rows, classes); `most_bytes` limits their total memory."""
        self.replicates = replicates_within(rows, classes, replicates, most_bytes)
        self.seed = seed
        self._shape = (rows, classes)
        self._totals = np.zeros((self.replicates, rows * classes), np.int64)
        # Images are buffered for one matrix product, which is much faster than separate sums.
        waiting = int(np.clip(2**24 // (8 * rows * classes), 1, 128))
        self._matrices = np.empty((waiting, rows * classes))
        self._weights = np.empty((waiting, self.replicates))
        self._waiting = 0

    def add(self, index: int, matrix: CountMatrix) -> None:
        """Add image number `index` (from 0, each once) with its matrix (rows, classes)."""
        if matrix.shape != self._shape:
            raise DataError(f"matrix {matrix.shape} of image {index}: {self._shape} is expected")
        if self.replicates == 0:
            return
        self._matrices[self._waiting] = matrix.ravel()
        self._weights[self._waiting] = np.random.default_rng([self.seed, index]).poisson(1, self.replicates)
        self._waiting += 1
        if self._waiting == len(self._matrices):
            self._settle()

    def merge(self, other: Bootstrap) -> None:
        """Merge another bootstrap of the same shape, replicates and seed."""
        if (self._shape, self.replicates, self.seed) != (other._shape, other.replicates, other.seed):
            raise DataError("bootstraps of other shape, replicates or seed cannot be merged")
        self._totals += other.matrices.reshape(self._totals.shape)

    @property
    def matrices(self) -> CountMatrix:
        """Return the matrix of each replicate: (replicates, rows, classes)."""
        self._settle()
        return self._totals.reshape(self.replicates, *self._shape)

    def _settle(self) -> None:
        # Integers in float64 are exact up to 2^53, far above the pixels of an image.
        weights, matrices = self._weights[: self._waiting], self._matrices[: self._waiting]
        slab = max(2**22 // matrices.shape[1], 1)  # replicates at a time, so that the product stays small
        for start in range(0, self.replicates if self._waiting else 0, slab):
            part = slice(start, start + slab)
            self._totals[part] += (weights[:, part].T @ matrices).astype(np.int64)
        self._waiting = 0


def middle(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the middle share `level` of some values, ignoring NaN; NaN if there are none."""
    if not 0 < level < 1:
        raise ConfigError(f"level {level} of an interval: must be between 0 and 1")
    values = values[~np.isnan(values)]
    if values.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _shared(assigned: CountMatrix) -> NDArray[np.int64]:
    """Return the diagonal: correctly predicted pixels of each class: (classes,)."""
    if assigned.ndim != 2 or assigned.shape[0] - assigned.shape[1] not in (0, 1):
        raise DataError(f"a matrix (classes + 1, classes) or (classes, classes) is needed, not {assigned.shape}")
    return np.diagonal(assigned)


def _table(matrix: CountMatrix) -> Floats | None:
    """Compute the shares of nonempty clusters and classes; None without pixels."""
    live = matrix[matrix.any(axis=1)][:, matrix.any(axis=0)]
    return live / live.sum() if live.size else None


def _entropy(share: Floats) -> float:
    return float(-(share * np.log(share)).sum())


def _pairs(counts: NDArray[np.int64]) -> int:
    """Sum the number of pixel pairs within each count."""
    return sum(count * (count - 1) // 2 for count in counts[counts > 1].tolist())


def _ratio(above: float, below: float) -> float:
    return above / below if below else float("nan")


def _ratios(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    ratios = np.full(above.shape, np.nan)
    np.divide(above, below, out=ratios, where=below > 0)
    return ratios
