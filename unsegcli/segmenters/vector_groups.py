"""Group the vectors of a model by k-means: any number of clusters, whatever number the model was trained with.

The centres are stored, so that they can be applied to new images with the same model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.kmeans import kmeans
from unsegcli.core.scoring.cluster_number import Curve, stability_curve
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.dataflow.runner import Result, gather
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.params import AUTO, Cluster, Superpixels
from unsegcli.segmenters.baselines import fitted_on, report_curve, tables_of_curve
from unsegcli.segmenters.centres import CUTTING, OF_A_MODEL, cutting_from, stored_settings
from unsegcli.segmenters.cutting import check_superpixels
from unsegcli.segmenters.model_file import ModelFile
from unsegcli.segmenters.nearness import nearness
from unsegcli.segmenters.vectors import Describe, RegionVectors, cutting_of, recorded_cutting

LARGEST_SAMPLE = 20_000  # superpixels that k-means is fitted on; more are subsampled evenly

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class VectorSample:
    """Vectors that k-means is fitted on."""

    points: Floats  # (superpixels, dimensions)
    areas: Floats  # (superpixels,)


@dataclass(frozen=True)
class VectorGroups:
    """Centres of k-means on vectors, which are compared as the method gives them."""

    centres: Floats  # (centres, dimensions)
    categories: NDArray[np.int64]  # (centres,) category of each: its own number, unless relabelled
    attributes: Mapping[str, Any]  # role and clusters of the segmentation
    curve: Curve | None = None  # stability curve that chose the number of clusters; None = the number was given
    kept: Mapping[str, Any] = field(default_factory=dict, repr=False)  # datasets of the file they were read from
    cutting: Superpixels | None = None  # how its images were cut into superpixels; None = not known

    def paint(self, found: RegionVectors) -> Result:
        """Encode the category of each pixel, the maximum of the type is void, and its distances to the centres."""
        # A window of void has no superpixels, and so its vectors have no dimensions.
        vectors = found.vectors if len(found.vectors) else np.zeros((0, self.centres.shape[1]), np.float32)
        near = nearness(vectors, self.centres)
        dtype = np.uint8 if self.attributes["clusters"] <= np.iinfo(np.uint8).max else np.uint16
        painted = np.append(self.categories[near.clusters], np.iinfo(dtype).max).astype(dtype)[found.regions]
        distances, row = near.painted(found.regions)
        return Result({"segmentation": store.encode(painted), **distances}, row)


# Fitting


def sample_vectors(dataset: Dataset, describe: Describe, seed: int) -> VectorSample:
    """Compute the vectors of all images, or of some if there are many, and take a sample of them."""
    dataset = fitted_on(dataset, seed)
    share = max(1, LARGEST_SAMPLE // max(1, sum(unit.window_count for unit in dataset.units)))
    drawn = []
    for found in gather(dataset, describe, "computing vectors", 1):
        step = -(-len(found.vectors) // share) or 1
        drawn.append((found.vectors[::step].copy(), found.areas[::step].copy()))  # views would keep all vectors
    areas = np.concatenate([part for _, part in drawn])
    if not areas.any():
        raise DataError("no image has a valid pixel: check --nodata, --mask and --alpha")
    points = np.concatenate([part for part, _ in drawn if len(part)]).astype(np.float64)
    return VectorSample(points, areas)


def fit_groups(sample: VectorSample, params: Cluster) -> VectorGroups:
    """Group a sample by k-means, first choosing the number of clusters if it is `auto`."""
    curve = None
    if params.classes == AUTO:
        curve = stability_curve(sample.points, sample.areas, params.max_classes, seed=params.seed)
        report_curve(curve)
    number = curve.chosen if curve else params.number
    best = kmeans(
        sample.points,
        number,
        seed=params.seed,
        starts=params.starts,
        iterations=params.iterations,
        weights=sample.areas,
    )
    inertias = ", ".join(f"{value:.6g}" for value in best.inertias)
    console.note(f"k-means, {number} clusters: inertia {inertias} of {params.starts} starts; the lowest is kept")
    attributes = {"role": "clusters", "clusters": number}
    return VectorGroups(best.centres, np.arange(number), attributes, curve)


def group_window(window: Window, describe: Describe, groups: VectorGroups | None) -> Result:
    """Compute the encoded cluster map of one window; without groups, all superpixels are in one."""
    found = describe(window)
    if groups is None:
        return Result({"segmentation": store.encode(np.where(found.regions < 0, 255, 0).astype(np.uint8))}, {})
    return groups.paint(found)


# Storing and reading


def stored_groups(groups: VectorGroups, model: ModelFile, cutting: Superpixels | None) -> dict[str, Any]:
    """Return the datasets of a segmentation that allow to apply its groups to other images."""
    cut = None if cutting is None else recorded_cutting(cutting)
    settings = {"features": OF_A_MODEL, "model": model.fingerprint, "superpixels": cut}
    return {
        "fit/centres": groups.centres,
        "fit/settings": np.frombuffer(json.dumps(settings, sort_keys=True).encode(), np.uint8),
        **tables_of_curve(groups.curve),
    }


def read_groups(path: str | Path, model: ModelFile) -> tuple[VectorGroups, str]:
    """Read the groups of a segmentation by the same model, and its fingerprint."""
    with store.open_artifact(path, "segmentation") as artifact:
        settings = stored_settings(artifact) if artifact.has("fit/settings") else {}
        if not isinstance(settings, dict) or settings.get("features") != OF_A_MODEL:
            raise ConfigError(
                f"--centres {path}: holds no groups of a model's vectors; make them with `unseg cluster {model.path} "
                "--classes N`, or leave out the model"
            )
        if settings.get("model") != model.fingerprint:
            raise ConfigError(f"--centres {path}: was made with another model than {model.path}; give that one")
        try:
            return _groups_of(artifact, settings), artifact.fingerprint
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"--centres {path}: its centres are not valid ({error}); make it again") from error


def _groups_of(artifact: store.Artifact, settings: Mapping[str, Any]) -> VectorGroups:
    centres = artifact.table("fit/centres")
    if not (len(centres) and np.isfinite(centres).all()):
        raise ValueError("no centres, or values that are not finite")
    categories = artifact.table("fit/category") if artifact.has("fit/category") else np.arange(len(centres))
    attributes = {name: artifact.attributes[name] for name in ("role", "clusters")}
    if categories.min() < 0 or categories.max() >= attributes["clusters"]:
        raise ValueError(f"a centre of a category that is not among the {attributes['clusters']} of the file")
    names = [name for name in artifact.field_names() if name.startswith(("categories/", "fit/"))]
    cutting = None if settings["superpixels"] is None else Superpixels(**settings["superpixels"])
    if cutting is not None:
        check_superpixels(cutting)
    kept = {name: artifact.table(name) for name in names}
    return VectorGroups(centres, categories.astype(np.int64), attributes, kept=kept, cutting=cutting)


def cutting_used(model: ModelFile, dataset: Dataset) -> Superpixels | None:
    """Return how the images are cut into superpixels, or were; None if that is not known."""
    if dataset.kind == "pictures":
        return cutting_of(model)
    if dataset.kind == "features":
        return None
    path = dataset.hints["superpixels"]["path"]
    with store.open_artifact(path) as artifact:
        made = artifact.recipe.get("parameters", {}) if artifact.recipe.get("stage") == "superpixels" else {}
    return cutting_from(path, made) if all(name in made for name in CUTTING) else None
