"""What values of tables and maps must satisfy before they are used, as cheap checks at the time of reading.

Each function returns what is wrong in words, or None. `unseg inspect --verify` checks more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.recipe import parse_json

MOST_CLUSTERS = 65535  # the largest map has 16 bits, of which the maximum is void
JSON_ATTRIBUTES: dict[str, type] = {"reading": dict, "config": dict, "progress": object, "bfloat16": list}
JSON_TABLES = {"scores", "cutting", "vectors", "fit/settings"}
RECIPE: dict[str, type] = {"stage": str, "parameters": dict, "inputs": dict, "settings": dict, "method": str}
SMALLEST = {
    "sources/page": 0,
    "sources/bytes": 0,
    "sources/size": 1,
    "sources/orientation": 1,
    "sources/bands": 1,
    "members/source": 0,
    "members/bytes": 0,
    "windows/grid": 1,
    "windows/superpixels": 0,
    "layers/dimensions": 1,
    "layers/features": 1,
    "matrix": 0,
    "per-image": 0,
}
LARGEST = {"sources/orientation": 8}


def attribute_problem(name: str, value: Any) -> str | None:
    """Check an attribute of a kind."""
    if name == "clusters" and not 0 <= value <= MOST_CLUSTERS:
        return f"is {value}, which is not from 0 to {MOST_CLUSTERS}"
    return _json_problem(value, JSON_ATTRIBUTES[name]) if name in JSON_ATTRIBUTES else None


def recipe_problem(recipe: dict[str, Any]) -> str | None:
    """Check the parts of a recipe that other commands look at."""
    for name, type_ in RECIPE.items():
        if not isinstance(recipe.get(name, type_()), type_):
            return f"has {name} of another type than {type_.__name__}"
    if not all(isinstance(digest, str) for digest in recipe.get("inputs", {}).values()):
        return "has inputs that are not digests"
    return None


def table_problem(name: str, values: Any) -> str | None:
    """Check a table by itself."""
    if name in JSON_TABLES:
        return _json_problem(values.tobytes(), dict)
    if name in SMALLEST and len(values) and values.min() < SMALLEST[name]:
        return f"has {values.min()}, which is below {SMALLEST[name]}"
    if name in LARGEST and len(values) and values.max() > LARGEST[name]:
        return f"has {values.max()}, which is above {LARGEST[name]}"
    return None


def window_problem(
    sources: int,
    source: NDArray[Any],
    box: NDArray[Any],
    grid: NDArray[Any],
    superpixels: NDArray[Any] | None,
) -> str | None:
    """Check the tables of windows together with the number of sources."""
    if len(source) and (source.min() < 0 or source.max() >= sources):
        return f"windows/source refers to a source outside 0 to {sources - 1}"
    if sources != len(np.unique(source)) or (np.diff(source) < 0).any():
        return "windows/source does not have the windows of every source, one source after the other"
    ends, grid = box[:, :2].astype(np.int64) + box[:, 2:], grid.astype(np.int64)
    wrong = (box[:, :2] < 0).any(1) | (box[:, 2:] < 1).any(1) | (ends > grid).any(1)
    if wrong.any():
        return f"window {np.flatnonzero(wrong)[0]} extends beyond its working image"
    if superpixels is not None and (superpixels > np.prod(box[:, 2:].astype(np.int64), axis=1)).any():
        return "windows/superpixels has more superpixels than the window has pixels"
    lone = np.bincount(source, minlength=sources)[source] == 1
    if (lone[:, None] & (box[:, 2:] != grid)).any():
        return f"the windows of source {source[lone & (box[:, 2:] != grid).any(1)][0]} do not cover its image exactly"
    return None


def map_problem(name: str, values: NDArray[Any], limit: int | None) -> str | None:
    """Check that a map of superpixels or categories has only values below the limit, or void."""
    if limit is None or not values.size:
        return None
    void = np.iinfo(values.dtype).max
    if limit > void:
        return f"is of type {values.dtype.name}, which cannot hold {limit} numbers and void"
    largest = values.max()
    if largest == void:
        largest = values.max(where=values != void, initial=0)
        limit = max(limit, 1)  # all of it may be void
    return None if largest < limit else f"has the {name} {largest}, but there are only {limit}"


def vector_problem(values: NDArray[Any]) -> str | None:
    """Check the vectors of superpixels or cells."""
    return None if np.isfinite(values).all() else "has numbers that are not finite"


def _json_problem(text: str | bytes, type_: type) -> str | None:
    try:
        value = parse_json(text)
    except ValueError as error:
        return f"is not JSON that can be used ({str(error).splitlines()[0][:80]})"
    return None if isinstance(value, type_) else f"is not a JSON {'object' if type_ is dict else 'list'}"
