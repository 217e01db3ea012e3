"""Find out which results are runs of one method: made in the same way, but with other seeds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsegcli import store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.errors import ArtifactError
from unsegcli.recipe import recipe_digest

DEEPEST = 20  # a longer chain was not made by unseg and may be circular
SEED = "seed"


@dataclass(frozen=True)
class Making:
    """How a result was made, back to the images."""

    apart_from_seeds: str  # digest of its recipe and those of what it was made from, without their seeds
    seeds: tuple[int, ...]
    untraced: bool  # whether the model that it was made with is gone or has changed


Known = dict[tuple[str, str], Making | None]  # by path and fingerprint


def same_method(runs: Sequence[Predictions]) -> bool | None:
    """Return whether results are runs of one method; None = not known. Those of another tool are taken for it."""
    made = [_making_of(run) for run in runs]
    known = [one for one in made if one is not None]
    if len({one.apart_from_seeds for one in known}) <= 1 and len(known) in (0, len(made)):
        return True
    return None if any(one.untraced for one in known) else False


def methods_of(runs: Sequence[Predictions]) -> list[list[int]]:
    """Group results by their method: numbers of the results, in order; a result given twice is in two groups."""
    groups: list[list[int]] = []
    made = [_making_of(run) for run in runs]
    for number, one in enumerate(made):
        for group in groups:
            if one is not None and all(_another_seed(one, made[other]) for other in group):
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def untraced(runs: Sequence[Predictions]) -> list[str]:
    """Return the names of the results whose models are gone or have changed, so that their seeds are not known."""
    return [run.name for run in runs if (made := _making_of(run)) is not None and made.untraced]


def _making_of(run: Predictions) -> Making | None:
    """Return how a result was made; None if it is from another tool."""
    return _traced(next(iter(run.hints.values()))["path"], next(iter(run.inputs.values())))


def _another_seed(one: Making, other: Making | None) -> bool:
    return other is not None and one.apart_from_seeds == other.apart_from_seeds and one.seeds != other.seeds


def _traced(path: str | Path, fingerprint: str, above: Known | None = None, depth: int = 0) -> Making | None:
    """Return how a file was made; None if it is not there or has another fingerprint.

    Each file is read once: one that names itself or others several times would be read again and again.
    """
    known = {} if above is None else above
    key = str(path), fingerprint
    if key not in known:
        known[key] = None  # while its own inputs are traced
        known[key] = _making(path, fingerprint, known, depth)
    return known[key]


def _making(path: str | Path, fingerprint: str, known: Known, depth: int) -> Making | None:
    if depth == DEEPEST or not is_artifact(path) or not Path(path).is_file():
        return None
    try:
        with store.open_artifact(path) as artifact:
            if artifact.fingerprint != fingerprint:
                return None
            recipe, hints = artifact.recipe, artifact.inputs
    except ArtifactError:
        return None
    folder = Path(path).resolve().parent
    before: dict[str, Any] = {}
    found: list[Making] = []
    untraced = False
    for name, digest in recipe.get("inputs", {}).items():
        hint = hints.get(name, {}).get("path", "")
        one = _traced(os.path.normpath(folder / hint), digest, known, depth + 1) if hint else None
        before[name] = digest if one is None else one.apart_from_seeds
        found += [] if one is None else [one]
        untraced |= one is None and name == "model"
    parameters = recipe.get("parameters", {})
    plain = {**recipe, "inputs": before, "parameters": {k: v for k, v in parameters.items() if k != SEED}}
    seeds = [parameters[SEED]] if SEED in parameters else []
    seeds += [seed for one in found for seed in one.seeds]
    return Making(recipe_digest(plain), tuple(seeds), untraced or any(one.untraced for one in found))
