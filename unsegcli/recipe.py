"""Recipes: the stage, revision, parameters and inputs that produced a file, as canonical JSON.

An output whose recipe is unchanged is not recomputed. Device, number of workers, verbosity, output path and
library versions are not part of a recipe: they do not change the result.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from unsegcli.errors import ConfigError

Recipe = dict[str, Any]
SHOWN_AS = {"inputs.pictures": "inputs.images"}  # files keep the older word


def canonical(value: Any) -> str:
    """Return the canonical JSON of a value: sorted keys, no spaces, no NaN, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def make_recipe(
    stage: str,
    revision: int,
    parameters: Iterable[Any],
    inputs: Mapping[str, str],
    more: Mapping[str, Any] | None = None,
) -> Recipe:
    """Build a recipe.

    Args:
        stage: name of the stage.
        revision: increased when the same parameters give different results.
        parameters: dataclasses or mappings, merged into one flat table.
        inputs: fingerprint or digest of each input, by name.
        more: additional entries, such as the method and its revision.
    """
    merged: dict[str, Any] = {}
    for part in parameters:
        merged |= asdict(part) if is_dataclass(part) and not isinstance(part, type) else dict(part)
    for name, value in merged.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be a finite number")
    recipe = {
        "stage": stage,
        "revision": revision,
        "parameters": merged,
        "inputs": dict(inputs),
        **(more or {}),
    }
    plain: Recipe = json.loads(canonical(recipe))  # tuples become lists, as when the recipe is read from a file
    return plain


def recipe_digest(recipe: Recipe) -> str:
    """Return the SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(recipe).encode()).hexdigest()


def listing_digest(rows: Iterable[tuple[str, str]]) -> str:
    """Return one digest for a list of (name, digest) pairs, such as the files of a folder."""

    return hashlib.sha256(canonical([list(row) for row in rows]).encode()).hexdigest()


def differing_keys(old: Recipe, new: Recipe, prefix: str = "") -> list[str]:
    """Return the sorted dotted keys at which two recipes differ, to report why a file is replaced."""
    found: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differing_keys(before, after, f"{prefix}{key}.")
        elif canonical(before) != canonical(after) or (key in old) != (key in new):  # 1 == 1.0 == True in Python
            found.append(SHOWN_AS.get(f"{prefix}{key}", f"{prefix}{key}"))
    return found
