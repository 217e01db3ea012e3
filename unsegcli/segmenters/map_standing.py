"""What stands in the folder that `unseg map` is to write: a map that was made otherwise is not replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unsegcli import store
from unsegcli.dataflow.dataset import find_dataset
from unsegcli.dataflow.map_folder import FEATURES, MODEL, NETWORKS, PAGE, SEGMENTATION, SUPERPIXELS
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.params import Inputs, Superpixels, recorded
from unsegcli.recipe import Recipe, differences, make_recipe
from unsegcli.segmenters.cutting import REVISION
from unsegcli.segmenters.cutting_alike import read_cutting
from unsegcli.store.writing import CHECKPOINT

FILES = {
    "superpixels": SUPERPIXELS,
    "train": MODEL,
    "features": FEATURES,
    "vectors": SEGMENTATION,
    "regions": SEGMENTATION,
}
FINISHED = (MODEL, SEGMENTATION, f"{MODEL}.partial/{CHECKPOINT}")  # what would be lost, or of no use any more


def superpixels_stand(folder: Path, inputs: Inputs, params: Superpixels, *, force: bool) -> bool:
    """Return whether the folder has these superpixels already; raise an error if it has a map of others.

    Args:
        folder: that `unseg map` is to write.
        inputs: the images, and how they are read.
        params: how they are cut.
        force: whether a map of others is to be replaced.
    """
    earlier = folder / SUPERPIXELS
    if not earlier.exists():
        return False
    try:
        with store.open_artifact(earlier, "superpixels") as artifact:
            before = artifact.recipe
    except ArtifactError:
        return False  # `unseg superpixels` says what is wrong with it
    changed = differences(before, _recipe(inputs, params, earlier))
    if changed and not force and any((folder / name).exists() for name in FINISHED):
        raise _refusal(folder, changed)
    return not changed


def standing_steps(folder: Path, steps: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the first steps, which have nothing to do, as far as the files of the folder tell.

    Args:
        folder: that `unseg map` is to write; its superpixels are those that are wanted.
        steps: names, in order; each works on the file of the one before it.
        settings: of steps, which those of the files must equal.
    """
    done: list[str] = []
    source: tuple[str, str] | None = None
    for step in steps:
        if step == "page":
            return [*done, step] if (folder / PAGE).is_dir() else done
        source = _standing(folder / FILES[step], source, settings.get(step, {}))
        if source is None:
            return done
        done.append(step)
    return done


def _standing(path: Path, source: tuple[str, str] | None, settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return kind and fingerprint of a file that was made from another one with these settings; None = it was not."""
    try:
        with store.open_artifact(path) as artifact:
            made, inputs = artifact.recipe.get("parameters", {}), artifact.recipe.get("inputs", {})
            found = (artifact.kind, artifact.fingerprint)
    except ArtifactError:
        return None
    if source is not None:
        others = (inputs.keys() & set(NETWORKS)) - {source[0]}
        if others or inputs.get(source[0]) != source[1]:
            return None
    return found if all(made.get(name) == value for name, value in settings.items()) else None


def refuse_other_training(folder: Path, classes: int, seed: int) -> None:
    """Raise an error if a model stands in the folder that was trained with another seed or number of clusters."""
    model = folder / MODEL
    if not model.exists():
        return
    try:
        with store.open_artifact(model, "model") as artifact:
            before = artifact.recipe
    except ArtifactError:
        return  # `unseg train` says what is wrong with it
    made = before.get("parameters", {})
    wanted = {**made, "classes": classes, "seed": seed}
    changed = differences({"parameters": made}, {"parameters": wanted})
    if changed:
        raise _refusal(folder, f"its network: {changed}")


def _refusal(folder: Path, changed: str) -> ConfigError:
    return ConfigError(
        f"-o {folder}: holds a map that was made in another way ({changed}); choose another folder with -o, or replace "
        "the map with --force"
    )


def _recipe(inputs: Inputs, params: Superpixels, output: Path) -> Recipe:
    """Return the recipe of the superpixels that would be made."""
    if params.like is None:
        dataset = find_dataset(inputs, known_from=output)
    else:
        cutting = read_cutting(params.like)
        params, dataset = cutting.params, cutting.dataset(inputs, output)
    return make_recipe("superpixels", REVISION, [recorded(params), *dataset.recorded], dataset.inputs)
