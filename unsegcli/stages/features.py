"""`unseg features`: the features of images by a pretrained network, for clustering and training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from unsegcli import console
from unsegcli.core.geometry import working_grid
from unsegcli.dataflow.dataset import Dataset, ImageUnit, StoredUnit, Unit, find_dataset, held_open
from unsegcli.dataflow.provenance import network_tables
from unsegcli.dataflow.runner import Outcome, Pass, Stage, gather, prepare
from unsegcli.errors import ConfigError
from unsegcli.params import AUTO, Cluster, Features, Inputs, Run, changed_options, recorded
from unsegcli.segmenters.feature_maps import Mapper
from unsegcli.segmenters.feature_vectors import (
    CELL,
    PIXELS_ON_GPU,
    SAMPLE_IMAGES,
    SUPERPIXEL,
    Extraction,
    ModelReader,
    Projection,
    VectorReader,
    principal,
    sampled,
)
from unsegcli.segmenters.model_file import is_model, read_model_file
from unsegcli.segmenters.model_inputs import dataset_for
from unsegcli.segmenters.pretrained_networks import About, Choice

STAGE = Stage("features", 1, "features")
COMPRESSING = STAGE._replace(revision=2)  # by principal components, of windows of large images
COLOURS = 3
SEEN_SIDE, MOST_ENLARGED = 512, 4.0  # the longer side of an image as the network sees it, and the largest factor
SMALLEST_RESIZE, LARGEST_RESIZE = 0.05, 16
HALF = 2  # bytes of a stored value
MODEL_LAYER = "vectors"
LIBRARIES = 600e6  # bytes of a process that has loaded a network
BYTES_A_PIXEL_IN_NETWORK = 500  # of lite0


def features(inputs: Inputs, params: Features | None = None, run: Run | None = None) -> Outcome:
    """Compute the features of every image, for each superpixel or for each cell of a grid, and write them.

    Args:
        inputs: images, or an artifact of superpixels.
        params: the network and what is read of it.
        run: how to run, the device, and the artifact to write.
    """
    params, run = params or Features(), (run or Run()).of("features")
    _check(params)
    if is_model(params.backbone):
        return _of_model(inputs, params, run)
    dataset = find_dataset(inputs, known_from=run.output)  # before a network is downloaded
    choice = Choice(params.backbone, str(params.weights), params.layers, COLOURS)
    reader = VectorReader(choice, run.device, 1.0, params.tile, _per(params, dataset))
    mapper = reader.open()
    about = mapper.found.about
    console.note(about.described() if about else f"{params.backbone}: random weights, which learned nothing")
    if mapper.device.type != "cpu":
        run = run.in_this_process(f"a network on {mapper.device.type}")
    elif run.dask:
        reader = reader._replace(device="cpu")  # as here, also on workers that have a GPU
    stage = COMPRESSING if params.pca else STAGE
    found = prepare(stage, dataset, run, [_settings(params, mapper, reader.per)], {"network": _identity(about)})
    if found.earlier is not None:
        return found.earlier
    found = found.opened()
    assert found.dataset.reading is not None
    bands, resize = found.dataset.reading.channels, _resize(params, found.dataset)
    reader = reader._replace(choice=choice._replace(bands=bands), resize=resize)
    if reader.open().found.adapted:
        what = "1 band" if bands == 1 else f"{bands} bands"
        console.note(f"the first layer is adapted to {what}; choose 3 with --bands to use it as it was trained")
    return _write(found, reader, params)


def _of_model(inputs: Inputs, params: Features, run: Run) -> Outcome:
    """Compute what a model of our own knows about each superpixel."""
    named = changed_options(params, (), ("weights", "layers", "resize"))
    if named or params.per == CELL:
        raise ConfigError(
            f"{', '.join(named) or '--dense'}: does not apply to a model, which gives a vector for each superpixel; "
            "leave it out"
        )
    model = read_model_file(params.backbone)
    dataset = dataset_for(model, inputs, run.output)
    if dataset.kind != "superpixels":
        raise ConfigError(f"{params.backbone}: gives vectors of superpixels; make them with `unseg superpixels`")
    console.note(f"{params.backbone}: {model.method.partition(' ')[0]}, trained by `unseg train`")
    settings = {"pca": params.pca, "pixels": params.pixels, "layers": [MODEL_LAYER]}
    stage = COMPRESSING if params.pca else STAGE
    found = prepare(stage, dataset, run.in_this_process("a model"), [settings])  # torch uses its own threads
    if found.earlier is not None:
        return found.earlier
    found, reader = found.opened(), ModelReader(str(params.backbone), run.device, Cluster().tile)
    dimensions = reader.dimensions(found.dataset.units[0].windows()[0])
    if params.pca > dimensions:
        raise ConfigError(f"--pca {params.pca}: the model has only {dimensions} dimensions")
    projections: tuple[Projection, ...] = ()
    if params.pca and not run.dry_run:
        projections = _projections(found, reader, params.pca)
    tables = {
        "layers/name": [MODEL_LAYER],
        "layers/dimensions": np.array([params.pca or dimensions], np.int32),
        **_stored(projections),
    }
    return found.write(Extraction(reader, params.pixels, projections), "features", {}, tables, separate=not params.pca)


def _at_once(mapper: Mapper) -> int:
    """Return how many pixels go through the network together; a CPU is fastest with one image for each process."""
    return 0 if mapper.device.type == "cpu" else max(1, round(PIXELS_ON_GPU / mapper.resize**2))


def _peak(mapper: Mapper, pixels: int, bands: int) -> float:
    """Estimate the peak memory of a process in bytes."""
    seen = pixels * mapper.resize**2
    cells = sum(layer.features / layer.grid.stride**2 for layer in mapper.found.network.layers)
    return LIBRARIES + BYTES_A_PIXEL_IN_NETWORK * min(seen, mapper.tile**2) + seen * (12 * bands + 8 * cells)


def _write(found: Pass, reader: VectorReader, params: Features) -> Outcome:
    mapper = reader.open()
    about, names = mapper.found.about, [layer.name for layer in mapper.found.network.layers]
    dimensions = [params.pca or layer.features for layer in mapper.found.network.layers]
    _check_components(params.pca, mapper)
    console.note(_expected(found.sharded().dataset, mapper, reader.per, sum(dimensions), params.pixels))
    projections: tuple[Projection, ...] = ()
    if params.pca and not found.run.dry_run:
        projections = _projections(found, reader, params.pca)
    tables = {
        "layers/name": names,
        "layers/dimensions": np.array(dimensions, np.int32),
        "layers/weight": np.array(mapper.found.weights),
        "resize": np.array([mapper.resize]),
        **(network_tables(about.name, about.digest, about.licence, about.labels) if about else {}),
        **_stored(projections),
    }
    work = Extraction(reader, params.pixels, projections, _at_once(mapper))
    return found.write(work, "features", {}, tables, peak=partial(_peak, mapper), separate=not params.pca)


def _projections(found: Pass, reader: Any, dimensions: int) -> tuple[Projection, ...]:
    """Find the principal components on a sample of all images, or of windows of large ones."""
    units = found.dataset.in_windows().units
    places = np.linspace(0, len(units) - 1, min(len(units), SAMPLE_IMAGES)).astype(int)
    some = replace(found.dataset, units=tuple(units[place] for place in places))
    samples = gather(some, partial(sampled, reader=reader), "sampling", found.run.pool)
    projections = principal(samples, dimensions)
    kept = ", ".join(f"{100 * one.kept:.0f} %" for one in projections)
    console.note(f"{dimensions} principal components of each layer keep {kept} of the variance")
    return projections


def _stored(projections: tuple[Projection, ...]) -> dict[str, Any]:
    """Return the tables that say how the stored vectors were made of the network's features."""
    if not projections:
        return {}
    return {
        "layers/features": np.array([len(one.mean) for one in projections], np.int32),
        "pca/mean": np.concatenate([one.mean for one in projections]),
        "pca/components": np.concatenate([one.components for one in projections]),
    }


def _settings(params: Features, mapper: Mapper, per: str) -> dict[str, Any]:
    """Return the settings that the result depends on, with what is chosen by default."""
    names = [layer.name for layer in mapper.found.network.layers]
    weights = list(mapper.found.weights)
    return {**recorded(params), "layers": names, "layer_weights": weights, "per": per, "tile": mapper.tile}


def _identity(about: About | None) -> dict[str, str]:
    if about is None:
        return {"weights": "none"}
    return {"weights": about.name, "digest": about.digest, "labels": about.labels}


def _per(params: Features, dataset: Dataset) -> str:
    if params.per == SUPERPIXEL and dataset.kind != "superpixels":
        raise ConfigError("--pooled needs superpixels; make them with `unseg superpixels`")
    return params.per or (SUPERPIXEL if dataset.kind == "superpixels" else CELL)


def _expected(dataset: Dataset, mapper: Mapper, per: str, dimensions: int, pixels: bool) -> str:
    """Say how large the output will be."""
    sizes = [_grid_of(dataset, source.height, source.width) for source in dataset.sources]
    area = sum(height * width for height, width in sizes)
    stride = min(layer.grid.stride for layer in mapper.found.network.layers)
    vectors = area * (mapper.resize / stride) ** 2
    if per == SUPERPIXEL:
        vectors = sum(unit.superpixels for unit in dataset.units if isinstance(unit, StoredUnit))
    assert dataset.reading is not None
    stored = vectors * dimensions * HALF + (area * dataset.reading.channels if pixels else 0)
    what = "superpixels" if per == SUPERPIXEL else "cells"
    return f"{vectors:,.0f} {what} of {dimensions} features: at most {stored / 1e6:,.1f} MB, on {mapper.device}"


def _resize(params: Features, dataset: Dataset) -> float:
    """Return the factor by which images are resized for the network."""
    if params.resize != AUTO:
        return float(params.resize)
    sides = [side for unit in dataset.units for side in _longer_sides(dataset, unit)]
    factor = min(MOST_ENLARGED, max(1.0, SEEN_SIDE / float(np.median(sides))))
    console.note(f"images are resized by {factor:.3g} for the network; use --resize FACTOR for another")
    return factor


def _longer_sides(dataset: Dataset, unit: Unit) -> list[int]:
    """Return the longer side of each window of an image."""
    if isinstance(unit, StoredUnit):
        boxes = held_open(unit.path, unit.fingerprint).table("windows/box")
        return [int(max(boxes[row][2:])) for row in unit.rows]
    side = max(_grid_of(dataset, unit.source.height, unit.source.width))
    patch = unit.patch if isinstance(unit, ImageUnit) else 0
    return [min(side, patch or side)] * unit.window_count


def _grid_of(dataset: Dataset, height: int, width: int) -> tuple[int, int]:
    assert dataset.reading is not None
    return working_grid(height, width, dataset.reading.size, dataset.reading.scale)


def _check(params: Features) -> None:
    if params.resize != AUTO and not SMALLEST_RESIZE <= float(params.resize) <= LARGEST_RESIZE:
        raise ConfigError(f"--resize {params.resize}: must be from {SMALLEST_RESIZE} to {LARGEST_RESIZE}, or {AUTO}")


def _check_components(count: int, mapper: Mapper) -> None:
    fewest = min(mapper.found.network.layers, key=lambda layer: layer.features)
    if count > fewest.features:
        raise ConfigError(f"--pca {count}: layer {fewest.name} has only {fewest.features} features")
