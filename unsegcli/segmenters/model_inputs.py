"""What a model is used on: pictures or superpixels that are named, or else those that it learned from.

Only what the model says of itself is read here, not its weights.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unsegcli import console
from unsegcli.dataflow.dataset import Supply, find_supply
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Pictures
from unsegcli.segmenters.model_file import ModelFile, is_model

STILL_CHOSEN = ("patch", "stride", "max_pixels")  # all else about reading pictures is as it was when they were learned


@dataclass(frozen=True)
class Given:
    """What the user says about inputs, beside the model."""

    inputs: Sequence[str | Path] = ()
    pictures: Pictures = field(default_factory=Pictures)
    mask: str | Path | None = None
    images: str | Path | None = None
    limit: int | None = None
    known_from: Path | None = None  # an earlier output, whose digests are believed where size and time stand


def supply_for(model: ModelFile, given: Given) -> tuple[Supply, list[dict[str, Any]]]:
    """The pictures or superpixels that a model is used on.

    Returns:
        the supply, and the settings on reading pictures that belong into the recipe.
    """
    wrong = [path for path in given.inputs if is_model(path)]
    if wrong:
        raise ConfigError(f"{wrong[0]}: one model is taken at a time, before the pictures or superpixels")
    supply = _named(model, given) if given.inputs else _learned_from(model, given)
    inputs = {"model": model.fingerprint, **supply.inputs}
    supply = replace(supply, inputs=inputs, hints={"model": model.hint, **supply.hints})
    if supply.kind != "pictures":
        _check_stored(model, supply)
        return supply, []
    if model.scaling is None and model.reading.values != "bytes" and model.reading.scaling == "folder":
        console.warn(f"{model.path} does not say how its pictures were scaled: these are scaled by themselves")
    chosen = {name: getattr(given.pictures, name) for name in STILL_CHOSEN}
    return replace(supply, known=model.reading, known_scaling=model.scaling), [chosen]


def _named(model: ModelFile, given: Given) -> Supply:
    plain = replace(given.pictures, **{name: getattr(Pictures, name) for name in STILL_CHOSEN})
    if plain != Pictures():
        raise ConfigError(
            f"{model.path}: says itself how pictures are read; of those options only --mask, --patch, --stride and "
            "--max-pixels go with a model"
        )
    supply, _ = find_supply(
        given.inputs,
        given.pictures,
        kinds=("superpixels",),
        mask=given.mask,
        images=given.images,
        limit=given.limit,
        known_from=given.known_from,
    )
    return supply


def _learned_from(model: ModelFile, given: Given) -> Supply:
    """The pictures or superpixels that a model learned from, if they are still what they were."""
    kind = next((name for name in ("superpixels", "pictures") if name in model.learned_from), None)
    again = f"`unseg cluster {model.path} PICTURES`"
    if kind is None:
        raise DataError(f"{model.path}: does not say what it learned from; name pictures or superpixels: {again}")
    path, fingerprint = model.learned_from[kind]["path"], model.learned_from[kind]["fingerprint"]
    if not Path(path).exists():
        raise DataError(
            f"{path}: is no longer there, but {model.path} learned from it; name it where it is now, or others: {again}"
        )
    masks = model.learned_from.get("masks")
    mask = given.mask if given.mask is not None or masks is None else masks["path"]
    whole = _named(model, replace(given, inputs=[path], mask=mask, limit=None))
    if whole.inputs[kind] != fingerprint:
        raise DataError(
            f"{path}: does not hold just what {model.path} learned from, so it has changed; to take it as it is, name "
            f"it: `unseg cluster {model.path} {path}`"
        )
    console.note(f"taking {os.path.relpath(path)}, which {model.path} learned from")
    return whole if given.limit is None else _named(model, replace(given, inputs=[path], mask=mask))


def _check_stored(model: ModelFile, supply: Supply) -> None:
    """Refuse working pixels that are not of the kind that the model knows."""
    path, reading = supply.hints["superpixels"]["path"], supply.reading
    if reading is None:
        return
    if reading.channels != model.reading.channels:
        raise DataError(
            f"{path}: has {reading.channels} bands, but {model.path} learned from {model.reading.channels}; choose "
            "bands with --bands when you make the superpixels"
        )
    if "mixed" not in (reading.values, model.reading.values) and reading.values != model.reading.values:
        raise DataError(f"{path}: its pictures hold other types of values than those {model.path} learned from")
    if model.scaling is not None and any(unit.source.scaling != model.scaling for unit in supply.units):
        console.warn(
            f"{path}: its bands were scaled by other values than those that {model.path} learned from; name the "
            "pictures themselves to have them scaled likewise"
        )
    if (reading.size, reading.scale) != (model.reading.size, model.reading.scale):
        console.warn(f"{path}: has pictures of another --size or --scale than those that {model.path} learned from")
