"""Accumulate the scores of a run image by image.

One tally for each kind of result: clusters, object masks, superpixels. All have `replicates`: each score of each
dataset that the bootstrap drew, NaN where it drew no image. Image i has the same weight in replicate r of every tally
with the same seed, so the replicates of two runs on the same images are paired.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring import matching, scores
from unsegcli.core.scoring.ceiling import SEGMENTS, Segments
from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.core.scoring.object_scores import FMeasureCurve, ObjectScores
from unsegcli.core.scoring.protocols import Protocol, assignment_of, scored_part
from unsegcli.core.scoring.superpixel_scores import BorderScores, ShapeScores

LEVEL = 0.95  # of the intervals


class ClusterTally:
    """Scores of clusters against classes, from one confusion matrix of the dataset."""

    def __init__(
        self, clusters: int, classes: int, protocol: Protocol, replicates: int, seed: int, per_image: bool
    ) -> None:
        """Matrices of (clusters + 1, classes); `replicates` of the bootstrap, 0 = no interval."""
        self.protocol = protocol
        self.matrix: CountMatrix = np.zeros((clusters + 1, classes), np.int64)
        self._naming: CountMatrix | None = None  # of the images that only name the clusters
        self._bootstrap = scores.Bootstrap(clusters + 1, classes, replicates, seed) if replicates else None
        self._per_image = [0, 0] if per_image else None  # correct pixels, scored pixels

    def add(self, index: int, matrix: CountMatrix) -> None:
        """Add the matrix of one image."""
        self.matrix += matrix
        if self._bootstrap is not None:
            self._bootstrap.add(index, matrix)
        if self._per_image is not None:
            best = matching.assigned(matrix, matching.one_to_one(matrix[:-1], self.protocol.by, matrix[-1]))
            self._per_image[0] += int(np.trace(best))
            self._per_image[1] += int(best.sum())

    def name_by(self, matrix: CountMatrix) -> None:
        """Use one image to give clusters their classes; then no image that is scored is used for that."""
        self._naming = matrix if self._naming is None else self._naming + matrix

    def assignment(self) -> NDArray[np.intp]:
        """Return the class of each cluster, -1 = none."""
        return self._assignment(self.matrix)

    def _assignment(self, matrix: CountMatrix) -> NDArray[np.intp]:
        return assignment_of(matrix if self._naming is None else self._naming, self.protocol)

    def result(self, names: Sequence[str], ignored: int) -> dict[str, Any]:
        """Return all scores for the output."""
        assignment = self.assignment()
        kept = scored_part(self.matrix, self.protocol)
        assigned = matching.assigned(kept, assignment)
        chance = scores.chance(assigned, self.protocol.over)
        over = scores.scored_classes(assigned, self.protocol.over)
        by_class = scores.class_scores(assigned)
        found: dict[str, Any] = {
            "scores": {
                **self._main(kept),
                "live_clusters": scores.live_clusters(self.matrix[:-1]),
                "largest_cluster": scores.largest_cluster(self.matrix[:-1]),
            },
            "miou_over": [name for name, scored in zip(names, over, strict=True) if scored],
            "interval": self._interval(),
            "chance": chance._asdict(),
            "pixels": {
                "scored": int(kept.sum()),
                "ignored": ignored,
                "unmatched": int(assigned[-1].sum()),
                "dropped": int(self.matrix.sum() - kept.sum()),
            },
            "per_class": [
                {
                    "class": name,
                    "iou": by_class.iou[number],
                    "precision": by_class.precision[number],
                    "recall": by_class.recall[number],
                    "pixels": int(by_class.true[number]),
                    "predicted": int(by_class.predicted[number]),
                }
                for number, name in enumerate(names)
            ],
            "assignment": [int(number) for number in assignment],
        }
        if self._per_image is not None:
            right, pixels = self._per_image
            found["oracle_per_image"] = {
                "accuracy": right / pixels if pixels else math.nan,
                "what": "each image matched to its own labels: an oracle, not a result",
            }
        return found

    def _main(self, matrix: CountMatrix) -> dict[str, float]:
        kept = scored_part(matrix, self.protocol)
        assigned = matching.assigned(kept, self._assignment(matrix))
        return {
            "accuracy": scores.accuracy(assigned),
            "miou": scores.mean_iou(assigned, self.protocol.over),
            "nmi": scores.normalised_mutual_information(kept),
            "ari": scores.adjusted_rand_index(kept),
        }

    @functools.cached_property
    def replicates(self) -> dict[str, scores.Floats]:
        """Each score of each replicate, with a matching of its own, once all images are added."""
        if self._bootstrap is None or self._bootstrap.replicates == 0 or not self._bootstrap.matrices.any():
            return {}
        nothing = dict.fromkeys(self._main(self.matrix), math.nan)
        rows = [self._main(matrix) if matrix.any() else nothing for matrix in self._bootstrap.matrices]
        return {name: np.array([row[name] for row in rows]) for name in nothing}

    def _interval(self) -> dict[str, list[float]]:
        return {name: list(scores.middle(values, LEVEL)) for name, values in self.replicates.items()}


class CeilingTally:
    """The best labelling of the segments of all images, for each kind of segment."""

    def __init__(self, classes: int, background: int | None) -> None:
        """Start matrices (classes + 1, classes); `background` is a cluster that keeps its class, or None."""
        self._background = background
        self._matrices = {sort: np.zeros((classes + 1, classes), np.int64) for sort in SEGMENTS}

    def add(self, found: Mapping[Segments, CountMatrix]) -> None:
        """Add the best labellings of one image."""
        for sort, matrix in found.items():
            self._matrices[sort] += matrix

    def result(self, tally: ClusterTally) -> dict[str, Any]:
        """Return the scores for the output, in addition to those of the clusters."""
        return {
            "what": "each segment given its most frequent class by the labels: an oracle, not a result",
            "background": self._background,
            **{sort: self._scores(matrix, tally) for sort, matrix in self._matrices.items()},
        }

    def _scores(self, matrix: CountMatrix, tally: ClusterTally) -> dict[str, float]:
        if self._background is not None:
            given = int(tally.assignment()[self._background])
            shown = tally.matrix[self._background]
            matrix = matrix.copy()
            matrix[-1] -= shown
            matrix[given if given >= 0 else -1] += shown
        return {"accuracy": scores.accuracy(matrix), "miou": scores.mean_iou(matrix, tally.protocol.over)}


class ObjectTally:
    """Scores of object masks: the mean over images."""

    def __init__(self, replicates: int, seed: int) -> None:
        """`replicates` of the bootstrap, 0 = no interval."""
        self._replicates, self._seed = replicates, seed
        self._images = 0
        self._sums = np.zeros(len(ObjectScores._fields))
        self._drawn = np.zeros((replicates, len(ObjectScores._fields)))
        self._weights = np.zeros(replicates)
        self.pixels = [0, 0]  # scored, ignored
        self.curve = FMeasureCurve()
        self.each: list[dict[str, float]] = []  # the scores of each image, NaN = not scored
        self._whole = np.zeros(2)  # object pixels, scored pixels

    def add(self, index: int, found: ObjectScores, truth: NDArray[Any]) -> None:
        """Add one image; an image without scored pixels is not part of the mean."""
        known = int((truth >= 0).sum())
        self.each.append(found._asdict())
        self.pixels[0] += known
        self.pixels[1] += truth.size - known
        if math.isnan(found.iou):
            return
        values = np.array(found)
        self._images += 1
        self._sums += values
        self._whole += (int((truth == 1).sum()), known)
        if self._replicates:
            weights = np.random.default_rng([self._seed, index]).poisson(1, self._replicates)
            self._weights += weights
            self._drawn += weights[:, None] * values

    def result(self, polarity: str) -> dict[str, Any]:
        """Return all scores for the output."""
        means = self._sums / self._images if self._images else np.full(len(self._sums), math.nan)
        named = dict(zip(ObjectScores._fields, means.tolist(), strict=True))
        named["miou"] = (named["iou"] + named["background_iou"]) / 2
        if self.curve.images:
            named["max_f"] = self.curve.largest()
        objects, known = self._whole
        return {
            "scores": named,
            "oracle_polarity": polarity == "best-of-two",
            "interval": self._interval(),
            "chance": {"object_share": float(objects / known) if known else math.nan},
            "pixels": {"scored": self.pixels[0], "ignored": self.pixels[1], "unmatched": 0, "dropped": 0},
            "per_class": [],
            "assignment": [],
            "images_scored": self._images,
        }

    @functools.cached_property
    def replicates(self) -> dict[str, scores.Floats]:
        """Each score of each replicate, once all images are added."""
        if not self._weights.any():
            return {}
        means = self._drawn / np.where(self._weights > 0, self._weights, math.nan)[:, None]
        found = dict(zip(ObjectScores._fields, means.T, strict=True))
        return found | {"miou": (found["iou"] + found["background_iou"]) / 2}

    def _interval(self) -> dict[str, list[float]]:
        return {name: list(scores.middle(values, LEVEL)) for name, values in self.replicates.items()}


class SuperpixelTally:
    """Scores of superpixels: the mean over annotators, then over images."""

    def __init__(self, replicates: int, seed: int) -> None:
        """`replicates` of the bootstrap, 0 = no interval."""
        self._replicates, self._seed = replicates, seed
        # For each score, sum and number over images: of the dataset in column 0, of replicates in the others.
        self._sums: dict[str, NDArray[np.float64]] = {}
        self.each: list[dict[str, float]] = []  # the scores of each image
        self.pixels = 0

    def add(self, index: int, borders: Sequence[BorderScores], shape: ShapeScores) -> None:
        """Add one image."""
        drawn = np.random.default_rng([self._seed, index]).poisson(1, self._replicates)
        weights = np.concatenate([[1], drawn])
        found = {name: _mean(float(getattr(border, name)) for border in borders) for name in asdict(borders[0])}
        found |= {name: float(value) for name, value in asdict(shape).items()}
        self.each.append({shown: found.get(name, math.nan) for name, shown in SUPERPIXEL_NAMES.items()})
        for name, value in found.items():
            total = self._sums.setdefault(name, np.zeros((2, len(weights))))
            if not math.isnan(value):
                total += weights * np.array([[value], [1.0]])
        self.pixels += max((border.pixels for border in borders), default=0)

    def result(self) -> dict[str, Any]:
        """Return all scores for the output."""
        means = {name: float(values[0]) for name, values in self._means.items()}
        return {
            "scores": {shown: means.get(shown, math.nan) for shown in SUPERPIXEL_NAMES.values()},
            "interval": {name: list(scores.middle(values, LEVEL)) for name, values in self.replicates.items()},
            "chance": {},
            "pixels": {"scored": self.pixels, "ignored": 0, "unmatched": 0, "dropped": 0},
            "per_class": [],
            "assignment": [],
        }

    @functools.cached_property
    def _means(self) -> dict[str, scores.Floats]:
        """Each score of the dataset, and then of each replicate: (1 + replicates,)."""
        shown = {SUPERPIXEL_NAMES[name]: sums for name, sums in self._sums.items() if name in SUPERPIXEL_NAMES}
        return {name: sums / np.where(counts > 0, counts, math.nan) for name, (sums, counts) in shown.items()}

    @property
    def replicates(self) -> dict[str, scores.Floats]:
        """Each score of each replicate, once all images are added."""
        found = {name: values[1:] for name, values in self._means.items()}
        return {name: values for name, values in found.items() if not np.isnan(values).all()}


SUPERPIXEL_NAMES = {
    "boundary_recall": "boundary_recall",
    "undersegmentation": "undersegmentation_error",
    "undersegmentation_levinshtein": "undersegmentation_error_levinshtein",
    "achievable_accuracy": "achievable_segmentation_accuracy",
    "explained_variation": "explained_variation",
    "compactness": "compactness",
    "count": "superpixels",
    "mean_area": "mean_area",
    "covered": "covered",
}


def mean_and_deviation(runs: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Compute mean and sample standard deviation of each score over several runs, such as seeds of one method."""
    names = [name for name in runs[0] if all(name in run for run in runs)]
    means = {name: _mean([run[name] for run in runs]) for name in names}
    deviations = {name: float(np.std([run[name] for run in runs], ddof=1)) for name in names}
    return means, deviations


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
