"""How the pixels, superpixels or cells of a segmentation were compared when it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from unsegcli import console, store
from unsegcli.core.superpixels.region_space import fit_space
from unsegcli.dataflow.dataset import Dataset, Window
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Cluster, Superpixels
from unsegcli.segmenters.behind import Behind
from unsegcli.segmenters.centres import OF_A_MODEL, check_comparable, read_centres, stored_settings
from unsegcli.segmenters.feature_files import as_needed
from unsegcli.segmenters.model_file import ModelFile, read_model_file
from unsegcli.segmenters.splitting import ByFeatures, ByVectors, Category, Compare, members
from unsegcli.segmenters.vector_groups import read_groups
from unsegcli.segmenters.vectors import RegionVectors, cutting_of, described_by, plain_vectors, with_superpixels

OF_K_MEANS = ("seed", "starts", "iterations", "samples")
BY_A_USER = " "  # in the name of a model's method: its own file, whose digest follows


@dataclass(frozen=True)
class Comparison:
    """What clusters are made from, and by which settings of k-means."""

    dataset: Dataset
    compare: Compare
    params: Cluster
    unit: bool = False  # whether only directions are compared
    categories: tuple[int, ...] = ()  # of each stored centre
    tables: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of the centres; empty = there are none
    workers: int = 0

    @property
    def centres(self) -> Any:
        """The stored centres (centre, dimension); None if there are none."""
        return np.asarray(self.tables["fit/centres"]) if self.tables else None


def comparison_of(category: Category, behind: Behind, workers: int) -> Comparison:
    """Find out how a segmentation was made: by k-means on features or on a model's vectors, or by a model itself."""
    with store.open_artifact(category.path, "segmentation") as artifact:
        settings = stored_settings(artifact) if artifact.has("fit/settings") else None
        stage = artifact.recipe.get("stage")
    if stage == "iem":
        raise ConfigError(f"{category.path}: its clusters are parts of each image alone, which --split cannot divide")
    params = Cluster(**{name: behind.settings[name] for name in OF_K_MEANS if name in behind.settings})
    if isinstance(settings, dict) and settings.get("features") != OF_A_MODEL:
        return _by_features(category, behind, params, workers)
    if settings is not None:
        return _by_groups(category, behind, params)
    model = None if behind.model is None else read_model_file(behind.model)
    if model is not None and (BY_A_USER not in model.method or behind.method is not None):
        console.note(f"comparing the vectors of {model.path}")
        return Comparison(behind.dataset(), _by_model(model, behind, cutting_of(model)), params, workers=1)
    return _by_hand(category, behind, params, workers, model)


def _by_features(category: Category, behind: Behind, params: Cluster, workers: int) -> Comparison:
    centres, dataset = read_centres(category.path), behind.dataset()
    if dataset.kind != "pictures":
        check_comparable(centres, dataset)
    elif centres.settings.features == "regions" and centres.cutting is None:
        raise DataError(f"{category.path}: give the superpixels that it was made from, after it")
    refine = bool(behind.settings.get("refine", False))
    own = centres.settings
    params = replace(params, features=own.features, blur=own.blur, colours=float(own.colours), refine=refine)
    cutting = centres.cutting if dataset.kind == "pictures" else None
    return Comparison(
        as_needed(dataset, params, refine=refine),
        ByFeatures(params, centres.fit.space, cutting),
        params,
        centres.fit.space.unit,
        tuple(map(int, centres.categories)),
        centres.tables,
        workers,
    )


def _by_groups(category: Category, behind: Behind, params: Cluster) -> Comparison:
    if behind.model is None:
        raise DataError(f"{category.path}: groups the vectors of a model; give that model after it")
    model = read_model_file(behind.model)
    if BY_A_USER in model.method and behind.method is None:
        raise ConfigError(f"{category.path}: was made by your own method; give its Python file after it")
    groups, _ = read_groups(category.path, model)
    compare = _by_model(model, behind, groups.cutting or Superpixels())
    categories = tuple(map(int, groups.categories))
    return Comparison(behind.dataset(), compare, params, categories=categories, tables=groups.kept, workers=1)


def _by_model(model: ModelFile, behind: Behind, cutting: Superpixels) -> Compare:
    method = None if behind.method is None else str(behind.method)
    return ByVectors(described_by(model, method, "auto", Cluster.tile, cutting))


def _by_hand(category: Category, behind: Behind, params: Cluster, workers: int, model: ModelFile | None) -> Comparison:
    """Compare superpixels by their colours and textures, in a space fitted to those of the category."""
    dataset = behind.dataset()
    console.note("comparing the colours and textures of superpixels")
    describe = partial(_described, cutting=Superpixels() if model is None else cutting_of(model))
    sample = members(dataset, ByVectors(describe), category, params, workers)
    bands = dataset.reading.channels if dataset.reading else 0
    space = fit_space(sample.points, sample.weights, bands, (0.0, 0.0))
    return Comparison(dataset, ByVectors(describe, space), params, workers=workers)


def _described(window: Window, cutting: Superpixels) -> RegionVectors:
    return plain_vectors(with_superpixels(replace(window, features=None), cutting))
