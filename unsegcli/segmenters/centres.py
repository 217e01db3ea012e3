"""Centres of an earlier k-means run: store them with all that they depend on, and apply them to new images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.superpixels.region_space import Space, inverse_deviation
from unsegcli.dataflow.dataset import Dataset, ImageUnit, Window, find_dataset, is_artifact, stored_sources
from unsegcli.dataflow.provenance import carried
from unsegcli.dataflow.runner import Result
from unsegcli.errors import ArtifactError, ConfigError, DataError, UnsegError, as_unseg_writes
from unsegcli.images.scaling import Limits
from unsegcli.images.working import Reading
from unsegcli.params import Cluster, Images, Inputs, Superpixels
from unsegcli.segmenters.baselines import BASELINES, Fit, assigned
from unsegcli.segmenters.cutting import check_superpixels, cut_window, with_void
from unsegcli.segmenters.feature_files import FeaturesFile, features_file
from unsegcli.segmenters.model_inputs import STILL_CHOSEN, check_stored, still_chosen

MOST_SEGMENTS = 10**9
CUTTING = ("algorithm", "segments", "pixels_per_segment", "compactness")  # settings of superpixels, as in their recipe
OF_A_MODEL = "model"  # the features, if they are the vectors of a model; see vector_groups.py
KEPT = ("categories/", "fit/", "pretrained/")
OF_VECTORS = ("metric", "layers", "colours")
STORED = ("centres", "fit/centres", "fit/mean", "fit/projection", "fit/scaling", "fit/settings")
EARLIER = "was made by an earlier version, {}; make it again"


@dataclass(frozen=True)
class FitSettings:
    """How the features were computed that k-means was fitted on."""

    features: str  # one of BASELINES
    blur: float
    kind: str  # of the input: pictures, superpixels or features
    patch: int
    stride: int
    superpixels: Mapping[str, Any] | None = None  # the settings CUTTING; None = not known, or not used
    metric: str = ""  # of vectors of a file of features
    layers: Sequence[Sequence[Any]] = ()  # of that file: name and dimensions of each
    colours: bool = False  # whether hand-crafted features stand beside its vectors


@dataclass(frozen=True)
class Centres:
    """Centres of an earlier k-means run, and what is needed to apply them to new images."""

    path: Path
    fingerprint: str
    reading: Reading  # how the earlier images were read
    scaling: Limits | None  # of each of their bands; None if it differs between images
    settings: FitSettings
    fit: Fit
    categories: NDArray[np.int64]  # (cluster,) the category of each centre: its own number, unless relabelled
    attributes: dict[str, Any]  # role and clusters, as in the earlier segmentation
    tables: dict[str, Any] = field(repr=False)  # datasets that a segmentation by these centres has as well

    @property
    def cutting(self) -> Superpixels | None:
        """Settings by which new images are cut into superpixels; None if that is not needed or not known."""
        cuts = self.settings.features == "regions" and self.settings.superpixels is not None
        return Superpixels(**(self.settings.superpixels or {})) if cuts else None


def cutting_from(path: str | Path, values: Mapping[str, Any]) -> Superpixels:
    """Return settings of superpixels as they are in a file, with their types and ranges checked."""
    with as_unseg_writes(path, "settings of superpixels"):
        usual = Superpixels()
        found = Superpixels(**{name: type(getattr(usual, name))(values[name]) for name in CUTTING})
        if max(found.segments, found.pixels_per_segment) > MOST_SEGMENTS:
            raise ValueError(f"more than {MOST_SEGMENTS}")
        check_superpixels(found)
        return found


# Storing


def fit_tables(fit: Fit, dataset: Dataset, params: Cluster) -> dict[str, Any]:
    """Return the datasets of a segmentation that allow to apply its centres to other images."""
    settings = asdict(_settings(dataset, params))
    if not settings["metric"]:  # so that the files of other inputs stay as they were
        settings = {name: value for name, value in settings.items() if name not in OF_VECTORS}
    text = json.dumps(settings, sort_keys=True)
    return {
        "fit/centres": np.asarray(fit.centres, np.float64),
        "fit/mean": fit.space.mean,
        "fit/projection": fit.space.projection,
        "fit/settings": np.frombuffer(text.encode(), np.uint8),
    }


def _settings(dataset: Dataset, params: Cluster) -> FitSettings:
    blur = params.blur if params.features == "bands" else 0.0
    if dataset.kind == "pictures":
        unit = dataset.units[0]
        patch, stride = (unit.patch, unit.stride) if isinstance(unit, ImageUnit) else (0, 0)
        return FitSettings(params.features, blur, dataset.kind, patch, stride)
    if dataset.kind == "features" and params.features == "regions":
        layers = features_file(dataset).layers
        return FitSettings("regions", blur, "features", 0, 0, None, params.metric, layers, params.colours != 0)
    with store.open_artifact(dataset.hints[dataset.kind]["path"]) as artifact:
        made = artifact.recipe.get("parameters", {}) if artifact.recipe.get("stage") == "superpixels" else {}
    # Superpixels of superpixels do not record the windows, which are known only if there is one for each image.
    known = "patch" in made or not any(unit.block or unit.window_count > 1 for unit in dataset.units)
    cutting = {name: made[name] for name in CUTTING} if known and all(name in made for name in CUTTING) else None
    return FitSettings(params.features, blur, dataset.kind, made.get("patch", 0), made.get("stride", 0), cutting)


# Reading


def read_centres(path: str | Path) -> Centres:
    """Read the centres of a segmentation by k-means."""
    with store.open_artifact(path, "segmentation") as artifact:
        if not artifact.has("fit/settings"):
            raise ArtifactError(f"--centres {path}: {_why_not(artifact)}")
        settings = stored_settings(artifact)
        if isinstance(settings, dict) and settings.get("features") == OF_A_MODEL:
            raise ConfigError(f"--centres {path}: groups the vectors of a model; give that model before the images")
        if artifact.has("fit/scaling") and _compares_own_features(settings):
            raise ArtifactError(f"--centres {path}: {EARLIER.format('which described superpixels in another way')}")
        try:
            return _centres_of(artifact, settings)
        except (ValueError, TypeError, KeyError, UnsegError) as error:
            raise ArtifactError(f"--centres {path}: its centres are not valid ({error}); make it again") from error


def stored_settings(artifact: store.Artifact) -> Any:
    """Return how the features of stored centres were computed, as it is in the file."""
    try:
        return json.loads(bytes(artifact.table("fit/settings")))
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"--centres {artifact.path}: its centres are not valid ({error}); make it again") from error


def _why_not(artifact: store.Artifact) -> str:
    if artifact.has("centres"):
        return EARLIER.format("which did not store how features are scaled")
    if artifact.recipe.get("stage") == "relabel":
        return "was relabelled from a file without centres; make that file again with `unseg cluster`, then relabel it"
    return "has no centres of k-means; give a segmentation that `unseg cluster` made without a model"


def _centres_of(artifact: store.Artifact, values: Any) -> Centres:
    settings = _read_settings(values)
    centres, space = artifact.table("fit/centres"), _space_of(artifact, unit=settings.metric == "cosine")
    if not (len(centres) and all(np.isfinite(one).all() for one in (centres, space.mean, space.projection))):
        raise ValueError("no centres, or values that are not finite")
    if centres.shape[1] != space.projection.shape[1] or len(space.mean) != len(space.projection):
        raise ValueError("centres, mean and projection differ in their dimensions")
    names = [name for name in artifact.field_names() if name in STORED or name.startswith(KEPT)]
    categories = np.arange(len(centres))
    if artifact.has("fit/category"):
        categories = artifact.table("fit/category").astype(np.int64)
    clusters = artifact.attributes["clusters"]
    if categories.min() < 0 or categories.max() >= clusters:
        raise ValueError(f"a centre of a category that is not among the {clusters} of the file")
    found = Centres(
        path=Path(artifact.path),
        fingerprint=artifact.fingerprint,
        reading=Reading.from_json(artifact.attributes["reading"]),
        scaling=shared_scaling(artifact),
        settings=settings,
        fit=Fit(centres, space, artifact.table("centres") if artifact.has("centres") else np.zeros((0, 0))),
        categories=categories,
        attributes={"role": artifact.attributes["role"], "clusters": clusters},
        tables={name: artifact.table(name) for name in names},
    )
    if found.cutting is not None:
        check_superpixels(found.cutting)
    return found


def _compares_own_features(values: Any) -> bool:
    """Return whether features of superpixels were compared that this program computes."""
    return isinstance(values, dict) and values.get("features") == "regions" and values.get("kind") != "features"


def _space_of(artifact: store.Artifact, *, unit: bool) -> Space:
    """Return the space of the features; of an older file from mean, deviation and weight of each."""
    if not artifact.has("fit/scaling"):
        return Space(artifact.table("fit/mean"), artifact.table("fit/projection"), unit)
    mean, deviation, weights = artifact.table("fit/scaling").T
    return Space(mean, np.diag(weights * inverse_deviation(deviation, mean)))


def _read_settings(values: dict[str, Any]) -> FitSettings:
    settings = FitSettings(**values)
    if settings.features not in BASELINES:
        raise ValueError(f"unknown features {settings.features}")
    if not settings.blur >= 0 or any(not isinstance(side, int) for side in (settings.patch, settings.stride)):
        raise ValueError("a blur, patch or stride that is not a number")
    return settings


def shared_scaling(artifact: store.Artifact) -> Limits | None:
    """Return the scaling that all images share, if they do."""
    reading = Reading.from_json(artifact.attributes["reading"])
    shared = {source.scaling for source in stored_sources(artifact)}
    one = reading.shares_scaling and len(shared) == 1
    return shared.pop() if one else None


# Finding new images


def dataset_to_assign(centres: Centres, inputs: Inputs, known_from: str | Path | None = None) -> Dataset:
    """Find new images or superpixels, to be read as the images were that the centres were fitted on.

    Args:
        centres: the centres to apply.
        inputs: the new images or superpixels.
        known_from: an earlier output; its digests are reused for files of unchanged size and modification time.
    """
    if any(is_artifact(path) for path in inputs.paths):
        dataset = find_dataset(inputs, kinds=("superpixels", "features"), known_from=known_from)
        check_comparable(centres, dataset)
    else:
        dataset = _new_images(centres, inputs, known_from)
    return dataset.with_input("centres", centres.path, centres.fingerprint)


def _new_images(centres: Centres, inputs: Inputs, known_from: str | Path | None) -> Dataset:
    first, settings = inputs.paths[0], centres.settings
    if settings.kind == "features" and settings.features == "regions":
        raise DataError(f"{first}: {centres.path} was fitted on a file of features; give such a file of these images")
    if settings.features == "regions" and centres.cutting is None:
        raise DataError(
            f"{first}: {centres.path} does not record how its superpixels were made; make those of these images with "
            "`unseg superpixels`, and give that file"
        )
    images = inputs.images
    if replace(images, **{name: getattr(Images, name) for name in STILL_CHOSEN}) != Images():
        raise ConfigError(
            f"--centres {centres.path}: sets how images are read; of these options use only --mask, --mosaic, --patch, "
            "--stride and --max-pixels"
        )
    if not images.patch and not images.stride:
        images = replace(images, patch=settings.patch, stride=settings.stride)
    dataset = find_dataset(replace(inputs, images=images), known_from=known_from, like=centres.reading)
    chosen = still_chosen(dataset, images)
    return replace(dataset, known=centres.reading, known_scaling=centres.scaling, recorded=(chosen,))


def check_comparable(centres: Centres, dataset: Dataset) -> None:
    """Raise an error if the features of an artifact are not those that the centres were fitted on."""
    path, own = dataset.hints[dataset.kind]["path"], "features"
    if centres.settings.features == "bands":
        needed = "superpixels"
    else:
        needed = own if centres.settings.kind == own else "superpixels"
    if dataset.kind != needed:
        raise DataError(
            f"{path}: is of kind {dataset.kind}, but {centres.path} was fitted on {needed}; give a file of that kind"
        )
    if dataset.kind == own:
        _check_features(centres, features_file(dataset))
        return
    check_stored(dataset, centres.path, centres.reading, centres.scaling, "fitted")


def _check_features(centres: Centres, file: FeaturesFile) -> None:
    """Raise an error if vectors are not those that the centres were fitted on."""
    settings = centres.settings
    if settings.colours and not file.bands:
        raise DataError(f"{file.path}: holds no pixels, but {centres.path} compares colours; make it again with them")
    found, needed = file.width(colours=settings.colours), len(centres.fit.space.mean)
    if found != needed:
        raise DataError(
            f"{file.path}: has features of {found} dimensions, but {centres.path} was fitted on features of "
            f"{needed}; compute them in the same way"
        )
    if settings.metric and [list(one) for one in settings.layers] != [list(one) for one in file.layers]:
        raise DataError(
            f"{file.path}: has other layers than {centres.path} was fitted on; compute them in the same way"
        )
    networks = carried({"features": {"path": file.path}}, "features").get("pretrained/digest", [])
    if networks != list(centres.tables.get("pretrained/digest", [])):
        raise DataError(f"{file.path}: other pretrained weights went in than into {centres.path}; use the same")


# Applying


def apply_centres(window: Window, centres: Centres, *, refine: bool = False) -> Result:
    """Assign every pixel of a window to a category, and encode the map; superpixels are made first if needed."""
    warning = ""
    if window.regions is None and centres.cutting is not None:
        pieces = cut_window(window, centres.cutting)
        window, warning = replace(window, regions=with_void(pieces.regions, pieces.count)), pieces.warning
    settings = centres.settings
    params = Cluster(features=settings.features, blur=settings.blur, colours=settings.colours, refine=refine)
    found = assigned(window, params, centres.fit).result(centres.categories, centres.attributes["clusters"])
    return replace(found, warning=warning)
