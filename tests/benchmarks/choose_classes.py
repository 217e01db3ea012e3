"""Which criterion finds the number of classes without a label?

    python tests/benchmarks/choose_classes.py [NUMBER=INPUT ...] [--most N] [--seed N] [--mosaics] [--curves]

INPUT is a file of `unseg superpixels`; NUMBER is how many classes people gave these images, which is only printed
beside what is chosen: no label is read. `--mosaics` adds mosaics of 4, 5 and 6 textures, where the number is known.
`stability` is what `--classes auto` does; the other criteria were tried beside it:

    strength    prediction strength (Tibshirani and Walther 2005): the largest number of at least 0.8
    highest     the number of the highest stability
    one-error   the largest number within one standard error of that
    jump        the largest rise of distortion ** (-dimensions / 2) (Sugar and James 2003)
    gap         gap statistic (Tibshirani, Walther and Hastie 2001), first number within one standard error of the next
    silhouette  the largest mean silhouette of 1500 points
    bic         the lowest BIC of a mixture of Gaussians with diagonal covariances
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.kmeans import assign, kmeans
from unsegcli.core.mosaic import mosaic
from unsegcli.core.scoring import cluster_number
from unsegcli.core.superpixels.features import region_features
from unsegcli.core.superpixels.region_space import fit_space, place_weights
from unsegcli.core.superpixels.slic import slic
from unsegcli.dataflow.dataset import dataset_from_artifact
from unsegcli.params import Cluster
from unsegcli.segmenters import baselines
from unsegcli.stages.demo import TEXTURES

Floats = NDArray[np.float64]

POINTS = 1500  # that all criteria but stability see
STRONG = 0.8  # prediction strength
REFERENCES = 8  # data sets without clusters, of the gap statistic
MOSAICS, SIDE = 40, 128
STEPS = 60  # of the mixture's expectation and maximisation
SMALLEST_VARIANCE = 1e-3  # of a Gaussian, as a share of that of all points


def main() -> None:
    """One line an input: what people said, and what each criterion chooses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", metavar="NUMBER=INPUT")
    parser.add_argument("--most", type=int, default=Cluster.max_classes)
    parser.add_argument("--seed", type=int, default=0, help="of stability, the criterion that is used")
    parser.add_argument("--mosaics", action="store_true")
    parser.add_argument("--curves", action="store_true", help="print the score of every number, too")
    asked = parser.parse_args()
    print(f"{'input':30} true  {'  '.join(f'{name:>10}' for name in CRITERIA)}")
    for name, true, points, weights in _inputs(asked.inputs, asked.mosaics):
        random = np.random.default_rng(0)
        few = points[random.choice(len(points), min(POINTS, len(points)), replace=False, p=weights / weights.sum())]
        curve = cluster_number.stability_curve(points, weights, asked.most, seed=asked.seed)
        numbers = range(2, asked.most + 1)
        found = {
            "stability": (curve.chosen, list(curve.scores)),
            "highest": (curve.numbers[int(np.argmax(curve.scores))], list(curve.scores)),
            **{criterion: choose(few, numbers) for criterion, choose in OTHERS.items()},
        }
        chosen = "  ".join(f"{number:>10}" for number, _ in found.values())
        print(f"{name[-30:]:30} {true:>4}  {chosen}", flush=True)
        for criterion, (_, scores) in found.items() if asked.curves else ():
            print(f"    {criterion:12} {' '.join(f'{score:9.3g}' for score in scores)}")


def _inputs(given: list[str], mosaics: bool) -> Iterator[tuple[str, str, Floats, Floats]]:
    for entry in given:
        true, _, path = entry.partition("=")
        sample = baselines.draw_sample(dataset_from_artifact(path), Cluster(), 1)
        yield path, true, sample.points, sample.weights
    for count in (4, 5, 6) if mosaics else ():
        yield (f"mosaics of {count} textures", str(count), *_mosaics(count))


def _mosaics(count: int) -> tuple[Floats, Floats]:
    """Superpixels of mosaics, described and scaled as by the program."""
    every = [make() for make in TEXTURES.values()]
    textures = [every[at] for at in np.random.default_rng(count).choice(len(every), count, replace=False)]
    found, areas = [], []
    for number in range(MOSAICS):
        image, _ = mosaic(textures, SIDE, np.random.default_rng([count, number]))
        regions = slic(image, None, SIDE * SIDE // 200, 10.0)
        found.append(region_features(image, regions))
        areas.append(np.bincount(regions.ravel()))
    points, weights = np.concatenate(found), np.concatenate(areas).astype(np.float64)
    images = np.repeat(np.arange(MOSAICS), [len(one) for one in areas])
    return fit_space(points, weights, 3, place_weights(points, weights, 3, images))(points), weights


Chosen = tuple[int, list[float]]


def prediction_strength(points: Floats, numbers: range) -> Chosen:
    """The largest number whose strength, the mean over draws, is above 0.8; the lowest if none is."""
    scores = [float(np.mean([_strength(points, number, draw) for draw in range(5)])) for number in numbers]
    strong = [number for number, score in zip(numbers, scores, strict=True) if score >= STRONG]
    return max(strong, default=numbers[0]), scores


def _strength(points: Floats, number: int, draw: int) -> float:
    order = np.random.default_rng(draw).permutation(len(points))
    learned, seen = points[order[: len(points) // 2]], points[order[len(points) // 2 :]]
    centres = [kmeans(half, number, seed=draw, starts=2, iterations=50).centres for half in (learned, seen)]
    given, own = (assign(seen, found) for found in centres)
    kept = []
    for cluster in range(number):
        sizes = np.bincount(given[own == cluster], minlength=number)
        size = int(sizes.sum())
        if size > 1:
            kept.append(float((sizes * (sizes - 1)).sum()) / (size * (size - 1)))
    return min(kept, default=0.0)


def within_one_error(points: Floats, numbers: range) -> Chosen:
    """The largest number whose stability is within one standard error of the best."""
    draws = np.array([[_repeats(points, number, draw) for draw in range(6)] for number in numbers])
    means, errors = draws.mean(axis=1), draws.std(axis=1, ddof=1) / math.sqrt(draws.shape[1])
    best = int(means.argmax())
    near = np.flatnonzero(means >= means[best] - errors[best])
    return numbers[int(near.max())], means.tolist()


def _repeats(points: Floats, number: int, draw: int) -> float:
    order = np.random.default_rng(draw).permutation(len(points))
    halves = points[order[: len(points) // 2]], points[order[len(points) // 2 :]]
    return cluster_number._agreement(*halves, number, seed=draw)


def jump(points: Floats, numbers: range) -> Chosen:
    """The largest rise of the transformed distortion."""
    dimensions = points.shape[1]
    distortions = [_inertia(points, number) / len(points) / dimensions for number in (1, *numbers)]
    changed = np.array(distortions) ** (-dimensions / 2)
    rises = np.diff(changed)
    return numbers[int(rises.argmax())], rises.tolist()


def gap(points: Floats, numbers: range) -> Chosen:
    """The first number whose gap is at least that of the next, less its standard error."""
    every = [*numbers, numbers[-1] + 1]
    middle = points.mean(axis=0)
    _, _, axes = np.linalg.svd(points - middle, full_matrices=False)
    turned = (points - middle) @ axes.T
    random = np.random.default_rng(0)
    references = [random.uniform(turned.min(axis=0), turned.max(axis=0), points.shape) for _ in range(REFERENCES)]
    gaps, errors = [], []
    for number in every:
        logs = np.log([_inertia(reference, number) for reference in references])
        gaps.append(float(logs.mean()) - math.log(_inertia(points, number)))
        errors.append(float(logs.std()) * math.sqrt(1 + 1 / REFERENCES))
    for at, number in enumerate(numbers):
        if gaps[at] >= gaps[at + 1] - errors[at + 1]:
            return number, gaps[:-1]
    return numbers[-1], gaps[:-1]


def silhouette(points: Floats, numbers: range) -> Chosen:
    """The largest mean silhouette."""
    distances = np.sqrt(np.maximum(((points[:, None] - points[None]) ** 2).sum(-1), 0))
    scores = []
    for number in numbers:
        labels = assign(points, kmeans(points, number, seed=0, starts=3, iterations=50).centres)
        members = np.eye(number)[labels]
        sums, sizes = distances @ members, members.sum(axis=0)
        own = sums[np.arange(len(points)), labels] / np.maximum(sizes[labels] - 1, 1)
        sums[np.arange(len(points)), labels] = np.inf
        other = (sums / np.maximum(sizes, 1)).min(axis=1)
        scores.append(float(((other - own) / np.maximum(other, own)).mean()))
    return numbers[int(np.argmax(scores))], scores


def bic(points: Floats, numbers: range) -> Chosen:
    """The lowest Bayesian information criterion of a mixture of Gaussians."""
    scores = [_mixture_bic(points, number) for number in numbers]
    return numbers[int(np.argmin(scores))], scores


def _mixture_bic(points: Floats, number: int) -> float:
    count, dimensions = points.shape
    floor = SMALLEST_VARIANCE * points.var(axis=0) + 1e-12
    share = np.eye(number)[assign(points, kmeans(points, number, seed=0, starts=3, iterations=50).centres)]
    likelihood = 0.0
    for _ in range(STEPS):
        sizes = share.sum(axis=0) + 1e-9
        means = share.T @ points / sizes[:, None]
        variances = np.maximum(share.T @ points**2 / sizes[:, None] - means**2, floor)
        logs = np.log(sizes / count) - 0.5 * (
            np.log(2 * math.pi * variances).sum(axis=1) + ((points[:, None] - means) ** 2 / variances).sum(axis=2)
        )
        largest = logs.max(axis=1, keepdims=True)
        each = np.exp(logs - largest)
        likelihood = float((largest[:, 0] + np.log(each.sum(axis=1))).sum())
        share = each / each.sum(axis=1, keepdims=True)
    return (number * (2 * dimensions + 1) - 1) * math.log(count) - 2 * likelihood


def _inertia(points: Floats, number: int) -> float:
    return kmeans(points, number, seed=0, starts=2, iterations=50).inertia


OTHERS: dict[str, Callable[[Floats, range], Chosen]] = {
    "strength": prediction_strength,
    "one-error": within_one_error,
    "jump": jump,
    "gap": gap,
    "silhouette": silhouette,
    "bic": bic,
}
CRITERIA = ("stability", "highest", *OTHERS)

if __name__ == "__main__":
    main()
