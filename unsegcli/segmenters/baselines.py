"""The two k-means baselines: they learn nothing but centres, and are what a learned method must beat.

`regions` clusters colour, texture and position of superpixels; `bands` clusters blurred pixels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.kmeans import KMeans, assign, kmeans
from unsegcli.core.scoring.cluster_number import FEWEST, Curve, stability_curve
from unsegcli.core.superpixels.features import blurred_pixels, feature_weights, region_features, standardise
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.runner import Result, gather
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import AUTO, Cluster, as_stored

BASELINES = {"regions": "k-means on region features", "bands": "k-means on blurred pixels"}
ONLY_BANDS = ("blur", "samples")  # settings
MOST_CLASSES = 65_535  # a uint16 map with one value to spare for void
LARGEST_SAMPLE = 500_000  # regions that k-means is fitted on; more are thinned evenly

Scaling = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]


@dataclass(frozen=True)
class Sample:
    """What k-means is fitted on."""

    points: NDArray[Any]  # (point, dimension), scaled
    weights: NDArray[Any]  # (point,)
    scaling: Scaling  # mean, deviation and weight of each dimension


@dataclass(frozen=True)
class Fit:
    """Centres of k-means, and how features are brought to the scale in which distances are taken."""

    centres: NDArray[np.float64]  # (cluster, dimension), as scaled
    mean: NDArray[np.float64]  # (dimension,)
    deviation: NDArray[np.float64]  # (dimension,)
    weights: NDArray[np.float32]  # (dimension,) how much each counts
    curve: Curve | None = None  # how the number of clusters was chosen, if it was not given

    @property
    def clusters(self) -> int:
        """How many centres there are."""
        return len(self.centres)

    def nearest(self, features: NDArray[np.float32]) -> NDArray[np.int32]:
        """The cluster of each row."""
        return assign(standardise(features, self.mean, self.deviation, self.weights), self.centres)

    def in_feature_units(self) -> NDArray[np.float64]:
        """The centres as features, for people and for later use; the mean in dimensions that do not count."""
        counts = self.weights > 0
        away = np.divide(self.centres, self.weights, out=np.zeros_like(self.centres), where=counts)
        return away * self.deviation + self.mean

    def curve_tables(self) -> dict[str, NDArray[Any]]:
        """How the number of clusters was chosen, as datasets; none if it was given."""
        if self.curve is None:
            return {}
        return {
            "choice/clusters": np.asarray(self.curve.numbers, np.int32),
            "choice/stability": np.asarray(self.curve.scores, np.float64),
        }


def draw_sample(dataset: Dataset, params: Cluster, workers: int) -> Sample:
    """Points of all windows for k-means to be fitted on, scaled."""
    share = max(1, LARGEST_SAMPLE // max(1, sum(unit.window_count for unit in dataset.units)))
    draw = partial(_draw, params=params, share=share)
    drawn = list(gather(dataset, draw, "sampling", workers))
    points = np.concatenate([features for features, _ in drawn]) if drawn else np.zeros((0, 1))
    weights = np.concatenate([areas for _, areas in drawn]) if drawn else np.zeros(0)
    if not len(points):
        raise DataError("no valid pixel was found in any image: look at --nodata, --mask and --alpha")
    scaling = _scaling(dataset, params, points, weights)
    return Sample(standardise(points, *scaling), weights, scaling)


def choose_number(sample: Sample, params: Cluster) -> Curve:
    """The number of clusters for `--classes auto`, with what was found for all numbers; says both."""
    curve = stability_curve(sample.points, sample.weights, params.max_classes, seed=params.seed)
    for number, score in zip(curve.numbers, curve.scores, strict=True):
        console.note(f"{number:>3} clusters: stability {score:.3f}{'  <- taken' if number == curve.chosen else ''}")
    if not curve.is_clear:
        console.warn(
            f"no number of clusters stands out, so {curve.chosen} means little; say --classes N if you know better"
        )
    return curve


def fit_centres(dataset: Dataset, params: Cluster, workers: int) -> Fit:
    """K-means on a sample of all windows, and before that the choice of a number if none is given."""
    sample = draw_sample(dataset, params, workers)
    curve = choose_number(sample, params) if params.classes == AUTO else None
    classes = curve.chosen if curve else params.number
    fitted = kmeans(
        sample.points,
        classes,
        seed=params.seed,
        starts=params.starts,
        iterations=params.iterations,
        weights=sample.weights,
    )
    live = int(np.count_nonzero(fitted.weights))
    if live < classes:
        console.warn(f"the images have only {live} distinct features: the other clusters stay empty")
    console.note(f"k-means: inertia {_listed(fitted)} of {params.starts} starts; the lowest is kept")
    return Fit(fitted.centres, *sample.scaling, curve)


def _listed(fitted: KMeans) -> str:
    return ", ".join(f"{inertia:.6g}" for inertia in fitted.inertias)


def _scaling(dataset: Dataset, params: Cluster, points: NDArray[Any], areas: NDArray[Any]) -> Scaling:
    """Mean, deviation and weight of each dimension.

    Region features differ in unit and are standardised; pixels and ready-made features are left as they are.
    """
    dimensions = points.shape[1]
    if params.features == "bands" or dataset.kind == "features":
        return np.zeros(dimensions), np.ones(dimensions), np.ones(dimensions, np.float32)
    mean = np.average(points, axis=0, weights=areas)
    deviation = np.sqrt(np.average((points - mean) ** 2, axis=0, weights=areas))
    return mean, deviation, feature_weights(points, areas, dataset.reading.channels if dataset.reading else 0)


def _draw(window: Window, params: Cluster, share: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A sample of the window's features, and the weight of each: pixels count alike, regions by their area."""
    if params.features == "bands":
        features = blurred_pixels(window.pixels, params.blur, window.valid).reshape(-1, window.pixels.shape[2])
        inside = np.arange(len(features)) if window.valid is None else np.flatnonzero(window.valid)
        seed = int.from_bytes(hashlib.sha256(window.key.encode()).digest()[:8], "little")
        random = np.random.default_rng([params.seed, seed])
        taken = random.choice(inside, min(params.samples, len(inside)), replace=False)
        return features[taken], np.ones(len(taken))
    regions, features = _regions_and_features(window)
    areas = np.bincount(regions[regions >= 0], minlength=len(features)).astype(np.float64)
    step = -(-len(features) // share) or 1
    return features[::step], areas[::step]


def assign_window(window: Window, params: Cluster, fit: Fit) -> Result:
    """The label map of one window, encoded."""
    return Result({"segmentation": store.encode(assigned_to(window, params, fit))}, {})


def assigned_to(window: Window, params: Cluster, fit: Fit) -> NDArray[Any]:
    """The label map (height, width) of one window; the maximum of its type is void."""
    dtype = np.uint8 if fit.clusters <= np.iinfo(np.uint8).max else np.uint16
    void = np.iinfo(dtype).max
    if params.features == "bands":
        pixels = blurred_pixels(window.pixels, params.blur, window.valid)
        labels = fit.nearest(pixels.reshape(-1, pixels.shape[2])).reshape(pixels.shape[:2]).astype(dtype)
        if window.valid is not None:
            labels[~window.valid] = void
    else:
        regions, features = _regions_and_features(window)
        # Regions that are -1 take the last entry.
        labels = np.append(fit.nearest(features), void).astype(dtype)[regions]
    return labels


def _regions_and_features(window: Window) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    regions = window.superpixels
    if regions is None:
        raise ValueError("the window has no superpixels")
    if window.features is not None:
        return regions, window.features
    return regions, region_features(window.pixels, regions)


def untrained(dataset: Dataset, params: Cluster) -> Fit:
    """Centres of the right shape, to measure how long assigning takes."""
    windows = dataset.units[0].windows()
    classes = params.max_classes if params.classes == AUTO else params.number
    drawn, _ = _draw(windows[0], params, share=classes)
    dimensions = drawn.shape[1]
    ones = np.ones(dimensions, np.float32)
    return Fit(np.zeros((classes, dimensions)), np.zeros(dimensions), ones.astype(np.float64), ones)


def settings_of(params: Cluster) -> dict[str, Any]:
    """What the result depends on: regions are not blurred, and all of them are taken."""
    names = ["classes", "features", "starts", "iterations", "seed"]
    names += ONLY_BANDS if params.features == "bands" else ()
    names += ["max_classes"] if params.classes == AUTO else []
    return as_stored({name: getattr(params, name) for name in names})


def check_settings(params: Cluster) -> None:
    for name in ONLY_BANDS if params.features == "regions" else ():
        if getattr(params, name) != getattr(Cluster, name):
            raise ConfigError(f"--{name} is for --features bands; regions have the size that superpixels gave them")
    if params.features not in BASELINES:
        raise ConfigError(f"--features {params.features}: is not one of {', '.join(BASELINES)}")
    if params.classes == AUTO:
        if not FEWEST <= params.max_classes <= MOST_CLASSES:
            raise ConfigError(f"--max-classes {params.max_classes}: must be from {FEWEST} to {MOST_CLASSES}")
    elif not 1 <= params.number <= MOST_CLASSES:
        raise ConfigError(f"--classes {params.classes}: must be from 1 to {MOST_CLASSES}")
    if params.samples < 1 or params.starts < 1 or params.iterations < 1 or params.blur < 0:
        raise ConfigError("--samples and --starts must be at least 1, and --blur not below 0")
