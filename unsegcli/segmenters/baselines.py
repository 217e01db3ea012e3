"""The two k-means baselines, which every learned method must beat.

`regions` clusters features of superpixels; `bands` clusters blurred pixels.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.cells import bytes_of_highest_map
from unsegcli.core.kmeans import KMeans, kmeans
from unsegcli.core.scoring.cluster_number import FEWEST, Curve, stability_curve
from unsegcli.core.superpixels.features import GROUPS, blurred_pixels, region_features
from unsegcli.core.superpixels.region_space import FEWEST_IMAGES, Space, fit_space, place_weights, unchanged_space
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.estimates import PIXELS_WORKED_ON, part_of
from unsegcli.dataflow.runner import Peak, Result, gather, plain_peak
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import AUTO, VECTORS, Cluster, as_stored, changed_options
from unsegcli.segmenters.feature_files import (
    FeaturesFile,
    Vectors,
    as_needed,
    drawn_from,
    features_file,
    painted_cells,
    spaces_of_vectors,
    vectors_of,
)
from unsegcli.segmenters.nearness import COARSE, Nearness, nearness

BASELINES = {"regions": "k-means on region features", "bands": "k-means on blurred pixels"}
ONLY_BANDS, ONLY_REGIONS = ("blur", "samples"), ("describe", "place")  # settings
MOST_CLASSES = 65_535  # the limit of uint16, with one value reserved for void
LARGEST_SAMPLE = 500_000  # points that are sampled; more regions are subsampled evenly
MOST_VALUES = 24_000_000  # of features in the sample, in all
BYTES_OF_A_VALUE = 20  # of vectors that are mapped to their space
IMAGES_SAMPLED = 20_000  # images that points are drawn from, so that each shard of a run can fit the same centres
PIXELS_SAMPLED = 500_000_000  # of the windows of large images that points are drawn from
FITTED = 30_000  # points of the sample that k-means is fitted on


class Drawn(NamedTuple):
    """What is sampled from one window."""

    features: NDArray[np.float32]  # (point, dimension)
    areas: NDArray[np.float64]  # (point,) weight
    window: str  # identifies the window
    image: str  # identifies the image that the window is part of
    complete: bool  # whether these are all regions of the window


@dataclass(frozen=True)
class Sample:
    """The points that k-means is fitted on."""

    drawn: list[Drawn]
    features: NDArray[np.float32]  # (point, feature)
    weights: NDArray[np.float64]  # (point,)
    space: Callable[[int], Space]  # number of clusters -> in which distances are measured


@dataclass(frozen=True)
class Fit:
    """Centres of k-means, and the space of features in which distances are measured."""

    centres: NDArray[np.float64]  # (cluster, dimension), in the space
    space: Space
    means: NDArray[np.float64]  # (cluster, feature), mean of the sampled features of each cluster
    curve: Curve | None = None  # stability curve that chose the number of clusters; None = the number was given
    known: Mapping[str, Nearness] = field(default_factory=dict)  # window -> that of each of its regions

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.centres)

    def nearest(self, features: NDArray[np.float32], step: int = 1) -> Nearness:
        """Assign each row of features to its nearest centre; distances are rounded to multiples of `step`."""
        return nearness(self.space(features), self.centres, step)

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


def draw_sample(dataset: Dataset, params: Cluster, workers: int | str) -> Sample:
    """Sample features from all windows, or from some if there are many, to fit k-means on."""
    dataset = fitted_on(dataset, params.seed)
    windows = max(1, sum(unit.window_count for unit in dataset.units))
    draw = partial(_draw, params=params, points=LARGEST_SAMPLE // windows, values=MOST_VALUES // windows)
    drawn = list(gather(as_needed(dataset, params, refine=False), draw, "sampling", workers))
    features = np.concatenate([one.features for one in drawn]) if drawn else np.zeros((0, 1), np.float32)
    weights = np.concatenate([one.areas for one in drawn]) if drawn else np.zeros(0)
    if not len(features):
        raise DataError("no image has a valid pixel: check --nodata, --mask and --alpha")
    numbers = np.unique([one.image for one in drawn], return_inverse=True)[1]
    images = np.repeat(numbers, [len(one.areas) for one in drawn])
    return Sample(drawn, features, weights, _spaces(dataset, params, features, weights, images))


def fitted_on(dataset: Dataset, seed: int) -> Dataset:
    """Return the dataset with the windows that a sample is drawn from: no more images or pixels than are enough."""
    some = dataset.sample(PIXELS_SAMPLED, IMAGES_SAMPLED, seed)
    if some is not dataset:
        taken, whole = (sum(unit.window_count for unit in one.units) for one in (some, dataset))
        console.note(f"k-means is fitted on {taken} of {whole} windows, chosen at random")
    return some


def sampled_images(dataset: Dataset) -> dict[str, int]:
    """Return the entry of the recipe that says from how many images points are drawn, if not from all."""
    return {"sampled_images": IMAGES_SAMPLED} if dataset.image_count > IMAGES_SAMPLED else {}


def choose_number(sample: Sample, params: Cluster) -> Curve:
    """Choose and report the number of clusters for `--classes auto`; return the whole stability curve."""
    space = sample.space(params.max_classes)
    points = space(sample.features)
    curve = stability_curve(points, sample.weights, params.max_classes, seed=params.seed, spherical=space.unit)
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
    step, space = -(-len(sample.weights) // FITTED), sample.space(classes)
    fitted = kmeans(
        space(sample.features[::step]),
        classes,
        seed=params.seed,
        starts=params.starts,
        iterations=params.iterations,
        weights=sample.weights[::step],
        spherical=space.unit,
    )
    live = int(np.count_nonzero(fitted.weights))
    if live < classes:
        console.warn(f"the images have only {live} distinct feature vectors: the other clusters are empty")
    console.note(f"k-means: inertia {_listed(fitted)} of {params.starts} starts; the lowest is kept")
    return _fit(sample, space, fitted.centres, curve)


def _fit(sample: Sample, space: Space, centres: NDArray[np.float64], curve: Curve | None) -> Fit:
    """Describe each cluster by the mean of its sampled features, and keep what is known of complete windows."""
    fit = Fit(centres, space, np.zeros((0, 0)))
    nearest = [fit.nearest(one.features) for one in sample.drawn]
    clusters = np.concatenate([one.clusters for one in nearest])
    means = _means(sample.features, sample.weights, clusters, centres, space)
    once = Counter(one.window for one in sample.drawn)
    kept = zip(sample.drawn, nearest, strict=True)
    known = {
        one.window: replace(found, clusters=found.clusters.astype(np.min_scalar_type(fit.clusters)))
        for one, found in kept
        if one.complete and once[one.window] == 1
    }
    return replace(fit, means=means, curve=curve, known=known)


def _means(
    features: NDArray[Any], weights: NDArray[Any], nearest: NDArray[Any], centres: NDArray[Any], space: Space
) -> NDArray[np.float64]:
    """Average the features of each cluster: (cluster, feature); the overall mean for an empty one."""
    sizes = np.bincount(nearest, weights, minlength=len(centres))
    sums = np.stack([np.bincount(nearest, weights * one, minlength=len(centres)) for one in features.T], axis=1)
    some = sizes > 0
    means: NDArray[np.float64] = np.tile(np.asarray(space.mean, np.float64), (len(centres), 1))
    means[some] = sums[some] / sizes[some, None]
    return means


def _listed(fitted: KMeans) -> str:
    return ", ".join(f"{inertia:.6g}" for inertia in fitted.inertias)


def _spaces(
    dataset: Dataset, params: Cluster, features: NDArray[Any], areas: NDArray[Any], images: NDArray[Any]
) -> Callable[[int], Space]:
    """Return the space in which points are compared, for each number of clusters.

    Region features have different units and are standardised, and so are the layers of a network; pixels are not.
    """
    if dataset.kind == "features" and params.features == "regions":
        file = features_file(dataset)
        beside = None
        if params.colours:
            beside = _described(features[:, file.dimensions :], areas, images, file.bands, params)
        return spaces_of_vectors(features, areas, file, params, beside)
    bands = dataset.reading.channels if dataset.reading else 0
    plain = params.features == "bands"
    if plain:
        space = unchanged_space(features.shape[1])
    else:
        alike = dataset.reading is not None and dataset.reading.band_range == "same"
        described = _without_colours(params, bands) if alike else params
        space = _described(features, areas, images, bands, described, alike=alike)
    return lambda clusters: space


def _without_colours(params: Cluster, bands: int) -> Cluster:
    """Leave out by default what only has a meaning for colours: textures of lightness, and what depends on them."""
    if params.describe != Cluster.describe:
        return params
    console.note(
        f"regions are compared by the values of the {bands} bands alone, which are scaled alike; textures and position "
        "are left out (--describe LIST chooses others)"
    )
    return replace(params, describe=("colour",))


def _described(
    features: NDArray[Any],
    areas: NDArray[Any],
    images: NDArray[Any],
    bands: int,
    params: Cluster,
    *,
    alike: bool = False,
) -> Space:
    """Fit the space of hand-crafted features."""
    if "position" not in params.describe:
        place = (0.0, 0.0)
    elif params.place == AUTO:
        place = place_weights(features, areas, bands, images)
        _note_place(place, len(np.unique(images[areas > 0])))
    else:
        place = (float(params.place), float(params.place))
    return fit_space(features, areas, bands, place, params.describe, alike=alike)


def _note_place(place: tuple[float, float], images: int) -> None:
    if images < FEWEST_IMAGES:
        console.note(
            f"position is not used: to see whether it matters takes {FEWEST_IMAGES} images, and there "
            f"{'is' if images == 1 else 'are'} {images}"
        )
        return
    row, column = place
    console.note(f"weights: row {row:.2f}, column {column:.2f}, by how well they predict other images; colour 1")


def _draw(window: Window, params: Cluster, points: int, values: int) -> Drawn:
    """Sample features of a window and their weights: 1 for pixels, the area for regions.

    Args:
        window: the window.
        params: settings.
        points: regions to take at most; one is always taken.
        values: values of features to take at most.
    """
    image = " ".join(window.key.split()[:2])  # digest and page: all windows of an image are one image
    if params.features == "bands":
        features = blurred_pixels(window.pixels, params.blur, window.valid).reshape(-1, window.pixels.shape[2])
        inside = np.arange(len(features)) if window.valid is None else np.flatnonzero(window.valid)
        seed = int.from_bytes(hashlib.sha256(window.key.encode()).digest()[:8], "little")
        random = np.random.default_rng([params.seed, seed])
        taken = random.choice(inside, min(params.samples, len(inside)), replace=False)
        return Drawn(features[taken], np.ones(len(taken)), window.key, image, complete=False)
    found = vectors_compared(window, params)
    share = max(1, min(points, values // found.features.shape[1]))
    taken = drawn_from(found, window, params.seed, share)
    complete = found.grid is None and len(taken) == len(found.features)
    return Drawn(found.features[taken], found.areas[taken], window.key, image, complete)


class AssignedPixels(NamedTuple):
    """The cluster of each pixel of a window, and its distances to the centres, if they are known."""

    clusters: NDArray[np.int32]  # (height, width), -1 = void
    places: NDArray[np.int32] | None = None  # (height, width) the point of each pixel, -1 = void
    near: Nearness | None = None  # of the points

    def result(self, categories: NDArray[Any], count: int) -> Result:
        """Encode a map of `count` categories, given that of each cluster, and the distances."""
        labels = label_map(self.clusters, categories, count)
        if self.places is None or self.near is None:
            return Result({"segmentation": store.encode(labels)}, {})
        distances, row = self.near.painted(self.places)
        return Result({"segmentation": store.encode(labels), **distances}, row)


def label_map(clusters: NDArray[np.int32], categories: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the category of each pixel, given that of each cluster; the maximum of the type is void."""
    dtype = np.uint8 if count <= np.iinfo(np.uint8).max else np.uint16
    # Index -1 (void) selects the last entry.
    labels: NDArray[Any] = np.append(categories, np.iinfo(dtype).max).astype(dtype)[clusters]
    return labels


def assign_window(window: Window, params: Cluster, fit: Fit) -> Result:
    """Compute the encoded label map of one window, and the distances to the centres."""
    return assigned(window, params, fit).result(np.arange(fit.clusters), fit.clusters)


def assigned_to(window: Window, params: Cluster, fit: Fit) -> NDArray[Any]:
    """Compute the label map (height, width) of one window; the maximum of its type is void."""
    return label_map(assigned(window, params, fit).clusters, np.arange(fit.clusters), fit.clusters)


def assigned(window: Window, params: Cluster, fit: Fit) -> AssignedPixels:
    """Assign each pixel of a window to a cluster."""
    if params.features == "bands":
        places, near = _pixels_and_nearest(window, params, fit)
    elif window.dense is not None and window.features is None:
        return AssignedPixels(_clusters_of_cells(window, params, fit))
    else:
        places, near = _regions_and_nearest(window, params, fit)
    return AssignedPixels(np.append(near.clusters, -1).astype(np.int32)[places], places, near)


def _clusters_of_cells(window: Window, params: Cluster, fit: Fit) -> NDArray[np.int32]:
    found = vectors_compared(window, params)
    clusters = painted_cells(window, found, fit.space(found.features), fit.centres, refine=bool(params.refine))
    return np.where(found.numbers < 0, -1, clusters)


def _pixels_and_nearest(window: Window, params: Cluster, fit: Fit) -> tuple[NDArray[np.int32], Nearness]:
    pixels = blurred_pixels(window.pixels, params.blur, window.valid)
    shape, points = pixels.shape[:2], pixels.reshape(-1, pixels.shape[2])
    if window.valid is None:
        return np.arange(len(points), dtype=np.int32).reshape(shape), fit.nearest(points, COARSE)
    inside = np.flatnonzero(window.valid)
    places = np.full(shape, -1, np.int32)
    places[window.valid] = np.arange(len(inside))
    return places, fit.nearest(points[inside], COARSE)


def _regions_and_nearest(window: Window, params: Cluster, fit: Fit) -> tuple[NDArray[np.int32], Nearness]:
    if window.key in fit.known and window.superpixels is not None:
        return window.superpixels, fit.known[window.key]
    found = vectors_compared(window, params)
    return found.numbers, fit.nearest(found.features)


def vectors_compared(window: Window, params: Cluster) -> Vectors:
    """Return the vectors of a file of features, else hand-crafted features of superpixels."""
    if window.features is not None or window.dense is not None:
        return vectors_of(window, colours=params.colours != 0)
    regions = window.superpixels
    if regions is None:
        raise ValueError("the window has no superpixels")
    return Vectors(regions, region_features(window.pixels, regions))


def untrained(dataset: Dataset, params: Cluster) -> Fit:
    """Make dummy centres of the right shape, to time the assignment."""
    window = part_of(dataset.units[0].windows()[0], PIXELS_WORKED_ON)
    classes = params.max_classes if params.classes == AUTO else params.number
    features = _draw(window, params, points=classes, values=MOST_VALUES).features.shape[1]
    return Fit(np.zeros((classes, features)), unchanged_space(features), np.zeros((classes, features)))


def peak_of(dataset: Dataset, params: Cluster, file: FeaturesFile | None) -> Peak:
    """Return an estimate of the peak memory in bytes, by the pixels and bands of an image."""
    if file is None or params.features == "bands":
        return plain_peak
    window = dataset.units[0].windows()[0]
    own, width = len(vectors_of(window, colours=False).features), file.width(colours=params.colours != 0)
    windows = sum(unit.window_count for unit in dataset.units)
    limit = min(LARGEST_SAMPLE // windows, MOST_VALUES // windows // width)
    sample = windows * min(own, max(1, limit)) * width * BYTES_OF_A_VALUE
    cells = own * width * BYTES_OF_A_VALUE / max(1, window.box.height * window.box.width)
    classes = params.max_classes if params.classes == AUTO else params.number

    def peak(pixels: int, bands: int) -> float:
        maps = bytes_of_highest_map(pixels, classes, bands if params.refine else 0) if file.dense else 0.0
        return float(max(sample, plain_peak(pixels, bands) if params.colours else 0.0, maps + pixels * cells))

    return peak


def settings_of(params: Cluster, file: FeaturesFile | None = None) -> dict[str, Any]:
    """Return the settings that the result depends on; `regions` uses neither blur nor samples."""
    if file is not None and params.features == "regions":
        return _settings_of_vectors(params, file)
    names = ["classes", "features", "starts", "iterations", "seed"]
    names += ONLY_BANDS if params.features == "bands" else ONLY_REGIONS
    names += ["max_classes"] if params.classes == AUTO else []
    return as_stored({name: _recorded(getattr(params, name)) for name in names})


def _settings_of_vectors(params: Cluster, file: FeaturesFile) -> dict[str, Any]:
    names = ["classes", "features", "starts", "iterations", "seed", "metric", "pca", "whiten", "colours"]
    names += ONLY_REGIONS if params.colours else ()
    names += ["refine"] if file.dense else []
    names += ["max_classes"] if params.classes == AUTO else []
    return as_stored({name: _recorded(getattr(params, name)) for name in names})


def check_without_features(params: Cluster, what: str) -> None:
    """Raise an error for settings that are for files of features only."""
    named = changed_options(params, (VECTORS,), ("per", "refine"))
    if named:
        raise ConfigError(f"{what}: is not a file of features, but {', '.join(named)} is only for one; leave it out")


def _recorded(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def check_settings(params: Cluster) -> None:
    other, only = ("bands", ONLY_BANDS) if params.features == "regions" else ("regions", ONLY_REGIONS)
    for name in only:
        if getattr(params, name) != getattr(Cluster, name):
            raise ConfigError(f"--{name} is only for --features {other}; leave it out")
    if params.place != AUTO and not (isinstance(params.place, int | float) and 0 <= params.place < math.inf):
        raise ConfigError(f"--place {params.place}: must be a number from 0, or {AUTO}")
    if not params.describe or not set(params.describe) <= set(GROUPS):
        raise ConfigError(f"--describe {','.join(params.describe)}: is not a list of some of {', '.join(GROUPS)}")
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
