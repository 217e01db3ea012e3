"""What stands in the folder that `unseg map` is to write: a map that was made otherwise is not replaced."""

from __future__ import annotations

from pathlib import Path

from unsegcli import store
from unsegcli.dataflow.dataset import find_dataset
from unsegcli.dataflow.map_folder import MODEL, SEGMENTATION, SUPERPIXELS
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.params import Inputs, Superpixels, recorded
from unsegcli.recipe import Recipe, differences, make_recipe
from unsegcli.segmenters.cutting import REVISION
from unsegcli.segmenters.cutting_alike import read_cutting
from unsegcli.store.writing import CHECKPOINT

FINISHED = (MODEL, SEGMENTATION, f"{MODEL}.partial/{CHECKPOINT}")  # what would be lost, or of no use any more


def refuse_other_superpixels(folder: Path, inputs: Inputs, params: Superpixels) -> None:
    """Raise an error if a map stands in the folder whose superpixels `unseg superpixels` would replace.

    Args:
        folder: that `unseg map` is to write.
        inputs: the images, and how they are read.
        params: how they are cut.
    """
    earlier = folder / SUPERPIXELS
    if not earlier.exists() or not any((folder / name).exists() for name in FINISHED):
        return
    try:
        with store.open_artifact(earlier, "superpixels") as artifact:
            before = artifact.recipe
    except ArtifactError:
        return  # `unseg superpixels` says what is wrong with it
    changed = differences(before, _recipe(inputs, params, earlier))
    if changed:
        raise _refusal(folder, changed)


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
