"""What tests read back from the files that commands have written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from unsegcli import store


def fingerprint(path: Path) -> str:
    with store.open_artifact(path) as artifact:
        return artifact.fingerprint


def parameters_of(path: str | Path) -> dict[str, Any]:
    with store.open_artifact(path) as artifact:
        return dict(artifact.recipe["parameters"])


def table_of(path: Path, name: str) -> Any:
    with store.open_artifact(path) as artifact:
        return artifact.table(name)


def maps_of(path: Path, field: str = "segmentation") -> list[NDArray[Any]]:
    with store.open_artifact(path) as artifact:
        assert store.problems_of(artifact) == []
        return [artifact.read(field, index) for index in range(artifact.window_count)]


def weights_of(path: Path) -> dict[str, NDArray[Any]]:
    with store.open_artifact(path, "model") as artifact:
        assert store.problems_of(artifact) == []
        return {name: artifact.entry("weights", name) for name in artifact.entries("weights")}


def history_of(path: Path) -> dict[str, list[float]]:
    with store.open_artifact(path, "model") as artifact:
        return {name: artifact.entry("history", name).tolist() for name in artifact.entries("history")}


def rewrite_recipe(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the recipe of a file, as if another version had written it: recipes are not in the fingerprint."""
    with h5py.File(path, "r+") as file:
        file.attrs["recipe"] = json.dumps(change(json.loads(file.attrs["recipe"])), sort_keys=True)
