"""Scores of a semantic segmentation, each from one matrix of pixel counts, and how far chance alone gets.

Two matrices are meant: `assigned` (classes + 1, classes), rows = predicted class, the last row = no class, columns
= true class, as `core/scoring/matching.py` makes it; and `matrix` (clusters, classes) before any matching.
A score of nothing (no pixel, no class) is NaN. Nothing here decides which pixels, classes or matching are meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.errors import ConfigError, DataError

Over = Literal["truth", "either", "all"]
Floats = NDArray[np.float64]

FEWEST_REPLICATES = 40  # below, the tails of a 95 % interval are less than one replicate
MOST_BYTES = 256 * 2**20


class ClassScores(NamedTuple):
    """One value a class, each (classes,); NaN where there is nothing to divide by."""

    iou: Floats  # shared / (true or predicted)
    precision: Floats  # shared / predicted
    recall: Floats  # shared / true
    true: NDArray[np.int64]  # pixels
    predicted: NDArray[np.int64]  # pixels


class Chance(NamedTuple):
    """What one gets without looking at any image; to be printed beside a score."""

    largest_class: float  # share of the most frequent class = accuracy of predicting it everywhere
    constant_miou: float  # mean IoU of predicting it everywhere
    uniform_accuracy: float  # expected, a class drawn for each pixel, each equally likely
    uniform_miou: float  # the same, in the limit of many pixels
    shuffled_accuracy: float  # expected, the prediction's own pixels in random order


def accuracy(assigned: CountMatrix) -> float:
    """Share of all scored pixels whose predicted class is the true one; pixels of no class are wrong."""
    return _ratio(float(_shared(assigned).sum()), float(assigned.sum()))


def class_scores(assigned: CountMatrix) -> ClassScores:
    """IoU, precision and recall of each class over all pixels of the matrix."""
    shared = _shared(assigned)
    true, predicted = assigned.sum(axis=0), assigned[: shared.size].sum(axis=1)
    return ClassScores(
        _ratios(shared, true + predicted - shared), _ratios(shared, predicted), _ratios(shared, true), true, predicted
    )


def scored_classes(assigned: CountMatrix, over: Over = "truth") -> NDArray[np.bool_]:
    """Which classes a mean is taken over: (classes,). See `mean_iou`."""
    true, predicted = assigned.sum(axis=0) > 0, assigned[: assigned.shape[1]].sum(axis=1) > 0
    choices: dict[str, NDArray[np.bool_]] = {
        "truth": true,
        "either": true | predicted,
        "all": np.ones(true.size, np.bool_),
    }
    if over not in choices:
        raise ConfigError(f"mean over {over!r}: truth, either and all are known")
    return choices[over]


def mean_iou(assigned: CountMatrix, over: Over = "truth") -> float:
    """Mean of the classes' IoU, all images together; it is not the mean of the images' mean IoU.

    Args:
        assigned: (classes + 1, classes).
        over: the classes that have a true pixel (truth), a true or a predicted one (either: the mean over
            what is not NaN, as PiCIE and STEGO take it), or all, an absent one with 0 (as MaskContrast does).
    """
    chosen = scored_classes(assigned, over)
    iou = np.nan_to_num(class_scores(assigned).iou[chosen])
    return float(iou.mean()) if iou.size else float("nan")


def normalised_mutual_information(matrix: CountMatrix) -> float:
    """Mutual information of clusters and classes over the mean of their entropies: 0 to 1.

    Each row is a cluster, also a row "in no cluster" where it is given. One cluster and one class give 1.
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
    """Share of pixel pairs that clusters and classes treat alike, 0 = as by chance, 1 = all.

    Each row is a cluster, also a row "in no cluster" where it is given. Counted in whole numbers without bound:
    the pairs of 10^12 pixels fit no int64. Fewer than two pixels give 1.
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
    """Number of rows that have a pixel; give the rows of clusters alone."""
    return int(np.count_nonzero(matrix.sum(axis=1)))


def largest_cluster(matrix: CountMatrix) -> float:
    """Share of the pixels that the largest row has: near 1, the clustering has collapsed."""
    return _ratio(float(matrix.sum(axis=1).max(initial=0)), float(matrix.sum()))


def chance(assigned: CountMatrix, over: Over = "truth") -> Chance:
    """What predictions that never looked at an image would score on these pixels.

    The matched score of K random clusters on few pixels is a little higher than `uniform_accuracy`, since the
    matching picks the best of them.

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
    """How many of the replicates' matrices fit into the memory; 0 where they are too few for an interval."""
    fitting = min(replicates, most_bytes // (8 * rows * classes))
    return fitting if fitting >= min(FEWEST_REPLICATES, replicates) else 0


class Bootstrap:
    """Matrices of data sets drawn at random from the images, gathered while the images stream by.

    Replicate r takes image i as often as a Poisson number of mean 1 says, which depends on seed, i and r alone:
    neither the order of the images nor the number of workers changes anything. `replicates` says how many
    there are: fewer than wanted where matrices are huge, 0 (no interval) where not even 40 fit.
    """

    def __init__(
        self, rows: int, classes: int, replicates: int = 1000, seed: int = 0, most_bytes: int = MOST_BYTES
    ) -> None:
        """Replicates of matrices (rows, classes); `most_bytes` bounds the memory that they may take together."""
        self.replicates = replicates_within(rows, classes, replicates, most_bytes)
        self.seed = seed
        self._shape = (rows, classes)
        self._totals = np.zeros((self.replicates, rows * classes), np.int64)
        # Images wait here for one matrix product, which is far quicker than a sum for each of them.
        waiting = int(np.clip(2**24 // (8 * rows * classes), 1, 128))
        self._matrices = np.empty((waiting, rows * classes))
        self._weights = np.empty((waiting, self.replicates))
        self._waiting = 0

    def add(self, index: int, matrix: CountMatrix) -> None:
        """Take in image number `index` (from 0, each once) with its matrix (rows, classes)."""
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
        """Take in the images of another bootstrap of the same shape, replicates and seed."""
        if (self._shape, self.replicates, self.seed) != (other._shape, other.replicates, other.seed):
            raise DataError("bootstraps of other shape, replicates or seed cannot be merged")
        self._totals += other.matrices.reshape(self._totals.shape)

    @property
    def matrices(self) -> CountMatrix:
        """(replicates, rows, classes): the matrix of each replicate, of all images so far."""
        self._settle()
        return self._totals.reshape(self.replicates, *self._shape)

    def _settle(self) -> None:
        # Whole numbers in float64 are exact up to 2^53, which no image comes near.
        weights, matrices = self._weights[: self._waiting], self._matrices[: self._waiting]
        slab = max(2**22 // matrices.shape[1], 1)  # replicates at a time, so that the product stays small
        for start in range(0, self.replicates if self._waiting else 0, slab):
            part = slice(start, start + slab)
            self._totals[part] += (weights[:, part].T @ matrices).astype(np.int64)
        self._waiting = 0


def intervals(
    matrices: Iterable[CountMatrix], scores: Callable[[CountMatrix], Mapping[str, float]], level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile interval of each score that `scores` returns; a replicate's NaN is left out, of NaN alone it is NaN.

    Args:
        matrices: the replicates, each (rows, classes).
        scores: from one matrix to named scores; match anew in it, or the interval is that of a fixed matching.
        level: share of the replicates inside, between 0 and 1.
    """
    if not 0 < level < 1:
        raise ConfigError(f"level {level} of an interval: between 0 and 1 is meant")
    found: dict[str, list[float]] = {}
    for matrix in matrices:
        for name, value in scores(matrix).items():
            found.setdefault(name, []).append(value)
    return {name: _middle(np.array(values), level) for name, values in found.items()}


def interval(
    matrices: Iterable[CountMatrix], score: Callable[[CountMatrix], float], level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval (low, high) of one score; see `intervals`. Without replicates both are NaN."""
    return intervals(matrices, lambda matrix: {"score": score(matrix)}, level).get("score", (float("nan"),) * 2)


def _middle(values: Floats, level: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if values.size == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _shared(assigned: CountMatrix) -> NDArray[np.int64]:
    """The pixels of each class that are predicted as it: (classes,)."""
    if assigned.ndim != 2 or assigned.shape[0] - assigned.shape[1] not in (0, 1):
        raise DataError(f"a matrix (classes + 1, classes) or (classes, classes) is needed, not {assigned.shape}")
    return np.diagonal(assigned)


def _table(matrix: CountMatrix) -> Floats | None:
    """Shares of all pixels in the clusters and classes that have any; None without a pixel."""
    live = matrix[matrix.any(axis=1)][:, matrix.any(axis=0)]
    return live / live.sum() if live.size else None


def _entropy(share: Floats) -> float:
    return float(-(share * np.log(share)).sum())


def _pairs(counts: NDArray[np.int64]) -> int:
    """Number of pairs of pixels within each of the counts, summed."""
    return sum(count * (count - 1) // 2 for count in counts[counts > 1].tolist())


def _ratio(above: float, below: float) -> float:
    return above / below if below else float("nan")


def _ratios(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    ratios = np.full(above.shape, np.nan)
    np.divide(above, below, out=ratios, where=below > 0)
    return ratios
