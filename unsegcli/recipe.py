"""Recipes: the stage, revision, parameters and inputs that produced a file, as canonical JSON.

An output whose recipe is unchanged is not recomputed. Device, number of workers, verbosity, output path and
library versions are not part of a recipe: they do not change the result.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from unsegcli.errors import ConfigError
from unsegcli.params import STORED_NAMES, STORED_VALUES

Recipe = dict[str, Any]
INPUTS = {
    "pictures": "images",
    "like": "file of --like",
    "maps": "label maps",
    "without_image": "missing images",
    "page": "files of the page",
}
REVISIONS = {"revision": "command", "method_revision": "method"}
TODAY = {stored: name for name, stored in STORED_NAMES.items()}
FILE_DIGEST = re.compile(r" [0-9a-f]{16}$")
LONGEST_VALUE = 40  # letters
DEEPEST = 40  # levels of JSON that is read
LARGEST_INTEGER = 1 << 64


def canonical(value: Any) -> str:
    """Return the canonical JSON of a value: sorted keys, no spaces, no NaN, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_json(text: str | bytes) -> Any:
    """Parse JSON that anybody may have written.

    Raises ValueError for what is not JSON, and for what JSON allows but other code does not expect: numbers that are
    infinite or enormous, and values that are nested deeply.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_moderate)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _depth(value) > DEEPEST:
        raise ValueError("nested too deeply")
    return value


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _moderate(text: str) -> int:
    value = int(text)
    if abs(value) > LARGEST_INTEGER:
        raise ValueError(f"{text} is too large")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = list(itertools.chain.from_iterable(inner))
    return depth


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


def differing_keys(old: Recipe, new: Recipe, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the sorted paths of keys at which two recipes differ."""
    found: list[tuple[str, ...]] = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differing_keys(before, after, (*above, key))
        elif canonical(before) != canonical(after) or (key in old) != (key in new):  # 1 == 1.0 == True in Python
            found.append((*above, key))
    return found


def differences(old: Recipe, new: Recipe) -> str:
    """Say in words how two recipes differ, such as "steps 100, now 200; other images"."""
    return "; ".join(dict.fromkeys(_in_words(keys, old, new) for keys in differing_keys(old, new)))


def _in_words(keys: tuple[str, ...], old: Recipe, new: Recipe) -> str:
    section, name = keys[0], keys[-1]
    if section == "inputs":
        return f"other {INPUTS.get(name, name)}"
    if section in REVISIONS:
        return f"another version of the {REVISIONS[section]}"
    before, after = (_shown(name, _at(recipe, keys)) for recipe in (old, new))
    if before == after:
        return "the file of the method has changed" if name == "method" else f"{name} has changed"
    name = name if section == "settings" else TODAY.get(name, name).replace("_", " ")  # settings as typed in --set
    return f"{name} {before}, now {after}"


def _at(recipe: Recipe, keys: tuple[str, ...]) -> Any:
    value: Any = recipe
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _shown(name: str, value: Any) -> str:
    """Format a value in today's words; a user's own method is shown without the digest of its file."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value in (None, "", [], {}):
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    typed = [new for (one, new), stored in STORED_VALUES.items() if (one, stored) == (name, value)]
    sign = "/" if name == "shard" else ","
    text = sign.join(map(str, value)) if isinstance(value, list) else str([*typed, value][0])
    text = FILE_DIGEST.sub("", text) if name == "method" else text
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
