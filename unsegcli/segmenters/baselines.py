"""The two k-means baselines, which every learned method must beat.

`regions` clusters colour, texture and position of superpixels; `bands` clusters blurred pixels.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.kmeans import KMeans, assign, kmeans
from unsegcli.core.scoring.cluster_number import FEWEST, Curve, stability_curve
from unsegcli.core.superpixels.features import (
    FEWEST_IMAGES,
    blurred_pixels,
    feature_groups,
    feature_weights,
    region_features,
    standardise,
)
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.estimates import PIXELS_WORKED_ON, part_of
from unsegcli.dataflow.runner import Result, gather
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import AUTO, Cluster, as_stored

BASELINES = {"regions": "k-means on region features", "bands": "k-means on blurred pixels"}
ONLY_BANDS, ONLY_REGIONS = ("blur", "samples"), ("place",)  # settings
MOST_CLASSES = 65_535  # the limit of uint16, with one value reserved for void
LARGEST_SAMPLE = 500_000  # regions that k-means is fitted on; more are subsampled evenly

Scaling = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]


class Drawn(NamedTuple):
    """What is sampled from one window."""

    features: NDArray[np.float32]  # (point, dimension)
    areas: NDArray[np.float64]  # (point,) weight
    image: str  # identifies the image that the window is part of


@dataclass(frozen=True)
class Sample:
    """The points that k-means is fitted on."""

    points: NDArray[Any]  # (point, dimension), scaled
    weights: NDArray[Any]  # (point,)
    scaling: Scaling  # mean, deviation and weight of each dimension


@dataclass(frozen=True)
class Fit:
    """Centres of k-means, and the scaling of features in which distances are measured."""

    centres: NDArray[np.float64]  # (cluster, dimension), in scaled units
    mean: NDArray[np.float64]  # (dimension,)
    deviation: NDArray[np.float64]  # (dimension,)
    weights: NDArray[np.float32]  # (dimension,)
    curve: Curve | None = None  # stability curve that chose the number of clusters; None = the number was given

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.centres)

    def nearest(self, features: NDArray[np.float32]) -> NDArray[np.int32]:
        """Assign each row of features to its nearest centre."""
        return assign(standardise(features, self.mean, self.deviation, self.weights), self.centres)

    def in_feature_units(self) -> NDArray[np.float64]:
        """Return the centres in the units of the features; the mean in dimensions of weight 0."""
        counts = self.weights > 0
        away = np.divide(self.centres, self.weights, out=np.zeros_like(self.centres), where=counts)
        return away * self.deviation + self.mean

    def curve_tables(self) -> dict[str, NDArray[Any]]:
        """Return the stability curve as datasets."""
        return tables_of_curve(self.curve)


def tables_of_curve(curve: Curve | None) -> dict[str, NDArray[Any]]:
    """Return a stability curve as datasets; empty if the number of clusters was given."""
    if curve is None:
        return {}
    return {
        "choice/clusters": np.asarray(curve.numbers, np.int32),
        "choice/stability": np.asarray(curve.scores, np.float64),
    }


def draw_sample(dataset: Dataset, params: Cluster, workers: int) -> Sample:
    """Sample scaled features from all windows, to fit k-means on."""
    share = max(1, LARGEST_SAMPLE // max(1, sum(unit.window_count for unit in dataset.units)))
    draw = partial(_draw, params=params, share=share)
    drawn = list(gather(dataset, draw, "sampling", workers))
    points = np.concatenate([one.features for one in drawn]) if drawn else np.zeros((0, 1))
    weights = np.concatenate([one.areas for one in drawn]) if drawn else np.zeros(0)
    if not len(points):
        raise DataError("no image has a valid pixel: check --nodata, --mask and --alpha")
    numbers = np.unique([one.image for one in drawn], return_inverse=True)[1]
    images = np.repeat(numbers, [len(one.areas) for one in drawn])
    scaling = _scaling(dataset, params, points, weights, images)
    return Sample(standardise(points, *scaling), weights, scaling)


def choose_number(sample: Sample, params: Cluster) -> Curve:
    """Choose and report the number of clusters for `--classes auto`; return the whole stability curve."""
    curve = stability_curve(sample.points, sample.weights, params.max_classes, seed=params.seed)
    report_curve(curve)
    return curve


def report_curve(curve: Curve) -> None:
    """Print a stability curve, and warn if it has no clear maximum."""
    for number, score in zip(curve.numbers, curve.scores, strict=True):
        console.note(f"{number:>3} clusters: stability {score:.3f}{'  <- chosen' if number == curve.chosen else ''}")
    if not curve.is_clear:
        console.warn(
            f"no number of clusters is clearly the most stable; {curve.chosen} is used, set --classes N to override it"
        )


def fit_centres(dataset: Dataset, params: Cluster, workers: int) -> Fit:
    """Fit k-means on a sample of all windows, first choosing the number of clusters if it is `auto`."""
    return fit_sample(draw_sample(dataset, params, workers), params)


def fit_sample(sample: Sample, params: Cluster) -> Fit:
    """Fit k-means on a sample, first choosing the number of clusters if it is `auto`."""
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
        console.warn(f"the images have only {live} distinct feature vectors: the other clusters are empty")
    console.note(f"k-means: inertia {_listed(fitted)} of {params.starts} starts; the lowest is kept")
    return Fit(fitted.centres, *sample.scaling, curve)


def _listed(fitted: KMeans) -> str:
    return ", ".join(f"{inertia:.6g}" for inertia in fitted.inertias)


def _scaling(
    dataset: Dataset, params: Cluster, points: NDArray[Any], areas: NDArray[Any], images: NDArray[Any]
) -> Scaling:
    """Return the mean, standard deviation and weight of each dimension.

    Region features have different units and are standardised; pixels and ready-made features are not.
    """
    dimensions = points.shape[1]
    if params.features == "bands" or dataset.kind == "features":
        return np.zeros(dimensions), np.ones(dimensions), np.ones(dimensions, np.float32)
    mean = np.average(points, axis=0, weights=areas)
    deviation = np.sqrt(np.average((points - mean) ** 2, axis=0, weights=areas))
    bands = dataset.reading.channels if dataset.reading else 0
    place = None if params.place == AUTO else float(params.place)
    weights = feature_weights(points, areas, bands, images, place)
    if place is None:
        _note_place(weights, bands, len(np.unique(images[areas > 0])))
    return mean, deviation, weights


def _note_place(weights: NDArray[np.float32], bands: int, images: int) -> None:
    if images < FEWEST_IMAGES:
        console.note(
            f"position is not used: to see whether it matters takes {FEWEST_IMAGES} images, and there are {images}"
        )
        return
    row, column = weights[dict(feature_groups(bands))["position"]]
    console.note(f"weights: row {row:.2f}, column {column:.2f}, by how well they predict other images; colour 1")


def _draw(window: Window, params: Cluster, share: int) -> Drawn:
    """Sample features of a window and their weights: 1 for pixels, the area for regions."""
    image = " ".join(window.key.split()[:2])  # digest and page: all windows of an image are one image
    if params.features == "bands":
        features = blurred_pixels(window.pixels, params.blur, window.valid).reshape(-1, window.pixels.shape[2])
        inside = np.arange(len(features)) if window.valid is None else np.flatnonzero(window.valid)
        seed = int.from_bytes(hashlib.sha256(window.key.encode()).digest()[:8], "little")
        random = np.random.default_rng([params.seed, seed])
        taken = random.choice(inside, min(params.samples, len(inside)), replace=False)
        return Drawn(features[taken], np.ones(len(taken)), image)
    regions, features = _regions_and_features(window)
    areas = np.bincount(regions[regions >= 0], minlength=len(features)).astype(np.float64)
    step = -(-len(features) // share) or 1
    return Drawn(features[::step], areas[::step], image)


def assign_window(window: Window, params: Cluster, fit: Fit) -> Result:
    """Compute the encoded label map of one window."""
    return Result({"segmentation": store.encode(assigned_to(window, params, fit))}, {})


def assigned_to(window: Window, params: Cluster, fit: Fit) -> NDArray[Any]:
    """Compute the label map (height, width) of one window; the maximum of its type is void."""
    dtype = np.uint8 if fit.clusters <= np.iinfo(np.uint8).max else np.uint16
    void = np.iinfo(dtype).max
    if params.features == "bands":
        pixels = blurred_pixels(window.pixels, params.blur, window.valid)
        labels = fit.nearest(pixels.reshape(-1, pixels.shape[2])).reshape(pixels.shape[:2]).astype(dtype)
        if window.valid is not None:
            labels[~window.valid] = void
    else:
        regions, features = _regions_and_features(window)
        # Index -1 (void) selects the last entry.
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
    """Make dummy centres of the right shape, to time the assignment."""
    window = part_of(dataset.units[0].windows()[0], PIXELS_WORKED_ON)
    classes = params.max_classes if params.classes == AUTO else params.number
    dimensions = _draw(window, params, share=classes).features.shape[1]
    ones = np.ones(dimensions, np.float32)
    return Fit(np.zeros((classes, dimensions)), np.zeros(dimensions), ones.astype(np.float64), ones)


def settings_of(params: Cluster) -> dict[str, Any]:
    """Return the settings that the result depends on; `regions` uses neither blur nor samples."""
    names = ["classes", "features", "starts", "iterations", "seed"]
    names += ONLY_BANDS if params.features == "bands" else ONLY_REGIONS
    names += ["max_classes"] if params.classes == AUTO else []
    return as_stored({name: getattr(params, name) for name in names})


def check_settings(params: Cluster) -> None:
    other, only = ("bands", ONLY_BANDS) if params.features == "regions" else ("regions", ONLY_REGIONS)
    for name in only:
        if getattr(params, name) != getattr(Cluster, name):
            raise ConfigError(f"--{name} is only for --features {other}; leave it out")
    if params.place != AUTO and not (isinstance(params.place, int | float) and 0 <= params.place < math.inf):
        raise ConfigError(f"--place {params.place}: must be a number from 0, or {AUTO}")
    if params.features not in BASELINES:
        raise ConfigError(f"--features {params.features}: is not one of {', '.join(BASELINES)}")
    if isinstance(params.classes, tuple):
        raise ConfigError(f"--classes {','.join(map(str, params.classes))}: only one number is possible here")
    if params.classes == AUTO:
        if not FEWEST <= params.max_classes <= MOST_CLASSES:
            raise ConfigError(f"--max-classes {params.max_classes}: must be from {FEWEST} to {MOST_CLASSES}")
    elif not 1 <= params.number <= MOST_CLASSES:
        raise ConfigError(f"--classes {params.classes}: must be from 1 to {MOST_CLASSES}")
    if params.samples < 1 or params.starts < 1 or params.iterations < 1 or params.blur < 0:
        raise ConfigError("--samples and --starts must be at least 1, and --blur not below 0")
