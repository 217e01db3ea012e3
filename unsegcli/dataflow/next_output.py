"""The output of a command that is typed again and again without -o: a name that no other file has."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from unsegcli import store
from unsegcli.errors import ArtifactError
from unsegcli.recipe import Recipe, recipe_digest


def next_output(default: Path, recipe: Recipe) -> tuple[Path, list[Path]]:
    """Return the first of out.h5, out-2.h5, ... that is not there or has the same recipe, and those before it."""
    taken: list[Path] = []
    for number in itertools.count(1):
        path = default if number == 1 else default.with_stem(f"{default.stem}-{number}")
        if not path.exists() or _has_recipe(path, recipe):
            return path, taken
        taken.append(path)
    raise AssertionError("numbers do not end")


def _has_recipe(path: Path, recipe: Recipe) -> bool:
    try:
        with store.open_artifact(path) as artifact:
            return recipe_digest(artifact.recipe) == recipe_digest(recipe)
    except ArtifactError:
        return False


def last_made_from(fingerprint: str, paths: Sequence[Path]) -> Path | None:
    """Return the last segmentation that was made from one, also through others of the paths; None if there is none."""
    known, found = {fingerprint}, None
    for path in paths:
        try:
            with store.open_artifact(path, "segmentation") as artifact:
                if artifact.inputs.get("segmentation", {}).get("fingerprint") in known:
                    known.add(artifact.fingerprint)
                    found = path
        except ArtifactError:
            continue
    return found
