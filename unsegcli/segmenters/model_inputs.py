"""What a model is used on: images or superpixels that are named, or else those that it learned from.

Only what the model says of itself is read here, not its weights.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from unsegcli import console
from unsegcli.dataflow.dataset import Dataset, find_dataset
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Images, Inputs
from unsegcli.segmenters.model_file import ModelFile, is_model

STILL_CHOSEN = ("patch", "stride", "max_pixels")  # all else about reading images is as it was when they were learned


def dataset_for(model: ModelFile, inputs: Inputs, known_from: str | Path | None = None) -> Dataset:
    """The images or superpixels that a model is used on: those named, or else those that it learned from.

    Args:
        model: what the model says of itself.
        inputs: what the user named beside it.
        known_from: an earlier output, whose digests are believed where size and time stand.
    """
    wrong = [path for path in inputs.paths if is_model(path)]
    if wrong:
        raise ConfigError(f"{wrong[0]}: one model is taken at a time, before the images or superpixels")
    dataset = _named(model, inputs, known_from) if inputs.paths else _learned_from(model, inputs, known_from)
    dataset = replace(
        dataset,
        inputs={"model": model.fingerprint, **dataset.inputs},
        hints={"model": model.hint, **dataset.hints},
    )
    if dataset.kind != "pictures":
        _check_stored(model, dataset)
        return dataset
    if model.scaling is None and model.reading.values != "bytes" and model.reading.scaling == "folder":
        console.warn(f"{model.path} does not say how its images were scaled: these are scaled by themselves")
    chosen = {name: getattr(inputs.images, name) for name in STILL_CHOSEN}
    return replace(dataset, known=model.reading, known_scaling=model.scaling, recorded=(chosen,))


def _named(model: ModelFile, inputs: Inputs, known_from: str | Path | None) -> Dataset:
    plain = replace(inputs.images, **{name: getattr(Images, name) for name in STILL_CHOSEN})
    if plain != Images():
        raise ConfigError(
            f"{model.path}: says itself how images are read; of those options only --mask, --patch, --stride and "
            "--max-pixels go with a model"
        )
    return find_dataset(inputs, known_from=known_from)


def _learned_from(model: ModelFile, inputs: Inputs, known_from: str | Path | None) -> Dataset:
    """The images or superpixels that a model learned from, if they are still what they were."""
    kind = next((name for name in ("superpixels", "pictures") if name in model.learned_from), None)
    again = f"`unseg cluster {model.path} IMAGES`"
    if kind is None:
        raise DataError(f"{model.path}: does not say what it learned from; name images or superpixels: {again}")
    path, fingerprint = model.learned_from[kind]["path"], model.learned_from[kind]["fingerprint"]
    if not Path(path).exists():
        raise DataError(
            f"{path}: is no longer there, but {model.path} learned from it; name it where it is now, or others: {again}"
        )
    masks = model.learned_from.get("masks")
    mask = inputs.mask if inputs.mask is not None or masks is None else masks["path"]
    inputs = replace(inputs, paths=[path], mask=mask)
    whole = _named(model, replace(inputs, limit=None), known_from)
    if whole.inputs[kind] != fingerprint:
        raise DataError(
            f"{path}: does not hold just what {model.path} learned from, so it has changed; to take it as it is, name "
            f"it: `unseg cluster {model.path} {path}`"
        )
    console.note(f"taking {os.path.relpath(path)}, which {model.path} learned from")
    return whole if inputs.limit is None else _named(model, inputs, known_from)


def _check_stored(model: ModelFile, dataset: Dataset) -> None:
    """Refuse working pixels that are not of the kind that the model knows."""
    path, reading = dataset.hints["superpixels"]["path"], dataset.reading
    if reading is None:
        return
    if reading.channels != model.reading.channels:
        raise DataError(
            f"{path}: has {reading.channels} bands, but {model.path} learned from {model.reading.channels}; choose "
            "bands with --bands when you make the superpixels"
        )
    if "mixed" not in (reading.values, model.reading.values) and reading.values != model.reading.values:
        raise DataError(f"{path}: its images hold other types of values than those {model.path} learned from")
    if model.scaling is not None and any(unit.source.scaling != model.scaling for unit in dataset.units):
        console.warn(
            f"{path}: its bands were scaled by other values than those that {model.path} learned from; name the "
            "images themselves to have them scaled likewise"
        )
    if (reading.size, reading.scale) != (model.reading.size, model.reading.scale):
        console.warn(f"{path}: has images of another --size or --scale than those that {model.path} learned from")
