"""What features of regions are worth, measured with labels: a linear probe, a named map, and one to one.

Functions on plain arrays, shared by the trials. `features` are (regions, dimensions), `counts` (regions, classes) the
labelled pixels of each class in each region, `areas` (regions,) their pixels, and `learned` (regions,) says which
regions are in the half from which something is learned; the other half is scored. Halves are halves of the images.

linear probe   logistic regression of the classes, learned on one half: what a little labelling would give
named map      k-means with 24 clusters, fitted on one half and named there by their most frequent class
whole map      the same, but fitted, named and scored on all images: how well 24 clusters separate the classes
one to one     k-means with as many clusters as classes, matched to them; everything is fitted and scored
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unsegcli.core.scoring import matching, scores
from unsegcli.core.superpixels.features import region_features
from unsegcli.dataflow.dataset import dataset_from_artifact
from unsegcli.labels import match_labels, read_labels
from unsegcli.legend import read_legend

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

NAMED_CLUSTERS = 24
SPLITS = 3  # random halves
FITTED = 6000  # regions that k-means is fitted on
PROBED = 8000  # regions that the probe learns from
STARTS = 3  # of k-means in one to one
LLOYD, PROBE_STEPS = 40, 35  # iterations, at most
DECAY = 1e-4  # of the probe's weights


class Score(NamedTuple):
    """Accuracy and mean intersection over union, over pixels."""

    accuracy: float
    miou: float

    def __str__(self) -> str:
        return f"{self.accuracy:.3f}/{self.miou:.3f}"


class Measured(NamedTuple):
    """The means of the three measures over splits."""

    probe: Score
    named: Score
    matched: Score

    def __str__(self) -> str:
        return f"probe {self.probe}  named {self.named}  one to one {self.matched}"


@dataclass(frozen=True)
class Regions:
    """All regions of a labelled set of images."""

    name: str
    bands: int
    features: Floats  # (regions, features) of `region_features`
    areas: NDArray[np.float64]  # (regions,)
    counts: NDArray[np.float64]  # (regions, classes)
    images: NDArray[np.int64]  # (regions,) number of the image
    maps: list[NDArray[np.int32]] = field(repr=False, default_factory=list)  # regions of each image, -1 = void
    pixels: list[NDArray[np.uint8]] = field(repr=False, default_factory=list)
    vectors: list[Floats] = field(repr=False, default_factory=list)  # (regions, dimensions) of each image, if stored


def read_regions(superpixels: Path, labels: Path, legend: Path) -> Regions:
    """Read superpixels of whole images, compute their features, and count the labels in them.

    The superpixels may be those of a file of features, whose vectors are read as well.
    """
    dataset, classes = dataset_from_artifact(superpixels).opened(1), read_legend(legend)
    windows = [window for unit in dataset.units for window in unit.windows()]
    names = [unit.source.name for unit in dataset.units]
    files = match_labels(names, labels).paths
    maps, pixels, features, counts = [], [], [], []
    for window, name in zip(windows, names, strict=True):
        regions = window.superpixels
        assert regions is not None
        maps.append(regions)
        pixels.append(window.pixels)
        features.append(region_features(window.pixels, regions))
        truth = read_labels(files[name][0], classes)[0]
        counts.append(label_counts(regions, truth, len(features[-1]), len(classes.names)))
    sizes = [
        np.bincount(regions[regions >= 0], minlength=len(one)) for regions, one in zip(maps, features, strict=True)
    ]
    images = np.repeat(np.arange(len(maps)), [len(one) for one in features])
    areas = np.concatenate(sizes).astype(np.float64)
    bands = pixels[0].shape[2]
    joined = np.concatenate(features), areas, np.concatenate(counts), images
    vectors = [window.features for window in windows if window.features is not None]
    return Regions(superpixels.name.partition(".")[0], bands, *joined, maps, pixels, vectors)


def label_counts(regions: NDArray[Any], truth: NDArray[Any], count: int, classes: int) -> NDArray[np.float64]:
    """Count the pixels of each class in each region: (count, classes); regions and labels below 0 are left out."""
    known = (regions >= 0) & (truth >= 0)
    cells = regions[known].astype(np.int64) * classes + truth[known]
    return np.bincount(cells, minlength=count * classes).reshape(count, classes).astype(np.float64)


def random_half(images: NDArray[Any], split: int) -> Mask:
    """Return whether the image of each region is in a random half of the images."""
    count = int(images.max()) + 1
    drawn = np.zeros(count, np.bool_)
    drawn[np.random.default_rng(split).permutation(count)[: count // 2]] = True
    return drawn[images]


def measure(
    features: NDArray[Any], areas: NDArray[Any], counts: NDArray[Any], images: NDArray[Any], splits: int = SPLITS
) -> Measured:
    """Average all three measures over random halves and seeds; of the named map each half is learned from once."""
    probes, named, matched = [], [], []
    for split in range(splits):
        learned = random_half(images, split)
        probes.append(linear_probe(features, counts, learned))
        named += [named_map(features, areas, counts, half, split) for half in (learned, ~learned)]
        matched.append(one_to_one(features, areas, counts, split))
    return Measured(mean_score(probes), mean_score(named), mean_score(matched))


def mean_score(found: Sequence[Score]) -> Score:
    """Average scores."""
    accuracy, miou = np.mean(found, axis=0)
    return Score(float(accuracy), float(miou))


def linear_probe(features: NDArray[Any], counts: NDArray[Any], learned: Mask) -> Score:
    """Learn a linear classifier on one half and score it on the other."""
    points = _with_constant(features)
    labelled = np.flatnonzero(learned & (counts.sum(axis=1) > 0))
    taken = labelled[np.random.default_rng(0).permutation(len(labelled))[:PROBED]]
    seen, truth = points[taken], torch.from_numpy(counts[taken]).float()
    weights = torch.zeros(points.shape[1], counts.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=PROBE_STEPS, history_size=8, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = -(truth * torch.log_softmax(seen @ weights, 1)).sum() / truth.sum() + DECAY * (weights**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)
    predicted = (points[torch.from_numpy(~learned)] @ weights).argmax(1).numpy()
    return _scored(_matrix(predicted, counts[~learned], counts.shape[1]))


def named_map(
    features: NDArray[Any],
    areas: NDArray[Any],
    counts: NDArray[Any],
    learned: Mask,
    seed: int = 0,
    clusters: int = NAMED_CLUSTERS,
) -> Score:
    """Fit and name clusters on one half and score their names on the other."""
    fitted = np.flatnonzero(learned)
    fitted = fitted[np.random.default_rng(seed).permutation(len(fitted))[:FITTED]]
    found = nearest(features, fit_clusters(features[fitted], areas[fitted], clusters, seed))
    names = _matrix(found[learned], counts[learned], clusters).argmax(axis=1)
    return _scored(_matrix(names[found[~learned]], counts[~learned], counts.shape[1]))


def whole_map(
    features: NDArray[Any],
    areas: NDArray[Any],
    counts: NDArray[Any],
    seed: int = 0,
    clusters: int = NAMED_CLUSTERS,
) -> Score:
    """Fit, name and score clusters on all images."""
    fitted = np.random.default_rng(seed).permutation(len(features))[:FITTED]
    found = nearest(features, fit_clusters(features[fitted], areas[fitted], clusters, seed))
    matrix = _matrix(found, counts, clusters)
    return _scored(matrix, matrix.argmax(axis=1))


def one_to_one(features: NDArray[Any], areas: NDArray[Any], counts: NDArray[Any], seed: int = 0) -> Score:
    """Fit as many clusters as there are classes, and score the best matching of the two."""
    classes = counts.shape[1]
    fitted = np.random.default_rng(seed).permutation(len(features))[:FITTED]
    centres = fit_clusters(features[fitted], areas[fitted], classes, seed, STARTS)
    matrix = _matrix(nearest(features, centres), counts, classes)
    return _scored(matrix, matching.one_to_one(matrix))


def fit_clusters(features: NDArray[Any], areas: NDArray[Any], clusters: int, seed: int, starts: int = 1) -> Floats:
    """Fit k-means by matrix products, which is fast but depends on the machine: (clusters, dimensions)."""
    random = np.random.default_rng(seed)
    points = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    mass = torch.from_numpy(np.asarray(areas)).float()
    runs = [_lloyd(points, mass, _spread(points, mass, clusters, random)) for _ in range(starts)]
    best: Floats = min(runs, key=lambda run: run[0])[1].numpy()
    return best


def _spread(points: torch.Tensor, mass: torch.Tensor, clusters: int, random: np.random.Generator) -> torch.Tensor:
    """Choose centres by greedy k-means++."""
    share = mass.double().numpy()
    chosen = [int(random.choice(len(points), p=share / share.sum()))]
    squared = ((points - points[chosen[0]]) ** 2).sum(1)
    while len(chosen) < clusters:
        share = (mass * squared).double().numpy()
        candidates = random.choice(len(points), 3 + int(np.log(clusters)), p=share / share.sum())
        lowered = torch.minimum(squared[None], torch.cdist(points[candidates], points) ** 2)
        best = int((lowered * mass).sum(1).argmin())
        chosen.append(int(candidates[best]))
        squared = lowered[best]
    return points[chosen].clone()


def _lloyd(points: torch.Tensor, mass: torch.Tensor, centres: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Improve centres; return their inertia and themselves."""
    before = None
    for _ in range(LLOYD):
        distances, now = torch.cdist(points, centres).min(1)
        if before is not None and bool((now == before).all()):
            break
        before = now
        sizes = torch.zeros(len(centres)).index_add_(0, now, mass)
        sums = torch.zeros_like(centres).index_add_(0, now, points * mass[:, None])
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1e-9)[:, None], centres)
    return float((distances**2 * mass).sum()), centres


def nearest(features: NDArray[Any], centres: Floats) -> NDArray[np.int64]:
    """Return the number of the nearest centre of each region."""
    points = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    found: NDArray[np.int64] = torch.cdist(points, torch.from_numpy(centres)).argmin(1).numpy()
    return found


def _with_constant(features: NDArray[Any]) -> torch.Tensor:
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    return torch.from_numpy(np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1).astype(np.float32))


def _matrix(found: NDArray[Any], counts: NDArray[Any], clusters: int) -> NDArray[np.int64]:
    """Count pixels by cluster and class."""
    matrix = np.zeros((clusters, counts.shape[1]))
    np.add.at(matrix, found, counts)
    return matrix.astype(np.int64)


def _scored(matrix: NDArray[np.int64], classes: NDArray[np.intp] | None = None) -> Score:
    """Score pixels by cluster and class, given the class of each cluster; None = they are classes."""
    assigned = matching.assigned(matrix, np.arange(len(matrix)) if classes is None else classes)
    return Score(scores.accuracy(assigned), scores.mean_iou(assigned))
