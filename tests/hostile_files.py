"""Files that are hostile and correctly stamped: sound ones whose values are replaced, written by our own writer.

So no digest and no fingerprint gives them away, and every command has to look at the values itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from unsegcli.store import KINDS, Target, encode, open_artifact, write_whole

JSON_TABLES = ("scores", "cutting", "vectors", "fit/settings")
JSON_ATTRIBUTES = ("reading", "config", "bfloat16")
INSTEAD: list[Any] = [None, True, -1, 0, 10**15, 1e300, "", "\x1b[2J", "/", [], {}, [[]], [None], {"a": {}}, {"0": 1}]
EXTREMES = (0.0, -1.0, 1e300, np.nan, np.inf)


@dataclass
class Content:
    """What is in a file, as plain values that may be changed."""

    kind: str
    recipe: dict[str, Any]
    inputs: dict[str, Any]
    attributes: dict[str, Any]
    tables: dict[str, Any] = field(default_factory=dict)  # JSON as its value
    windows: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    entries: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Return where values are that are stored as JSON: the part, and the name in it."""
        found = [("attributes", name) for name in JSON_ATTRIBUTES if name in self.attributes]
        found += [("tables", name) for name in JSON_TABLES if name in self.tables]
        return [*found, ("", "recipe"), ("", "inputs")]

    def write(self, path: Path) -> Path:
        """Write the file, with digests and a fingerprint of what it holds now."""
        attributes = {
            name: json.dumps(value) if name in JSON_ATTRIBUTES else value for name, value in self.attributes.items()
        }
        tables = {
            name: np.frombuffer(json.dumps(value).encode(), np.uint8) if name in JSON_TABLES else value
            for name, value in self.tables.items()
        }
        windows = [{name: encode(values) for name, values in window.items()} for window in self.windows]
        path.unlink(missing_ok=True)
        target = Target(path, self.kind, self.recipe, force=True)
        with mock.patch("unsegcli.store.writing._check_assembled", return_value=None):  # which reads what it wrote
            write_whole(target, tables, attributes, self.inputs, windows, self.entries)
        return path


def content_of(path: Path) -> Content:
    """Read everything in a file."""
    with open_artifact(path) as artifact:
        attributes = {
            name: json.loads(value) if name in JSON_ATTRIBUTES else value for name, value in artifact.attributes.items()
        }
        found = Content(artifact.kind, artifact.recipe, artifact.inputs, attributes)
        for name in artifact.field_names():
            per = KINDS[artifact.kind].fields[name].per
            if per == "entry":
                found.entries[name] = {key: artifact.entry(name, key) for key in artifact.entries(name)}
            elif per == "window":
                found.windows = found.windows or [{} for _ in range(artifact.window_count)]
                for row, window in enumerate(found.windows):
                    window[name] = artifact.read(name, row)
            else:
                values = artifact.table(name)
                found.tables[name] = json.loads(bytes(values)) if name in JSON_TABLES else values
    return found


def places_in(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to every value inside a value, and to itself."""
    yield above
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places_in(one, (*above, key))


def with_value(whole: Any, place: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of a value in which one place has another value."""
    if not place:
        return new
    changed = copy.copy(whole)
    changed[place[0]] = with_value(whole[place[0]], place[1:], new)
    return changed


def hostile(sound: Content, seed: int) -> tuple[str, Content]:
    """Return a file with one thing changed, and what that is; another one for every seed."""
    random = np.random.default_rng(seed)
    changed = copy.deepcopy(sound)
    ways = [_other_json, _other_json, *([_other_table] if sound.tables else [])]
    ways += [_other_window] if sound.windows else []
    ways += [_other_entry] if sound.entries else []
    ways += [_other_attribute] if set(sound.attributes) - set(JSON_ATTRIBUTES) else []
    said = ways[random.integers(len(ways))](changed, random)
    return said, changed


def _picked(random: np.random.Generator, many: Any) -> Any:
    every = list(many)
    return every[random.integers(len(every))]


def _other_json(content: Content, random: np.random.Generator) -> str:
    part, name = _picked(random, content.texts)
    holder = getattr(content, part) if part else vars(content)
    below = [place for place in places_in(holder[name]) if place or part]
    place, new = _picked(random, below or [()]), _picked(random, INSTEAD)
    if not part and not place:  # the writer needs a table here
        new = {}
    holder[name] = with_value(holder[name], place, new)
    return f"{name} {'.'.join(map(str, place))} = {new!r}"


def _other_attribute(content: Content, random: np.random.Generator) -> str:
    name = _picked(random, sorted(set(content.attributes) - set(JSON_ATTRIBUTES)))
    numbers, words = [0, -1, 1, 65535, 2**40], ["", "x", "iic", "/", "mine 0"]
    new = _picked(random, numbers if isinstance(content.attributes[name], int) else words)
    content.attributes[name] = new
    return f"attribute {name} = {new!r}"


def _other_array(values: NDArray[Any], random: np.random.Generator) -> tuple[str, NDArray[Any]]:
    """Return an array of the same type and shape with other values."""
    how = int(random.integers(4))
    if values.size == 0 or how == 0:
        return "reversed", values[::-1].copy()
    extreme = EXTREMES[random.integers(len(EXTREMES))]
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        whole = int(np.nan_to_num(extreme, nan=1, posinf=1e18))
        extreme = max(int(limits.min), min(int(limits.max), whole))
    elif values.dtype.kind == "b":
        extreme = bool(extreme)
    changed = values.copy()
    place: Any = ... if how == 1 else tuple(int(random.integers(length)) for length in values.shape)
    with np.errstate(over="ignore"):
        changed[place] = extreme
    return f"{extreme} at {'every place' if how == 1 else place}", changed


def _other_table(content: Content, random: np.random.Generator) -> str:
    name = _picked(random, sorted(set(content.tables) - set(JSON_TABLES)) or sorted(content.tables))
    values = content.tables[name]
    if isinstance(values, list):
        new = _picked(random, ["", "/", "../../x", "\x1b[2J", "#zzzzzz", "x" * 300])
        content.tables[name] = [new] * len(values)
        return f"{name} = {new!r}"
    if name in JSON_TABLES:
        content.tables[name] = None
        return f"{name} = null"
    said, content.tables[name] = _other_array(values, random)
    return f"{name}: {said}"


def _other_window(content: Content, random: np.random.Generator) -> str:
    window = _picked(random, content.windows)
    name = _picked(random, sorted(window))
    said, window[name] = _other_array(window[name], random)
    return f"{name} of a window: {said}"


def _other_entry(content: Content, random: np.random.Generator) -> str:
    group = _picked(random, [name for name in sorted(content.entries) if content.entries[name]])
    name = _picked(random, sorted(content.entries[group]))
    values = content.entries[group][name]
    how = int(random.integers(5))
    if how == 0:
        del content.entries[group][name]
        return f"{group}/{name} is missing"
    if how == 1:
        content.entries[group][name] = np.zeros((0, *values.shape[1:]), values.dtype)
        return f"{group}/{name} is empty"
    if how == 2:
        content.entries[group][name] = np.zeros((*values.shape, 2), values.dtype)
        return f"{group}/{name} has another axis"
    if how == 3:
        content.entries[group][name] = values.astype(np.float64)
        return f"{group}/{name} is of another type"
    said, content.entries[group][name] = _other_array(values.reshape(-1), random)
    content.entries[group][name] = content.entries[group][name].reshape(values.shape)
    return f"{group}/{name}: {said}"
