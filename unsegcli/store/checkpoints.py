"""Save and load checkpoints: the state of an unfinished training run, stored beside its output, replaced atomically."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from unsegcli.recipe import recipe_digest
from unsegcli.store.reading import open_artifact
from unsegcli.store.writing import CHECKPOINT, Target, write_whole


def save_checkpoint(target: Target, state: Mapping[str, NDArray[Any]], progress: str) -> None:
    """Save the state of an unfinished training run, replacing its last checkpoint, while `target` is being written.

    Args:
        target: the model to be trained.
        state: arrays by name.
        progress: JSON of everything that is not an array.
    """
    inner = Target(target.partial / CHECKPOINT, "checkpoint", target.recipe, force=True)
    write_whole(inner, {}, {"progress": progress}, {}, entries={"state": state})
    target.keep_partial()


def load_checkpoint(target: Target) -> tuple[dict[str, NDArray[Any]], str] | None:
    """Load what `save_checkpoint` stored; None if there is no checkpoint of this recipe."""
    path = target.partial / CHECKPOINT
    if not path.exists():
        return None
    with open_artifact(path, "checkpoint") as artifact:
        if recipe_digest(artifact.recipe) != recipe_digest(target.recipe):
            return None
        state = {name: artifact.entry("state", name) for name in artifact.entries("state")}
        return state, str(artifact.attributes["progress"])
