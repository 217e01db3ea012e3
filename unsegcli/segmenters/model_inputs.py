"""Find the images, superpixels or features to apply a model to: those given, else its training data.

Only the metadata of the model is read here, not its weights.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from unsegcli import console, store
from unsegcli.dataflow.dataset import Dataset, find_dataset, is_artifact
from unsegcli.dataflow.stored_vectors import StoredVectors, read_stored_vectors
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.scaling import Limits
from unsegcli.images.working import Reading
from unsegcli.params import Images, Inputs, as_stored
from unsegcli.segmenters.model_file import ModelFile, is_model

STILL_CHOSEN = ("patch", "stride", "max_pixels", "mosaic")  # all other reading options are those of the training images


def dataset_for(model: ModelFile, inputs: Inputs, known_from: str | Path | None = None) -> Dataset:
    """Find the images or superpixels to apply a model to: those given, else its training data.

    Args:
        model: metadata of the model.
        inputs: inputs given in addition to the model.
        known_from: an earlier output; its digests are reused for files of unchanged size and modification time.
    """
    wrong = [path for path in inputs.paths if is_model(path)]
    if wrong:
        raise ConfigError(f"{wrong[0]}: give only one model, before the images or superpixels")
    dataset = _named(model, inputs, known_from) if inputs.paths else _learned_from(model, inputs, known_from)
    dataset = replace(
        dataset,
        inputs={"model": model.fingerprint, **dataset.inputs},
        hints={"model": model.hint, **dataset.hints},
    )
    if dataset.kind != "pictures":
        if model.vectors is None or model.vectors.pixels:
            check_stored(dataset, model.path, model.reading, model.scaling)
        return dataset
    if model.scaling is None and model.reading.shares_scaling:
        console.warn(
            f"{model.path} does not record how its images were scaled: the scaling is computed from these images"
        )
    return replace(
        dataset, known=model.reading, known_scaling=model.scaling, recorded=(still_chosen(dataset, inputs.images),)
    )


def still_chosen(dataset: Dataset, images: Images) -> dict[str, Any]:
    """Return how images are read that are otherwise read like earlier ones, for the recipe: as given or decided."""
    return as_stored({name: getattr(dataset.images or images, name) for name in STILL_CHOSEN})


def _named(model: ModelFile, inputs: Inputs, known_from: str | Path | None) -> Dataset:
    plain = replace(inputs.images, **{name: getattr(Images, name) for name in STILL_CHOSEN})
    if plain != Images():
        raise ConfigError(
            f"{model.path}: a model sets how images are read; of these options use only --mask, --mosaic, --patch, "
            "--stride and --max-pixels"
        )
    if model.vectors is None:
        return find_dataset(inputs, known_from=known_from, like=model.reading)
    if not is_artifact(inputs.paths[0]) or store.kind_of(inputs.paths[0]) in ("superpixels", "segmentation"):
        raise ConfigError(
            f"{inputs.paths[0]}: {model.path} was trained on a file of features; make one of these images with `unseg "
            f"superpixels IMAGES -o sp.h5` and `unseg features sp.h5{_options(model.vectors)}`, and give that file"
        )
    dataset = find_dataset(inputs, kinds=("features",), known_from=known_from)
    _check_vectors(inputs.paths[0], model, model.vectors)
    return dataset


def _options(vectors: StoredVectors) -> str:
    """Return the options of `unseg features` that make such vectors, as far as they are known."""
    backbone = f" --backbone {vectors.network}" if len(vectors.pretrained.get("pretrained/name", ())) == 1 else ""
    return f"{backbone} --layers {','.join(vectors.names)}" if backbone and all(vectors.names) else backbone


def _check_vectors(path: str | Path, model: ModelFile, known: StoredVectors) -> None:
    """Raise an error if a file of features does not hold such vectors as the model was trained on."""
    found = read_stored_vectors(path)
    if not found.same_as(known):
        raise DataError(
            f"{path}: has vectors of {found}, but {model.path} was trained on {known}; make them in the same way"
        )
    if known.pixels and not found.pixels:
        raise DataError(
            f"{path}: has no pixels, but {model.path} was trained on a file with pixels; make it without --no-pixels"
        )


def _learned_from(model: ModelFile, inputs: Inputs, known_from: str | Path | None) -> Dataset:
    """Find the training data of a model, and check that it is unchanged."""
    kind = next((name for name in ("features", "superpixels", "pictures") if name in model.learned_from), None)
    again = f"`unseg cluster {model.path} IMAGES`"
    if kind is None:
        raise DataError(f"{model.path}: does not record its training data; name images or superpixels: {again}")
    path, fingerprint = model.learned_from[kind]["path"], model.learned_from[kind]["fingerprint"]
    if not Path(path).exists():
        raise DataError(
            f"{path}: not found, but {model.path} was trained on it; name its new path, or other images: {again}"
        )
    masks = model.learned_from.get("masks")
    mask = inputs.mask if inputs.mask is not None or masks is None else masks["path"]
    inputs = replace(inputs, paths=[path], mask=mask)
    whole = _named(model, replace(inputs, limit=None), known_from)
    if whole.inputs[kind] != fingerprint:
        raise DataError(
            f"{path}: has changed since {model.path} was trained on it; to use it as it is now, name it: "
            f"`unseg cluster {model.path} {path}`"
        )
    console.note(f"using {os.path.relpath(path)}, which {model.path} was trained on")
    return whole if inputs.limit is None else _named(model, inputs, known_from)


def check_stored(
    dataset: Dataset, earlier: Path, known: Reading, scaling: Limits | None, made: str = "trained"
) -> None:
    """Raise an error if stored pixels do not match those of the earlier images.

    Args:
        dataset: superpixels or features with their pixels.
        earlier: the model, or the segmentation with centres.
        known: how the earlier images were read.
        scaling: of each of their bands; None if it differs between images.
        made: what was done with them, for messages.
    """
    path, reading = dataset.hints[dataset.kind]["path"], dataset.reading
    if reading is None:
        return
    if reading.channels != known.channels:
        raise DataError(
            f"{path}: has {reading.channels} bands, but {earlier} was {made} on {known.channels}; choose "
            "them with --bands in `unseg superpixels`"
        )
    if "mixed" not in (reading.values, known.values) and reading.values != known.values:
        raise DataError(f"{path}: its images have another value type than those {earlier} was {made} on")
    if scaling is not None and any(unit.source.scaling != scaling for unit in dataset.units):
        console.warn(
            f"{path}: its bands are scaled differently from those {earlier} was {made} on; give the images instead "
            "to scale them in the same way"
        )
    if (reading.size, reading.scale) != (known.size, known.scale):
        console.warn(f"{path}: its images have another --size or --scale than those {earlier} was {made} on")
