"""`unseg features`: the features of images by a pretrained network, for clustering and training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unsegcli import console
from unsegcli.core.geometry import working_grid
from unsegcli.dataflow.dataset import Dataset, StoredUnit, find_dataset, held_open
from unsegcli.dataflow.runner import Outcome, Pass, Stage, gather, prepare
from unsegcli.errors import ConfigError
from unsegcli.params import Features, Inputs, Run, recorded
from unsegcli.segmenters.feature_maps import Mapper
from unsegcli.segmenters.feature_vectors import (
    CELL,
    SAMPLE_IMAGES,
    SUPERPIXEL,
    Extraction,
    Projection,
    Reader,
    principal,
    sampled,
)
from unsegcli.segmenters.pretrained_networks import About, Choice

STAGE = Stage("features", 1, "features")
COLOURS = 3
HALF = 2  # bytes of a stored value


def features(inputs: Inputs, params: Features | None = None, run: Run | None = None) -> Outcome:
    """Compute the features of every image, for each superpixel or for each cell of a grid, and write them.

    Args:
        inputs: images, or an artifact of superpixels.
        params: the network and what is read of it.
        run: how to run, the device, and the artifact to write.
    """
    params, run = params or Features(), (run or Run()).of("features")
    _check(params)
    choice = Choice(params.backbone, str(params.weights), params.layers, COLOURS)
    reader = Reader(choice, run.device, params.resize, params.tile, params.per)
    mapper = reader.open()
    about = mapper.found.about
    console.note(about.described() if about else f"{params.backbone}: random weights, which learned nothing")
    dataset = find_dataset(inputs, known_from=run.output)
    reader = reader._replace(per=_per(params, dataset))
    if mapper.device.type != "cpu":
        run = replace(run, workers=1)
    found = prepare(STAGE, dataset, run, [_settings(params, mapper, reader.per)], {"network": _identity(about)})
    if found.earlier is not None:
        return found.earlier
    found = found.opened()
    assert found.dataset.reading is not None
    bands = found.dataset.reading.channels
    reader = reader._replace(choice=choice._replace(bands=bands))
    if reader.open().found.adapted:
        console.note(f"the first layer is adapted to {bands} bands; choose 3 with --bands to use it as it was trained")
    return _write(found, reader, params)


def _write(found: Pass, reader: Reader, params: Features) -> Outcome:
    mapper = reader.open()
    names = [layer.name for layer in mapper.found.network.layers]
    dimensions = [params.pca or layer.features for layer in mapper.found.network.layers]
    _check_components(params.pca, mapper)
    console.note(_expected(found.dataset, mapper, reader.per, sum(dimensions), params.pixels))
    projections: tuple[Projection, ...] = ()
    if params.pca and not found.run.dry_run:
        projections = _projections(found, reader, params.pca)
    tables = {
        "layers/name": names,
        "layers/dimensions": np.array(dimensions, np.int32),
        **_pretrained(mapper.found.about),
        **{f"pca/mean/{name}": one.mean for name, one in zip(names, projections, strict=False)},
        **{f"pca/components/{name}": one.components for name, one in zip(names, projections, strict=False)},
    }
    return found.write(Extraction(reader, params.pixels, projections), "features", {}, tables)


def _projections(found: Pass, reader: Reader, dimensions: int) -> tuple[Projection, ...]:
    """Find the principal components on a sample of all images."""
    units = found.dataset.units
    chosen = [units[place] for place in np.unique(np.linspace(0, len(units) - 1, min(len(units), SAMPLE_IMAGES), dtype=int))]
    some = replace(found.dataset, units=tuple(chosen))
    samples = gather(some, partial(sampled, reader=reader), "sampling", found.run.workers)
    projections = principal(samples, dimensions)
    kept = ", ".join(f"{100 * one.kept:.0f} %" for one in projections)
    console.note(f"{dimensions} principal components of each layer keep {kept} of the variance")
    return projections


def _settings(params: Features, mapper: Mapper, per: str) -> dict[str, Any]:
    """Return the settings that the result depends on, with what is chosen by default."""
    names = [layer.name for layer in mapper.found.network.layers]
    return {**recorded(params), "layers": names, "per": per, "tile": mapper.tile}


def _identity(about: About | None) -> dict[str, str]:
    return {"weights": "none"} if about is None else {"weights": about.name, "digest": about.digest}


def _pretrained(about: About | None) -> dict[str, list[str]]:
    if about is None:
        return {}
    return {
        "pretrained/name": [about.name],
        "pretrained/digest": [about.digest],
        "pretrained/licence": [about.licence],
        "pretrained/labels": [about.labels],
    }


def _per(params: Features, dataset: Dataset) -> str:
    if params.per == SUPERPIXEL and dataset.kind != "superpixels":
        raise ConfigError("--per superpixel needs superpixels; make them with `unseg superpixels`")
    return params.per or (SUPERPIXEL if dataset.kind == "superpixels" else CELL)


def _expected(dataset: Dataset, mapper: Mapper, per: str, dimensions: int, pixels: bool) -> str:
    """Say how large the output will be."""
    sizes = [_grid_of(dataset, unit.source.height, unit.source.width) for unit in dataset.units]
    area = sum(height * width for height, width in sizes)
    stride = min(layer.grid.stride for layer in mapper.found.network.layers)
    vectors = area * (mapper.resize / stride) ** 2
    if per == SUPERPIXEL:
        vectors = sum(_superpixels(unit) for unit in dataset.units if isinstance(unit, StoredUnit))
    assert dataset.reading is not None
    stored = vectors * dimensions * HALF + (area * dataset.reading.channels if pixels else 0)
    what = "superpixels" if per == SUPERPIXEL else "cells"
    return (
        f"{vectors:,.0f} {what} of {dimensions} features: at most {stored / 1e6:,.1f} MB, on {mapper.device}"
    )


def _grid_of(dataset: Dataset, height: int, width: int) -> tuple[int, int]:
    assert dataset.reading is not None
    return working_grid(height, width, dataset.reading.size, dataset.reading.scale)


def _superpixels(unit: StoredUnit) -> int:
    counts = held_open(unit.path, unit.fingerprint).table("windows/superpixels")
    return int(sum(counts[row] for row in unit.rows))


def _check(params: Features) -> None:
    if not 0.05 <= params.resize <= 16:
        raise ConfigError(f"--resize {params.resize:g}: must be from 0.05 to 16")


def _check_components(count: int, mapper: Mapper) -> None:
    fewest = min(mapper.found.network.layers, key=lambda layer: layer.features)
    if count > fewest.features:
        raise ConfigError(f"--pca {count}: layer {fewest.name} has only {fewest.features} features")
